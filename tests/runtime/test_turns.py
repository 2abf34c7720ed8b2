"""Processes on one machine take turns: a segment at a time, in the order of their coming, whatever becomes of them."""

import contextlib
import itertools
import logging
import os
import signal
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from orders import run_of
from records_samples import python_process
from study_processes import Launcher, until
from toy_studies import known_of, toy_study

from hpsearch.errors import TaskError
from hpsearch.records import Outcome, Segment, SegmentResult, Slot
from hpsearch.records.file_lock import FileLock
from hpsearch.runtime import turns
from hpsearch.runtime.messages import Ended, Probe, Refused
from hpsearch.runtime.pools import in_turn
from hpsearch.runtime.pools.base import TimeIsUpError
from hpsearch.runtime.turns import Turns, device_names, turns_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are told apart on Linux only")

CPU = Slot(0, ("cpu",))


def cpu_slots(count: int) -> list[Slot]:
    return [Slot(index, ("cpu",)) for index in range(count)]


class Process:
    """Another process, as far as turns know: it holds nothing that this one holds. One pool, of some slots."""

    def __init__(self, folder: Path, name: str, slots: list[Slot] | None = None) -> None:
        self._process = turns._Process()
        self.slots = slots or [CPU]
        self.turns = Turns(f"process {os.getpid()} (study {name!r})", folder)
        self.used: set[int] = set()

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        before, turns._process = turns._process, self._process
        try:
            yield
        finally:
            turns._process = before

    def take(self, wants: bool = True) -> int:
        """Take what can be had, and return how many slots got a device."""
        with self._current():
            idle = [slot for slot in self.slots if slot.index not in self.used]
            taken = self.turns.take(idle, self.slots, lambda: wants)
            self.used |= {slot.index for slot in taken}
        return len(taken)

    def end(self, *indexes: int) -> Sequence[int]:
        """End the segments of some slots, by default of all; return those whose devices others wait for."""
        self.used -= set(indexes) or self.used
        with self._current():
            return self.turns.keep(self.used)

    def close(self) -> None:
        with self._current():
            self.turns.close()


@pytest.fixture
def one_core(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.parametrize(
    ("device", "visible", "names"),
    [
        ("cpu", "", ("cpu-2", "cpu-3")),
        ("mps", "", ("mps",)),
        ("cuda:1", "", ("cuda-1",)),
        ("cuda:1", "2,5", ("cuda-5",)),
        ("cuda:0", "GPU-8a2b, GPU-11", ("cuda-GPU-8a2b",)),
        ("cuda", "3", ("cuda-3",)),
    ],
)
def test_a_device_has_one_name_for_all_processes(device, visible, names):
    assert device_names(Slot(0, (device,)), {"CUDA_VISIBLE_DEVICES": visible}, [2, 3]) == names


def test_two_processes_on_two_cores_hold_two_devices_between_them(tmp_path, two_cores):
    one, other = (Process(tmp_path, name, cpu_slots(2)) for name in ("one", "other"))
    assert (one.take(), other.take()) == (2, 0)
    assert one.end(0) == [0]
    assert one.take() == 0  # the other one was first
    assert other.take() == 1
    other.end()
    assert (other.take(), one.take(), other.take()) == (0, 1, 0)
    one.end()
    assert (one.take(), other.take(), one.take()) == (0, 1, 1)
    one.close()
    assert other.take() == 1
    assert other.end() == []


def test_a_worker_rests_where_another_process_waits_for_its_device(tmp_path, one_core, monkeypatch):
    class Resting:
        def __init__(self):
            self.given, self.rested = [], []

        def slots(self):
            return [CPU]

        def idle(self):
            return [] if self.given else [CPU]

        def training(self):
            return [(CPU, order) for order in self.given]

        def completed(self, timeout):
            self.given.clear()
            return iter([ended])

        def rest(self, slot):
            self.rested.append(slot)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = run_of("any")
    ended = Ended("mine", SegmentResult(Segment(run, 0, 1), Outcome.OK, 1))
    inner = Resting()
    pool = in_turn.PoolInTurn(inner, ["mine"], lambda: True)
    for others_wait in (False, True):
        stranger = Process(turns_folder(), "theirs")
        assert pool.idle() == [CPU]
        inner.given.append("an order")
        assert stranger.take(wants=others_wait) == 0
        events = pool.completed(0.1)
        assert next(events) is ended
        assert inner.rested == ([CPU] if others_wait else [])
        stranger.close()


def test_what_fits_is_looked_for_in_a_turn(tmp_path, one_core, monkeypatch):
    class Probing:
        deadline = None

        def slots(self):
            return [CPU]

        def idle(self):
            return [CPU]

        def training(self):
            return []

        def busy(self):
            stranger.end()  # it has trained enough
            return False

        def probe(self, order, slot=None):
            answers.append((slot, stranger.take()))
            return answers[-1] if slot is None or len(answers) > 2 else None  # else no worker is left there

        def rest(self, slot):
            pass

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answers = []
    pool = in_turn.PoolInTurn(Probing(), ["mine"], lambda: False)
    stranger = Process(turns_folder(), "theirs")
    assert stranger.take() == 1
    assert pool.probe(Probe("mine", {})) == (None, 0)  # no memory is looked at
    assert pool.probe(Probe("mine", {}, 8)) == (CPU, 0)  # the device was its own meanwhile
    assert len(answers) == 3
    pool._keep_used()
    assert stranger.take() == 1
    pool.deadline = 0.0
    with pytest.raises(TimeIsUpError, match="before a device was free"):
        pool.probe(Probe("mine", {}, 8))
    stranger.close()


def test_what_a_worker_refuses_as_a_turn_is_waited_for_is_not_lost(tmp_path, one_core, monkeypatch):
    class Refusing:
        deadline = None

        def slots(self):
            return [CPU]

        def idle(self):
            return [CPU]

        def training(self):
            return []

        def busy(self):
            return True

        def completed(self, timeout):
            stranger.end()
            yield Refused("another", TaskError("the model's folder is gone"))

        def probe(self, order, slot=None):
            return slot

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stranger = Process(turns_folder(), "theirs")
    assert stranger.take() == 1
    with pytest.raises(TaskError, match="the model's folder is gone"):
        in_turn.PoolInTurn(Refusing(), ["another", "mine"], lambda: False).probe(Probe("mine", {}, 8))
    stranger.close()


def test_three_take_turns_in_the_order_of_their_coming(tmp_path, one_core):
    processes = {name: Process(tmp_path, name) for name in "abc"}
    turn: list[str] = []
    for _ in range(30):
        turn.extend(name for name in "cab" if processes[name].take())  # whoever asks first
        processes[turn[-1]].end()
    assert Counter(turn).most_common()[0][1] - Counter(turn).most_common()[-1][1] <= 1
    assert all(one != next_ for one, next_ in itertools.pairwise(turn[1:]))


def test_who_waits_says_for_whom_and_who_wants_nothing_waits_for_nobody(tmp_path, one_core):
    one, other, third = (Process(tmp_path, name) for name in ("one", "other", "third"))
    one.take()
    assert (other.take(), third.take(wants=False)) == (0, 0)
    assert other.turns.waits_for == f"process {os.getpid()} (study 'one') on cpu-0"
    assert (third.turns.waits_for, third.turns.is_waiting) == (None, False)
    one.end()
    assert (third.take(), third.turns.waits_for) == (0, "other processes that were first in line")
    assert (other.take(), other.turns.waits_for) == (1, None)
    third.close()
    other.end()
    assert other.take() == 1
    other.close()
    assert [path.name for path in tmp_path.iterdir()] == ["cpu-0.lock"]


def test_who_is_busy_elsewhere_is_passed_over_until_it_asks_again(tmp_path, one_core):
    one, other, third = (Process(tmp_path, name) for name in ("one", "other", "third"))
    assert (one.take(), other.take(), third.take()) == (1, 0, 0)
    one.end()
    (ticket,) = (lock.path for lock in other.turns._line.values())
    os.utime(ticket, (1.0, 1.0))
    assert third.take() == 1
    assert (other.take(), one.take()) == (0, 0)
    third.end()
    assert (third.take(), one.take(), other.take()) == (0, 0, 1)


def test_a_process_does_not_wait_for_itself(tmp_path, two_cores):
    outer, inner = Process(tmp_path, "outer", cpu_slots(2)), Process(tmp_path, "inner")
    stranger = Process(tmp_path, "stranger")
    inner._process = outer._process  # a study that is run within a callback of another one
    assert outer.take() == 2
    assert stranger.take() == 0
    assert inner.take() == 1
    inner.end()
    outer.end()
    assert (outer.take(), stranger.take(), outer.take()) == (0, 1, 1)


def test_more_workers_than_cores_share_them(tmp_path, two_cores):
    one, other = Process(tmp_path, "one", cpu_slots(4)), Process(tmp_path, "other")
    assert one.take() == 4
    assert other.take() == 0
    one.end(0)
    assert (one.take(), other.take()) == (0, 0)  # two others hold that core or the next
    one.end(1, 2)
    assert other.take() == 1


def test_trials_that_share_a_gpu_leave_it_together_to_who_waits(tmp_path):
    slots = [Slot(index, ("cuda:0",)) for index in range(2)]
    one, other = Process(tmp_path, "one", slots), Process(tmp_path, "other", slots)
    assert one.take() == 2
    one.end(0)
    assert one.take() == 1
    assert other.take() == 0
    one.end(0)
    assert (one.take(), other.take()) == (0, 0)
    one.end()
    assert (one.take(), other.take()) == (0, 2)


HOLD = """
import os, sys, time
from pathlib import Path
from hpsearch.records import Slot
from hpsearch.runtime.turns import Turns
os.sched_setaffinity(0, {int(sys.argv[2])})
turns = Turns(f"process {os.getpid()} (study 'held')", Path(sys.argv[1]))
said = False
while True:
    taken = turns.take([Slot(0, ("cpu",))], [Slot(0, ("cpu",))], lambda: True)
    if not said:
        print("has it" if taken else "waits", flush=True)
    said = True
    time.sleep(0.05)
"""


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[int]:
    with python_process(HOLD, str(folder), str(min(os.sched_getaffinity(0)))) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("has it", "waits")
        yield process.pid
        process.kill()


def test_what_a_killed_or_stopped_process_holds_is_free(tmp_path, monkeypatch):
    core = min(os.sched_getaffinity(0))
    with holding(tmp_path) as holder, holding(tmp_path) as waiter:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {core})
        me = Process(tmp_path, "mine")
        assert me.take() == 0
        assert me.turns.waits_for == f"process {holder} (study 'held') on cpu-{core}"
        os.kill(holder, signal.SIGSTOP)
        assert me.take() == 0  # the other one stands in line before
        os.kill(waiter, signal.SIGSTOP)
        until(lambda: me.take() == 1, 10)
        me.end()
        for process in (holder, waiter):
            os.kill(process, signal.SIGCONT)
        until(lambda: not me.take(), 10)
        os.kill(waiter, signal.SIGKILL)
        os.kill(holder, signal.SIGKILL)
        until(lambda: me.take() == 1, 10)
        me.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_of_others_is_not_used(tmp_path, one_core, caplog):
    target, link, open_to_all = tmp_path / "target", tmp_path / "link", tmp_path / "open"
    target.mkdir()
    link.symlink_to(target)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for place in (link, open_to_all, tmp_path / "not" / "there"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "hpsearch"):
            one, other = Process(place, "one"), Process(place, "other")
            assert (one.take(), other.take()) == (1, 1)
        assert str(place) in caplog.text
        assert "takes no turns with other processes" in caplog.text
    assert not list(target.iterdir())


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path, one_core, caplog):
    folder, target = tmp_path / "turns", tmp_path / "target"
    target.write_text("mine")
    folder.mkdir(mode=0o700)
    (folder / "cpu-0.lock").symlink_to(target)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        one = Process(folder, "one")
        assert one.take() == 1
    assert target.read_text() == "mine"
    assert "takes no turns with other processes" in caplog.text


def test_the_folder_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Turns("process 1 (study 'a')")
    assert turns_folder().parent == tmp_path
    assert stat.S_IMODE(turns_folder().stat().st_mode) == 0o700


# ---------------------------------------------------------------- studies


def test_a_study_within_a_callback_of_another_waits_for_nobody(tmp_path, one_core):
    def run_another(study, trial):
        inner = toy_study(tmp_path / f"inner-{trial.number}")
        ended.append(len(inner.run(trials=1, devices="inline", progress=False).history.finished()))

    ended: list[int] = []
    toy_study(tmp_path, callbacks=[run_another]).run(trials=2, devices="inline", progress=False)
    assert ended == [1, 1]


def test_a_study_that_waits_says_so_and_trains_once_it_may(tmp_path, one_core, caplog, monkeypatch):
    def go(*_: object) -> None:
        stranger.release()

    monkeypatch.setattr(in_turn, "PATIENCE_SECONDS", 0.0)
    Turns("process 1 (study 'a')")
    stranger = FileLock(turns_folder() / "cpu-0.lock")
    assert stranger.acquire("process 1 (study 'theirs')")
    monkeypatch.setattr("time.sleep", go)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        toy_study(tmp_path).run(trials=1, devices="inline", progress=False)
    assert "Waiting for process 1 (study 'theirs') on cpu-0: studies on one machine take turns" in caplog.text


def segments(folder: Path) -> list[tuple[float, float]]:
    """Return when each segment began and ended, as the study's records tell."""
    connection = sqlite3.connect(folder / "toy" / "study.db")
    ends = dict(connection.execute("select run, time from hpsearch_results where outcome = 'ok'"))
    seconds = dict(connection.execute("select run, sum(seconds) from hpsearch_evaluations group by run"))
    connection.close()
    return sorted((end - seconds[run], end) for run, end in ends.items())


def test_two_processes_on_one_core_never_train_at_once_and_alternate(launcher: Launcher, tmp_path: Path) -> None:
    core, trials = min(os.sched_getaffinity(0)), 5
    started = [
        launcher.launch("run_on_core", folder=str(tmp_path / name), core=core, pause=0.05, trials=trials)
        for name in "ab"
    ]
    for process in started:
        assert process.wait() == 0, process.text()
    spans = sorted((*span, name) for name in "ab" for span in segments(tmp_path / name))
    assert len(spans) == 2 * 3 * trials
    for (_, end, _), (begin, _, _) in itertools.pairwise(spans):
        assert end <= begin
    both = [name for begin, _, name in spans if begin < min(segments(tmp_path / each)[-1][1] for each in "ab")]
    first = next(index for index, name in enumerate(both) if name != both[0])
    assert all(one != other for one, other in itertools.pairwise(both[first - 1 :]))
    assert known_of(tmp_path / "a") == known_of(tmp_path / "b")
