"""What X of the estimator may be, each with its task: texts, images, and rows of numbers for any torch module."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data import read_images, write_dataset
from hpsearch.errors import UsageError
from hpsearch.tasks import CustomTask, ImageClassification, Prepared, Task, TextClassification

if TYPE_CHECKING:
    import pandas as pd

SHAPE_ARGUMENTS = ("n_features", "n_classes")
"""Arguments of a function that makes a model which are bound to the shape of X and y, where it has them."""

_TEXTS = ("text", "text_pair")


@dataclass(frozen=True)
class Inputs(ABC):
    """One kind of X.

    Attributes:
        model: What the estimator was given as its model.
        options: Further arguments of the task.
    """

    model: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        """Return the task of training on these rows."""

    @abstractmethod
    def arrays(
        self, task: Task, rows: Any, targets: np.ndarray, scratch: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (arrays, facts) of rows to be predicted; `targets` are labels that nobody looks at."""

    def prepared(self, task: Task, prepared: Prepared, rows: Any, scratch: Path) -> Prepared:
        """Return `prepared` with these rows, of which no labels are known, in the place of its test rows."""
        codes = np.zeros(len(rows), dtype=np.int64)
        arrays, facts = self.arrays(task, rows, np.asarray(prepared.classes)[codes], scratch)
        folder = scratch / "rows"
        write_dataset(folder, {"targets": codes, **arrays}, facts)
        return replace(prepared, test_folder=folder, test_rows=len(rows))


@dataclass(frozen=True)
class Texts(Inputs):
    """Texts, or pairs of texts: shape (rows,) or (rows, 2)."""

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        table = self._table(rows).assign(label=targets)
        names = list(table.columns[:-1])
        beside: dict[str, Any] = {} if groups is None else {"group": "group"}
        if groups is not None:
            table = table.assign(group=groups)
        text = names[0] if len(names) == 1 else names
        return TextClassification(self.model, train=table, text=text, **beside, **self.options)

    def arrays(
        self, task: Task, rows: Any, targets: np.ndarray, scratch: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        assert isinstance(task, TextClassification)
        table = self._table(rows)
        encoded = task._encoder(table).encode(table, "test", scratch)
        return dict(encoded.arrays), dict(encoded.facts)

    def _table(self, rows: Any) -> "pd.DataFrame":
        import pandas as pd

        columns = rows.reshape(len(rows), -1)
        return pd.DataFrame({name: columns[:, at].astype(str) for at, name in enumerate(_TEXTS[: columns.shape[1]])})


@dataclass(frozen=True)
class Images(Inputs):
    """Images: uint8, or floats from 0 to 1, of shape (rows, height, width) or (rows, height, width, channels)."""

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        if groups is not None:
            raise UsageError(
                "groups= with images as an array: rows of arrays carry no groups. Use hp.ImageClassification with a "
                "table of paths and group=, or give cv= a splitter that knows the groups."
            )
        return ImageClassification(self.model, train=(rows, targets), **self.options)

    def arrays(
        self, task: Task, rows: Any, targets: np.ndarray, scratch: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        assert isinstance(task, ImageClassification)
        images = read_images((rows, targets), role="test")
        encoded = task._encoder(images).encode(images, "test", scratch)
        return dict(encoded.arrays), dict(encoded.facts)


@dataclass(frozen=True)
class Numbers(Inputs):
    """Arrays of any shape (rows, ...) for a function or class that makes a torch module."""

    def task(self, rows: Any, targets: np.ndarray, groups: np.ndarray | None) -> Task:
        beside: dict[str, Any] = {} if groups is None else {"group": groups}
        return CustomTask(self._bound(rows, targets), train=(rows, targets), **beside, **self.options)

    def arrays(
        self, task: Task, rows: Any, targets: np.ndarray, scratch: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        from hpsearch.tasks.example_source import ExampleSource

        examples = ExampleSource.of((rows, targets), "test").read(scratch)
        return examples.to_arrays(), {"axes": examples.axes()}

    def _bound(self, rows: Any, targets: np.ndarray) -> Any:
        """Return what makes the model, told the shape of the data where it asks for it by name."""
        known = {"n_features": int(np.prod(rows.shape[1:])), "n_classes": len(np.unique(targets))}
        try:
            asked = inspect.signature(self.model).parameters
        except (TypeError, ValueError):  # CustomTask says what is wrong with it
            return self.model
        bound = {name: known[name] for name in SHAPE_ARGUMENTS if name in asked}
        return functools.partial(self.model, **bound) if bound else self.model


def inputs_of(rows: Any, model: Any, options: Mapping[str, Any]) -> Inputs:
    """Return what kind of X these rows are, given the model that is to read them.

    Args:
        rows: An array of shape (rows, ...).
        model: A folder or hub name of transformers, or what makes a torch module.
        options: Further arguments of the task.

    Raises:
        UsageError: They do not go together.
    """
    is_text = rows.dtype.kind in "OUT"
    if callable(model):
        return Numbers(model, options)
    if not isinstance(model, str | Path):
        raise UsageError(
            f"model={model!r} is a {type(model).__name__}: give the folder or hub name of a model of transformers, or "
            "a function (or class) that makes a torch module."
        )
    if is_text and (rows.ndim == 1 or (rows.ndim == 2 and rows.shape[1] <= len(_TEXTS))):
        return Texts(model, options)
    if not is_text and rows.ndim in (3, 4):
        return Images(model, options)
    raise UsageError(
        f"X has shape {rows.shape} and type {rows.dtype}, and model={str(model)!r} reads texts, shape (rows,) or "
        "(rows, 2), or images, shape (rows, height, width) or (rows, height, width, channels). For rows of numbers "
        "give a function that makes a torch module."
    )
