"""What a task is: rows, a pretrained model, and everything that ties the two together."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from hpsearch.errors import TaskError, nearest
from hpsearch.metrics import TargetKind
from hpsearch.records import digest
from hpsearch.tasks.sources import Arrays, Location, Table, source_from
from hpsearch.training.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameter

if TYPE_CHECKING:
    from torch import nn

    from hpsearch.training.learner import Learner

Split = Literal["train", "test"]
_SOURCES = (Location, Table, Arrays)


@dataclass(frozen=True)
class Prepared:
    """Rows ready to be trained on: encoded once, kept on disk, memory-mapped by every worker.

    Attributes:
        folder: The dataset of the training rows; `open_dataset` gives its arrays, among them "targets" (int64 codes,
            or float32 indicators), and "groups" (int64) and "weights" (float32) where the task has them.
        test_folder: The dataset of the test rows, or None.
        kind: What the targets are.
        classes: Labels by code; of a multilabel task the names of the columns.
        rows: Training rows.
        test_rows: Test rows, 0 where there are none.
        data_digest: What the training rows are, as the model sees them: texts or images, labels, groups, weights, and
            the settings of the tokenizer or image processor.
        test_digest: The same of the test rows, or None.
        model_digest: What training starts from: config and pretrained weights, and which parameters are new.
        warnings: What the audit and the encoding found, each a sentence for the user.
        attention: The attention kernel that the model computes with, by transformers' name, for the numerics.
        layers: Layers that `freeze_layers` can freeze, 0 where none can be told apart; None where that is not known.
        has_dropout: Whether the model has a dropout that can be set.
    """

    folder: Path
    test_folder: Path | None
    kind: TargetKind
    classes: tuple[Any, ...]
    rows: int
    test_rows: int
    data_digest: str
    test_digest: str | None
    model_digest: str
    warnings: tuple[str, ...] = ()
    attention: str = "sdpa"
    layers: int | None = None
    has_dropout: bool = True

    def folder_of(self, split: Split) -> Path:
        """Return the dataset of a split.

        Raises:
            TaskError: The task has no test rows.
        """
        found = self.folder if split == "train" else self.test_folder
        if found is None:
            raise TaskError("the task has no test rows. Give test= when making the task.")
        return found


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """A kind of fine-tuning, applied to a model and rows.

    Making one only checks and keeps its arguments; no data is read and no model loaded before `prepare`. Subclasses are
    frozen dataclasses whose fields are their arguments: paths, tables and arrays as sources (sources.py), the rest as
    JSON has it. Two tasks are equal when their descriptions are, wherever tables and arrays in memory were written.
    """

    @abstractmethod
    def prepare(self, cache: Path) -> Prepared:
        """Read, audit and encode the rows into folders under `cache`, once; two processes may do so at once.

        Raises:
            DataError: The rows cannot be learned from.
            TaskError: The model, its tokenizer or image processor cannot be used.
        """

    @abstractmethod
    def learner(self, prepared: Prepared, split: Split = "train") -> "Learner":
        """Return what the fine-tune needs of this task, for the training or the test rows."""

    @abstractmethod
    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write a fine-tuned model into `folder` as `from_pretrained` and `pipeline` of transformers read it."""

    @abstractmethod
    def recommended(self) -> Mapping[str, Any]:
        """Return the hyperparameters that the literature starts from for this kind of task."""

    def unnamed(self) -> Mapping[str, Any]:
        """Return the value of each hyperparameter that a config does not name: the recommended one, else the default.

        So a search of the learning rate alone is one around the recommendation, and its literature default is that.
        """
        return {name: each.default for name, each in self.hyperparameters().items()} | dict(self.recommended())

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Return what a config of this task may set."""
        return TRAINING_HYPERPARAMETERS

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with every hyperparameter, each checked and in its one spelling.

        What it does not name is as the task recommends, and where that says nothing, the default (`unnamed`).

        Raises:
            TaskError: One is unknown (the nearest known one is named), or has a value that cannot be trained with.
        """
        known = self.hyperparameters()
        for name in config:
            if name not in known:
                raise TaskError(
                    f"{type(self).__name__} does not know the hyperparameter {name!r}.{nearest(name, known)} "
                    f"It knows {', '.join(known)}."
                )
        whole = {**self.unnamed(), **config}
        return {name: each.check(whole[name]) for name, each in known.items()}

    def describe(self) -> dict[str, Any]:
        """Return the task as JSON keeps it: its import path and arguments. Data in memory is named by its content."""
        arguments = {field.name: _described(getattr(self, field.name)) for field in fields(self)}
        return {"task": f"{type(self).__module__}:{type(self).__qualname__}", "arguments": arguments}

    @staticmethod
    def from_description(description: Mapping[str, Any], folder: Path | None = None) -> "Task":
        """Return the task that a description is of.

        Args:
            description: What `describe` gave.
            folder: Where the snapshots of data in memory lie, if not where the description says.

        Raises:
            TaskError: The class cannot be imported (a notebook), or its data in memory was not kept.
        """
        made = _imported(description["task"])
        arguments = {name: _restored(value, folder) for name, value in description["arguments"].items()}
        return made(**arguments)

    def snapshot(self, folder: Path) -> Self:
        """Return an equal task whose tables and arrays in memory are files in `folder`, written there if need be."""
        sources = {
            field.name: value.snapshot(Path(folder), field.name)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), _SOURCES)
        }
        return replace(self, **sources)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> str:
        arguments = self.describe()["arguments"]
        return digest({name: _without_files(value) for name, value in arguments.items()})


def _described(value: Any) -> Any:
    if isinstance(value, _SOURCES):
        return value.describe()
    return list(value) if isinstance(value, tuple) else value


def _restored(value: Any, folder: Path | None) -> Any:
    return source_from(value, folder) if isinstance(value, Mapping) else value


def _without_files(value: Any) -> Any:
    if isinstance(value, Mapping) and "path" in value:
        return value["resolved"]
    return {key: each for key, each in value.items() if key != "files"} if isinstance(value, Mapping) else value


def _imported(path: str) -> type[Task]:
    module_name, _, name = path.partition(":")
    remedy = "Give the task: hp.load(name, task=...)."
    if module_name == "__main__" or "<locals>" in name:
        raise TaskError(f"the task {name!r} was defined in a notebook or script and cannot be imported. {remedy}")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise TaskError(f"the task {path!r} cannot be imported: {error}. {remedy}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskError(f"{path!r} is not a task but a {type(found).__name__}. {remedy}")
    return found
