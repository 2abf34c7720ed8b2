"""Weights of classes in the training loss, for classes of different sizes."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from hpsearch.errors import TaskError, nearest
from hpsearch.training.hyperparameters import Hyperparameter

NAME = "class_weight"
"""The argument of tasks, and the hyperparameter."""

BALANCED = "balanced"


def check_class_weight(value: Any) -> str | dict[str, float] | None:
    """Return None, "balanced", or a mapping from a label's text to its weight; `TaskError` for anything else."""
    if value is None or (isinstance(value, str) and value == BALANCED):
        return value
    if not isinstance(value, Mapping) or not value:
        raise TaskError(
            f'class_weight={value!r}: give "balanced", a mapping from labels to weights such as {{"rare": 5.0}}, or '
            "None."
        )
    for label, weight in value.items():
        is_number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight <= 0:
            raise TaskError(f"class_weight gives {label!r} the weight {weight!r}: weights are finite numbers above 0.")
    return {str(label): float(weight) for label, weight in sorted(value.items(), key=lambda pair: str(pair[0]))}


CLASS_WEIGHT = Hyperparameter(
    None,
    check_class_weight,
    'Weights of the classes in the training loss: None, "balanced", or a mapping from labels to weights.',
    left_out_at_default=True,
)


def check_labels(given: Any, classes: Sequence[Any]) -> None:
    """Raise TaskError where a mapping has a label that is no class."""
    known = [str(label) for label in classes]
    for label in given if isinstance(given, Mapping) else ():
        if label not in known:
            raise TaskError(
                f"class_weight has the label {label!r}, which no training row has.{nearest(label, known)} The labels "
                f"are {', '.join(known)}."
            )


def class_weights(given: Any, classes: Sequence[Any], targets: np.ndarray) -> np.ndarray:
    """Return the weight of each class, or that of each label's positives, float32, shape (classes,).

    Args:
        given: "balanced", or a mapping; what it does not name weighs 1.
        classes: The labels by code.
        targets: Of the rows that a run is trained on: codes (rows,), or 0/1 indicators (rows, labels).

    "balanced" is scikit-learn's: rows / (classes * rows of the class); of several labels a row, rows without the label
    over rows with it. A class without a row, which nothing is learned of, weighs 1.
    """
    check_labels(given, classes)
    if isinstance(given, Mapping):
        return np.array([given.get(str(label), 1.0) for label in classes], dtype=np.float32)
    if targets.ndim == 2:
        positives = targets.sum(axis=0)
        shares = (len(targets) - positives) / np.maximum(positives, 1)
        return np.where((positives > 0) & (shares > 0), shares, 1.0).astype(np.float32)
    counts = np.bincount(targets, minlength=len(classes))
    return np.where(counts > 0, len(targets) / (len(classes) * np.maximum(counts, 1)), 1.0).astype(np.float32)
