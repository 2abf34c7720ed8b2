"""Several studies on one pool: each is what it is alone, whatever happens to the others."""

import contextlib
import io
import logging
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from orders import measured, order_of, run_of, train, workload
from study_processes import Launcher, until
from toy_studies import count_evaluations, known_of, table, three_studies, toy_study

import hpsearch as hp
from hpsearch.errors import StudyFailedError, TaskError, UsageError
from hpsearch.records import Slot, TrialState
from hpsearch.runtime.messages import Ended, Refused
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.runtime.pools.local import LocalPool
from hpsearch.runtime.several_runs import _train_on
from hpsearch.runtime.sharing import Shares
from hpsearch.runtime.worker import Worker
from hpsearch.training.numerics import Numerics

TRIALS = (4, 6, 6)


def run(studies: Sequence[hp.Study], trials: Any = TRIALS, **more: Any) -> list[hp.Result]:
    return hp.run(studies, trials, **{"devices": "inline", "progress": False, **more})


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the three studies, each run alone."""
    folder = tmp_path_factory.mktemp("alone")
    for study, trials in zip(three_studies(folder), TRIALS, strict=True):
        study.run(trials=trials, devices="inline", progress=False)
    return folder


def compare(folder: Path, alone: Path) -> None:
    for name in "abc":
        assert table(folder / name).equals(table(alone / name))
        found, expected = known_of(folder / name), known_of(alone / name)
        assert found == expected


@pytest.mark.parametrize("devices", ["inline", 2])
def test_three_studies_together_are_bitwise_what_each_is_alone(tmp_path, alone, devices):
    results = run(three_studies(tmp_path), devices=devices)
    assert [result.plan.folder.parent.name for result in results] == ["a", "b", "c"]
    assert [len(result.history.trials) for result in results] == list(TRIALS)
    compare(tmp_path, alone)


class Losing:
    """A study that has nothing to train on a slot, or loses it as it looks; its own coordinator and pool."""

    def __init__(self, slots: list[Slot], *, loses: bool) -> None:
        self.places, self.loses, self.asked = slots, loses, 0
        self.coordinator = self.pool = self

    def slots(self) -> Sequence[Slot]:
        return self.places

    def longest_left(self) -> None:
        return None

    def train_on(self, slot: Slot) -> bool:
        self.asked += 1
        if self.loses:
            self.places.remove(slot)
        return False


@pytest.mark.parametrize("loses", [True, False])
def test_a_slot_that_is_lost_as_one_study_looks_at_it_is_offered_to_no_other(loses: bool) -> None:
    slot, slots = Slot(0, ("cuda:0",)), [Slot(0, ("cuda:0",)), Slot(1, ("cuda:1",))]
    members: Any = {name: Losing(slots, loses=loses) for name in "ab"}
    assert not _train_on(slot, members, Shares({"a": 1.0, "b": 1.0}), 0.0)
    assert [members[name].asked for name in "ab"] == [1, 0 if loses else 1]


def test_a_failing_study_ends_alone_and_its_error_comes_last(tmp_path, alone, caplog):
    studies = three_studies(tmp_path)
    broken = toy_study(tmp_path / "broken", {"trouble": "raise"})
    with caplog.at_level(logging.WARNING, "hpsearch"), pytest.raises(StudyFailedError, match="the toy is broken"):
        run([studies[0], broken, *studies[1:]], [4, 6, 6, 6])
    assert "broken/toy' has ended, and the others continue: The first 3 trials" in caplog.text
    assert [trial.state for trial in broken.result.history.trials.values()] == [TrialState.FAIL] * 3
    compare(tmp_path, alone)


def test_a_study_that_a_worker_refuses_ends_alone_and_goes_on_later(tmp_path, alone, monkeypatch, caplog):
    """A worker that replaces a lost one may find that the study's model is gone, for instance."""

    def completed(pool, timeout):
        for event in real(pool, timeout):
            yield event
            if isinstance(event, Ended) and event.study.endswith("b/toy") and not refused:
                refused.append(event.study)
                yield Refused(event.study, TaskError("the model's folder is gone"))

    refused: list[str] = []
    real = InlinePool.completed
    monkeypatch.setattr(InlinePool, "completed", completed)
    with caplog.at_level(logging.WARNING, "hpsearch"), pytest.raises(TaskError, match="the model's folder is gone"):
        run(three_studies(tmp_path))
    assert "b/toy' has ended, and the others continue: the model's folder is gone" in caplog.text
    for name in "ac":
        assert known_of(tmp_path / name) == known_of(alone / name)
    run(three_studies(tmp_path))
    compare(tmp_path, alone)


def test_a_study_that_stops_itself_stops_alone_and_goes_on_later(tmp_path, alone):
    studies = three_studies(tmp_path)
    studies[1].callbacks = (lambda study, trial: study.stop(),)
    results = run(studies)
    ended = [len(result.history.finished()) for result in results]
    assert (ended[0], ended[2]) == (TRIALS[0], TRIALS[2])
    assert 1 <= ended[1] < TRIALS[1]
    assert not studies[1].was_interrupted
    studies[1].callbacks = ()
    run(studies)
    compare(tmp_path, alone)


def test_each_callback_hears_its_own_study_and_its_end_when_that_has_come(tmp_path):
    class Ear:
        def __call__(self, study, trial):
            heard.append((study.folder.parent.name, trial.number))

        def on_end(self, study):
            heard.append((study.folder.parent.name, "end"))

    heard: list[tuple[str, Any]] = []
    studies = three_studies(tmp_path)
    for study in studies:
        study.callbacks = (Ear(),)
    run(studies, [1, 2, 3])
    for index, name in enumerate("abc"):
        mine = [what for who, what in heard if who == name]
        assert sorted(mine[:-1]) == list(range(index + 1))
        assert mine[-1] == "end"
    assert heard.index(("a", "end")) < heard.index(("c", 2))


def test_a_study_that_is_being_run_is_not_run_a_second_time(tmp_path):
    def again(study, trial):
        for call in (lambda: study.run(trials=1), lambda: hp.run([study], 1)):
            with pytest.raises(UsageError, match="'toy' is being run already, by this process"):
                call()
            refused.append(trial.number)

    refused: list[int] = []
    run([toy_study(tmp_path, callbacks=[again])], 1)
    assert refused == [0, 0]


def test_time_that_is_up_pauses_all(tmp_path):
    studies = [toy_study(tmp_path / name, {"pause": 0.05}, sampler="random") for name in "xy"]
    for timeout in (1.0, 2.0, 4.0, 8.0, 16.0):
        results = run(studies, None, timeout=timeout)
        if all(result.history.trials for result in results):  # else a slow machine had not begun to train by then
            break
    for result in results:
        assert result.history.trials
        assert {trial.state for trial in result.history.unfinished()} <= {TrialState.WAITING}


@pytest.mark.slow
@pytest.mark.long
def test_slots_are_used_by_weight(tmp_path, monkeypatch):
    def submit(pool, slot, order):
        began[order.study, order.segment.run.key] = time.monotonic()
        real_submit(pool, slot, order)

    def completed(pool, timeout):
        for event in real_completed(pool, timeout):
            if isinstance(event, Ended):
                seconds[event.study] += time.monotonic() - began.pop((event.study, event.result.segment.run.key))
            yield event

    def stop_all(*_: object) -> None:
        if len(ended) >= 30:
            for study in studies:
                study.stop()
        ended.append(1)

    ended: list[int] = []
    began: dict[tuple[str, str], float] = {}
    seconds: Counter[str] = Counter()
    real_submit, real_completed = LocalPool.submit, LocalPool.completed
    monkeypatch.setattr(LocalPool, "submit", submit)
    monkeypatch.setattr(LocalPool, "completed", completed)
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True), batch_size=8, epochs=1)
    studies = [
        toy_study(tmp_path / name, {"pause": 0.05}, space=space, sampler="random", callbacks=[stop_all])
        for name in "abc"
    ]  # fmt: skip
    results = run(studies, 100, devices=2, weights=[1, 1, 2])
    for result, weight in zip(results, (1, 1, 2), strict=True):
        fair = sum(seconds.values()) * weight / 4
        assert abs(seconds[str(result.plan.folder)] - fair) < 0.1 * fair, seconds


def test_plain_lines_name_each_study(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    run([toy_study(tmp_path / name) for name in "ab"], 2, progress="plain")
    lines = [line for line in stream.getvalue().splitlines() if ": trial " in line]
    assert sorted(line.split(": ")[0].split("/")[-2] for line in lines) == ["a", "a", "b", "b"]


# ---------------------------------------------------------------- numerics


def test_studies_of_other_numerics_share_a_worker_bitwise(tmp_path):
    def numerics_of(**change: Any) -> Numerics:
        return replace(workload(pool, tmp_path, "any").numerics, **change)

    pool = InlinePool(Slot(0, ("cpu",)))
    changes: Mapping[str, Mapping[str, Any]] = {
        "one": {}, "half": {"precision": "bf16"}, "threads": {"threads": 2}, "small": {"micro_batch": 3},
    }  # fmt: skip
    expected = {}
    for name, change in changes.items():
        single = InlinePool(Slot(0, ("cpu",)))
        single.prepare(replace(workload(single, tmp_path, name), numerics=numerics_of(**change)))
        expected[name] = measured(train(single, order_of(name, run_of(name))))
        single.close()
        pool.prepare(replace(workload(pool, tmp_path, name), numerics=numerics_of(**change)))
    for name in (*changes, *reversed(changes)):
        assert measured(train(pool, order_of(name, run_of(name)))) == expected[name]
    pool.close()
    assert len({tuple(content for _, content in found) for found in expected.values()}) >= 2


def test_a_gpu_keeps_the_base_model_of_one_study(tmp_path):
    worker = Worker("meta")
    pool = InlinePool(Slot(0, ("cpu",)))
    worker._warm = {name: _warm(workload(pool, tmp_path, name)) for name in ("one", "other")}
    with contextlib.suppress(Exception):  # nothing can be loaded onto this device
        worker._load(worker._warm["one"].workload, {"not": "there"})
    assert [bool(warm.bases) for warm in worker._warm.values()] == [True, False]
    pool.close()


def _warm(given: Any) -> Any:
    from hpsearch.runtime.worker import _Warm

    return _Warm(given, None, None, {"key": object()})  # type: ignore[arg-type]


# ---------------------------------------------------------------- interrupted and killed


def launch(launcher: Launcher, folder: Path, devices: str | int, pause: float) -> Any:
    return launcher.launch("run_three", folder=str(folder), devices=devices, trials=list(TRIALS), pause=pause)


def evaluations(folder: Path) -> list[int]:
    return [count_evaluations(folder / name) for name in "abc"]


@pytest.mark.parametrize("devices", ["inline", pytest.param(2, marks=pytest.mark.long)])
def test_ctrl_c_pauses_all_with_checkpoints_and_they_go_on(launcher, tmp_path, alone, devices):
    process = launch(launcher, tmp_path, devices, pause=0.1)
    until(lambda: all(evaluations(tmp_path)), 240, process.text)
    process.send(signal.SIGINT)
    assert process.wait() == 130 or "KeyboardInterrupt" in process.text()
    assert "interrupted: True True True" in process.text()
    assert process.text().count("Paused.") == 3
    states = [trial["state"] for name in "abc" for trial in known_of(tmp_path / name)["trials"].values()]
    assert TrialState.WAITING in states
    assert TrialState.RUNNING not in states
    run(three_studies(tmp_path))
    compare(tmp_path, alone)


@pytest.mark.long
def test_killed_in_the_middle_they_go_on(launcher, tmp_path, alone):
    process = launch(launcher, tmp_path, 2, pause=0.1)
    until(lambda: all(evaluations(tmp_path)), 240, process.text)
    workers = process.workers()
    process.kill()
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers), 30)
    again = launch(launcher, tmp_path, 2, pause=0.0)
    assert again.wait() == 0, again.text()
    compare(tmp_path, alone)
