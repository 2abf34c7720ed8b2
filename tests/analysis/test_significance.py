import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.analysis.resampling import drawn_units
from hpsearch.analysis.significance import (
    _QUANTILES,
    corrected_interval,
    paired_bootstrap,
    paired_folds,
    variance_factor,
)
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction

FIFTHS = [0.2] * 5


def accuracy(targets: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    return float(np.average(targets == predictions, weights=sample_weight))


def cross_validated(studies: int, rows: int, folds: int, learner: str) -> np.ndarray:
    """Return the fold accuracies of two equally good learners in many studies, shape (2, studies, folds).

    Each learner sees a feature of its own that separates two classes equally well: the null hypothesis holds, and
    the folds of a study share training rows as they do in cross-validation.
    """
    generator = np.random.default_rng(0)
    targets = generator.permuted(np.tile(np.arange(rows) % 2, (studies, 1)), axis=1)
    features = generator.normal(size=(2, studies, rows)) + 0.7 * targets
    scores = np.zeros((2, studies, folds))
    for fold in range(folds):
        test = np.arange(rows) % folds == fold
        known = targets[:, ~test]
        for side in range(2):
            training, asked = features[side][:, ~test], features[side][:, test]
            if learner == "nearest neighbour":
                nearest = np.abs(asked[:, :, None] - training[:, None, :]).argmin(axis=2)
                predicted = np.take_along_axis(known, nearest, axis=1)
            else:
                high = (training * known).sum(1) / known.sum(1)
                low = (training * (1 - known)).sum(1) / (1 - known).sum(1)
                predicted = (asked > ((high + low) / 2)[:, None]) == (high > low)[:, None]
            scores[side, :, fold] = (predicted == targets[:, test]).mean(axis=1)
    return scores


def false_positives(scores: np.ndarray, shares: Sequence[float]) -> float:
    found = [paired_folds(list(one), list(other), shares).verdict for one, other in zip(*scores, strict=True)]
    return float(np.mean([verdict != "not distinguishable" for verdict in found]))


def naive_false_positives(scores: np.ndarray) -> float:
    from scipy import stats

    differences = scores[0] - scores[1]
    spread = differences.std(axis=1, ddof=1)
    differences, spread = differences[spread > 0], spread[spread > 0]
    statistic = differences.mean(axis=1) / (spread / math.sqrt(scores.shape[2]))
    return float(np.mean(2 * stats.t.sf(np.abs(statistic), scores.shape[2] - 1) < 0.05))


def test_the_quantiles_that_are_written_down_are_scipys() -> None:
    from scipy.special import stdtrit

    assert list(_QUANTILES) == [float(stdtrit(freedom, 0.975)) for freedom in range(1, 10)]


def test_the_variance_factor_of_five_folds_is_the_published_one() -> None:
    assert variance_factor(FIFTHS) == pytest.approx(0.45)


@pytest.mark.parametrize("shares", [[], [0.0], [1.0], [0.2, 1.2]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        variance_factor(shares)


def test_repeats_are_no_further_folds() -> None:
    scores, rival, thirds = [0.70, 0.74, 0.80], [0.69, 0.75, 0.71], [1 / 3] * 3
    once = corrected_interval(scores, thirds)
    assert once is not None
    assert corrected_interval(scores * 5, thirds * 5, folds=[0, 1, 2] * 5) == pytest.approx(once)
    evidence = paired_folds(scores, rival, thirds)
    again = paired_folds(scores * 5, rival * 5, thirds * 5, folds=[0, 1, 2] * 5)
    assert again.interval == pytest.approx(evidence.interval)
    assert again.p_value == pytest.approx(evidence.p_value)
    assert "over 3 folds" in again.method
    assert "one fold" in paired_folds([0.5, 0.7], [0.4, 0.3], [0.2] * 2, folds=[0, 0]).method
    with pytest.raises(ValueError, match="3 scores of 2 folds"):
        corrected_interval(scores, thirds, folds=[0, 1])


def test_the_repeats_of_a_fold_count_by_their_mean() -> None:
    found = corrected_interval([0.6, 0.9, 0.7, 0.8, 0.7, 0.9], [1 / 3] * 6, folds=[0, 1, 2, 0, 1, 2])
    assert found == pytest.approx(corrected_interval([0.7, 0.8, 0.8], [1 / 3] * 3))


def test_the_interval_by_hand() -> None:
    """Scores 1 to 5: mean 3, variance 2.5, error sqrt(0.45 * 2.5), t of four degrees 2.776445."""
    low, high = corrected_interval([1, 2, 3, 4, 5], FIFTHS) or (0, 0)
    reach = 2.7764451051977987 * math.sqrt(0.45 * 2.5)
    assert (low, high) == pytest.approx((3 - reach, 3 + reach))


def test_a_higher_level_is_a_wider_interval() -> None:
    narrow = corrected_interval([1, 2, 3, 4, 5], FIFTHS, 0.5) or (0, 0)
    wide = corrected_interval([1, 2, 3, 4, 5], FIFTHS, 0.99) or (0, 0)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("scores", [[0.5], [0.5, math.nan], [0.5, math.inf], [0.1 + 0.2, 0.3], [0.7, 0.7, 0.7]])
def test_without_a_spread_there_is_no_interval(scores: list[float]) -> None:
    assert corrected_interval(scores, [0.3] * len(scores)) is None


def test_scores_and_shares_must_pair_up() -> None:
    with pytest.raises(ValueError, match="pair up"):
        corrected_interval([0.1, 0.2], [0.5])
    with pytest.raises(ValueError, match="pair up"):
        paired_folds([0.1], [0.1, 0.2], [0.5, 0.5])


def test_a_clear_winner_is_better_and_its_rival_worse() -> None:
    winner, rival = [0.80, 0.81, 0.79, 0.82, 0.80], [0.70, 0.72, 0.69, 0.71, 0.70]
    evidence = paired_folds(winner, rival, FIFTHS)
    assert evidence.verdict == "better"
    assert evidence.difference == pytest.approx(0.1)
    assert evidence.interval is not None
    assert 0 < evidence.interval[0] < 0.1 < evidence.interval[1]
    assert evidence.p_value is not None
    assert evidence.p_value < 0.001
    assert "5 folds" in evidence.method
    assert paired_folds(rival, winner, FIFTHS).verdict == "worse"


def test_the_p_value_agrees_with_the_interval() -> None:
    """At the level 1 - p the interval of the difference ends exactly at zero."""
    winner, rival = [0.8, 0.7, 0.9, 0.75, 0.8], [0.7, 0.72, 0.8, 0.7, 0.71]
    evidence = paired_folds(winner, rival, FIFTHS)
    assert evidence.p_value is not None
    edge = paired_folds(winner, rival, FIFTHS, level=1 - evidence.p_value).interval
    assert edge is not None
    assert edge[0] == pytest.approx(0, abs=1e-9)


def test_pairing_is_what_finds_a_small_difference() -> None:
    hard = [0.5, 0.6, 0.7, 0.8, 0.9]
    winner = [score + gain for score, gain in zip(hard, [0.020, 0.021, 0.019, 0.022, 0.018], strict=True)]
    assert paired_folds(winner, hard, FIFTHS).verdict == "better"
    shuffled = [hard[index] for index in (3, 0, 4, 1, 2)]
    assert paired_folds(winner, shuffled, FIFTHS).verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("winner", "rival", "why"), [([0.9], [0.1], "one fold"), ([0.8, 0.7], [0.7, 0.6], "without a spread")]
)
def test_where_no_variance_can_be_estimated_nothing_is_claimed(
    winner: list[float], rival: list[float], why: str
) -> None:
    evidence = paired_folds(winner, rival, [0.5] * len(winner))
    assert evidence.verdict == "not distinguishable"
    assert (evidence.interval, evidence.p_value) == (None, None)
    assert why in evidence.method


def test_false_positives_stay_under_five_percent_where_the_naive_test_has_more() -> None:
    """FACTS: 1.6-3.4% at a nominal 5%, the naive test 5.9-8.4%."""
    scores = cross_validated(2000, 60, 5, "class means")
    assert 0.005 < false_positives(scores, FIFTHS) < 0.04
    assert naive_false_positives(scores) > 0.05


def test_false_positives_of_a_learner_that_changes_much_with_its_training_rows() -> None:
    scores = cross_validated(2000, 60, 5, "nearest neighbour")
    assert 0.02 < false_positives(scores, FIFTHS) < 0.06
    assert naive_false_positives(scores) > 0.10


@pytest.mark.parametrize("learner", ["class means", "nearest neighbour"])
def test_the_interval_covers_the_expected_score(learner: str) -> None:
    scores = cross_validated(2000, 60, 5, learner)[0]
    truth = scores.mean()
    intervals = [interval for study in scores if (interval := corrected_interval(list(study), FIFTHS))]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 < covered < 0.99


def test_the_bootstrap_finds_a_real_difference_and_no_other() -> None:
    generator = np.random.default_rng(1)
    targets = generator.integers(0, 2, 400)
    good = np.where(generator.random(400) < 0.85, targets, 1 - targets)
    poor = np.where(generator.random(400) < 0.70, targets, 1 - targets)
    evidence = paired_bootstrap(accuracy, targets, good, poor)
    assert evidence.verdict == "better"
    assert evidence.difference == pytest.approx(accuracy(targets, good) - accuracy(targets, poor))
    assert evidence.interval is not None
    assert 0 < evidence.interval[0] < evidence.difference < evidence.interval[1]
    assert evidence.p_value is not None
    assert evidence.p_value < 0.01
    assert "400 test rows, 2,000 resamples" in evidence.method
    assert paired_bootstrap(accuracy, targets, poor, good).verdict == "worse"


def test_the_bootstrap_interval_is_that_of_the_normal_approximation() -> None:
    """Of a difference of accuracies the standard error is known: that of the mean of per-row differences."""
    generator = np.random.default_rng(2)
    targets = generator.integers(0, 2, 1000)
    one = np.where(generator.random(1000) < 0.8, targets, 1 - targets)
    other = np.where(generator.random(1000) < 0.8, targets, 1 - targets)
    evidence = paired_bootstrap(accuracy, targets, one, other)
    rows = (one == targets).astype(float) - (other == targets)
    error = rows.std(ddof=1) / math.sqrt(1000)
    assert evidence.interval is not None
    assert (evidence.interval[1] - evidence.interval[0]) == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_equal_predictions_are_not_distinguishable() -> None:
    targets = np.array([0, 1, 1, 0])
    evidence = paired_bootstrap(accuracy, targets, targets, targets)
    assert (evidence.difference, evidence.interval, evidence.p_value) == (0, (0, 0), 1.0)
    assert evidence.verdict == "not distinguishable"


def test_the_bootstrap_is_seeded() -> None:
    generator = np.random.default_rng(3)
    targets, one, other = generator.integers(0, 2, (3, 50))
    first = paired_bootstrap(accuracy, targets, one, other, seed=1, resamples=200)
    assert paired_bootstrap(accuracy, targets, one, other, seed=1, resamples=200) == first
    assert paired_bootstrap(accuracy, targets, one, other, seed=2, resamples=200) != first


def test_weights_travel_with_their_rows() -> None:
    """All the weight lies on rows where the winner is right and the rival wrong."""
    targets, winner, rival = np.zeros(30, int), np.repeat([0, 1], 15), np.repeat([1, 0], 15)
    weights = np.repeat([1.0, 1e-9], 15)
    evidence = paired_bootstrap(accuracy, targets, winner, rival, sample_weight=weights, resamples=200)
    assert evidence.verdict == "better"
    assert evidence.difference == pytest.approx(1)


def test_resamples_without_a_class_are_left_out_and_said_so() -> None:
    def needs_both(targets: np.ndarray, predictions: np.ndarray) -> float:
        if len(set(targets.tolist())) < 2:
            raise MetricError("one class")
        return accuracy(targets, predictions)

    few = np.array([0, 0, 0, 0, 1, 1])
    evidence = paired_bootstrap(needs_both, few, few, 1 - few, resamples=500)
    assert "left out" in evidence.method
    assert evidence.verdict == "better"
    rare = np.array([0] * 5 + [1])
    nothing = paired_bootstrap(needs_both, rare, rare, 1 - rare, resamples=500)
    assert (nothing.interval, nothing.verdict) == (None, "not distinguishable")
    assert "too few" in nothing.method


def test_predictions_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        paired_bootstrap(accuracy, np.zeros(3), np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="do not pair up"):
        paired_bootstrap(accuracy, np.zeros(0), np.zeros(0), np.zeros(0))


def test_rows_of_one_group_are_drawn_together() -> None:
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 20)[random.permutation(400)]
    targets = np.zeros(400)
    # All rows of a group are right or wrong together: there are 20 pieces of evidence, not 400.
    right = random.integers(0, 2, size=(2, 20))[:, groups]

    def accuracy(_: np.ndarray, found: np.ndarray) -> float:
        return float(found.mean())

    alone = paired_bootstrap(accuracy, targets, right[0], right[1])
    together = paired_bootstrap(accuracy, targets, right[0], right[1], units=drawn_units(len(targets), groups))
    assert together.difference == alone.difference
    assert alone.interval is not None
    assert together.interval is not None
    ratio = (together.interval[1] - together.interval[0]) / (alone.interval[1] - alone.interval[0])
    assert ratio == pytest.approx(20**0.5, rel=0.15)
    assert "400 test rows in 20 groups" in together.method


def test_groups_of_one_row_each_are_rows() -> None:
    targets, one, other = (np.random.default_rng(0).integers(0, 2, size=(3, 50))).astype(float)

    def accuracy(targets: np.ndarray, found: np.ndarray) -> float:
        return float((targets == found).mean())

    alone = paired_bootstrap(accuracy, targets, one, other, seed=4)
    assert (
        paired_bootstrap(accuracy, targets, one, other, units=drawn_units(50, np.arange(50)), seed=4).interval
        == alone.interval
    )


def test_of_what_is_minimized_the_lower_is_better_and_the_difference_is_as_measured() -> None:
    winner, rival = [0.80, 0.82, 0.81, 0.83, 0.82], [0.70, 0.71, 0.72, 0.70, 0.73]
    plain = paired_folds(winner, rival, FIFTHS)
    image = paired_folds([-each for each in winner], [-each for each in rival], FIFTHS, direction=Direction.MINIMIZE)
    assert plain.interval is not None
    assert image == replace(plain, difference=-plain.difference, interval=(-plain.interval[1], -plain.interval[0]))
    assert paired_folds(winner, rival, FIFTHS, direction=Direction.MINIMIZE).verdict == "worse"


def test_the_bootstrap_judges_an_error_by_its_direction() -> None:
    targets = np.zeros(400)
    good, poor = np.repeat([0.0, 1.0], [380, 20]), np.repeat([0.0, 1.0], [300, 100])

    def error(truth: np.ndarray, found: np.ndarray) -> float:
        return float(np.mean(truth != found))

    evidence = paired_bootstrap(error, targets, good, poor, resamples=200, direction=Direction.MINIMIZE)
    assert evidence.verdict == "better"
    assert evidence.difference == pytest.approx(-0.2)
    assert paired_bootstrap(error, targets, good, poor, resamples=200).verdict == "worse"
