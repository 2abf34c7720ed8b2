"""What machines do to workers: devices that err, processes that are stopped, hang, crash. Real processes on the CPU.

Where GPUs are meant, the slots have their names, and their workers train on the CPU.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from faulty_task import FaultyTask
from orders import ends, finish, first, measured, order_of, resumed, run_of, train, workload
from study_processes import until
from toy_studies import SETTINGS, table

import hpsearch as hp
from hpsearch.errors import HpsearchError, TaskError, UsageError
from hpsearch.policy.failures import LOST_LIMIT
from hpsearch.records import Outcome, Slot, TrialState
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated
from hpsearch.runtime.pools import POOLS
from hpsearch.runtime.pools.base import PoolChoice
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.runtime.pools.local import UNREAD_LIMIT, LocalPool
from hpsearch.runtime.pools.silence import death_log, hang_seconds
from hpsearch.runtime.stack_file import StackFile
from hpsearch.training.device_errors import Blame

LAUNCH_FAILURE = "CUDA error: unspecified launch failure"
ECC = "CUDA error: uncorrectable ECC error encountered\nCompile with `TORCH_USE_CUDA_DSA` to enable it."
GPUS = [Slot(0, ("cuda:0",)), Slot(1, ("cuda:1",))]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPool]:
    monkeypatch.setattr("hpsearch.runtime.pools.local.worker_device", lambda slot: "cpu")
    pool = LocalPool(GPUS)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[LocalPool]:
    pool = LocalPool([Slot(0, ("cpu",)), Slot(1, ("cpu",))])
    yield pool
    pool.close()


def prepared(pool: Any, tmp_path: Path, study: str, **faults: Any) -> str:
    given = workload(pool, tmp_path, study)
    pool.prepare(replace(given, task=FaultyTask(**faults)))
    return study


def wait_for(pool: LocalPool, slot: Slot) -> None:
    until(lambda: list(pool.completed(0.2)) or slot in pool.idle(), 120, f"{slot} is not ready")


def ended_on(pool: LocalPool, slot: Slot, study: str, key: str) -> Ended:
    """Train a run on a slot, once it is ready, and return how that ended."""
    wait_for(pool, slot)
    pool.submit(slot, order_of(study, run_of(key)))
    return ends(finish(pool))[-1]


# Devices that err


def test_a_device_that_errs_twice_is_taken_out_and_the_pool_goes_on(gpus, tmp_path, caplog):
    study = prepared(gpus, tmp_path, "broken", error=ECC, on="1")
    for count in (1, 2):
        wait_for(gpus, GPUS[1])
        process = psutil.Process(gpus.processes()[1])
        end = ended_on(gpus, GPUS[1], study, f"run {count}")
        assert (end.result.outcome, end.blame) == (Outcome.LOST, Blame.DEVICE)
        assert "uncorrectable ECC error" in end.result.log
        process.wait(10)
        assert gpus.slots() == (GPUS if count == 1 else GPUS[:1])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("cuda:1 was taken out of the study after 2 errors of its own, the last of them: ")
    assert "uncorrectable ECC error encountered. What trained there goes on " in said  # without the advice
    assert "nvidia-smi" in said
    assert said.endswith(" The study continues with 1 worker.")
    assert ended_on(gpus, GPUS[0], study, "run 2").result.outcome is Outcome.OK
    gpus.close()
    assert "cuda:1 was not used to the end" in caplog.messages[-1]


@pytest.mark.extended
def test_what_a_run_meets_on_two_devices_is_not_theirs(gpus, tmp_path, caplog):
    study = prepared(gpus, tmp_path, "broken run", error=LAUNCH_FAILURE)
    for slot, left in ((GPUS[0], 2), (GPUS[0], 1), (GPUS[1], 2)):
        assert ended_on(gpus, slot, study, "always").result.outcome is Outcome.LOST
        assert len(gpus.slots()) == left
    assert caplog.messages[-1].startswith("cuda:0 is used again")
    wait_for(gpus, GPUS[0])


def test_two_devices_that_err_beside_a_good_one_are_both_taken_out(monkeypatch, tmp_path):
    monkeypatch.setattr("hpsearch.runtime.pools.local.worker_device", lambda slot: "cpu")
    good = Slot(2, ("cuda:2",))
    with closing(LocalPool([*GPUS, good])) as pool:
        study = prepared(pool, tmp_path, "two broken", error=ECC, on="0 1")
        for slot in GPUS * 2:
            assert ended_on(pool, slot, study, f"on fold {slot.index}").result.outcome is Outcome.LOST
        assert pool.slots() == [good]
        assert ended_on(pool, good, study, "on fold 0").result.outcome is Outcome.OK


def test_an_error_of_the_trials_ends_only_that_and_one_that_is_unclear_counts_on_no_device(pair, tmp_path):
    for error, outcome, blame in (
        ("CUDA error: device-side assert triggered", Outcome.FAILED, Blame.TRIAL),
        ("CUDA error: an illegal memory access was encountered", Outcome.LOST, Blame.UNCLEAR),
        ("No CUDA GPUs are available", Outcome.LOST, Blame.DEVICE),  # on a CPU
    ):
        study = prepared(pair, tmp_path, error, error=error)
        wait_for(pair, pair.slots()[0])
        for number in range(2):
            before = pair.processes()[0]
            end = ended_on(pair, pair.slots()[0], study, f"run {number}")
            assert (end.result.outcome, end.blame) == (outcome, blame)
            wait_for(pair, pair.slots()[0])
            assert pair.processes()[0] != before
    assert len(pair.slots()) == 2


def test_a_device_on_which_no_model_loads_is_taken_out_and_ends_no_study(gpus, tmp_path, caplog):
    busy = "CUDA error: CUDA-capable device(s) is/are busy or unavailable"
    study = prepared(gpus, tmp_path, "busy", error=busy, on="1", loading=True)
    until(lambda: list(gpus.completed(0.2)) or len(gpus.slots()) == 1, 120, "it is there")
    assert busy in caplog.text
    assert ended_on(gpus, GPUS[0], study, "run").result.outcome is Outcome.OK


@pytest.mark.parametrize("error", ["CUDA error: device-side assert triggered", "No CUDA GPUs are available"])
def test_a_model_that_meets_an_error_of_its_own_as_it_loads_is_refused(pair, tmp_path, error):
    """On a CPU, one that asks for a GPU is one."""
    with pytest.raises(TaskError, match=error):
        prepared(pair, tmp_path, f"loading: {error}", error=error, loading=True)
    until(lambda: list(pair.completed(0.2)) or len(pair.idle()) == 2, 120, "workers not ready")


def study_on(gpus: int, folder: Path, monkeypatch: pytest.MonkeyPatch, **faults: Any) -> hp.Study:
    """Return a study; `run(devices="pretended")` trains it on so many pretended GPUs."""
    monkeypatch.setattr("hpsearch.runtime.pools.local.worker_device", lambda slot: "cpu")
    choice = PoolChoice(
        ("pretended",), lambda devices: devices == "pretended", lambda _: lambda: LocalPool(GPUS[:gpus])
    )
    monkeypatch.setattr("hpsearch.runtime.pools.POOLS", [choice, *POOLS])
    return hp.Study("toy", FaultyTask(**faults), folder=folder, **SETTINGS)


def test_a_study_goes_on_without_the_device_and_comes_to_the_same(tmp_path, monkeypatch, caplog):
    study_on(0, tmp_path / "left alone", monkeypatch).run(trials=4, devices="inline", progress=False)
    study = study_on(2, tmp_path / "on two", monkeypatch, error=LAUNCH_FAILURE, on="1", pause=0.1)
    study.run(trials=4, devices="pretended", progress=False)
    study.store().close()
    assert len([words for words in caplog.messages if "was taken out of the study" in words]) == 1
    assert "cuda:1 was not used to the end" in caplog.messages[-1]
    assert table(tmp_path / "on two").equals(table(tmp_path / "left alone"))
    logs = [path.read_text() for path in (study.folder / "logs").iterdir()]
    assert all(log.startswith("lost at point") and LAUNCH_FAILURE in log for log in logs)


def test_without_its_last_device_a_study_pauses_and_goes_on_later(tmp_path, monkeypatch):
    mended = tmp_path / "mended"
    study = study_on(1, tmp_path, monkeypatch, error=LAUNCH_FAILURE, flag=str(mended))
    with pytest.raises(HpsearchError, match=r"cuda:0 was taken out .* No worker is left, so the study is paused"):
        study.run(trials=2, devices="pretended", progress=False)
    history = study.store().reload()
    assert [trial.state for trial in history.trials.values()] == [TrialState.WAITING]
    assert [result.outcome for results in history.results.values() for result in results] == [Outcome.LOST] * 2
    study.store().close()
    mended.touch()
    again = study_on(1, tmp_path, monkeypatch, error=LAUNCH_FAILURE, flag=str(mended))
    result = again.run(trials=2, devices="pretended", progress=False)
    assert [trial.state for trial in result.history.trials.values()] == [TrialState.COMPLETE] * 2


def test_a_process_that_lost_its_device_trains_nothing_more(tmp_path, monkeypatch):
    pool = InlinePool(Slot(0, ("cpu",)))
    study = prepared(pool, tmp_path, "inline", error="CUDA error: an illegal memory access was encountered")
    assert train(pool, order_of(study, run_of("x")))[-1].result.outcome is Outcome.LOST
    assert pool.idle()  # a CPU computes on, whatever a text says
    monkeypatch.setattr(pool, "_slot", GPUS[0])
    assert train(pool, order_of(study, run_of("x")))[-1].result.outcome is Outcome.LOST
    assert not pool.idle()
    with pytest.raises(HpsearchError, match=r"illegal memory access was encountered\. All that was recorded is kept"):
        list(pool.completed(0.1))


@pytest.mark.extended
@pytest.mark.parametrize(("bytes_allowed", "state"), [(None, TrialState.COMPLETE), (0, TrialState.FAIL)])
def test_workers_that_die_again_and_again_end_no_trial_that_gets_further(tmp_path, bytes_allowed, state):
    """Each dies three steps further, before the first evaluation; without checkpoints none gets anywhere."""
    room = {} if bytes_allowed is None else {"checkpoint_bytes": bytes_allowed}
    settings = {**SETTINGS, "cv": 2, "evaluations_per_epoch": 1, "space": hp.Space(epochs=1, batch_size=8)}
    task = FaultyTask(rows=240, fault="die at 4")
    study = hp.Study("toy", task, folder=tmp_path, checkpoint_every=0.0, **settings, **room)
    result = study.run(trials=1, devices=1, progress=False)
    (trial,) = result.history.trials.values()
    assert trial.state is state, trial.reason
    outcomes = result.history.outcomes(trial.runs[0])
    assert len(outcomes) > LOST_LIMIT or state is TrialState.FAIL
    assert set(outcomes) == ({Outcome.OK, Outcome.PAUSED} if state is TrialState.COMPLETE else {Outcome.LOST})
    assert "was killed (SIGKILL" in (study.folder / "logs" / "trial-0000-fold-0.log").read_text()


# Silent workers


@pytest.fixture
def impatient(pair: LocalPool, monkeypatch: pytest.MonkeyPatch) -> LocalPool:
    until(lambda: list(pair.completed(0.2)) or len(pair.idle()) == 2, 120, "workers not ready")
    monkeypatch.setattr(pair, "hang_seconds", 4.0)
    monkeypatch.setattr("hpsearch.runtime.pools.pool_worker.GRACE_SECONDS", 2.0)
    return pair


def test_a_hang_in_native_code_ends_with_where_it_was(impatient, tmp_path):
    """Not even a thread of its own gets the interpreter's lock, so it cannot end itself."""
    study = prepared(impatient, tmp_path, "locked", fault="lock")
    wait_for(impatient, impatient.slots()[0])
    end = ended_on(impatient, impatient.slots()[0], study, "run")
    assert end.result.outcome is Outcome.TIMED_OUT
    assert "in fail\n" in end.result.log
    assert "The worker on cpu made no progress for 4 seconds. It was asked to end, and killed" in end.result.log


def test_a_worker_that_was_stopped_is_woken_and_its_run_goes_on_bitwise(impatient, tmp_path):
    study = prepared(impatient, tmp_path, "stopped", pause=0.1)
    slot = impatient.slots()[0]
    wait_for(impatient, slot)
    order = order_of(study, run_of("stopped"), leaves_checkpoint=True)
    impatient.submit(slot, order)
    events = first(impatient, Evaluated)
    process = psutil.Process(impatient.processes()[0])
    process.suspend()
    events += finish(impatient)
    assert ends(events)[-1].result.outcome is Outcome.PAUSED
    assert any(isinstance(event, Checkpointed) for event in events)
    assert impatient.processes()[0] == process.pid
    wait_for(impatient, slot)
    impatient.submit(slot, resumed(order, events))
    again = finish(impatient)
    assert measured(events) + measured(again) == measured(train(impatient, order))


def test_a_stopped_worker_that_is_sent_much_holds_up_nobody(impatient, tmp_path, monkeypatch):
    study = prepared(impatient, tmp_path, "much", pause=0.01)
    stopped, other = impatient.slots()
    ended_on(impatient, other, study, "before")  # a process imports more for its first run
    wait_for(impatient, stopped)
    process = psutil.Process(impatient.processes()[0])
    process.suspend()
    began = time.monotonic()
    much = {"weights": bytes(50_000_000)}
    order = order_of(study, run_of("stopped"))
    impatient.submit(stopped, replace(order, checkpoint=much))
    impatient.submit(other, order_of(study, run_of("other")))
    events = first(impatient, Ended)
    assert time.monotonic() - began < impatient.hang_seconds
    assert ends(events)[0].result.segment.run.key == "other"
    process.send_signal(signal.SIGKILL)  # a stopped one, too
    assert ends(finish(impatient))[-1].result.outcome is Outcome.LOST


def test_a_crash_leaves_its_stack_in_the_log(pair, tmp_path):
    study = prepared(pair, tmp_path, "crashes", fault="crash")
    wait_for(pair, pair.slots()[0])
    log = ended_on(pair, pair.slots()[0], study, "run").result.log
    assert log.startswith("Fatal Python error: Segmentation fault")
    assert "in fail\n" in log
    assert "was killed (SIGSEGV" in log


def test_what_a_killed_worker_wrote_before_it_went_on_says_nothing_of_its_end():
    assert death_log("in fail", "cpu", "SIGKILL(-9)") == "The worker process on cpu was killed (SIGKILL(-9))."


def test_what_a_process_wrote_for_its_last_pool_is_not_read_by_the_next():
    code = "import time; from hpsearch.runtime.stack_file import keep_stack_file as keep; keep(); print(flush=True); "
    with subprocess.Popen([sys.executable, "-c", f"{code} time.sleep(60)"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with closing(StackFile(process.pid)) as last:
            last.ask()
            until(lambda: "File " in last.text(), 20, "it writes nothing")
        with closing(StackFile(process.pid)) as following:
            assert following.text() == ""
        process.kill()


def test_of_a_pool_that_read_too_little_no_thread_is_left(tmp_path):
    before, pool = set(threading.enumerate()), LocalPool([Slot(0, ("cpu",))])
    study = prepared(pool, tmp_path, "unread")
    pool.submit(pool.idle()[0], order_of(study, run_of("long", epochs=40)))
    until(lambda: pool._transport._inbox.qsize() >= UNREAD_LIMIT, 60, "nothing comes")
    time.sleep(1.0)
    pool.close()
    until(lambda: not reading(before), 20, "it still reads")


def reading(before: set[threading.Thread]) -> bool:
    return any(thread.name.endswith("_read") for thread in set(threading.enumerate()) - before)


def test_a_silence_that_is_no_number_is_refused(monkeypatch):
    for given in ("an hour", "nan", "0", "-1800", "inf"):
        monkeypatch.setenv("HPSEARCH_WORKER_WAIT", given)
        with pytest.raises(UsageError, match=f"HPSEARCH_WORKER_WAIT='{given}' is not a number of seconds"):
            hang_seconds()
    monkeypatch.setenv("HPSEARCH_WORKER_WAIT", "7200")
    assert hang_seconds() == 7200.0
