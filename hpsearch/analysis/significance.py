"""How sure a difference is: the corrected t test over folds, and the paired bootstrap over test rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["better", "not distinguishable", "worse"]

RESAMPLES = 2_000
"""Resamples of the bootstrap: the ends of a 95% percentile interval then rest on some 50 resamples each."""

USABLE_SHARE = 0.9
"""Share of the resamples on which the metric must be a number for the interval to be stated."""


@dataclass(frozen=True)
class Evidence:
    """The answer to one question: is the winner better than its rival?

    Attributes:
        difference: Winner minus rival, in units of the metric; greater is better.
        interval: The ends of its two-sided interval, or None where no spread can be estimated.
        p_value: Two-sided, or None where no spread can be estimated.
        verdict: In words; "not distinguishable" wherever the interval reaches zero, or there is none.
        method: How it was computed and on what, in words, for the reader of a report.
        level: Coverage of the interval.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    verdict: Verdict
    method: str
    level: float = 0.95


def variance_factor(test_shares: Sequence[float]) -> float:
    """Return the factor from the variance of fold scores to that of their mean: 1/k + n_test/n_train.

    Folds share most of their training rows, so their scores are correlated, and 1/k alone is too small
    (Nadeau and Bengio 2003, Inference for the Generalization Error, section 3, equation for the corrected
    resampled t test). Repeats count as further folds (Bouckaert and Frank 2004, section 3.2).

    Args:
        test_shares: For each score, held-out rows over all rows, held out and trained on: 0.2 at five folds.

    Raises:
        ValueError: No share, or one that is not between 0 and 1.
    """
    if not test_shares or not all(0 < share < 1 for share in test_shares):
        raise ValueError(f"test shares {list(test_shares)}: one or more numbers between 0 and 1 are needed")
    ratios = [share / (1 - share) for share in test_shares]
    return 1 / len(ratios) + math.fsum(ratios) / len(ratios)


def corrected_interval(
    scores: Sequence[float], test_shares: Sequence[float], level: float = 0.95
) -> tuple[float, float] | None:
    """Return the two-sided interval of a cross-validated mean, Student t with k - 1 degrees of freedom.

    Args:
        scores: One score a fold (and repeat), shape (k,).
        test_shares: As in `variance_factor`, shape (k,).
        level: Coverage of the interval.

    Returns:
        (low, high), or None with fewer than two scores, one that is not a number, or no spread at all.
    """
    estimate = _mean_and_error(scores, test_shares)
    if estimate is None:
        return None
    from scipy.special import stdtrit

    mean, error = estimate
    reach = float(stdtrit(len(scores) - 1, 0.5 + level / 2)) * error
    return mean - reach, mean + reach


def paired_folds(
    winner: Sequence[float], rival: Sequence[float], test_shares: Sequence[float], level: float = 0.95
) -> Evidence:
    """Compare two configurations on the same folds by the corrected resampled t test, two-sided.

    For one question fixed beforehand: nothing here corrects for the number of rivals.

    Args:
        winner: Score of the winner on each fold, shape (k,).
        rival: Score of the rival on the same folds in the same order, shape (k,).
        test_shares: As in `variance_factor`, shape (k,).
        level: Coverage of the interval; the verdict is held to the same level.

    Raises:
        ValueError: The three do not have one length, or it is zero.
    """
    if not len(winner) == len(rival) == len(test_shares) or not winner:
        raise ValueError(f"{len(winner)} and {len(rival)} scores with {len(test_shares)} test shares do not pair up")
    differences = [one - other for one, other in zip(winner, rival, strict=True)]
    mean = sum(differences) / len(differences)
    interval, estimate = corrected_interval(differences, test_shares, level), _mean_and_error(differences, test_shares)
    if interval is None or estimate is None:
        why = "one fold" if len(differences) == 1 else "differences without a spread"
        return Evidence(
            mean, None, None, "not distinguishable", f"no test: {why}, so no variance can be estimated", level
        )
    from scipy.special import stdtr

    statistic = estimate[0] / estimate[1]
    p_value = float(2 * stdtr(len(differences) - 1, -abs(statistic)))
    method = f"corrected paired t test over {len(differences)} folds (Nadeau and Bengio 2003)"
    return Evidence(mean, interval, p_value, _verdict(interval), method, level)


def paired_bootstrap(
    metric: Callable[..., float],
    targets: np.ndarray,
    winner: np.ndarray,
    rival: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Evidence:
    """Compare two sets of predictions on the same rows, by resampling rows (percentile interval).

    Both models are scored on the same resample, so what is hard about a row weighs on both (Efron and
    Tibshirani 1993, chapter 13, for the percentile interval).

    Args:
        metric: `metric(targets, predictions)`, greater is better; called with `sample_weight=` where there is one.
        targets: Shape (n,) or (n, labels).
        winner: What the metric takes as the winner's predictions, first axis n.
        rival: The same of the rival.
        sample_weight: Shape (n,), or None.
        resamples: How many times n rows are drawn with replacement.
        seed: Of the drawing.
        level: Coverage of the interval; the verdict is held to the same level.

    A resample on which the metric cannot be computed (a class without a row) is left out, and said so.

    Raises:
        ValueError: The arrays differ in length or are empty.
    """
    rows = len(targets)
    if rows == 0 or len(winner) != rows or len(rival) != rows:
        raise ValueError(f"{rows} targets with {len(winner)} and {len(rival)} predictions do not pair up")

    def difference(chosen: np.ndarray) -> float:
        weights = {} if sample_weight is None else {"sample_weight": sample_weight[chosen]}
        return metric(targets[chosen], winner[chosen], **weights) - metric(targets[chosen], rival[chosen], **weights)

    observed = float(difference(np.arange(rows)))
    generator = np.random.default_rng(seed)
    drawn = [_or_nan(difference, generator.integers(0, rows, size=rows)) for _ in range(resamples)]
    usable = np.array([value for value in drawn if math.isfinite(value)])
    method = f"paired bootstrap over {rows:,} test rows, {resamples:,} resamples"
    if len(usable) < resamples:
        method += f", {resamples - len(usable):,} of them left out, as the metric was not a number there"
    if len(usable) < USABLE_SHARE * resamples:
        return Evidence(
            observed, None, None, "not distinguishable", f"{method}; too few are left for an interval", level
        )
    low, high = np.quantile(usable, [0.5 - level / 2, 0.5 + level / 2])
    below, above = int(np.sum(usable <= 0)), int(np.sum(usable >= 0))
    p_value = min(1.0, 2 * (1 + min(below, above)) / (1 + len(usable)))
    interval = (float(low), float(high))
    return Evidence(observed, interval, p_value, _verdict(interval), method, level)


def _or_nan(difference: Callable[[np.ndarray], float], chosen: np.ndarray) -> float:
    try:
        return float(difference(chosen))
    except ValueError:  # what scikit-learn, and our MetricError, raise of rows that lack a class
        return math.nan


def _mean_and_error(scores: Sequence[float], test_shares: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean and its corrected standard error, or None where the scores show no spread."""
    if len(scores) != len(test_shares):
        raise ValueError(f"{len(scores)} scores with {len(test_shares)} test shares do not pair up")
    if len(scores) < 2 or not all(math.isfinite(score) for score in scores):
        return None
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1))
    # Equal scores can differ in the last bits: a spread of rounding errors would make any difference certain.
    if deviation <= 1e-12 * max(1.0, *(abs(score) for score in scores)):
        return None
    return mean, deviation * math.sqrt(variance_factor(test_shares))


def _verdict(interval: tuple[float, float]) -> Verdict:
    if interval[0] > 0:
        return "better"
    return "worse" if interval[1] < 0 else "not distinguishable"
