"""A task that a study was made with and that is not there any more: enough to read the study."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hpsearch.tasks.base import Prepared, Split, Task
from hpsearch.training.hyperparameters import Hyperparameter

if TYPE_CHECKING:
    from torch import nn

    from hpsearch.errors import UsageError


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, eq=False)
class StoredTask(Task):
    """Stands for a task whose class, or a part of it, cannot be imported. It can do nothing but be read.

    Args:
        description: What `describe` gave of the task.
        error: Why it is not there.
        names: The hyperparameters that the study names.
        chooses: The hyperparameter that chooses a pretrained model, or None.
        model: What the model is called.
    """

    description: Mapping[str, Any]
    error: "UsageError"
    names: Iterable[str] = ()
    chooses: str | None = None
    model: str = "a model"

    def __post_init__(self) -> None:
        self._set("choice", self.chooses)

    def describe(self) -> dict[str, Any]:
        return dict(self.description)

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        return {name: Hyperparameter(None, _as_it_is, "") for name in self.names}

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config: what it leaves out, nobody here knows."""
        return dict(config)

    def recommended(self) -> Mapping[str, Any]:
        return {}

    def prepare(self, cache: Path) -> Prepared:
        self._refuse()

    def learner(self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None) -> Any:
        self._refuse()

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise self.error
