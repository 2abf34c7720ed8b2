import numpy as np
import pytest

from hpsearch.analysis.resampling import DRAWS_TOGETHER, PairedPredictions, drawn_units, draws
from hpsearch.tasks.classes.metric import ClassMetric, resolve_metric

CLASSES = ("a", "b", "c")
NAMES = ("accuracy", "f1_macro", "recall_weighted", "jaccard_macro", "matthews_corrcoef", "balanced_accuracy")


def predictions(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets of three classes, one of them rare, and the chances that two models give."""
    generator = np.random.default_rng(seed)
    targets = generator.choice(3, size=rows, p=[0.6, 0.36, 0.04])
    winner, rival = (generator.dirichlet([1.0, 1.0, 1.0], size=rows) for _ in range(2))
    winner[np.arange(rows), targets] += 0.4
    return targets, winner, rival


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_give_what_row_by_row_gives(name: str, weighted: bool) -> None:
    metric = resolve_metric(name, "multiclass", CLASSES)
    assert metric.counted() is not None
    targets, winner, rival = predictions(60, seed=1)
    weights = np.linspace(0.5, 2.0, 60) if weighted else None

    def by_rows(truth: np.ndarray, chances: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        return metric(truth, chances, sample_weight)

    counted, one_by_one = (
        PairedPredictions(scored, targets, winner, rival, weights).differences(
            draws(np.arange(60), 30, np.random.default_rng(2))
        )
        for scored in (metric, by_rows)
    )
    np.testing.assert_allclose(counted, one_by_one, rtol=0, atol=1e-12)
    assert counted.std() > 0


def test_more_draws_than_are_held_at_once_are_all_counted() -> None:
    metric = resolve_metric("accuracy", "multiclass", CLASSES)
    targets, winner, rival = predictions(40, seed=3)
    resamples = 2 * DRAWS_TOGETHER + 7
    chosen = list(draws(np.arange(40), resamples, np.random.default_rng(5)))
    found = PairedPredictions(metric, targets, winner, rival).differences(iter(chosen))
    right = [chances.argmax(axis=1) == targets for chances in (winner, rival)]
    np.testing.assert_allclose(found, [right[0][rows].mean() - right[1][rows].mean() for rows in chosen], atol=1e-12)


def test_rows_that_weigh_nothing_count_as_scikit_learn_has_it() -> None:
    """Their classes are averaged over all the same, which the counts do not tell."""
    metric = resolve_metric("f1_macro", "multiclass", CLASSES)
    targets, chances = np.array([0, 0, 1, 2]), np.eye(3)[[0, 0, 1, 1]]
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    predictions = PairedPredictions(metric, targets, chances, chances[::-1], weights)
    found = predictions.differences(iter([np.arange(4)]))
    assert found[0] == pytest.approx(metric(targets, chances, weights) - metric(targets, chances[::-1], weights))


def test_a_draw_on_which_the_metric_is_none_is_nan() -> None:
    metric = ClassMetric("roc_auc", "binary", (0, 1))
    targets, chances = np.array([0, 1]), np.array([[0.8, 0.2], [0.1, 0.9]])
    predictions = PairedPredictions(metric, targets, chances, chances)
    found = predictions.differences(iter([np.array([0, 1]), np.array([0, 0])]))
    assert found[0] == 0.0
    assert np.isnan(found[1])


def test_groups_are_drawn_whole() -> None:
    units = drawn_units(5, np.array([7, 3, 7, 3, 9]))
    assert [unit.tolist() for unit in units] == [[1, 3], [0, 2], [4]]
    for rows in draws(units, 20, np.random.default_rng(0)):
        counts = np.bincount(rows, minlength=5)
        assert counts[1] == counts[3] and counts[0] == counts[2]
        assert counts[1] + counts[0] + counts[4] == 3
    with pytest.raises(ValueError, match="2 groups for 3 rows"):
        drawn_units(3, np.zeros(2))
