"""What a user should know of their numbers before training: classes in disguise, outliers, tests far out."""

import numpy as np

from hpsearch.data.wording import counted, listed, row_list
from hpsearch.tasks.numbers.targets import called

_FEW_VALUES = 10
_ROWS_A_VALUE = 10
"""Rows that each different number stands in on average, from which on few different ones look like classes."""

_FAR = 10.0
"""Robust deviations from the median, from which on a number counts as an outlier."""

_NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""


def target_remarks(name: str, numbers: np.ndarray) -> list[str]:
    """Return sentences on the training rows' numbers, shape (rows,)."""
    return [*_like_classes(name, numbers), *_outliers(name, numbers)]


def range_remarks(name: str, numbers: np.ndarray, test: np.ndarray) -> list[str]:
    """Return sentences on the test rows' numbers beside those of the training rows."""
    low, high = numbers.min(), numbers.max()
    sentences = []
    margin = (high - low) / 2
    far = np.flatnonzero((test < low - margin) | (test > high + margin))
    if far.size:
        sentences.append(
            f"{called(name)} lies between {low:.6g} and {high:.6g} in the train data, and far outside of that "
            f"in {counted(far.size, 'test row')}: {row_list(far)}. Models rarely predict numbers unlike any they have "
            "seen."
        )
    return sentences


def _like_classes(name: str, numbers: np.ndarray) -> list[str]:
    values = np.unique(numbers)
    is_whole = bool((values == np.round(values)).all())
    if not is_whole or len(values) > _FEW_VALUES or len(numbers) < _ROWS_A_VALUE * len(values):
        return []
    return [
        f"{called(name)} has {len(values)} different values only, all whole numbers: "
        f"{listed(values.astype(int).tolist(), _FEW_VALUES)}. If they are names of classes without an order, use a "
        "classification."
    ]


def _outliers(name: str, numbers: np.ndarray) -> list[str]:
    """Return a sentence on numbers so far from the median that squared errors are all about them."""
    median = float(np.median(numbers))
    low, high = np.quantile(numbers, [0.25, 0.75])
    spread = float(high - low) / _NORMAL_QUARTILES
    far = np.flatnonzero(np.abs(numbers - median) > _FAR * spread)
    if spread == 0.0 or not far.size:
        return []
    furthest = float(numbers[far[np.argmax(np.abs(numbers[far] - median))]])
    return [
        f"{called(name)} is far from all others in {far.size} of {len(numbers)} train rows, up to {furthest:.6g} where "
        f"half of the rows lie between {low:.6g} and {high:.6g}: {row_list(far)}. Squared errors are mostly about such "
        "rows. Check them, or take a logarithm where numbers grow by factors."
    ]
