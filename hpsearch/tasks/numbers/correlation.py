"""Correlations of true and predicted numbers, by their values (Pearson) and by their ranks (Spearman 1904)."""

import numpy as np


def pearson(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Return Pearson's correlation, of several targets the mean over them.

    0 where all predictions are the same, as of a model that has not learned anything yet; NaN where all targets are.

    Args:
        targets: Float64, shape (rows,) or (rows, targets).
        predictions: Of the same shape.
    """
    columns = zip(_columns(targets), _columns(predictions), strict=True)
    return float(np.mean([_correlation(true, predicted) for true, predicted in columns]))


def spearman(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Return Spearman's rank correlation, ties sharing their mean rank; else as `pearson`."""
    from scipy.stats import rankdata

    ranks = [np.stack([rankdata(column) for column in _columns(side)], axis=1) for side in (targets, predictions)]
    return pearson(*ranks)


def _columns(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1).T


def _correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    if true.min() == true.max():
        return float("nan")
    if predicted.min() == predicted.max():
        return 0.0
    one, other = (side - side.mean() for side in (true, predicted))
    # Each is divided by its greatest number first, so that no square leaves the range of float64.
    one, other = one / np.abs(one).max(), other / np.abs(other).max()
    return float(np.clip((one @ other) / np.sqrt((one @ one) * (other @ other)), -1.0, 1.0))
