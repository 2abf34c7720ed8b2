from dataclasses import replace

import pytest
from analysis_samples import OBJECTIVE, with_trial

from hpsearch.analysis.pairing import winner_against_default
from hpsearch.records import History, Origin, TrialState

SHARES = [1 / 3] * 3


def with_default(state: TrialState = TrialState.COMPLETE) -> History:
    curves = [[0.50, 0.1], [0.52, 0.1], [0.51, 0.1]]
    return with_trial(History(), 0, curves, state=state, value=0.51, point=1, origin=Origin.DEFAULT)


def with_winner(history: History) -> History:
    return with_trial(history, 1, [[0.1, 0.70], [0.1, 0.71], [0.1, 0.72]], value=0.71, point=2)


def test_winner_and_default_are_compared_each_at_its_own_point() -> None:
    evidence = winner_against_default(with_winner(with_default()), OBJECTIVE, SHARES)
    assert evidence is not None
    assert evidence.difference == pytest.approx(0.2)
    assert evidence.verdict == "better"
    assert "favours the winner" in evidence.method


def test_where_there_is_nothing_to_compare_there_is_no_evidence() -> None:
    assert winner_against_default(History(), OBJECTIVE, SHARES) is None
    assert winner_against_default(with_default(), OBJECTIVE, SHARES) is None  # the default is the winner
    assert winner_against_default(with_winner(History()), OBJECTIVE, SHARES) is None
    assert winner_against_default(with_winner(with_default(TrialState.PRUNED)), OBJECTIVE, SHARES) is None


def test_one_fold_gives_a_difference_and_no_claim() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, origin=Origin.DEFAULT)
    history = with_trial(history, 1, [[0.9]], value=0.9, point=1)
    evidence = winner_against_default(history, OBJECTIVE, [0.2])
    assert evidence is not None
    assert evidence.difference == pytest.approx(0.4)
    assert evidence.verdict == "not distinguishable"


def test_runs_pair_up_by_fold_and_repeat() -> None:
    """The same runs in another order are the same evidence."""
    history = with_winner(with_default())
    winner = history.trials[1]
    turned = history.with_trial(replace(winner, runs=tuple(reversed(winner.runs))))
    one = winner_against_default(history, OBJECTIVE, SHARES)
    other = winner_against_default(turned, OBJECTIVE, SHARES)
    assert one is not None
    assert other is not None
    assert one.interval is not None
    assert other.interval == pytest.approx(one.interval)
