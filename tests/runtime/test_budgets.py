"""Budgets of real small studies, from the call to what is kept of its end."""

import contextlib
import logging
import math
import sqlite3
import time

import pytest
from toy_studies import known_of, table, toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.budget import EXPECTED
from hpsearch.records import Outcome, TrialState


def run(study, **more):
    return study.run(**{"devices": "inline", "progress": False, **more})


def used(study):
    """Return (epochs, device-seconds) of what the store has."""
    points = [points for points in study.store().reload().evaluations.values() if points]
    return sum(each[-1].epoch for each in points), math.fsum(each.seconds for run in points for each in run)


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        (hp.Budget(trials=3, epochs=100), "trials"),
        (hp.Budget(epochs=10, trials=12), "epochs"),
        (hp.Budget(target=0.5, patience=11), "target"),
        (hp.Budget(patience=2, target=0.99), "patience"),
        (hp.Budget(distinct_trials=3, epochs=100), "distinct_trials"),
        (hp.Budget(epochs=1000), "sampler"),
    ],
    ids=["trials", "epochs", "target", "patience", "distinct_trials", "none of them"],
)
def test_what_comes_first_ends_a_study_and_is_kept_said_and_not_exceeded_later(tmp_path, capsys, budget, limit):
    study = toy_study(tmp_path)
    result = run(study, budget=budget)
    assert result.ended_by.limit == limit
    assert result.has_ended
    said = capsys.readouterr().err
    assert (f"toy: ended by {limit}: {result.ended_by.reason}." in said) == (limit not in EXPECTED)
    assert (f"ended by {limit}: {result.ended_by.reason}" in result.text()) == (limit not in EXPECTED)
    assert "Paused" not in said
    assert used(study)[0] <= (budget.epochs or math.inf)
    assert hp.load("toy", folder=tmp_path).result.ended_by == result.ended_by
    assert study.record.description.goal == budget.goal
    before = known_of(tmp_path)
    assert run(toy_study(tmp_path), budget=budget).ended_by == result.ended_by
    assert known_of(tmp_path) == before


def test_a_larger_budget_goes_on_where_the_smaller_one_has_ended(tmp_path):
    study = toy_study(tmp_path / "parts")
    for epochs in (5, 9.5, 20, 1000):
        run(study, budget=hp.Budget(epochs=epochs))
        assert used(study)[0] <= epochs
    whole = toy_study(tmp_path / "whole")
    run(whole)
    assert known_of(tmp_path / "parts") == known_of(tmp_path / "whole")
    assert table(tmp_path / "parts").equals(table(tmp_path / "whole"))


def test_device_seconds_are_counted_over_all_calls(tmp_path):
    study = toy_study(tmp_path, {"pause": 0.01})
    run(study, trials=2)
    taken = used(study)[1]
    result = run(study, budget=hp.Budget(device_seconds=taken))
    assert (result.ended_by.limit, len(result.history.trials)) == ("device_seconds", 2)
    result = run(study, budget=hp.Budget(device_seconds=2 * taken))
    assert result.ended_by.limit == "device_seconds"
    assert 2 < len(result.history.trials) < 12


def test_a_limit_a_trial_prunes_it_for_good_and_alike_on_two_workers(tmp_path):
    studies = [toy_study(tmp_path / name) for name in ("one", "two")]
    for study, devices in zip(studies, ("inline", 2), strict=True):
        run(study, trials=4, budget=hp.Budget(epochs_per_trial=3), devices=devices)
    assert known_of(tmp_path / "one") == known_of(tmp_path / "two")
    history = studies[0].store().history
    for each in history.trials.values():
        short = each.config["epochs"] == 1
        assert each.state is (TrialState.COMPLETE if short else TrialState.PRUNED)
        assert short or each.reason == "over its limit: 3 epochs a trial"
    run(studies[0], trials=4)
    assert studies[0].store().history.trials == history.trials


def test_seconds_a_trial_are_looked_at_at_each_evaluation(tmp_path):
    study = toy_study(tmp_path, {"pause": 0.1})  # ten times the limit, however fast the machine is
    result = run(study, trials=2, budget=hp.Budget(device_seconds_per_trial=0.2))
    assert [each.state for each in result.history.trials.values()] == [TrialState.PRUNED] * 2
    assert all("of 0.2 device-seconds" in each.reason for each in result.history.trials.values())


def test_a_target_counts_by_the_direction_and_only_a_complete_trial(tmp_path):
    study = toy_study(tmp_path, metric="log_loss")
    result = run(study, trials=12, budget=hp.Budget(target=0.9))
    assert result.ended_by.limit == "target"
    complete = result.history.finished(TrialState.COMPLETE)
    assert [each.value <= 0.9 for each in complete] == [False] * (len(complete) - 1) + [True]


def test_segments_that_cannot_end_in_time_are_not_started(tmp_path):
    study = toy_study(tmp_path, {"pause": 0.05})
    run(study, trials=2)  # what a row takes is known from here on
    begun = time.monotonic()
    result = run(study, trials=12, timeout=6.0)
    assert time.monotonic() - begun < 9.0
    assert result.ended_by.limit == "timeout"
    assert not result.has_ended
    ends = [end for run_ends in result.history.results.values() for end in run_ends]
    assert [end.outcome for end in ends].count(Outcome.PAUSED) <= 1  # a machine may be slower than it was
    run(study, trials=12)
    whole = toy_study(tmp_path / "whole", {"pause": 0.0})
    run(whole, trials=12)
    assert table(tmp_path).equals(table(tmp_path / "whole"))


def test_a_timeout_shorter_than_one_segment_is_an_error_and_nothing_is_lost(tmp_path):
    study = toy_study(tmp_path)
    run(study, trials=1)
    study.store().close()
    with contextlib.closing(sqlite3.connect(tmp_path / "toy" / "study.db")) as connection:
        connection.execute("update hpsearch_evaluations set seconds = 1000.0")  # as on a slow machine
        connection.commit()
    before = known_of(tmp_path)
    study = toy_study(tmp_path)
    with pytest.raises(
        UsageError, match=r"timeout=60.0 is shorter than one segment: what comes next takes about 1000 s"
    ):
        run(study, trials=3, timeout=60.0)
    assert known_of(tmp_path) == before
    assert study.result.ended_by.limit == "timeout"
    assert run(study, trials=3).ended_by.limit == "trials"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (hp.Budget(epochs=0.5), r"Budget\(epochs=0.5\) is shorter than one segment: .* takes 1 epoch\(s\)"),
        (hp.Budget(epochs_per_trial=0.5, trials=2), r"Budget\(epochs_per_trial=0.5\) is shorter than one segment"),
        (hp.Budget(target=0.5), "never ends by itself"),
        (hp.Budget(distinct_trials=13), "the space has 12 different configurations, so that is never reached"),
    ],
    ids=["epochs", "epochs per trial", "a target alone", "distinct trials"],
)
def test_a_budget_that_trains_nothing_or_never_ends_is_refused_before_anything_is_written(tmp_path, budget, message):
    space = hp.Space(
        learning_rate=hp.Categorical([1e-3, 1e-2, 1e-1]), batch_size=hp.Categorical([8, 16]), epochs=hp.Int(1, 2)
    )
    with pytest.raises(UsageError, match=message):
        run(toy_study(tmp_path, sampler="random", space=space), budget=budget)
    assert not (tmp_path / "toy").exists()


def test_a_limit_a_trial_that_none_can_keep_is_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "hpsearch"):
        run(toy_study(tmp_path), trials=1, budget=hp.Budget(epochs_per_trial=2))
    assert "the shortest trial takes 3 epochs, 1 for each of 3 folds" in caplog.text
