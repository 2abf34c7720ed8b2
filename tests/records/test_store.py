import logging
import math
from typing import Any

import numpy as np
import pytest
from records_samples import (
    POINTS,
    add_trial,
    complete,
    config_of,
    evaluation_of,
    everything,
    outputs_of,
    prune,
    refitted,
    train,
)
from sqlalchemy import MetaData, create_engine, insert, make_url, select, update

from hpsearch.errors import LeaseHeldError, LeaseLostError
from hpsearch.records import Action, Decision, Fit, Origin, Outcome, Run, Segment, SegmentResult, TrialState, tables
from hpsearch.records.store import Store


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the store is held to, it is held to on each database in `make test` too."""
    return str(request.param)


def rows(url: str) -> dict[str, list[Any]]:
    """Return all rows of all tables of a database, ours and Optuna's."""
    engine = create_engine(url)
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        content = {
            table.name: [tuple(row) for row in connection.execute(select(table))] for table in found.sorted_tables
        }
    engine.dispose()
    return content


def take_over(url: str) -> None:
    """Draw a newer token, as another coordinator does that thinks this one dead."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(tables.lease).values(token=tables.lease.c.token + 1, owner="another"))
    engine.dispose()


def test_a_study_that_is_opened_again_is_what_it_was(store: Store, url: str) -> None:
    trials = [add_trial(store, index) for index in range(4)]
    train(store, trials[0])
    train(store, trials[1], points=2, folds=1)
    store.record_evaluation(
        evaluation_of(trials[2].runs[0].key, 1, metrics={"loss": math.nan, "f1": -math.inf}, train_loss=math.inf)
    )
    store.record_result(SegmentResult(Segment(trials[2].runs[0], 0, 6), Outcome.DIVERGED, 1, "Traceback \udcff \x00"))
    store.apply(complete(store, trials[0]))
    store.apply(Decision(1, Action.STOP_EARLY, "no better", stop=4))
    store.apply(Decision(1, Action.PAUSE, "others first"))
    store.set_state(1, TrialState.WAITING)
    store.apply(Decision(2, Action.PRUNE, "diverged", value=math.nan, point=1))
    grown = everything(store)
    decisions, results = store.decisions(), store.results()
    store.reload()
    assert everything(store) == grown
    store.close()
    with Store.open(url, "emotion") as again:
        assert everything(again) == grown
        assert repr(again.decisions()) == repr(decisions)
        assert again.results() == results
        again.acquire()
        assert everything(again) == grown
        assert [t.stop for t in again.history.trials.values()] == [POINTS, 4, None, None]
        assert again.history.results[trials[2].runs[0].key][0].log == "Traceback ? "


def test_times_are_in_order(store: Store) -> None:
    trial = add_trial(store, 0)
    train(store, trial)
    store.apply(complete(store, trial))
    times = [time for time, _ in store.results()] + [time for time, _ in store.decisions()]
    assert len(times) == 4
    assert times == sorted(times)
    assert [result.segment.run.fold for _, result in store.results()] == [0, 1, 2]


def test_the_first_evaluation_of_a_point_is_kept_and_a_different_one_is_told(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    run = add_trial(store, 0).runs[0].key
    first = evaluation_of(run, 1, metrics={"loss": math.nan, "f1": 0.5})
    store.record_evaluation(first, outputs_of(run, 1))
    with caplog.at_level(logging.WARNING, "hpsearch"):
        again = evaluation_of(run, 1, metrics={"f1": 0.5, "loss": math.nan}, seconds=9.0, peak_memory_bytes=1)
        store.record_evaluation(again, outputs_of(run, 2))
        assert (store.mismatches, caplog.text) == (0, "")
        store.record_evaluation(evaluation_of(run, 1, metrics={"loss": 0.25, "f1": 0.5}), outputs_of(run, 3))
    assert store.mismatches == 1
    assert f"run {run} gave other numbers at point 1" in caplog.text
    assert repr(store.reload().of(run)) == repr((first,))
    found = store.predictions(run, 1)
    assert found is not None and found.tobytes() == outputs_of(run, 1).tobytes()


def test_an_evaluation_out_of_order_is_refused_and_not_written(store: Store, url: str) -> None:
    run = add_trial(store, 0).runs[0].key
    before = rows(url)
    with pytest.raises(ValueError, match="point 2 after point 0"):
        store.record_evaluation(evaluation_of(run, 2))
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.record_evaluation(evaluation_of(run, 1), np.array([{"an": "object"}]))
    assert rows(url) == before
    assert store.history.of(run) == ()


def test_a_result_of_an_unknown_run_is_refused(store: Store) -> None:
    known = add_trial(store, 0).runs[0]
    stranger = Run(known.key, {}, 0, 0, known.horizon + 1)
    with pytest.raises(ValueError, match="belongs to no trial"):
        store.record_result(SegmentResult(Segment(stranger, 0, 1), Outcome.OK, 1))


def test_the_end_of_a_trial_is_final(store: Store, url: str) -> None:
    trial = add_trial(store, 0)
    train(store, trial)
    store.apply(complete(store, trial))
    before = rows(url)
    history = store.history
    assert store.apply(complete(store, trial, point=5)) is history
    with pytest.raises(ValueError, match="is complete; it cannot be told 'fail'"):
        store.apply(Decision(0, Action.FAIL, "late"))
    with pytest.raises(ValueError, match="is complete; it cannot be told 'pause'"):
        store.apply(Decision(0, Action.PAUSE, "late"))
    assert rows(url) == before


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_complete_trial_has_a_value(store: Store, url: str, value: float | None) -> None:
    add_trial(store, 0)
    before = rows(url)
    with pytest.raises(ValueError, match="cannot be complete"):
        store.apply(Decision(0, Action.COMPLETE, "", value=value))
    assert rows(url) == before


def test_what_an_earlier_version_took_over_from_other_runs_is_read_as_measured(store: Store, url: str) -> None:
    """Runs with the same first steps once took evaluations over: all of a segment, or its beginning."""
    trial = add_trial(store, 0)
    train(store, trial)
    whole, beginning, _ = (run.key for run in trial.runs)
    expected, evaluations = dict(store.history.results), store.history.evaluations
    store.close()
    table = tables.results
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.run == whole).values(outcome="adopted", log="from trial 3"))
        connection.execute(
            insert(table).values(
                study="emotion", run=beginning, horizon=POINTS, start=0, stop=POINTS, point=2, outcome="adopted",
                log="from trials 3, 4", time=0.0,
            )
        )  # fmt: skip
    engine.dispose()
    with Store.open(url, "emotion") as again:
        assert again.history.evaluations == evaluations
        assert again.history.results[whole] == expected[whole]
        partly = SegmentResult(Segment(trial.runs[1], 0, POINTS), Outcome.PAUSED, 2)
        assert again.history.results[beginning] == (*expected[beginning], partly)
        assert len(again.results()) == 4


def test_going_on_is_written_only_where_it_says_something(store: Store) -> None:
    add_trial(store, 0)
    store.apply(Decision(0, Action.CONTINUE, "goes on"))
    store.apply(Decision(0, Action.CONTINUE, "goes on", stop=5))
    store.apply(Decision(0, Action.PAUSE, "waits for a promotion"))
    assert [decision.action for _, decision in store.decisions()] == [Action.CONTINUE, Action.PAUSE]
    assert store.reload().trials[0].stop == 5


def test_what_is_enqueued_twice_is_once_and_taken_by_its_trial(store: Store, url: str) -> None:
    configs = [config_of(index) for index in (5, 3, 4)]
    assert [store.enqueue(config) for config in configs] == [True] * 3
    assert not store.enqueue(dict(reversed(configs[1].items())))
    assert store.queued() == configs
    add_trial(store, 3, Origin.ENQUEUED)
    add_trial(store, 5, Origin.SAMPLER)  # by chance; what the user asked for is still to come
    assert store.queued() == [configs[0], configs[2]]
    add_trial(store, 4, Origin.DEFAULT)
    assert store.queued() == [configs[0]]
    assert not store.enqueue(configs[1])
    store.close()
    with Store.open(url, "emotion") as again:
        assert again.queued() == [configs[0]]


def test_enqueueing_without_the_lease_takes_it_for_a_moment(store: Store, url: str) -> None:
    with Store.open(url, "emotion") as other:
        with pytest.raises(LeaseHeldError):
            other.enqueue(config_of(1))
        store.release()
        assert other.enqueue(config_of(1))
        assert not other.held
        store.acquire()
        assert store.queued() == [config_of(1)]


def test_a_reader_sees_what_was_written_so_far_and_may_not_write(store: Store, url: str) -> None:
    with Store.open(url, "emotion") as reader:
        trial = add_trial(store, 0)
        train(store, trial)
        assert reader.history == store.history
        store.apply(complete(store, trial))
        assert reader.reload() == store.history
        before = rows(url)
        for write in writes(reader):
            with pytest.raises(LeaseLostError, match="does not hold"):
                write()
        assert rows(url) == before


def writes(store: Store) -> list[Any]:
    """Return one call of every writing method that needs the lease."""
    trials = store.history.unfinished() or tuple(store.history.trials.values())
    run = trials[0].runs[0]
    point = store.history.point(run) + 1
    calls = [
        lambda: add_trial(store, 100),
        lambda: store.record_evaluation(evaluation_of(run.key, point), outputs_of(run.key, point)),
        lambda: store.record_evaluation(evaluation_of(run.key, 1), outputs_of(run.key, 1)),
        lambda: store.record_result(SegmentResult(Segment(run, 0, POINTS), Outcome.OK, POINTS)),
        lambda: store.replace_description({}),
    ]
    if store.url.get_backend_name() == "sqlite":  # on a server only every third of the lifetime
        calls.append(store.renew)
    if not trials[0].state.is_finished:
        calls += [
            lambda: store.apply(prune(store, trials[0])),
            lambda: store.apply(Decision(trials[0].number, Action.STOP_EARLY, "", stop=3)),
            lambda: store.set_state(trials[0].number, TrialState.WAITING),
            lambda: store.replace_runs({}, {trials[0].number: refitted(trials[0], 1)}),
        ]
    return calls


@pytest.mark.parametrize("call", range(10))
def test_a_writer_that_was_taken_over_writes_nothing(store: Store, url: str, call: int) -> None:
    trial = add_trial(store, 0)
    train(store, trial, points=2, folds=1)
    take_over(url)
    before, history = rows(url), store.history
    write = writes(store)[call % len(writes(store))]
    with pytest.raises(LeaseLostError, match="taken over by another coordinator"):
        write()
    assert not store.held or call == 99
    with pytest.raises(LeaseLostError):
        store.enqueue(config_of(9)) if store.held else store.record_evaluation(evaluation_of(trial.runs[0].key, 3))
    store.release()
    assert rows(url) == before
    assert store.history == history


def test_the_description_can_be_replaced(store: Store, url: str) -> None:
    store.replace_description({"metric": "accuracy", "trials": 50})
    assert store.description["trials"] == 50
    with Store.open(url, "emotion") as again:
        assert again.description == {"metric": "accuracy", "trials": 50}


def test_a_trial_goes_on_in_runs_that_take_the_place_of_others(store: Store, url: str) -> None:
    trial = add_trial(store, 0)
    train(store, trial, folds=1)
    first, second, third = trial.runs
    store.record_result(SegmentResult(Segment(second, 0, POINTS), Outcome.OUT_OF_MEMORY, 0, "CUDA out of memory."))
    store.replace_runs({"metric": "f1_macro", "fits": 1}, {0: refitted(trial, 1)})
    replaced = store.history.trials[0]
    assert replaced.former == (second, third) and replaced.runs[0] == first
    assert [run.fit for run in replaced.runs] == [None, Fit(4), Fit(4)]
    assert store.history.sharing(second.key) == () and store.history.sharing(replaced.runs[1].key) == (replaced,)
    store.replace_runs({}, {0: refitted(replaced, 2, Fit(2, True))})
    train(store, store.history.trials[0])
    assert [result.outcome for _, result in store.results()].count(Outcome.OUT_OF_MEMORY) == 1
    with Store.open(url, "emotion") as other:
        assert everything(other) == everything(store)
        assert other.history.trials[0].former == (second, third, replaced.runs[2])
        assert other.history.trials[0].fit == Fit(2, True)
        assert not other.description
    store.apply(complete(store, store.history.trials[0]))
    with pytest.raises(ValueError, match="trial 0 is complete"):
        store.replace_runs({}, {0: refitted(trial, 1)})


def test_runs_on_other_folds_take_no_place(store: Store) -> None:
    trial = add_trial(store, 0)
    with pytest.raises(ValueError, match="other folds"):
        store.replace_runs({}, {0: trial.runs[:2]})


def test_the_lease_is_taken_again_after_it_was_given_back(store: Store) -> None:
    for index in range(3):
        add_trial(store, index)
        store.release()
        store.release()
        with pytest.raises(LeaseLostError):
            add_trial(store, 9)
        store.acquire()
        store.acquire()
    assert list(store.history.trials) == [0, 1, 2]


def test_predictions_that_were_never_recorded_are_none(store: Store) -> None:
    run = add_trial(store, 0).runs[0].key
    store.record_evaluation(evaluation_of(run, 1))
    assert store.predictions(run, 1) is None
    assert store.predictions(run, 2) is None


def test_a_schema_is_checked_once_for_each_study_that_is_made_or_written_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages._rdb.storage import _VersionManager

    checks: list[str] = []
    real = _VersionManager.check_table_schema_compatibility
    monkeypatch.setattr(
        _VersionManager, "check_table_schema_compatibility", lambda self: (checks.append("checked"), real(self))
    )
    Store.create(url, "emotion", {}).close()
    assert len(checks) == 1
    with Store.open(url, "emotion") as store:
        assert not store.history.trials
        if make_url(url).get_backend_name() == "sqlite":
            assert len(checks) == 1  # reading a file takes no time for it; a server's reader may have to write
        store.acquire()
        assert len(checks) == 2
