"""Two histories of one study, in memory and in its database: all that was recorded, and what was decided on."""

import json
from collections.abc import Sequence

import pytest
from ordered_samples import SLOTS, begun, end, entry, record, segment
from records_samples import POINTS, add_trial, everything, new_store, prune, python_process, refitted
from sqlalchemy import insert, select, update

from hpsearch.records import Outcome, Trial, TrialState
from hpsearch.records.histories import Histories
from hpsearch.records.history import History
from hpsearch.records.order_log import Entry, Happening, admitted
from hpsearch.records.store import Store
from hpsearch.records.tables import LAYOUT_WITH_ORDER, order, studies

# ---------------------------------------------------------------------- in memory


def test_without_a_log_both_are_one(store: Store) -> None:
    trial = add_trial(store, 0)
    record(store, trial, 3)
    store.record_result(end(trial, Outcome.PAUSED, 3))
    assert store.history is store.recorded
    assert store.history.point(trial.runs[0]) == 3
    assert list(store.entries) == []
    assert list(Store.open(store.url.render_as_string(hide_password=False), store.name).entries) == []


def test_with_a_log_nothing_is_seen_before_it_is_decided_on(store: Store) -> None:
    store.note(SLOTS)
    trial = add_trial(store, 0)
    store.note(begun(trial, 0, 4))
    before = store.history
    record(store, trial, 3)
    store.record_result(end(trial, Outcome.PAUSED, 3))
    assert store.history is before
    assert store.recorded.point(trial.runs[0]) == 3
    store.note(entry(trial, Happening.EVALUATED, 2), segment(trial, 0, 4))
    assert store.history.of(trial.runs[0].key) == store.recorded.of(trial.runs[0].key)[:2]
    assert dict(store.history.results) == {}


def test_trials_and_decisions_are_seen_in_both(store: Store) -> None:
    store.note(SLOTS)
    trial = add_trial(store, 0)
    assert store.recorded.trials == store.history.trials == {0: trial}
    store.set_state(0, TrialState.WAITING)
    assert store.recorded.trials[0].state is store.history.trials[0].state is TrialState.WAITING
    store.replace_runs({}, {0: refitted(trial, 1)})
    assert store.recorded.trials[0].former == store.history.trials[0].former == trial.runs[1:]
    store.apply(prune(store, trial))
    assert store.recorded.trials[0].state is store.history.trials[0].state is TrialState.PRUNED


def test_a_study_that_decides_on_arrival_cannot_change_its_mind(store: Store) -> None:
    trial = add_trial(store, 0)
    record(store, trial, 1)
    with pytest.raises(ValueError, match="has decided on arrival so far"):
        store.note(SLOTS)


def test_what_grows_entry_by_entry_is_what_is_read_at_once(store: Store) -> None:
    """And each is a history that pruners can follow: it says what has changed, once the two have parted."""
    parted = False
    for each in walk(store):
        before = store.history
        store.note(*each)
        assert store.history.changed_since(before) is not None or not parted
        parted = parted or store.history is not before
        together = Histories(store.recorded, store.entries)
        assert together.history == store.history
        assert admitted(store.recorded, store.entries) == store.history


def walk(store: Store) -> list[Sequence[object]]:
    """Record all of two trials, and return what is then noted of them, one after another."""
    store.note(SLOTS)
    one, two = add_trial(store, 0), add_trial(store, 1)
    record(store, one, 4)
    record(store, one, POINTS, fold=1)
    record(store, two, 2)
    for number in range(3):
        store.record_result(end(two, Outcome.LOST, 2, f"loss {number}", start=2))
    store.record_result(end(one, Outcome.DIVERGED, 4, "nan"))
    lost = entry(two, Happening.FAILED, 2, number=3, words="lost")
    return [
        (begun(one, 0, 4), segment(one, 0, 4)),
        (begun(two, 0, 4), segment(two, 0, 4)),
        (entry(one, Happening.EVALUATED, 1), segment(one, 0, 4)),
        (entry(two, Happening.EVALUATED, 2), segment(two, 0, 4)),
        (entry(one, Happening.EVALUATED, 4), segment(one, 0, 4)),
        (entry(one, Happening.ENDED, 4), segment(one, 0, 4)),
        (begun(one, 4, 6), segment(one, 4, 6)),
        (begun(one, 0, 6, fold=1), segment(one, 0, 6, fold=1)),
        (lost, segment(two, 0, 4)),
        (entry(one, Happening.FAILED, 4, words="diverged"), segment(one, 4, 6)),
        (entry(one, Happening.EVALUATED, 6, fold=1), segment(one, 0, 6, fold=1)),
        (entry(one, Happening.LEFT, 6, fold=1), segment(one, 0, 6, fold=1)),
        (Entry(999, Happening.NOTED, words="it ran out of memory: größer"),),
    ]


# ---------------------------------------------------------------------- in the database


def stored(store: Store) -> list[Entry]:
    """Return the log as a stranger reads it."""
    with Store.open(store.url.render_as_string(hide_password=False), store.name) as other:
        return list(other.entries)


def test_all_comes_back_as_it_was(store: Store) -> None:
    for each in walk(store):
        store.note(*each)
    store.flush()
    with Store.open(store.url.render_as_string(hide_password=False), store.name) as other:
        assert list(other.entries) == list(store.entries)
        assert everything(other) == everything(store)
        assert other.recorded == store.recorded
        assert other.history != other.recorded


def test_entries_are_durable_with_the_next_write_whatever_it_is(store: Store) -> None:
    store.note(SLOTS)
    assert stored(store) == []
    trial = add_trial(store, 0)  # Optuna's own transaction: what it rests on is durable before
    assert stored(store) == [SLOTS]
    writes = {
        "an evaluation": lambda: record(store, trial, 1),
        "the end of a segment": lambda: store.record_result(end(trial, Outcome.PAUSED, 1)),
        "a state": lambda: store.set_state(0, TrialState.WAITING),
        "a configuration": lambda: store.enqueue({"learning_rate": 1.0}),
        "the description": lambda: store.replace_description({}),
        "nothing else": store.flush,
        "a decision": lambda: store.apply(prune(store, trial)),
    }
    for count, write in enumerate(writes.values(), start=1):
        store.note(Entry(count, Happening.NOTED, words="something"))
        assert len(stored(store)) == count
        write()
        assert stored(store) == list(store.entries)


def test_nothing_is_written_where_there_is_nothing_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.note(SLOTS)
    store.flush()
    monkeypatch.setattr(store, "_write", None)  # whoever called it would fail
    store.flush()


def test_a_write_that_fails_takes_the_log_with_it(store: Store) -> None:
    """A decision is durable together with all that it rests on, or neither is."""
    store.note(SLOTS)
    trial = add_trial(store, 0)
    record(store, trial, 2)
    store.note(entry(trial, Happening.EVALUATED, 2), segment(trial, 0, 4))

    def refuse(_connection: object) -> None:
        raise KeyError("no room")

    with pytest.raises(KeyError):
        store._write("trying", refuse)
    assert stored(store) == [SLOTS]
    store.apply(prune(store, trial))
    assert stored(store) == list(store.entries)
    assert len(store.entries) == 2


def test_entries_that_a_kill_loses_leave_the_study_as_it_was_before_them(url: str) -> None:
    with new_store(url) as store:
        store.note(SLOTS)
        trial = add_trial(store, 0)
        store.note(begun(trial, 0, 4))
        record(store, trial, 2)
        store.note(entry(trial, Happening.EVALUATED, 1), segment(trial, 0, 4))
        record(store, trial, 3)
        durable = store.history
        for point in (2, 3):
            store.note(entry(trial, Happening.EVALUATED, point), segment(trial, 0, 4))
        assert store.history.point(trial.runs[0]) == 3
    with Store.open(url, "emotion") as store:  # nothing more was written
        assert store.history == durable
        assert store.recorded.point(trial.runs[0]) == 3
        store.acquire()
        for point in (2, 3):
            store.note(entry(trial, Happening.EVALUATED, point), segment(trial, 0, 4))
        store.flush()
        assert [each.point for each in stored(store)] == [0, 0, 1, 2, 3]


def test_whoever_reads_in_another_process_sees_only_what_was_decided_on(store: Store) -> None:
    store.note(SLOTS)
    trial = add_trial(store, 0)
    store.note(begun(trial, 0, 4))
    record(store, trial, 4)
    store.note(entry(trial, Happening.EVALUATED, 2), segment(trial, 0, 4))
    store.note(entry(trial, Happening.ENDED, 2), segment(trial, 0, 4))
    store.flush()
    code = (
        "import json, sys; from hpsearch.records.store import Store; store = Store.open(sys.argv[1], 'emotion'); "
        "history = store.history; key = history.trials[0].runs[0].key; "
        "ends = [[end.outcome.value, end.point] for end in history.results[key]]; "
        "print(json.dumps([len(history.of(key)), len(store.recorded.of(key)), ends, len(store.entries)]))"
    )
    with python_process(code, store.url.render_as_string(hide_password=False)) as process:
        out, _ = process.communicate()
    assert json.loads(out) == [2, 4, [["ok", 2]], 4]


def test_studies_of_one_database_have_their_own_logs(store: Store) -> None:
    with new_store(store.url.render_as_string(hide_password=False), "other") as other:
        other.note(SLOTS)
        other.flush()
        assert stored(store) == []
        assert stored(other) == [SLOTS]


def test_a_study_of_the_first_layout_is_read_without_the_table(store: Store) -> None:
    trial = add_trial(store, 0)
    record(store, trial, 3)
    with store._engine.begin() as connection:
        connection.execute(update(studies).values(layout=LAYOUT_WITH_ORDER - 1))
        order.drop(connection)
    with Store.open(store.url.render_as_string(hide_password=False), store.name) as earlier:
        assert list(earlier.entries) == []
        assert earlier.history is earlier.recorded
        assert earlier.history.point(trial.runs[0]) == 3


def test_a_study_of_the_first_layout_has_no_log_though_the_table_is_there(store: Store) -> None:
    """Another study of the same database may have made it."""
    with store._engine.begin() as connection:
        connection.execute(update(studies).values(layout=LAYOUT_WITH_ORDER - 1))
        connection.execute(insert(order).values(study=store.name, **row_of(SLOTS)))
        assert connection.execute(select(order.c.study)).scalars().all() == [store.name]
    assert stored(store) == []


def row_of(entry: Entry) -> dict[str, object]:
    from hpsearch.records.tables import entry_row

    return entry_row(entry)


# ---------------------------------------------------------------------- predictions of what was trained ahead


def kept(store: Store, trial: Trial) -> set[int]:
    run = trial.runs[0].key
    return {point for point in range(1, POINTS + 1) if store.predictions(run, point) is not None}


def test_what_was_never_decided_on_is_forgotten_when_its_trial_has_ended(store: Store) -> None:
    """How much that is depends on the speed of workers; an equal trial trains it again, predictions and all."""
    store.note(SLOTS)
    trial = add_trial(store, 7)
    record(store, trial, POINTS)
    store.note(entry(trial, Happening.EVALUATED, 2), segment(trial, 0, 4))
    store.apply(prune(store, trial))
    assert kept(store, trial) == {2}
    assert store.recorded.point(trial.runs[0]) == store.history.point(trial.runs[0]) == 2
    store.reload()
    assert store.recorded.point(trial.runs[0]) == 2


def test_it_stays_while_another_trial_needs_the_run(store: Store) -> None:
    store.note(SLOTS)
    trial, _equal = add_trial(store, 7), add_trial(store, 7)
    record(store, trial, POINTS)
    store.note(entry(trial, Happening.EVALUATED, 2), segment(trial, 0, 4))
    store.apply(prune(store, trial))
    assert kept(store, trial) == set(range(1, POINTS + 1))
    assert store.recorded.point(trial.runs[0]) == POINTS


def test_what_is_decided_on_to_its_last_point_is_trimmed(store: Store) -> None:
    store.note(SLOTS)
    trial = add_trial(store, 7)
    record(store, trial, 3)
    store.note(entry(trial, Happening.EVALUATED, 3), segment(trial, 0, 4))
    store.apply(prune(store, trial))
    assert kept(store, trial) == {3}


def test_a_history_shows_the_same_however_it_was_made() -> None:
    assert Histories(History()).history == History()
    assert Histories(History(), [SLOTS]).history == History()
