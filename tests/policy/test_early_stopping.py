import math
from dataclasses import replace

import pytest
from samples import F1, MIRRORED

from hpsearch.errors import UsageError
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records import Evaluation


def curve(*losses: float, scores: tuple[float, ...] = ()) -> list[Evaluation]:
    scores = scores or tuple(0.0 for _ in losses)
    return [
        Evaluation("run", point, point / 2, 1.0, {"f1": score, "loss": loss}, 1e-3, 10 * point)
        for point, (loss, score) in enumerate(zip(losses, scores, strict=True), 1)
    ]


def stop(rule: EarlyStopping, evaluations: list[Evaluation], warmup: float = 0.0, per_epoch: int = 2) -> int | None:
    return rule.stop_point(evaluations, F1, warmup, per_epoch)


def test_stops_after_the_patience_without_improvement():
    assert stop(EarlyStopping(1.0), curve(1.0, 0.8, 0.9, 0.9)) == 4
    assert stop(EarlyStopping(1.0), curve(1.0, 0.8, 0.9)) is None
    assert stop(EarlyStopping(1.5), curve(1.0, 0.8, 0.9, 0.9)) is None


def test_the_stop_is_the_first_point_where_the_rule_holds():
    assert stop(EarlyStopping(1.0), curve(1.0, 0.8, 0.9, 0.9, 0.1, 0.1)) == 4


def test_an_equal_loss_is_no_improvement():
    assert stop(EarlyStopping(1.0), curve(0.8, 0.8, 0.8)) == 3


def test_never_before_one_epoch_or_the_end_of_warmup():
    rising = curve(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert stop(EarlyStopping(0.5), rising) == 2
    assert stop(EarlyStopping(0.5), rising, warmup=2.0) == 4
    assert stop(EarlyStopping(0.5), rising[:1]) is None


def test_a_run_of_less_than_two_epochs_may_stop_after_its_first_half() -> None:
    rising = curve(*[0.1 * point for point in range(1, 9)])
    rule = EarlyStopping(0.25)

    def stop_of(epochs: float, warmup: float = 0.0) -> int | None:
        return rule.stop_point(rising, F1, warmup, 8, epochs)

    assert [stop_of(epochs) for epochs in (3.0, 2.0, 1.5, 1.0, 0.5)] == [8, 8, 6, 4, 3]
    assert stop_of(1.0, warmup=0.7) == 6
    assert rule.stop_point(rising[:3], F1, 0.0, 8, 1.0) is None


def test_a_loss_that_is_no_number_never_improves():
    assert stop(EarlyStopping(1.0), curve(0.5, math.nan, math.inf)) == 3


def test_an_objective_that_is_minimized_is_watched_from_the_other_side():
    rule = EarlyStopping(1.0, "objective")
    falls = curve(1.0, 1.0, 1.0, 1.0, scores=(0.5, 0.4, 0.3, 0.2))
    assert rule.stop_point(falls, MIRRORED, 0.0, 2) is None
    assert rule.stop_point(falls, F1, 0.0, 2) == 3


def test_the_objective_can_be_watched_instead():
    falling_loss = curve(0.9, 0.8, 0.7, 0.6, scores=(0.1, 0.5, 0.4, 0.5))
    assert stop(EarlyStopping(1.0, monitor="objective"), falling_loss) == 4
    assert stop(EarlyStopping(1.0), falling_loss) is None


@pytest.mark.parametrize("patience", [0, -1.0, math.nan, math.inf])
def test_an_impossible_patience_is_refused(patience):
    with pytest.raises(UsageError, match="positive number of epochs"):
        EarlyStopping(patience)


def test_an_unknown_monitor_is_refused():
    with pytest.raises(UsageError, match="'accuracy'"):
        EarlyStopping(1.0, monitor="accuracy")  # type: ignore[arg-type]


@pytest.mark.parametrize("monitor", ["loss", "objective"])
def test_where_the_objective_is_sparse_no_run_stops_where_it_is_not_measured(monitor):
    unknown = math.nan
    evaluations = curve(0.5, 0.6, 0.7, 0.8, 0.9, 1.0, scores=(unknown, unknown, 0.5, unknown, unknown, 0.4))
    rule = EarlyStopping(1.0, monitor)
    found = [rule.stop_point(evaluations[:end], replace(F1, is_sparse=True), 0.0, 2) for end in range(1, 7)]
    first = 3 if monitor == "loss" else 6
    assert found == [None] * (first - 1) + [first] * (7 - first)
    assert rule.stop_point(evaluations, F1, 0.0, 2) in (2, 3)
