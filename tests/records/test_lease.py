"""The lease by compare-and-swap, on SQLite, by a clock that the tests set in a table; the one by file in processes."""

import contextlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from database_servers import Server
from records_samples import new_store, python_process, url_of
from sqlalchemy import Column, Double, Engine, MetaData, Table, create_engine, event, insert, select, update
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import OperationalError

from hpsearch.errors import LeaseHeldError, LeaseLostError, StoreError
from hpsearch.records import lease_holder, tables
from hpsearch.records.lease import FileLease, RowLease, server_clock
from hpsearch.records.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork")
clock = Table("clock", MetaData(), Column("seconds", Double))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(url_of(tmp_path))
    tables.metadata.create_all(engine)
    clock.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(clock).values(seconds=1000.0))
    yield engine
    engine.dispose()


def set_clock(engine: Engine, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(update(clock).values(seconds=seconds))


def row_lease(engine: Engine, study: str = "emotion", lifetime: float = 60.0) -> RowLease:
    return RowLease(engine, study, lifetime, clock=select(clock.c.seconds).scalar_subquery())


def write(engine: Engine, lease: RowLease | FileLease) -> None:
    with engine.begin() as connection:
        lease.fence(connection)


def expires(engine: Engine) -> float:
    with engine.connect() as connection:
        return float(connection.execute(select(tables.lease.c.expires)).scalar_one())


def test_a_row_lease_is_refused_until_it_expires_on_the_servers_clock(engine: Engine) -> None:
    one, other = row_lease(engine), row_lease(engine)
    one.acquire()
    set_clock(engine, 1059.9)
    with pytest.raises(LeaseHeldError, match=rf"'emotion' is being run by process {os.getpid()} on host .* since 20"):
        other.acquire()
    assert not other.held
    set_clock(engine, 1060.0)
    other.acquire()
    write(engine, other)
    with pytest.raises(LeaseLostError, match="taken over"):
        write(engine, one)
    assert not one.held
    with pytest.raises(LeaseLostError):
        one.renew()


def test_a_row_lease_is_renewed_when_a_third_of_it_is_over(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("hpsearch.records.lease.time.monotonic", lambda: now)
    lease = row_lease(engine)
    lease.acquire()
    assert expires(engine) == 1060.0
    set_clock(engine, 1030.0)
    now = 19.9
    lease.renew()
    assert expires(engine) == 1060.0
    now = 20.0
    lease.renew()
    assert expires(engine) == 1090.0


def test_a_lease_that_expired_and_that_nobody_took_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = row_lease(engine)
    lease.acquire()
    set_clock(engine, 5000.0)
    monkeypatch.setattr("hpsearch.records.lease.time.monotonic", lambda: math.inf)
    lease.renew()
    assert expires(engine) == 5060.0
    write(engine, lease)


def test_a_row_lease_is_renewed_while_its_holder_is_busy_and_no_longer(engine: Engine) -> None:
    """It loads a model, say, and does not come to renew anything."""
    lease = row_lease(engine, lifetime=0.3)
    lease.acquire()
    set_clock(engine, 2000.0)
    until(lambda: expires(engine) == 2000.3)
    thread = next(each for each in threading.enumerate() if each.name == "hpsearch-lease")
    lease.release()
    assert not thread.is_alive() and expires(engine) == 0.0


@pytest.mark.parametrize("how", ["it is taken over", "it is abandoned", "nobody knows of it any more"])
def test_a_row_lease_is_renewed_by_nobody_once(engine: Engine, how: str) -> None:
    lease, other = row_lease(engine, lifetime=0.3), row_lease(engine)
    lease.acquire()
    (thread,) = (each for each in threading.enumerate() if each.name == "hpsearch-lease")
    if how == "it is taken over":
        with engine.begin() as connection:
            connection.execute(update(tables.lease).values(token=tables.lease.c.token + 1))
    elif how == "it is abandoned":
        lease.abandon()
    else:
        del lease
    until(lambda: not thread.is_alive())
    set_clock(engine, 2000.0)
    other.acquire()
    other.release()


def test_an_abandoned_lease_is_not_renewed_by_a_thread_that_was_still_connecting(engine: Engine) -> None:
    """As one does whose server is away, and back a moment later."""
    connects, is_back = threading.Event(), threading.Event()
    lease = row_lease(engine, lifetime=0.3)
    lease.acquire()
    (thread,) = (each for each in threading.enumerate() if each.name == "hpsearch-lease")

    @event.listens_for(engine, "engine_connect")
    def wait(_connection: object) -> None:
        if threading.current_thread() is thread:
            connects.set()
            assert is_back.wait(60)

    assert connects.wait(60)
    lease.abandon()
    set_clock(engine, 2000.0)
    before = expires(engine)
    is_back.set()
    until(lambda: not thread.is_alive())
    assert expires(engine) == before < 2000.0


def test_a_lease_whose_commit_met_a_lock_is_not_held_and_may_be_taken_again(engine: Engine) -> None:
    row_lease(engine).acquire()  # makes the row
    set_clock(engine, 2000.0)
    impatient = create_engine(engine.url, connect_args={"timeout": 0.05})
    lease = row_lease(impatient)
    with contextlib.closing(sqlite3.connect(str(engine.url.database))) as reader:
        reader.execute("begin")
        reader.execute("select * from clock").fetchall()
        with pytest.raises(OperationalError, match="locked"):
            lease.acquire()
        assert not lease.held
        reader.rollback()
    lease.acquire()
    write(engine, lease)
    lease.release()
    impatient.dispose()


def test_a_lease_that_nobody_renews_is_not_held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    lease = row_lease(engine)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lease.acquire()
    assert not lease.held
    lease.release()


def test_who_was_quicker_is_named_and_not_who_is_gone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    row_lease(engine).acquire()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with engine.begin() as connection:
        owner = json.dumps({**json.loads(lease_holder.holder()), "process": gone.pid})
        connection.execute(update(tables.lease).values(owner=owner))
    one, quicker = row_lease(engine), row_lease(engine)

    def seen_by_both(owner: str) -> bool:
        monkeypatch.undo()
        quicker.acquire()
        return lease_holder.is_gone(owner)

    monkeypatch.setattr("hpsearch.records.lease.is_gone", seen_by_both)
    with pytest.raises(LeaseHeldError, match=f"process {os.getpid()} on host"):
        one.acquire()
    write(engine, quicker)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_row_lease_of_a_process_of_this_machine_that_has_ended_is_taken_over_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_store(server.url()).close()
    with python_process(OPEN, server.url()) as first, Store.open(server.url(), "emotion") as second:
        assert first.stdout and first.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeldError, match=rf"process {first.pid} on host .* lease ends in (60|5\d) s"):
            second.acquire()
        first.kill()
        while psutil.Process(first.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with monkeypatch.context() as patched:
            patched.setattr(lease_holder, "_namespace", lambda: "that of another machine, or of another container")
            with pytest.raises(LeaseHeldError, match="was killed, or its machine is gone"):
                second.acquire()
        second.acquire()
        assert second.held


def test_a_lease_given_back_is_free_at_once_and_the_old_token_is_worth_nothing(engine: Engine) -> None:
    one, other = row_lease(engine), row_lease(engine)
    one.acquire()
    one.release()
    with pytest.raises(LeaseLostError, match="does not hold"):
        write(engine, one)
    other.acquire()
    one.release()  # gives back nothing that is not its own
    write(engine, other)


def test_leases_of_two_studies_do_not_meet(engine: Engine) -> None:
    one, other = row_lease(engine), row_lease(engine, "other")
    one.acquire()
    other.acquire()
    write(engine, one)
    write(engine, other)


def test_tokens_only_grow(engine: Engine) -> None:
    tokens = []
    for _ in range(3):
        lease = row_lease(engine)
        lease.acquire()
        with engine.connect() as connection:
            tokens.append(connection.execute(select(tables.lease.c.token)).scalar_one())
        lease.release()
    assert tokens == [1, 2, 3]


def test_a_guarded_block_of_a_row_lease_keeps_others_out_until_it_ends(engine: Engine) -> None:
    lease = row_lease(engine)
    lease.acquire()
    impatient = create_engine(engine.url, connect_args={"timeout": 0.05})
    with lease.guard(), pytest.raises(Exception, match="locked"):
        RowLease(impatient, "emotion", 0.0).acquire()
    impatient.dispose()


def test_each_database_is_asked_for_its_own_clock() -> None:
    asked = [
        str(server_clock(dialect.name).compile(dialect=dialect)) for dialect in (postgresql.dialect(), mysql.dialect())
    ]
    assert asked == ["extract(epoch from clock_timestamp())", "unix_timestamp(now(6))"]


def test_the_clock_of_sqlite_is_the_time(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(server_clock("sqlite"))).scalar_one() == pytest.approx(time.time(), abs=5)


OPEN = """
import sys
from hpsearch.records.store import Store
store = Store.open(sys.argv[1], "emotion")
store.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@posix
def test_a_second_process_is_refused_while_the_first_lives_stopped_or_not(tmp_path: Path) -> None:
    new_store(url_of(tmp_path)).close()
    with python_process(OPEN, url_of(tmp_path)) as first, Store.open(url_of(tmp_path), "emotion") as second:
        assert first.stdout and first.stdout.readline() == "held\n"
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            with pytest.raises(LeaseHeldError, match=f"process {first.pid} on host .* since 20.*kill"):
                second.acquire()
            first.send_signal(sign)
        assert second.history.trials == {}  # reading needs no lease
        first.kill()
        first.wait()
        second.acquire()
        assert second.held


@posix
def test_a_forked_child_does_not_hold_its_parents_lease(tmp_path: Path) -> None:
    from records_samples import add_trial, killed_in_child

    with new_store(url_of(tmp_path)) as store:

        def refused() -> None:
            assert not store.held
            with pytest.raises(LeaseLostError):
                add_trial(store, 0)

        assert not killed_in_child(refused)
        add_trial(store, 0)


def test_two_studies_in_one_file_have_two_leases(tmp_path: Path) -> None:
    with new_store(url_of(tmp_path), "one") as one, new_store(url_of(tmp_path), "two") as two:
        assert one.held and two.held
        again = Store.open(url_of(tmp_path), "one")
        with pytest.raises(LeaseHeldError):
            again.acquire()
        again.close()


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (Path.unlink, "deleted, renamed or replaced while the study ran, so nothing more can be kept"),
        (lambda file: file.rename(file.with_name("elsewhere.db")), "deleted, renamed or replaced"),
        (lambda file: os.truncate(file, 0), "Its tables are gone: the file was emptied"),
    ],
    ids=["deleted", "renamed", "emptied"],
)
def test_a_lease_is_not_given_back_to_a_database_that_is_gone(
    tmp_path: Path, attack: Callable[[Path], object], told: str
) -> None:
    store = new_store(url_of(tmp_path))
    file = Path(str(store.url.database))
    attack(file)
    with pytest.raises(StoreError, match=told):
        store.release()
    assert not file.exists() or not file.stat().st_size  # none was made in its place
    store.close()
