"""A search over the settings of a function that trains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.tasks.loops.task import LoopTask
from hpsearch.tasks.user_code import UserCode

if TYPE_CHECKING:
    from hpsearch.tasks.loops.run import Run


@dataclass(frozen=True)
class FunctionCall:
    """A user's function with its config, as it goes to the process of a run."""

    function: UserCode
    config: Mapping[str, Any]

    def __call__(self, run: "Run") -> None:
        self.function.value(dict(self.config), run)


@dataclass(frozen=True, eq=False)
class FunctionTask(LoopTask):
    """Search the settings of your own training function, with everything but the training done by the study.

    `train(config, run)` is called in a fresh process for each run, with a dict of settings and a `Run`:

        def train(config, run):
            state = load(run.restore())                 # a folder, or None at the beginning
            for epoch in range(state.epoch, config["epochs"]):
                ...
                answer = run.report(epoch, accuracy=accuracy)
                if run.due(epoch):
                    with run.save() as folder: ...
                if answer.stop: return

    A function that never saves works too: where it is left, it starts again. Code goes to the process in memory; what
    it prints goes to `output.log` in the run's folder. An exception is the failure of its trial.

    With `train=` (and `validation=`) the run has `run.train_rows` and `run.validation_rows`, those of its fold.

    Attributes:
        function: `train(config, run)`.
    """

    function: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("function", UserCode.of(self.function, "function"))

    @property
    def model(self) -> str:
        return str(self.function.name)

    @property
    def code(self) -> Any:
        return self.function.definition.digest

    def call(self, config: Mapping[str, Any]) -> "Callable[[Run], None]":
        return FunctionCall(self.function, config)

    def warnings(self) -> tuple[str, ...]:
        return tuple(self.function.definition.remarks(f"function={self.function.name}"))
