"""How sure a difference is: the corrected t test over folds, the paired bootstrap, and several comparisons at once."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hpsearch.analysis.resampling import PairedPredictions, Units, drawn_units, draws
from hpsearch.data.ragged import Rows
from hpsearch.metrics.direction import Direction
from hpsearch.records.objective_values import mean_value

Verdict = Literal["better", "not distinguishable", "worse"]

RESAMPLES = 2_000
"""Resamples of the bootstrap: each end of a 95% percentile interval then rests on some 50."""

USABLE_SHARE = 0.9
"""Least share of the resamples on which the metric must be a number for an interval."""

_QUANTILES = (
    12.706204736174694, 4.302652729749462, 3.1824463052837078, 2.7764451051977934, 2.5705818356363146,
    2.4469118511449786, 2.364624251592784, 2.306004135204166, 2.262157162798205,
)  # fmt: skip
"""Student's t for 95% intervals of 2 to 10 folds, to the last bit; `hpsearch show` would load SciPy for one of them."""


@dataclass(frozen=True)
class Evidence:
    """The answer to one question: is the winner better than its rival?

    Attributes:
        difference: Winner minus rival, in units of the metric, as measured.
        interval: The ends of its two-sided interval, or None where no spread can be estimated.
        p_value: Two-sided, or None where no spread can be estimated.
        verdict: By the metric's direction; "not distinguishable" if the interval includes zero, or there is none.
        method: How and on what it was computed, in words for the reader of a report.
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

    Folds share most of their training rows, so their scores are correlated, and 1/k alone is too small (Nadeau and
    Bengio 2003, Inference for the Generalization Error, section 3, corrected resampled t test).

    Args:
        test_shares: For each fold, held-out rows over all rows, held out and trained on: 0.2 at five folds.

    Raises:
        ValueError: No share, or one that is not between 0 and 1.
    """
    if not test_shares or not all(0 < share < 1 for share in test_shares):
        raise ValueError(f"test shares {list(test_shares)}: one or more numbers between 0 and 1 are needed")
    ratios = [share / (1 - share) for share in test_shares]
    return 1 / len(ratios) + math.fsum(ratios) / len(ratios)


def corrected_interval(
    scores: Sequence[float],
    test_shares: Sequence[float],
    level: float = 0.95,
    *,
    folds: Sequence[Hashable] | None = None,
) -> tuple[float, float] | None:
    """Return the two-sided interval of a cross-validated mean, Student t with k - 1 degrees of freedom for k folds.

    Repeats are other seeds on the same folds, not further folds, so each fold's repeats are averaged first.

    Args:
        scores: One score a fold (and repeat), shape (n,).
        test_shares: As in `variance_factor`, one a score, shape (n,).
        level: Coverage of the interval.
        folds: Which fold each score is of, shape (n,); None where every score is of a fold of its own.

    Returns:
        (low, high), or None with fewer than two folds, a score that is not a number, or no spread at all.
    """
    scores, test_shares = _averaged(scores, test_shares, folds)
    estimate = _mean_and_error(scores, test_shares)
    if estimate is None:
        return None
    mean, error = estimate
    reach = _quantile(len(scores) - 1, 0.5 + level / 2) * error
    return mean - reach, mean + reach


def _quantile(freedom: int, share: float) -> float:
    """Return Student's t below which this share lies, as `scipy.special.stdtrit` does."""
    if share == 0.975 and freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def paired_folds(
    winner: Sequence[float],
    rival: Sequence[float],
    test_shares: Sequence[float],
    level: float = 0.95,
    *,
    folds: Sequence[Hashable] | None = None,
    direction: Direction = Direction.MAXIMIZE,
) -> Evidence:
    """Compare two configurations on the same folds by the corrected resampled t test, two-sided.

    For one question fixed beforehand: nothing here corrects for the number of rivals.

    Args:
        winner: Score of the winner on each fold (and repeat), shape (n,).
        rival: Score of the rival on the same folds (and repeats) in the same order, shape (n,).
        test_shares: As in `variance_factor`, one a score, shape (n,).
        level: Coverage of the interval, and the level of the verdict.
        folds: As in `corrected_interval`: the repeats of a fold are averaged first.
        direction: Whether more or less of the score is better.

    Raises:
        ValueError: Their lengths differ or are zero.
    """
    if not len(winner) == len(rival) == len(test_shares) or not winner:
        raise ValueError(f"{len(winner)} and {len(rival)} scores with {len(test_shares)} test shares do not pair up")
    paired = [one - other for one, other in zip(winner, rival, strict=True)]
    differences, test_shares = _averaged(paired, test_shares, folds)
    mean = sum(differences) / len(differences)
    interval, estimate = corrected_interval(differences, test_shares, level), _mean_and_error(differences, test_shares)
    if interval is None or estimate is None:
        why = "one fold" if len(differences) == 1 else "differences without a spread"
        return _undecided(mean, f"no test: {why}, so no variance can be estimated", level)
    from scipy.special import stdtr

    statistic = estimate[0] / estimate[1]
    p_value = float(2 * stdtr(len(differences) - 1, -abs(statistic)))
    method = f"corrected paired t test over {len(differences)} folds (Nadeau and Bengio 2003)"
    return Evidence(mean, interval, p_value, _verdict(interval, direction), method, level)


def paired_bootstrap(
    metric: Callable[..., float],
    targets: Rows,
    winner: Any,
    rival: Any,
    *,
    sample_weight: np.ndarray | None = None,
    units: Units | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    direction: Direction = Direction.MAXIMIZE,
) -> Evidence:
    """Compare two sets of predictions on the same rows, by resampling rows (percentile interval).

    Both models are scored on the same resample, so a hard row counts against both (Efron and Tibshirani 1993,
    chapter 13, for the percentile interval). Rows that belong together are drawn together, group by group (Davison and
    Hinkley 1997, section 3.8): drawn one by one, they would count as more evidence than they are.

    Args:
        metric: `metric(targets, predictions)`; called with `sample_weight=` where there is one.
        targets: First axis n; as the metric takes them.
        winner: What the metric takes as the winner's predictions, first axis n.
        rival: The same of the rival.
        sample_weight: Shape (n,), or None.
        units: What is drawn, as `drawn_units` gives it; None where every row stands alone.
        resamples: How many times n rows, or as many units as there are, are drawn with replacement.
        seed: Seed of the drawing.
        level: Coverage of the interval, and the level of the verdict.
        direction: Whether more or less of the metric is better.

    A resample on which the metric cannot be computed (a class has no row) is left out; the method says so. Where it
    cannot be computed on all rows either, the difference is NaN.

    Raises:
        ValueError: The arrays differ in length or are empty.
    """
    rows = len(targets)
    if rows == 0 or len(winner) != rows or len(rival) != rows:
        raise ValueError(f"{rows} targets with {len(winner)} and {len(rival)} predictions do not pair up")

    predictions = PairedPredictions(metric, targets, winner, rival, sample_weight)
    observed = predictions.difference_or_nan(np.arange(rows))
    if math.isnan(observed):
        return _undecided(observed, f"no test: the metric is not defined on the {rows:,} test rows", level)
    units = drawn_units(rows, None) if units is None else units
    if len(units) < 2:
        return _undecided(observed, "no test: all test rows are of one group", level)
    drawn = predictions.differences(draws(units, resamples, np.random.default_rng(seed)))
    usable = drawn[np.isfinite(drawn)]
    of = "" if isinstance(units, np.ndarray) else f" in {len(units):,} groups"
    method = f"paired bootstrap over {rows:,} test rows{of}, {resamples:,} resamples"
    if len(usable) < resamples:
        method += f", {resamples - len(usable):,} of them left out, as the metric was not a number there"
    if len(usable) < USABLE_SHARE * resamples:
        return _undecided(observed, f"{method}; too few are left for an interval", level)
    low, high = np.quantile(usable, [0.5 - level / 2, 0.5 + level / 2])
    below, above = int(np.sum(usable <= 0)), int(np.sum(usable >= 0))
    p_value = min(1.0, 2 * (1 + min(below, above)) / (1 + len(usable)))
    interval = (float(low), float(high))
    return Evidence(observed, interval, p_value, _verdict(interval, direction), method, level)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted by Holm's step-down procedure (Holm 1979), in the order given.

    Compare each with the level on its own: the chance of any false alarm is at most that level.

    Raises:
        ValueError: One is not between 0 and 1.
    """
    if not all(0 <= value <= 1 for value in p_values):
        raise ValueError(f"p-values {list(p_values)}: numbers between 0 and 1 are needed")
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def corrected_for_several(answers: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return evidence with p-values and verdicts corrected by Holm for the number of questions.

    Questions without a p-value cannot give a false alarm, so they do not count. Intervals stay, each for its own
    comparison, and so does a single question.
    """
    asked = [index for index, evidence in enumerate(answers) if evidence.p_value is not None]
    if len(asked) < 2:
        return tuple(answers)
    corrected = list(answers)
    for index, p_value in zip(asked, holm([answers[index].p_value or 0.0 for index in asked]), strict=True):
        evidence = answers[index]
        is_held = p_value > 1 - evidence.level
        corrected[index] = replace(
            evidence,
            p_value=p_value,
            verdict="not distinguishable" if is_held else evidence.verdict,
            method=f"{evidence.method}; p-value corrected for {len(asked)} comparisons (Holm 1979)",
        )
    return tuple(corrected)


def _averaged(
    scores: Sequence[float], test_shares: Sequence[float], folds: Sequence[Hashable] | None
) -> tuple[Sequence[float], Sequence[float]]:
    """Return one score and one test share per fold, in the order in which the folds first appear."""
    if folds is None:
        return scores, test_shares
    if not len(scores) == len(test_shares) == len(folds):
        raise ValueError(f"{len(scores)} scores of {len(folds)} folds with {len(test_shares)} test shares")
    by_fold: dict[Hashable, list[tuple[float, float]]] = {}
    for fold, score, share in zip(folds, scores, test_shares, strict=True):
        by_fold.setdefault(fold, []).append((score, share))
    means = [mean_value([score for score, _ in repeats]) for repeats in by_fold.values()]
    return means, [repeats[0][1] for repeats in by_fold.values()]


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


def _undecided(difference: float, method: str, level: float) -> Evidence:
    return Evidence(difference, None, None, "not distinguishable", method, level)


def _verdict(interval: tuple[float, float], direction: Direction) -> Verdict:
    worst, best = sorted(map(direction.score, interval))
    if worst > 0:
        return "better"
    return "worse" if best < 0 else "not distinguishable"
