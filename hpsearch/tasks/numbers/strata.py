"""Folds stratified by a number: rows of similar size are one stratum."""

import numpy as np


def quantile_bins(numbers: np.ndarray, bins: int) -> np.ndarray:
    """Return a code a row from 0, int64, shape (rows,): which of `bins` parts of about equal size it is in.

    Equal numbers are in one bin, so ties make fewer and larger ones. A bin of less than half its share of the rows is
    put together with the one below it, the lowest with the one above.

    Args:
        numbers: Shape (rows,).
        bins: At least 2.
    """
    edges = np.unique(np.quantile(numbers, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, numbers, side="left")
    counts = np.bincount(codes, minlength=len(edges) + 1)
    least, joined, part, size = len(numbers) / bins / 2, np.zeros(len(counts), dtype=np.int64), 0, 0
    for place, count in enumerate(counts.tolist()):
        rest = int(counts[place:].sum())
        if size >= least and rest >= least and count >= least:
            part, size = part + 1, 0
        joined[place] = part
        size += count
    return joined[codes]


def others(numbers: np.ndarray) -> np.ndarray:
    """Return 1 for rows that differ from what more than half of the rows have, of the first such target, else 0.

    So no fold is left with one number only as long as there are enough others.

    Args:
        numbers: Shape (rows, targets).
    """
    for column in numbers.T:
        values, counts = np.unique(column, return_counts=True)
        if counts.max() > len(column) / 2:
            return (column != values[counts.argmax()]).astype(np.int64)
    return np.zeros(len(numbers), dtype=np.int64)
