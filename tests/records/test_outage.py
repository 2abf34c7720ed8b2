"""Real servers that stop, are started again, lose connections and answers, and locks that others hold."""

import contextlib
import random
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from cut_connections import Line
from database_servers import Server
from records_samples import (
    add_trial,
    complete,
    config_of,
    evaluation_of,
    everything,
    new_store,
    prune,
    python_process,
    train,
    url_of,
)
from sqlalchemy import Connection, create_engine, text

from hpsearch.errors import LeaseHeldError, LeaseLostError, StoreError, UsageError
from hpsearch.records import TrialState, database, outage, silence
from hpsearch.records.outage import patience_seconds
from hpsearch.records.store import Store


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment for locks and between attempts, not seconds."""
    monkeypatch.setattr(outage, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.3)
    monkeypatch.setenv("HPSEARCH_DATABASE_WAIT", "30")


def exact(column: Any) -> Any:
    """Have a reflected double be read with all its digits, not as a decimal number of ten places."""
    return sqlalchemy.type_coerce(column, sqlalchemy.Double()) if getattr(column.type, "asdecimal", False) else column


def rows(url: str) -> dict[str, list[Any]]:
    """Return what is in all tables of a database but times, tokens and Optuna's own keys."""
    engine = create_engine(url)
    found = sqlalchemy.MetaData()
    found.reflect(engine)
    content = {}
    with engine.connect() as connection:
        for table in found.sorted_tables:
            if table.name == "hpsearch_lease":
                continue
            columns = [column for column in table.columns if not re.search(r"time|created|_id$|^id$", column.name)]
            content[table.name] = sorted(
                repr(tuple(row)) for row in connection.execute(sqlalchemy.select(*map(exact, columns)))
            )
    engine.dispose()
    return content


def live(store: Store) -> None:
    """Write everything that a study writes."""
    store.enqueue(config_of(7))
    trials = [add_trial(store, index) for index in range(3)]
    train(store, trials[0], points=4, folds=3)
    store.apply(complete(store, trials[0]))
    train(store, trials[1], points=2, folds=1)
    store.set_state(1, TrialState.WAITING)
    store.set_state(1, TrialState.RUNNING)
    store.apply(prune(store, trials[1]))
    store.replace_description({"metric": "f1_macro", "said": "anew"})
    store.set_state(2, TrialState.WAITING)


@pytest.fixture
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, list[Any]]]:
    url = url_of(tmp_path_factory.mktemp("undisturbed"))
    with new_store(url) as store:
        live(store)
        return everything(store), rows(url)


def with_port(url: str, port: int) -> str:
    return sqlalchemy.make_url(url).set(port=port).render_as_string(hide_password=False)


CUTS = [
    pytest.param(seed, cut, marks=[pytest.mark.extended] if seed or cut == "before" else [])
    for seed in range(6)
    for cut in ("before", "after")
]


@pytest.mark.parametrize(("seed", "cut"), CUTS)
def test_what_is_written_is_there_once_whichever_commit_loses_its_answer(
    server: Server, hurry: None, undisturbed: Any, seed: int, cut: str
) -> None:
    draws = random.Random(seed)
    url = server.url()
    Store.create(url, "emotion", {"metric": "f1_macro"}).close()
    line = Line(server.port, lambda commit: cut if commit >= 8 and draws.random() < 0.3 else None)
    store = Store.open(with_port(url, line.port), "emotion")
    try:
        store.acquire()
        live(store)
        assert everything(store) == undisturbed[0]
        store.close()
    finally:
        line.close()
    assert len(line.done) > 10
    with Store.open(url, "emotion") as again:
        assert everything(again) == undisturbed[0]
        assert not store.mismatches
    there = {name: content for name, content in rows(url).items() if name in undisturbed[1]}
    assert there == undisturbed[1]


def test_a_server_that_is_stopped_and_started_is_waited_for(
    server: Server, hurry: None, undisturbed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with new_store(server.url()) as store:
        stopped, back = threading.Event(), threading.Event()

        def restart() -> None:
            for seconds in (0.2, 0.3, 0.5):
                server.stop()
                stopped.set()
                time.sleep(seconds)
                server.start()
                time.sleep(seconds)
            back.set()

        thread = threading.Thread(target=restart)
        thread.start()
        assert stopped.wait(30)
        live(store)
        while not back.is_set():
            store.renew()
            store.queued()
            time.sleep(0.05)
        thread.join()
        store.reload()
        assert everything(store) == undisturbed[0]
    words = caplog.text
    assert (
        "does not answer" in words
        and "Waiting for it, up to 30 s (HPSEARCH_DATABASE_WAIT)" in words
        and "is back after" in words
    )
    assert "p@ss" not in words and "p%40ss" not in words


def test_a_server_that_is_frozen_counts_as_away_and_is_waited_for(
    server: Server, hurry: None, undisturbed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connections stay open, so that only their silence says it."""
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 1)
    with new_store(server.url()) as store:
        server.freeze()
        thaw = threading.Timer(4.0, server.thaw)
        thaw.start()
        began = time.monotonic()
        live(store)
        thaw.join()
        assert time.monotonic() - began > 3.5
        assert everything(store) == undisturbed[0]
    assert "does not answer" in caplog.text and "is back after" in caplog.text


@pytest.mark.extended
def test_the_wait_for_a_frozen_server_ends_at_its_limit(
    server: Server, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 1)
    monkeypatch.setenv("HPSEARCH_DATABASE_WAIT", "2")
    store = new_store(server.url())
    server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot be reached.*waited for \d s \(HPSEARCH_DATABASE_WAIT sets"):
            add_trial(store, 0)
        with pytest.raises(StoreError, match="cannot be reached"):
            Store.open(server.url(), "emotion")
        store.close()
        assert time.monotonic() - began < 15
    finally:
        server.thaw()


def test_connections_that_are_ended_by_the_server_are_made_again(server: Server, hurry: None, undisturbed: Any) -> None:
    ends = {
        "PostgreSQL": "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'studies'",
        "MariaDB": "select id from information_schema.processlist where db = 'studies'",
    }[server.kind]
    is_over, kills = threading.Event(), []

    def kill() -> None:
        while not is_over.wait(0.7):
            kills.append(time.monotonic())
            for (session,) in server.statements(ends, database=server.own_database):
                if server.kind == "MariaDB":
                    with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # it has ended by itself
                        server.statements(f"kill {session}", database=server.own_database)

    with new_store(server.url()) as store:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            live(store)
            while len(kills) < 3:
                store.renew()
                store.queued()
                time.sleep(0.05)
        finally:
            is_over.set()
            killer.join()
        store.reload()
        assert everything(store) == undisturbed[0]


def test_after_an_outage_a_coordinator_without_its_lease_ends_with_a_clear_word(server: Server, hurry: None) -> None:
    with new_store(server.url()) as store:
        add_trial(store, 0)
        server.stop()
        server.start()
        store.renew()
        add_trial(store, 1)  # nobody took the lease meanwhile
        server.stop()
        server.start()
        server.statements("update hpsearch_lease set expires = 0")
        with Store.open(server.url(), "emotion") as other:
            other.acquire()
            with pytest.raises(LeaseLostError, match="taken over by another coordinator"):
                add_trial(store, 2)
            assert not store.held
            assert len(other.reload().trials) == 2
            add_trial(other, 2)


def test_the_wait_ends_at_its_limit_and_the_lease_with_it(
    server: Server, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_DATABASE_WAIT", "1.5")
    store = new_store(server.url())
    server.stop()
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot be reached.*waited for [12] s.*resume the study") as caught:
        add_trial(store, 0)
    assert 1 < time.monotonic() - began < 10
    assert "ss@" not in str(caught.value) and "hp:***@127.0.0.1" in str(caught.value)
    assert not store.held
    store.close()  # does not wait again


@pytest.mark.parametrize("wait", ["soon", "5m", "nan", "inf", "-1"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, wait: str) -> None:
    monkeypatch.setenv("HPSEARCH_DATABASE_WAIT", wait)
    with pytest.raises(UsageError, match=f"HPSEARCH_DATABASE_WAIT='{wait}' is not a number of seconds"):
        patience_seconds()


def test_whoever_only_reads_does_not_wait_for_a_server(server: Server) -> None:
    new_store(server.url()).close()
    reader = Store.open(server.url(), "emotion")
    server.stop()
    began = time.monotonic()
    for read in (reader.reload, lambda: Store.names(server.url()), lambda: Store.open(server.url(), "emotion")):
        with pytest.raises(StoreError, match=r"cannot be reached for .*Check that its server runs") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 10
    reader.close()


@contextlib.contextmanager
def stuck(server: Server, statement: str) -> Iterator[Connection]:
    engine = create_engine(server.url())
    with engine.connect() as connection:
        connection.execute(text(statement))
        yield connection
    engine.dispose()


LOCKS = {
    "its lease": "select * from hpsearch_lease for update",
    "Optuna's study": "select * from studies for update",
}


def test_a_lease_that_a_stuck_transaction_locks_is_waited_for_with_word_of_whose_it_is(
    server: Server, hurry: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hpsearch.records.leased_study.LOCK_SECONDS", 1.5)
    new_store(server.url()).close()
    with Store.open(server.url(), "emotion") as store:
        with stuck(server, LOCKS["its lease"]) as connection:
            query = {"PostgreSQL": "select pg_backend_pid()", "MariaDB": "select connection_id()"}[server.kind]
            session = connection.execute(text(query)).scalar_one()
            began = time.monotonic()
            with pytest.raises(LeaseHeldError) as caught:
                store.acquire()
            assert 1 < time.monotonic() - began < 6
        said = rf"is locked by session {session} \(user hp, from 127\.0\.0\.1.*since 20.*{session}.*ends it\)"
        assert re.search(said, str(caught.value)) and re.search(said, caplog.text)
        assert "Waiting for it, up to 2 s" in caplog.text
        store.acquire()


@pytest.mark.parametrize("what", LOCKS)
def test_a_running_study_waits_for_a_lock_and_goes_on(
    server: Server, hurry: None, undisturbed: Any, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with new_store(server.url()) as store:
        with stuck(server, LOCKS[what]):
            thread = threading.Thread(target=live, args=(store,))
            thread.start()
            thread.join(1.5)
            assert thread.is_alive()
        thread.join(30)
        assert not thread.is_alive()
        assert everything(store) == undisturbed[0]
    assert "is locked by session" in caplog.text


HOLDS_FILE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_process_locks_is_waited_for_with_word_of_whose_it_is(
    tmp_path: Path, hurry: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hpsearch.records.leased_study.LOCK_SECONDS", 1.0)
    new_store(url_of(tmp_path)).close()
    with (
        Store.open(url_of(tmp_path), "emotion") as store,
        python_process(HOLDS_FILE, str(tmp_path / "study.db")) as other,
    ):
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeldError, match=r"database is locked by (process|another process)") as caught:
            store.acquire()
        if sys.platform == "linux":
            assert f"process {other.pid} (" in str(caught.value) and f"process {other.pid} (" in caplog.text
        other.kill()
        other.wait()
        store.acquire()


@pytest.mark.parametrize("moment", ["making", "running"])
def test_a_file_that_is_locked_for_a_while_delays_a_study(tmp_path: Path, hurry: None, moment: str) -> None:
    new_store(url_of(tmp_path), "first").close()
    store = new_store(url_of(tmp_path)) if moment == "running" else None
    connection = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
    connection.execute("begin immediate")
    threading.Timer(1.0, lambda: connection.execute("rollback")).start()
    began = time.monotonic()
    if store is None:
        store = new_store(url_of(tmp_path))
    else:
        store.record_evaluation(evaluation_of(add_trial(store, 0).runs[0].key, 1))
    assert time.monotonic() - began > 0.7
    assert store.reload().trials.keys() == ({0} if moment == "running" else set())
    store.close()
    connection.close()
