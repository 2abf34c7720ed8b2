"""A search over the settings of any trainer of transformers' kind: Trainer, TRL's, sentence-transformers'."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import TaskError
from hpsearch.records.types import LOSS
from hpsearch.tasks.loops.task import LoopTask
from hpsearch.tasks.user_code import UserCode

if TYPE_CHECKING:
    from hpsearch.tasks.loops.run import Run

EVALUATED = "eval_"
"""What a trainer's names of metrics begin with."""


@dataclass(frozen=True)
class TrainerCall:
    """What makes the user's trainer, with its config, as it goes to the process of a run."""

    make_trainer: UserCode
    config: Mapping[str, Any]

    def __call__(self, run: "Run") -> None:
        from hpsearch.tasks.loops.trainer import train

        train(self.make_trainer.value, dict(self.config), run)


@dataclass(frozen=True, eq=False)
class TrainerTask(LoopTask):
    """Search the settings of your own trainer, with everything but the training done by the study.

    `make_trainer(config, train_rows, validation_rows, run)` returns a `transformers.Trainer`, or one of its kind (TRL's
    SFTTrainer, DPOTrainer and RewardTrainer, sentence-transformers' trainer). It is called in a fresh process for each
    run, and makes its model there. The trainer is evaluated, saved and stopped as the study needs it; what it evaluates
    is reported, "eval_accuracy" as "accuracy".

    A run is `epochs` of the config, evaluated `evaluations_per_epoch` times an epoch at even distances, or `reports`
    times in all. How long it trains, the trainer's own arguments say, so hand `epochs` on to them.

    Attributes:
        make_trainer: The function.
    """

    make_trainer: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("make_trainer", UserCode.of(self.make_trainer, "make_trainer"))
        if importlib.util.find_spec("accelerate") is None:
            raise TaskError(
                "TrainerTask runs a Trainer of transformers, which needs the package accelerate: pip install "
                "accelerate."
            )

    @property
    def model(self) -> str:
        return str(self.make_trainer.name)

    @property
    def code(self) -> Any:
        return self.make_trainer.definition.digest

    @property
    def objective(self) -> str:
        return LOSS

    @property
    def prefix(self) -> str:
        return EVALUATED

    def call(self, config: Mapping[str, Any]) -> "Callable[[Run], None]":
        return TrainerCall(self.make_trainer, config)

    def warnings(self) -> tuple[str, ...]:
        return tuple(self.make_trainer.definition.remarks(f"make_trainer={self.make_trainer.name}"))
