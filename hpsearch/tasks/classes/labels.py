"""Labels in, target codes out: classes in a fixed order, so that a code means the same everywhere."""

import numbers
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpsearch.data.unicode import check_column_names, check_texts_are_unicode
from hpsearch.data.wording import listed, no_rows, row_list
from hpsearch.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

TargetKind = Literal["binary", "multiclass", "multilabel"]


def probabilities(logits: np.ndarray, kind: TargetKind) -> np.ndarray:
    """Return float64 probabilities of the shape of `logits`, (rows, outputs): softmax, or a sigmoid for each label.

    A binary task has two outputs and a softmax over them, so the columns are always the classes in their order.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if kind == "multilabel":
        return np.exp(-np.logaddexp(0.0, -scores))
    with np.errstate(invalid="ignore"):  # infinite logits give NaN, which every metric refuses
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def predicted_codes(probabilities: np.ndarray, kind: TargetKind) -> np.ndarray:
    """Return int64 class codes of shape (rows,), or int64 indicators of shape (rows, labels) where kind is multilabel.

    Ties go to the class of the lower code; a label is predicted when its probability is above one half.
    """
    if kind == "multilabel":
        return (probabilities > 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class LabelEncoding:
    """The classes of a task and their order.

    Attributes:
        kind: "binary" for two classes, "multiclass" for more, "multilabel" for a 0/1 column a label.
        classes: Labels as plain Python values, sorted, by code; of a multilabel task the names of the columns.
    """

    kind: TargetKind
    classes: tuple[Any, ...]

    def encode(self, values: Any, role: str = "train") -> np.ndarray:
        """Return int64 codes of shape (rows,), or float32 indicators of shape (rows, labels).

        A label is found by its text, so that 1 read from one file and "1" from another are the same class. `values` of
        a multilabel task are a DataFrame that has the label columns, or a 0/1 array. `role` is for errors.

        Raises:
            DataError: A label is missing, or was not among the labels learned.
        """
        if self.kind == "multilabel":
            return _indicators(_label_columns(values, self.classes, role), role)
        labels = _plain_labels(values, role)
        codes = {str(label): code for code, label in enumerate(self.classes)}
        unseen = sorted({str(label) for label in labels if str(label) not in codes})
        if unseen:
            raise DataError(
                f"the {role} rows have labels that the training rows do not have: {listed(unseen)}; training has "
                f"{listed(self.classes)}.{self._other_spelling(unseen)} Remove those rows, correct the labels, or add "
                "such rows to the training data."
            )
        return np.array([codes[str(label)] for label in labels], dtype=np.int64)

    def _other_spelling(self, unseen: Sequence[str]) -> str:
        """Return a hint where an unseen label is one of the classes, written otherwise."""
        known = {alike(label): label for label in self.classes}
        twins = [(text, known[alike(text)]) for text in unseen if alike(text) in known]
        return f" {twins[0][0]!r} may be {twins[0][1]!r}, written otherwise: write both alike." if twins else ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(self.classes)}


def alike(label: Any) -> str:
    """Return what labels have in common that may be one class written in several ways: 1, 01 and 1.0; Good and good."""
    text = unicodedata.normalize("NFKC", str(label)).replace("\ufeff", "").strip().casefold()
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return str(number.normalize() + 0) if number.is_finite() else text


def learn_labels(values: Any) -> LabelEncoding:
    """Return the encoding of the labels of training rows.

    Args:
        values: Text, whole numbers, booleans or categories, one a row: two classes are binary, more multiclass. Or a
            DataFrame of 0/1 columns (or a 0/1 array of two dimensions): multilabel, in the order of the columns.

    Raises:
        DataError: Missing labels, a single class, labels of mixed or unusable types, columns that are not 0/1, or that
            share a name.
    """
    if getattr(values, "ndim", 1) == 2:
        columns = _label_columns(values, None, "train")
        _check_label_columns(list(columns), _indicators(columns, "train"))
        return LabelEncoding("multilabel", tuple(columns))
    labels = _plain_labels(values, "train")
    _check_one_type(labels)
    numeric = all(isinstance(label, int) for label in labels)
    classes = sorted(set(labels), key=None if numeric else str)
    if len(classes) < 2:
        raise DataError(
            f"the train rows have one class only, {classes[0]!r}: there is nothing to tell apart. "
            "Check the label column, and that the file is not sorted by class and cut off."
        )
    return LabelEncoding("binary" if len(classes) == 2 else "multiclass", tuple(classes))


def _plain_labels(values: Any, role: str) -> list[Any]:
    """Return labels as plain Python text, integers and booleans."""
    import pandas as pd

    given = list(values)
    check_texts_are_unicode(given, "the column of labels", role, are_names=True)
    series = pd.Series(given, dtype=object)
    if series.empty:
        raise no_rows(role)
    missing = np.flatnonzero(series.isna().to_numpy())
    if missing.size:
        raise DataError(
            f"{missing.size} of {len(series)} {role} labels are missing: {row_list(missing)}. "
            "Label these rows or remove them."
        )
    return [_plain(value, row, role) for row, value in enumerate(series.tolist())]


def _plain(value: Any, row: int, role: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bool | int):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return int(float(value))
    raise DataError(
        f"the label of {role} row {row} (counted from 0) is {value!r}, a {type(value).__name__}: labels are text, "
        "whole numbers, booleans or categories. Convert the column (to text: table[label].astype(str)); for several "
        "labels per row give 0/1 columns. To predict numbers take a regression: hp.TextRegression, hp.ImageRegression, "
        "or targets='numbers'."
    )


def _check_one_type(labels: Sequence[Any]) -> None:
    """Refuse labels of several types: text and numbers together are almost always two spellings of one class."""
    examples: dict[str, Any] = {}
    for label in labels:
        examples.setdefault(type(label).__name__, label)
    if len(examples) > 1:
        shown = " and ".join(f"{label!r} ({name})" for name, label in sorted(examples.items()))
        raise DataError(
            f"the train labels are of different types: {shown}. Make them all text or all numbers, so that no class "
            "is counted twice under two spellings."
        )


def _label_columns(values: Any, names: Sequence[Any] | None, role: str) -> dict[str, np.ndarray]:
    """Return the 0/1 columns by name; the columns of a plain array are called "0", "1", ... unless named."""
    if hasattr(values, "columns"):
        table: pd.DataFrame = values
        present = [str(name) for name in table.columns]
        check_column_names(present, role)
        for name in names or present:
            if present.count(str(name)) > 1:
                places = [place for place, other in enumerate(present) if other == str(name)]
                raise DataError(
                    f"columns {listed(places)} (counted from 0) of the {role} labels are called {str(name)!r}. Give "
                    "each label a column with a name of its own."
                )
        for name in names or ():
            if name not in present:
                raise DataError(
                    f"the {role} data has no label column {name!r}.{nearest(name, present)} "
                    f"Its columns: {listed(present, 20)}."
                )
        columns = {name: table.iloc[:, position].to_numpy() for position, name in enumerate(present)}
        return {name: columns[name] for name in names} if names is not None else columns
    array = np.asarray(values)
    if names is not None and (array.ndim != 2 or array.shape[1] != len(names)):
        raise DataError(
            f"the {role} labels have shape {array.shape}, and {len(names)} labels were learned: {listed(names)}. "
            f"Give a 0/1 array of shape (rows, {len(names)})."
        )
    return {
        str(name): array[:, position]
        for position, name in enumerate(names if names is not None else range(array.shape[1]))
    }


def _indicators(columns: Mapping[str, np.ndarray], role: str) -> np.ndarray:
    """Return float32 indicators of shape (rows, labels); every value must be 0 or 1, or a boolean."""
    import pandas as pd

    stacked = []
    for name, column in columns.items():
        missing = np.flatnonzero(pd.isna(column))
        if missing.size:
            raise DataError(
                f"label column {name!r} of the {role} data misses {missing.size} of {len(column)} values: "
                f"{row_list(missing)}. Write 0 or 1 there, or remove the rows."
            )
        wrong = [row for row, value in enumerate(column.tolist()) if isinstance(value, str) or value not in (0, 1)]
        odd = [row for row in wrong if column.tolist()[row] not in ("0", "1", "0.0", "1.0")]
        wrong = odd or wrong  # of a file's column with one other value all are texts
        if wrong:
            first = column.tolist()[wrong[0]]
            raise DataError(
                f"label column {name!r} of the {role} data has {first!r} in {row_list(wrong)}: the columns "
                "of a multilabel task hold 0 and 1. For one label per row give the name of one column, not a list."
            )
        stacked.append(column.astype(np.float32))
    return np.stack(stacked, axis=1)


def _check_label_columns(names: Sequence[str], indicators: np.ndarray) -> None:
    if len(indicators) == 0:
        raise no_rows("train")
    if len(names) < 2:
        raise DataError(
            f"a multilabel task needs two or more label columns; there is {listed(names) or 'none'}. "
            "For a single column give its name, not a list."
        )
    for name, positives in zip(names, indicators.sum(axis=0), strict=True):
        if positives in (0, len(indicators)):
            raise DataError(
                f"label column {name!r} is {int(positives > 0)} in every one of the {len(indicators)} train rows: "
                "there is nothing to learn. Leave that column out."
            )
