from dataclasses import replace

import pytest
from analysis_samples import OBJECTIVE, with_trial

from hpsearch.analysis.pairing import paired_scores, winner_against_default
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, Origin

MAXIMIZE, MINIMIZE = Direction


def test_each_trial_is_read_at_its_own_point_and_pairs_by_fold() -> None:
    history = with_trial(History(), 0, [[0.4, 0.5], [0.6, 0.1]], value=0.5, point=1)
    history = with_trial(history, 1, [[0.1, 0.7], [0.1, 0.5]], value=0.6, point=2)
    winner, rival = history.trials[1], history.trials[0]
    directions = {OBJECTIVE: MAXIMIZE, "accuracy": MAXIMIZE, "loss": MINIMIZE}
    objective, accuracy, loss = paired_scores(history, winner, rival, directions)
    assert objective.places == ((0, 0), (1, 0))
    assert objective.winner == (0.7, 0.5)
    assert objective.rival == (0.4, 0.6)
    assert objective.difference == pytest.approx(0.1)
    assert objective.won == 1
    assert accuracy.difference == pytest.approx(0.1)
    assert loss.difference == pytest.approx(-0.1)
    assert loss.won == 1  # of losses the lower is the better


def test_only_folds_and_metrics_that_both_have_are_paired() -> None:
    history = with_trial(History(), 0, [[0.4], [0.6], [0.5]], value=0.5, point=1)
    history = with_trial(history, 1, [[0.7], [0.5], []], value=0.6, point=1, metrics={"extra": 1.0})
    found = paired_scores(history, history.trials[1], history.trials[0], {OBJECTIVE: MAXIMIZE, "extra": MAXIMIZE})
    assert [(pair.metric, len(pair.places)) for pair in found] == [(OBJECTIVE, 2)]


def test_trials_that_were_not_measured_have_no_pairs() -> None:
    history = with_trial(with_trial(History(), 0, [[]]), 1, [[0.5]], value=0.5, point=1)
    assert paired_scores(history, history.trials[1], history.trials[0], {OBJECTIVE: MAXIMIZE}) == ()


def test_each_metric_is_won_in_its_own_direction() -> None:
    history = with_trial(History(direction=MINIMIZE), 0, [[0.4], [0.6]], value=0.5, point=1)
    history = with_trial(history, 1, [[0.7], [0.5]], value=0.6, point=1, metrics={"extra": 1.0})
    history = with_trial(history, 2, [[0.3], [0.5]], value=0.4, point=1, metrics={"extra": 2.0})
    objective, loss = paired_scores(
        history, history.trials[2], history.trials[0], {OBJECTIVE: MINIMIZE, "loss": MINIMIZE}
    )
    assert (objective.won, objective.difference) == (2, pytest.approx(-0.1))  # the difference is as measured
    assert loss.won == 0
    for direction, won in ((MINIMIZE, 0), (MAXIMIZE, 2)):
        (extra,) = paired_scores(history, history.trials[2], history.trials[1], {"extra": direction})
        assert extra.won == won


def test_the_winner_of_what_is_minimized_beats_the_default_by_less() -> None:
    curves = [[[0.50], [0.52], [0.54], [0.51]], [[0.40], [0.43], [0.45], [0.41]]]
    history = with_trial(History(), 0, curves[0], value=0.5175, point=1, origin=Origin.DEFAULT)
    history = replace(with_trial(history, 1, curves[1], value=0.4225, point=1), direction=MINIMIZE)
    evidence = winner_against_default(history, OBJECTIVE, [0.25] * 4)
    assert evidence is not None
    assert evidence.verdict == "better"
    assert evidence.difference == pytest.approx(-0.095)
