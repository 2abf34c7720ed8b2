"""What X of the estimator may be, each with its task: texts, images, and rows of numbers for any torch module."""

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hpsearch.data.audit import check_texts
from hpsearch.data.dataset import open_dataset, write_dataset
from hpsearch.data.images import read_images
from hpsearch.data.ragged import as_arrays
from hpsearch.data.unicode import check_texts_are_unicode
from hpsearch.errors import UsageError, nearest
from hpsearch.tasks import CustomTask, Prepared, Task
from hpsearch.tasks.image import ImageTask
from hpsearch.tasks.targets import targets_called
from hpsearch.tasks.text import TextTask

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.tasks.answer_judge import AnswerJudge

_TEXTS = ("text", "text_pair")

Arrays = tuple[dict[str, Any], dict[str, Any]]
"""The arrays of encoded rows by name, and facts about them."""


@dataclass(frozen=True)
class Inputs(ABC):
    """One kind of X.

    Attributes:
        model: What the estimator was given as its model.
        targets: What targets are, by name.
        options: Further arguments of the task.
        shape: Of a row that was trained on; () for a single text.
        pos_label: The positive class of two, or None.
    """

    model: Any
    targets: str
    options: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    pos_label: Any = None

    set_here: ClassVar[tuple[str, ...]]
    """Arguments of the task that follow from X, y, groups and the estimator's own arguments."""

    @property
    @abstractmethod
    def task_class(self) -> type[Task]:
        """The class of the task."""

    def __post_init__(self) -> None:
        arguments = [argument.name for argument in fields(self.task_class)]
        allowed = [name for name in arguments if name not in self.set_here]
        if self.pos_label is not None and "pos_label" not in arguments:
            raise UsageError(
                f"pos_label={self.pos_label!r} with targets={self.targets!r}: these have no positive class. Leave "
                "pos_label out."
            )
        for name in self.options:
            if name in self.set_here:
                raise UsageError(
                    f"task_options has {name!r}, which follows from X, y, groups, model and pos_label here. Leave it "
                    f"out; it may have {', '.join(allowed)}."
                )
            if name not in allowed:
                raise UsageError(
                    f"task_options has {name!r}, which {self.task_class.__name__} does not take."
                    f"{nearest(str(name), allowed)} It takes {', '.join(allowed)}."
                )

    @property
    def _arguments(self) -> dict[str, Any]:
        """What the user says of the task."""
        return {**self.options, **({} if self.pos_label is None else {"pos_label": self.pos_label})}

    @abstractmethod
    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        """Return the task of training on these rows."""

    def encoder(self, task: Task, prepared: Prepared) -> Any:
        """Return what encoded the training rows, in memory: it needs neither the model's folder nor the study's."""
        return None

    @abstractmethod
    def check(self, rows: Any) -> None:
        """Raise UsageError unless rows to be predicted are like those that were trained on."""

    @abstractmethod
    def arrays(self, encoder: Any, rows: Any, targets: np.ndarray, scratch: Path) -> Arrays:
        """Return rows to be predicted, encoded; `targets` are some that nobody looks at."""

    def try_rows(self, learner: Any, model: Any, encoder: Any, rows: Any) -> list[str]:
        """Raise TaskError where the model does not take rows to be predicted though it takes others; else warn."""
        return []

    def prepared(self, encoder: Any, prepared: Prepared, rows: Any, scratch: Path) -> Prepared:
        """Return `prepared` with these rows, of which no targets are known, in the place of its test rows."""
        targets = cast("AnswerJudge", prepared.judge).placeholders(len(rows))  # `TARGETS` has no other
        arrays, facts = self.arrays(encoder, rows, targets, scratch)
        folder = scratch / "rows"
        write_dataset(folder, {**as_arrays("targets", prepared.judge.encode(targets)), **arrays}, facts)
        return replace(prepared, test_folder=folder, test_rows=len(rows))


@dataclass(frozen=True)
class Texts(Inputs):
    """Texts, or pairs of texts: shape (rows,) or (rows, 2)."""

    set_here = ("model", "train", "text", "label", "group", "pos_label")

    @property
    def task_class(self) -> type[TextTask]:
        return targets_called(self.targets).text

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        table = self._table(rows)
        names = list(table.columns)
        text = names[0] if len(names) == 1 else names
        columns = {"label": targets} if targets.ndim == 1 else {f"label_{at}": y for at, y in enumerate(targets.T)}
        label = "label" if targets.ndim == 1 else list(columns)
        beside: dict[str, Any] = {} if groups is None else {"group": "group"}
        table = table.assign(**columns, **({} if groups is None else {"group": groups}))
        return self.task_class(self.model, train=table, text=text, label=label, **beside, **self._arguments)

    def encoder(self, task: Task, prepared: Prepared) -> Any:
        assert isinstance(task, TextTask)
        return task._encoder(None)  # it depends on no rows

    def check(self, rows: Any) -> None:
        if rows.ndim == 0 or rows.ndim > 2:
            raise UsageError(f"X has shape {rows.shape}: give texts, shape (rows,), or pairs of them, shape (rows, 2).")
        if not len(rows):
            raise UsageError("X has no rows: give at least one text.")
        given, fitted = (math.prod(shape) for shape in (rows.shape[1:], self.shape))
        if given != fitted:
            raise UsageError(
                f"X has {given} texts a row, shape {rows.shape}, and the model was fitted on "
                f"{'pairs of texts, shape (rows, 2)' if fitted == 2 else 'single texts, shape (rows,)'}. Give it those."
            )
        table = self._table(rows)
        check_texts(table, list(table.columns), "predicted")

    def arrays(self, encoder: Any, rows: Any, targets: np.ndarray, scratch: Path) -> Arrays:
        encoded = encoder.encode(self._table(rows), "predicted", scratch)
        return dict(encoded.arrays), dict(encoded.facts)

    def try_rows(self, learner: Any, model: Any, encoder: Any, rows: Any) -> list[str]:
        from hpsearch.tasks.special_tokens import try_special_tokens

        table = self._table(rows)
        return try_special_tokens(learner, model, encoder.tokenizer, table, list(table.columns), "predicted")

    def _table(self, rows: Any) -> "pd.DataFrame":
        import pandas as pd

        columns = rows.reshape(len(rows), -1)
        for column in columns.T:
            check_texts_are_unicode(column, "X", "given")
        return pd.DataFrame({name: columns[:, at] for at, name in enumerate(_TEXTS[: columns.shape[1]])})


@dataclass(frozen=True)
class Images(Inputs):
    """Images: uint8, or floats from 0 to 1, of shape (rows, height, width) or (rows, height, width, channels)."""

    set_here = ("model", "train", "image", "label", "group", "pos_label")

    @property
    def task_class(self) -> type[ImageTask]:
        return targets_called(self.targets).image

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        if groups is not None:
            raise UsageError(
                "groups= with images as an array: rows of arrays carry no groups. Use "
                f"hp.{self.task_class.__name__} with a table of paths and group=, or give cv= a splitter that knows "
                "the groups."
            )
        return self.task_class(self.model, train=(rows, targets), **self._arguments)

    def encoder(self, task: Task, prepared: Prepared) -> Any:
        from hpsearch.tasks.pixels import PixelEncoder

        return PixelEncoder.of_prepared(prepared.source, open_dataset(prepared.folder))

    def check(self, rows: Any) -> None:
        """Raise UsageError unless these are images; they may be of another size, and grey or in colour."""
        if rows.ndim not in (3, 4):
            raise UsageError(
                f"X has shape {rows.shape}, and the model was fitted on images: give shape (rows, height, width) or "
                "(rows, height, width, channels)."
            )

    def arrays(self, encoder: Any, rows: Any, targets: np.ndarray, scratch: Path) -> Arrays:
        encoded = encoder.encode(read_images((rows, targets), role="predicted"), "predicted", scratch)
        return dict(encoded.arrays), dict(encoded.facts)


@dataclass(frozen=True)
class Numbers(Inputs):
    """Arrays of any shape (rows, ...) for a function or class that makes a torch module."""

    set_here = ("make_model", "train", "targets", "group", "pos_label")

    @property
    def task_class(self) -> type[CustomTask]:
        return CustomTask

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        beside: dict[str, Any] = {"targets": self.targets, **({} if groups is None else {"group": groups})}
        return CustomTask(self._bound(rows, targets), train=(rows, targets), **beside, **self._arguments)

    def check(self, rows: Any) -> None:
        if rows.ndim != 1 + len(self.shape):
            fitted = ", ".join(["rows", *map(str, self.shape)])
            raise UsageError(f"X has shape {rows.shape}, and the model was fitted on rows of shape ({fitted}).")

    def arrays(self, encoder: Any, rows: Any, targets: np.ndarray, scratch: Path) -> Arrays:
        from hpsearch.tasks.example_source import ExampleSource

        examples = ExampleSource.of((rows, targets), "test").read(scratch)
        return examples.to_arrays(), {"axes": examples.axes()}

    def _bound(self, rows: Any, targets: np.ndarray) -> Any:
        """Return what makes the model, told the shape of X and y where it asks for it by name."""
        judge = targets_called(self.targets).judge.learn(targets)
        sizes = {"n_features": int(np.prod(rows.shape[1:])), **judge.sizes}
        try:
            asked = inspect.signature(self.model).parameters
        except (TypeError, ValueError):  # CustomTask says what is wrong with it
            return self.model
        bound = {name: size for name, size in sizes.items() if name in asked}
        return functools.partial(self.model, **bound) if bound else self.model


def holds_text(rows: Any) -> bool:
    """Return whether X holds texts: its first value that is not missing says so, or none but missing ones."""
    import pandas as pd

    if hasattr(rows, "iloc"):
        rows = rows.to_numpy()
    array = rows if isinstance(rows, np.ndarray) else np.asarray(rows, dtype=object)
    if array.dtype.kind not in "OUT":
        return False
    first = next((value for value in array.flat if pd.isna(value) is not True), "")
    return array.size > 0 and isinstance(first, str)


def inputs_of(rows: Any, model: Any, targets: str, options: Any, pos_label: Any = None) -> Inputs:
    """Return what kind of X these rows are, given the model that is to read them.

    Args:
        rows: An array of shape (rows, ...).
        model: A folder or hub name of transformers, or what makes a torch module.
        targets: What targets are, by name.
        options: Further arguments of the task, or None.
        pos_label: The positive class of two, or None.

    Raises:
        UsageError: They do not go together, or an option is none.
    """
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"task_options={options!r} is a {type(options).__name__}: give a dict, as in {{'loss': ...}}.")
    settings = (model, targets, dict(options or {}), rows.shape[1:], pos_label)
    is_text = rows.dtype.kind in "OUT"
    if callable(model):
        return Numbers(*settings)
    if not isinstance(model, str | Path):
        raise UsageError(
            f"model={model!r} is a {type(model).__name__}: give the folder or hub name of a model of transformers, or "
            "a function (or class) that makes a torch module."
        )
    if is_text and (rows.ndim == 1 or (rows.ndim == 2 and rows.shape[1] <= len(_TEXTS))):
        return Texts(*settings)
    if not is_text and rows.ndim in (3, 4):
        return Images(*settings)
    raise UsageError(
        f"X has shape {rows.shape} and type {rows.dtype}, and model={str(model)!r} reads texts, shape (rows,) or "
        "(rows, 2), or images, shape (rows, height, width) or (rows, height, width, channels). For rows of numbers "
        "give a function that makes a torch module."
    )
