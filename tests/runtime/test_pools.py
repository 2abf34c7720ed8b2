"""One contract, held by every pool; then what only processes of their own have to show."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from orders import ends, finish, first, measured, order_of, resumed, run_of, train, workload
from ray_nodes import RayCluster
from study_processes import StudyProcess, is_alive, is_worker, until
from thread_pool import ThreadPool

from hpsearch.errors import HpsearchError, NumericsError, TaskError, UsageError
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records import Outcome, Slot
from hpsearch.runtime.devices import KEEP_FREED_MEMORY, Inventory, worker_environment
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Probe, Refused
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools import POOLS, chosen_pool
from hpsearch.runtime.pools.base import Pool, PoolChoice, TimeIsUpError
from hpsearch.runtime.pools.inline import InlinePool, inline_pool
from hpsearch.runtime.pools.local import LocalPool, local_pool
from hpsearch.runtime.pools.pool_worker import PoolWorker
from hpsearch.runtime.pools.ray import RayPool
from hpsearch.runtime.pools.worker_listener import WAITING_LIMIT
from hpsearch.runtime.pools.worker_pool import WorkerPool
from hpsearch.runtime.worker_process import HEARTBEAT_SECONDS, WorkerProcess, serve
from hpsearch.tasks.classes.metric import resolve_metric

CPU = Slot(0, ("cpu",))
DEATH_SECONDS = 5.0
"""What a worker may outlive its coordinator."""


def slow_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    time.sleep(2.0)
    return float(np.mean(truth == predicted))


@pytest.fixture(scope="module")
def local() -> Iterator[LocalPool]:
    pool = LocalPool([CPU, Slot(1, ("cpu",))])
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def one_node() -> Iterator[RayCluster]:
    """A Ray cluster of one node with two cores."""
    with pytest.MonkeyPatch.context() as patched, RayCluster() as cluster:
        cluster.used(patched)
        yield cluster


@pytest.fixture(scope="module", params=["inline", "local", "thread", pytest.param("ray", marks=pytest.mark.ray)])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    if request.param == "local":
        yield request.getfixturevalue("local")
        return
    if request.param == "ray":
        request.getfixturevalue("one_node")
        made: Pool = chosen_pool("ray")[1]()
    else:
        made = InlinePool(CPU) if request.param == "inline" else ThreadPool(CPU)
    yield made
    made.close()


def ready(pool: Pool, tmp_path: Path, study: str, **more) -> str:
    pool.prepare(workload(pool, tmp_path, study, **more))
    return study


# The contract


def test_an_order_ends_once_after_its_evaluations_in_order(pool, tmp_path):
    order = order_of(ready(pool, tmp_path, "plain"), run_of("plain"))
    events = train(pool, order)
    assert [event.evaluation.point for event in events[:-1]] == [1, 2, 3, 4]
    assert {event.study for event in events} == {"plain"}
    assert len(ends(events)) == 1
    assert events[-1].result == replace(events[-1].result, segment=order.segment, outcome=Outcome.OK, point=4, log="")
    assert events[0].evaluation.metrics.keys() == {"accuracy", "loss"}
    assert events[0].outputs.shape == (20, 3)
    assert not pool.busy()


def test_orders_of_two_studies_take_turns_and_measure_what_they_measure_alone(pool, tmp_path):
    orders = [order_of(ready(pool, tmp_path, f"turn {i}"), run_of(f"turn {i}", fold=i)) for i in (0, 1)]
    alone = [measured(train(pool, order)) for order in orders]
    assert alone[0] != alone[1]
    together: list = []
    for order in orders:
        if not pool.idle():
            together += finish(pool)
        pool.submit(pool.idle()[0], order)
    together += finish(pool)
    for order, expected in zip(orders, alone, strict=True):
        assert measured([event for event in together if event.study == order.study]) == expected


def test_a_segment_may_end_before_the_horizon_and_go_on_from_nothing(pool, tmp_path):
    order = order_of(ready(pool, tmp_path, "parts"), run_of("parts"))
    whole = train(pool, order)
    part = train(pool, order_of("parts", run_of("parts"), stop=2))
    assert measured(part) == measured(whole)[:2]
    rest = train(pool, resumed(order, part))  # without a checkpoint: what lies before is trained and measured again
    assert measured(rest) == measured(whole)


def test_it_says_which_slots_it_has_and_what_is_trained_where(pool, tmp_path):
    def asked_elsewhere():
        found = []
        thread = threading.Thread(target=lambda: found.append((pool.slots(), pool.training())))
        thread.start()
        thread.join()
        return found[0]

    order = order_of(ready(pool, tmp_path, "shown", pause=0.1), run_of("shown"))
    host = f"{socket.gethostname()}/" if isinstance(pool, RayPool) else ""
    slots = [Slot(number, (f"{host}cpu",)) for number in (0, 1)]
    every = slots[: 2 if isinstance(pool, WorkerPool) else 1]
    assert (pool.slots(), pool.training()) == (every, [])
    slot = pool.idle()[-1]
    pool.submit(slot, order)
    assert asked_elsewhere() == (every, [(slot, order)])
    first(pool, Evaluated)
    assert asked_elsewhere() == (every, [(slot, order)])
    assert slot not in pool.idle()
    finish(pool)
    assert (pool.slots(), pool.training()) == (every, [])


def test_interrupted_it_leaves_a_checkpoint_from_which_it_goes_on_bitwise(pool, tmp_path):
    order = order_of(ready(pool, tmp_path, "paused", pause=0.1), run_of("paused"))
    straight = train(pool, order)
    found, order_now, pauses = [], order, 0
    for _ in range(10):
        pool.submit(pool.idle()[0], order_now)
        events = first(pool, Evaluated)
        pool.interrupt("another study")
        pool.interrupt(order.study)
        pool.interrupt(order.study)  # asked twice is asked once
        events += finish(pool)
        found += measured(events)
        if events[-1].result.outcome is Outcome.OK:
            break
        assert [type(event) for event in events[-2:]] == [Checkpointed, Ended]
        assert events[-1].result.outcome is Outcome.PAUSED
        assert events[-2].point == events[-1].result.point
        pauses += 1
        order_now = resumed(order_now, events)
    assert pauses >= 2
    assert found == measured(straight)


def test_cancelled_it_ends_without_a_checkpoint(pool, tmp_path):
    order = order_of(ready(pool, tmp_path, "cancelled", pause=0.1), run_of("cancelled"))
    pool.submit(pool.idle()[0], order)
    events = first(pool, Evaluated)
    pool.cancel(order.study, "another run")
    pool.cancel("another study", "cancelled")
    pool.cancel(order.study, "cancelled")
    pool.interrupt(order.study)  # does not bring the checkpoint back
    events += finish(pool)
    assert [type(event) for event in events].count(Checkpointed) == 0
    assert [end.result.outcome for end in ends(events)] == [Outcome.PAUSED]
    assert len(measured(events)) < 4
    assert len(measured(train(pool, order))) == 4  # neither the cancelling nor the interruption outlives its order


def test_a_wait_ends_in_time_though_nothing_is_found(pool, tmp_path):
    order = order_of(ready(pool, tmp_path, "slow", pause=0.3), run_of("slow", epochs=1))
    pool.submit(pool.idle()[0], order)
    waits = [list(pool.completed(0.05)) for _ in range(2)]  # inline a wait is a step, and the third one measures
    assert waits == [[], []]
    assert pool.busy()
    assert finish(pool)[-1].result.outcome is Outcome.OK


def test_a_task_that_raises_fails_with_its_traceback(pool, tmp_path):
    events = train(pool, order_of(ready(pool, tmp_path, "raises", trouble="raise"), run_of("raises")))
    assert [event.result.outcome for event in events] == [Outcome.FAILED]
    assert "RuntimeError: the toy is broken" in events[0].result.log
    assert "toy_task.py" in events[0].result.log


def test_a_run_whose_loss_is_no_number_has_diverged(pool, tmp_path):
    events = train(pool, order_of(ready(pool, tmp_path, "diverges", trouble="diverge"), run_of("diverges")))
    assert [event.result.outcome for event in events] == [Outcome.DIVERGED]
    assert events[0].result.point == 0
    assert "loss" in events[0].result.log


def test_the_first_run_stops_early_and_others_do_not(pool, tmp_path):
    study = ready(pool, tmp_path, "early", early_stopping=EarlyStopping(0.5))
    run = run_of("early", epochs=8, learning_rate=0.5)
    events = train(pool, order_of(study, run, watched=True))
    stop = events[-1].result.point
    assert events[-1].result.outcome is Outcome.OK
    assert 2 <= stop < run.horizon
    unwatched = train(pool, order_of(study, run))
    assert len(measured(unwatched)) == run.horizon
    assert measured(unwatched)[:stop] == measured(events)
    gone_on = resumed(order_of(study, run, watched=True), events[: stop - 1])
    assert train(pool, gone_on)[-1].result.point == stop  # what was measured before counts too


def test_a_checkpoint_of_another_run_is_not_used(pool, tmp_path):
    study = ready(pool, tmp_path, "strange", pause=0.1)
    pool.submit(pool.idle()[0], order_of(study, run_of("one")))
    first(pool, Evaluated)
    pool.interrupt(study)
    files = next(event.files for event in finish(pool) if isinstance(event, Checkpointed))
    other = order_of(study, run_of("other", learning_rate=0.02))
    expected = measured(train(pool, other))
    assert measured(train(pool, replace(other, checkpoint=files))) == expected


def test_it_says_what_it_computes_with(pool):
    found = pool.environment()
    assert found["device_type"] == "cpu"
    assert found["versions"]["torch"] == torch.__version__


def test_other_numerics_are_refused_and_the_pool_goes_on(pool, tmp_path):
    numerics = workload(pool, tmp_path, "refused").numerics
    other = replace(numerics, versions={**numerics.versions, "torch": "1.0"})
    with pytest.raises(NumericsError, match=r"torch is \S+ here and 1.0 there"):
        pool.prepare(replace(workload(pool, tmp_path, "refused"), numerics=other))
    assert len(measured(train(pool, order_of(ready(pool, tmp_path, "accepted"), run_of("accepted"))))) == 4


def test_the_callers_random_states_and_flags_are_left_alone(tmp_path):
    def states():
        return (
            torch.get_rng_state().numpy().tobytes(),
            repr(np.random.get_state(legacy=False)),
            random.getstate(),
        )

    def flags():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.get_num_threads(),
        )

    before_states, before_flags = states(), flags()
    inline = InlinePool(CPU)
    train(inline, order_of(ready(inline, tmp_path, "states"), run_of("states")))
    inline.close()
    assert states() == before_states
    assert flags() == before_flags


# Which pool


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [("inline", inline_pool), ("auto", local_pool), ("cpu", local_pool), (3, local_pool), (["cpu"], local_pool)],
)
def test_devices_choose_the_pool_and_start_nothing_yet(devices, chosen):
    pool, start = chosen_pool(devices)
    assert pool is chosen
    assert callable(start)


@pytest.mark.parametrize(
    ("machine", "device"),
    [
        (Inventory(cuda=0, mps=False, cores=3), "cpu"),
        (Inventory(cuda=4, mps=False, cores=8), "cuda:0"),
        (Inventory(cuda=0, mps=True, cores=10), "mps"),
    ],
)
def test_inline_takes_the_best_device(machine, device, monkeypatch):
    made = []
    monkeypatch.setattr("hpsearch.runtime.pools.inline.inventory", lambda: machine)
    monkeypatch.setattr("hpsearch.runtime.pools.inline.InlinePool", made.append)
    chosen_pool("inline")[1]()
    assert made == [Slot(0, (device,))]


@pytest.mark.parametrize("devices", ["tpu", "inlin", "inline:cpu", "cuda:one", "cpu:one", "local", "rays"])
def test_what_no_pool_claims_is_refused_with_what_there_is(devices):
    with pytest.raises(UsageError, match=rf"devices='{devices}' is not understood.*Use auto, cpu, cuda, gpu, mps, "):
        chosen_pool(devices)


def test_a_pool_from_outside_claims_its_own_and_is_named_in_errors(monkeypatch):
    opened = []
    other = PoolChoice(("elsewhere",), lambda devices: str(devices).startswith("elsewhere"), opened.append)
    monkeypatch.setattr("hpsearch.runtime.pools.POOLS", [*POOLS, other])
    assert chosen_pool("elsewhere://host:1")[0] is other
    assert opened == ["elsewhere://host:1"]
    with pytest.raises(UsageError, match=r"Did you mean 'elsewhere'\? Use auto, .* inline, ray, elsewhere,"):
        chosen_pool("elsewere")


# Processes of their own


def test_a_killed_worker_is_lost_and_another_takes_its_place(local, tmp_path):
    study = ready(local, tmp_path, "killed", pause=0.1)
    slot = local.idle()[0]
    order = order_of(study, run_of("killed"))
    # Meanwhile somebody connects and keeps silent, which must not keep the new worker out.
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(local._transport._listener.address)
        local.submit(slot, order)
        events = first(local, Evaluated)
        before = local.processes()[slot.index]
        psutil.Process(before).kill()
        events += finish(local)
        assert events[-1].result.outcome is Outcome.LOST
        assert events[-1].result.point == len(measured(events))
        assert "killed" in events[-1].result.log
        assert slot not in local.idle()
        assert slot in local.slots()
        assert local.training() == []
        until(lambda: list(local.completed(0.2)) or slot in local.idle(), 240, "no new worker")
    assert local.processes()[slot.index] not in (before, None)
    local.submit(slot, resumed(order, events))
    again = finish(local)
    assert again[-1].result.outcome is Outcome.OK
    assert measured(again)[: len(measured(events))] == measured(events)


def test_an_order_for_a_slot_that_was_lost_since_it_was_idle_pauses(local, tmp_path):
    order = order_of(ready(local, tmp_path, "late"), run_of("late"))
    slot = local.idle()[0]
    psutil.Process(local.processes()[slot.index]).kill()
    until(lambda: list(local.completed(0.2)) or slot not in local.idle(), 60, "the loss is not seen")
    for lost in (slot, Slot(9, ("cpu",))):
        local.submit(lost, order)
        assert local.busy()
        assert [(end.result.outcome, end.result.point) for end in finish(local)] == [(Outcome.PAUSED, 0)]
    assert len(measured(train(local, order))) == 4


def test_a_process_is_sent_no_checkpoint_of_the_run_that_it_has_kept(local, tmp_path, monkeypatch):
    def send(worker, message):
        sent.append(message)
        real(worker, message)

    study, sent, real = ready(local, tmp_path, "kept"), [], PoolWorker.send
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    monkeypatch.setattr(PoolWorker, "send", send)
    whole = measured(train(local, order_of(study, run_of("kept"))))
    slots = local.idle()
    for slot, is_sent in ((slots[0], False), (slots[1], True)):
        local.submit(slots[0], order_of(study, run_of("kept"), stop=2, leaves_checkpoint=True))
        part = finish(local)
        assert next(event for event in part if isinstance(event, Checkpointed)).files
        local.submit(slot, resumed(order_of(study, run_of("kept")), part))
        assert measured(part) + measured(finish(local)) == whole
        assert (sent[-1].checkpoint is not None) is is_sent


def test_a_worker_that_comes_later_and_refuses_a_study_says_so_of_that_one(local, tmp_path):
    studies = [ready(local, tmp_path, name) for name in ("one", "other")]
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    numerics = local._workloads["one"].numerics
    other = replace(numerics, versions={**numerics.versions, "torch": "1.0"})
    local._workloads["one"] = replace(local._workloads["one"], numerics=other)
    psutil.Process(local.processes()[local.idle()[0].index]).kill()
    (refused,) = first(local, Refused)
    assert refused.study == "one"
    assert "torch is" in str(refused.error)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "the worker did not come back")
    for slot in local.idle():
        local.submit(slot, order_of(studies[1], run_of(f"other {slot.index}")))
    assert [event.result.outcome for event in finish(local) if isinstance(event, Ended)] == [Outcome.OK] * 2


def test_a_worker_that_makes_no_progress_is_ended(local, tmp_path, monkeypatch):
    study = ready(local, tmp_path, "hangs", trouble="hang", flag=str(tmp_path / "flag"))
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    monkeypatch.setattr(local, "hang_seconds", 4.0)
    monkeypatch.setattr("hpsearch.runtime.pools.pool_worker.GRACE_SECONDS", 1.0)
    local.submit(local.idle()[0], order_of(study, run_of("hangs")))
    events = finish(local)
    assert [event.result.outcome for event in events] == [Outcome.TIMED_OUT]
    assert "no progress for 4 seconds" in events[0].result.log
    assert "toy_task.py" in events[0].result.log  # where it stood
    monkeypatch.undo()
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "no new worker")


@pytest.mark.slow
@pytest.mark.long
def test_a_long_evaluation_is_no_hang(local, tmp_path, monkeypatch):
    """Six metrics of two seconds each: longer without an optimizer step than a worker may be without progress."""
    slow = resolve_metric(slow_accuracy, "multiclass", ("a", "b", "c"))
    given = workload(local, tmp_path, "slow metrics")
    local.prepare(replace(given, metrics=tuple(replace(slow, name=f"slow {number}") for number in range(6))))
    ready(local, tmp_path, "quick metric")
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    train(local, order_of("quick metric", run_of("quick metric"), stop=1))  # importing counts for no progress
    order = order_of("slow metrics", run_of("slow metrics"), stop=1)
    monkeypatch.setattr(local, "hang_seconds", HEARTBEAT_SECONDS + 6.0)
    events = train(local, order)
    assert [type(event) for event in events] == [Evaluated, Ended]
    assert events[-1].result.outcome is Outcome.OK


def test_progress_is_counted_by_evaluation_batch_and_metric(tmp_path):
    pool = InlinePool(CPU)
    seen = []

    def watched(truth, predicted):
        seen.append(pool._worker.progress)
        return 0.5

    metric = resolve_metric(watched, "multiclass", ("a", "b", "c"), is_objective=False)
    given = replace(workload(pool, tmp_path, "counted", rows=600), metrics=(metric, replace(metric, name="again")))
    split = np.arange(60), np.arange(60, 600)
    pool.prepare(replace(given, folds=(split,), prepared=given.task.prepare(tmp_path)))
    train(pool, order_of("counted", run_of("counted", epochs=1), stop=1))
    steps = 4  # of the eight batches of 8 rows an epoch, up to the first of its two evaluation points
    first, second = seen[-2:]  # what was called before only looked whether the metric can be computed
    assert second == first + 1
    assert first > 2 * steps + 1  # each step and its batch, then more than one evaluation batch
    assert pool._worker.progress > second
    pool.close()


def test_a_worker_keeps_its_process_however_much_it_remembers(local, tmp_path):
    study = ready(local, tmp_path, "hoards", hoard=600)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    before = local.processes()
    for _ in range(2):
        assert train(local, order_of(study, run_of("hoards")))[-1].result.outcome is Outcome.OK
    assert local.processes() == before
    assert all(psutil.Process(pid).memory_info().rss > 600 << 20 for pid in before.values())


def test_the_memory_of_a_worker_does_not_grow_with_the_trials(local, tmp_path):
    """After 20 trials to warm up, 100 more may add 16 MB: 3 of a thousand of what one trial's leak would come to if its
    model of a real size stayed, and above what the allocator's fragments were seen to take (1 to 4 MB)."""
    study = ready(local, tmp_path, "flat")
    slot = local.idle()[0]
    worker = psutil.Process(local.processes()[slot.index])
    after_warmup = 0
    for number in range(120):
        if number == 20:
            after_warmup = worker.memory_info().rss
        config = {"learning_rate": 0.001 * (number + 1), "epochs": 1, "batch_size": 8 * (1 + number % 3)}
        local.submit(slot, order_of(study, run_of(f"flat {number}", fold=number % 3, **config)))
        assert finish(local)[-1].result.outcome is Outcome.OK
    assert local.processes()[slot.index] == worker.pid
    assert worker.memory_info().rss - after_warmup < 16 << 20


def test_a_stranger_without_the_key_is_turned_away(local, tmp_path):
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        Client(local._transport._listener.address, authkey=b"a guess")
    with Client(local._transport._listener.address) as unauthenticated:
        unauthenticated.send_bytes(b"x" * 10_000)
        with pytest.raises((EOFError, OSError)):  # noqa: PT012
            for _ in range(3):
                unauthenticated.recv_bytes()
    assert len(measured(train(local, order_of(ready(local, tmp_path, "after strangers"), run_of("s"))))) == 4


def silent(local, count, user=None):
    """Return a process that connects so often, to say nothing; it prints how many connections were ended."""
    code = """
import socket, sys, time, os, resource
if sys.argv[3]: os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
address, count = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
for _ in range(count):
    each = socket.socket(socket.AF_UNIX)
    each.connect(address)
    held.append(each)
print("connected", flush=True)
ended = 0
for each in held:
    try:
        while each.recv(1000): pass
    except OSError: pass
    ended += 1
print(ended, flush=True)
"""
    arguments = [os.fsencode(local._transport._listener.address).hex(), str(count), "" if user is None else str(user)]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")
@pytest.mark.parametrize("user", [None, 65534], ids=["this user", "another user"])
def test_silent_connections_by_the_thousand_take_nothing_from_a_study(local, tmp_path, monkeypatch, caplog, user):
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can be another user")
    monkeypatch.setattr("hpsearch.runtime.pools.worker_listener.SILENT_SECONDS", 3)
    study = ready(local, tmp_path, f"besieged by {user}", pause=0.05)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    before = psutil.Process().num_fds()
    slot = local.idle()[0]
    with silent(local, 1013, user) as stranger:
        assert stranger.stdout.readline() == "connected\n"
        assert psutil.Process().num_fds() <= before + (2 * WAITING_LIMIT + 2 if user is None else 2)
        local.submit(slot, order_of(study, run_of("besieged")))
        first(local, Evaluated)
        psutil.Process(local.processes()[slot.index]).kill()  # its successor gets in past them
        assert finish(local)[-1].result.outcome is Outcome.LOST
        until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "no new worker")
        assert stranger.stdout.readline() == "1013\n"
        assert stranger.wait(30) == 0
    assert caplog.text.count("User 65534 connected to the socket") == (0 if user is None else 1)
    until(lambda: psutil.Process().num_fds() <= before + 2, 30, "connections that nobody needs stay")
    assert len(measured(train(local, order_of(study, run_of("after"))))) == 4


def test_a_probe_that_fails_says_why(local, tmp_path):
    study = ready(local, tmp_path, "probe fails", trouble="raise")
    with pytest.raises(TaskError, match="the toy is broken"):
        local.probe(Probe(study, run_of("x").config, 8))
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "the worker did not come back")


def test_a_probe_waits_until_its_device_is_its_own(local, tmp_path, monkeypatch):
    """A GPU is what is meant; two workers on the CPU stand in for two on one GPU."""
    monkeypatch.setattr("hpsearch.runtime.pools.worker_pool.gpus_of", lambda slots: {slot.devices[0] for slot in slots})
    study = ready(local, tmp_path, "crowded probe", pause=0.01)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    busy, other = local.idle()
    probe = Probe(study, run_of("x").config, 8, is_first=False)
    local.submit(busy, order_of(study, run_of("beside")))
    assert local.idle() == [other]
    assert local.probe(probe, other) is None
    assert local.idle() == []  # nobody else begins there
    assert finish(local)[-1].result.outcome is Outcome.OK
    assert local.idle() == [busy, other]
    assert local.probe(probe, other).rows == 8


def test_what_others_report_during_a_probe_comes_after_it(local, tmp_path):
    study = ready(local, tmp_path, "busy beside", pause=0.01)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "workers not ready")
    busy, other = local.idle()
    local.submit(busy, order_of(study, run_of("beside")))
    while local.training():  # on a CPU nothing is waited for
        assert local.probe(Probe(study, run_of("x").config, 8, is_first=False), other).rows == 8
    assert local.busy()
    events = finish(local)
    assert [event.evaluation.point for event in events[:-1]] == [1, 2, 3, 4]
    assert events[-1].result.outcome is Outcome.OK


def test_what_was_read_before_an_error_of_the_pool_comes_after_it(local, tmp_path, monkeypatch):
    """As one study's error ends that one alone, the others need what their workers have said."""
    study = ready(local, tmp_path, "no room")
    until(lambda: list(local.completed(0.2)) or local.idle(), 240, "no worker is ready")
    local.submit(local.idle()[0], order_of(study, run_of("no room")))
    with monkeypatch.context() as patched:
        patched.setattr(local, "_fit", _cannot_fit)
        while local.training():
            with pytest.raises(HpsearchError, match="no room for a worker"):
                local._wait()  # as another study tries a model
    events = finish(local)
    assert [event.evaluation.point for event in events[:-1]] == [1, 2, 3, 4]
    assert events[-1].result.outcome is Outcome.OK


def _cannot_fit():
    raise HpsearchError("no room for a worker")


def test_a_worker_that_is_killed_while_it_tries_a_model_is_replaced(local, tmp_path, monkeypatch):
    study = ready(local, tmp_path, "probe dies", trouble="die", flag=str(tmp_path / "flag"))
    assert local.probe(Probe(study, run_of("x").config, 8)).rows == 8
    (tmp_path / "flag").unlink()
    monkeypatch.setattr("hpsearch.runtime.pools.worker_pool.PROBES_LIMIT", 1)
    with pytest.raises(HpsearchError, match=r"was lost 1 times while it tried the model.*SIGKILL.*smaller batch_size"):
        local.probe(Probe(study, run_of("x").config, 8))
    (tmp_path / "flag").unlink()
    probed = local.probe(Probe(study, run_of("x").config, 8, is_first=False))  # ends no study
    assert (probed.rows, probed.savings) == (0, None)
    until(lambda: list(local.completed(0.2)) or len(local.idle()) == 2, 240, "the worker did not come back")


def test_workers_that_cannot_start_are_an_error_and_not_a_wait(monkeypatch):
    monkeypatch.setattr("hpsearch.runtime.pools.local.serve", _cannot_start)
    pool = LocalPool([CPU])
    try:
        with pytest.raises(HpsearchError, match="ended 3 times before they were ready"):
            pool.environment()
    finally:
        pool.close()


def _cannot_start(*_):
    raise SystemExit(1)


@pytest.mark.parametrize("trials", [None, 1], ids=["one trial", "shared"])
def test_a_probe_is_not_waited_for_where_no_worker_can_start(monkeypatch, caplog, trials):
    """A GPU is what is meant, whose workers end at once; that of the CPU is there."""
    monkeypatch.setattr("hpsearch.runtime.pools.local.serve", _cannot_start_on_a_gpu)
    gpu = Slot(1, ("cuda:0",))
    pool = LocalPool([CPU, gpu], {"cuda:0": Occupancy("cuda:0", trials)} if trials else {})
    try:
        pool.deadline = time.monotonic() + 240
        assert pool.probe(Probe("any", {}, 8, is_first=False), gpu) is None
        assert pool.slots() == [CPU]
    finally:
        pool.close()
    assert "The study continues with 1 worker." in caplog.text


def _cannot_start_on_a_gpu(*given):
    if given[-1] != "cpu":
        raise SystemExit(1)
    serve(*given)


@pytest.mark.extended
@pytest.mark.parametrize(("workers", "spared"), [(1, 0), (2, 0), (2, 2)])
def test_workers_that_are_killed_as_they_load_end_the_study_after_a_few(tmp_path, caplog, workers, spared):
    """As the system does it when memory is full: all of them, or all but one, which goes on alone."""
    flag = tmp_path / "loads"
    pool = LocalPool([Slot(index, ("cpu",)) for index in range(workers)])
    given = {"trouble": "die loading", "flag": str(flag), "spared": spared}
    try:
        if not spared:
            with pytest.raises(HpsearchError, match=r"ended 3 times .*loaded the model.*SIGKILL.*GiB are free now"):
                ready(pool, tmp_path, "greedy", **given)
        else:
            study = ready(pool, tmp_path, "greedy", **given)
            until(lambda: list(pool.completed(0.2)) or len(pool.slots()) == 1, 240, "no slot was given up")
            assert "The study continues with 1 worker." in caplog.text
            assert not {0, 1} - {slot.index for slot in pool.slots()} & pool._failed_starts.keys()
            assert len(measured(train(pool, order_of(study, run_of("greedy"))))) == 4
    finally:
        pool.close()
    assert len(flag.read_text().split()) == 3 * workers - (2 if spared else 0)


@pytest.mark.parametrize("attack", ["delete", "flip"])
def test_rows_that_are_deleted_or_damaged_as_a_study_runs_are_made_again(pool, tmp_path, caplog, attack):
    given = workload(pool, tmp_path, f"rows {attack}", opens=True)
    for place in tmp_path.glob("toy-*"):
        if attack == "delete":
            shutil.rmtree(place)
        else:
            content = (place / "inputs.npy").read_bytes()
            (place / "inputs.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    pool.prepare(given)
    assert len(measured(train(pool, order_of(given.study, run_of(given.study))))) == 4
    assert "made anew from the data" in caplog.text
    assert len(list(tmp_path.glob("toy-*/inputs.npy"))) == 2


@pytest.mark.extended
@pytest.mark.parametrize("moment", ["starting", "loading"])
def test_a_study_whose_time_is_up_waits_no_longer_for_workers(tmp_path, monkeypatch, moment):
    monkeypatch.setattr("hpsearch.runtime.pools.worker_pool.STARTS_LIMIT", 10**6)
    if moment == "starting":
        monkeypatch.setattr("hpsearch.runtime.pools.local.serve", _cannot_start)
    pool = LocalPool([CPU])
    try:
        pool.deadline = time.monotonic() + 8
        with pytest.raises(TimeIsUpError):
            ready(pool, tmp_path, "late", trouble="die loading", flag=str(tmp_path / "loads"))
        assert time.monotonic() < pool.deadline + 5
    finally:
        pool.close()


def test_closing_ends_workers_and_threads():
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("hpsearch")]

    def workers():
        return set(filter(is_worker, psutil.Process().children(recursive=True)))

    workers_before, threads_before = workers(), set(threads())
    pool = LocalPool([CPU])
    until(lambda: len(workers() - workers_before) == 1, 60, "no worker")
    started = workers() - workers_before
    pool.close()
    pool.close()
    until(lambda: not any(map(is_alive, started)), DEATH_SECONDS, "the worker lives")
    until(lambda: set(threads()) <= threads_before, DEATH_SECONDS, "a thread lives")


@pytest.mark.skipif(sys.platform != "linux", reason="cores are bound on Linux")
def test_a_worker_begins_with_what_its_asker_has_now(tmp_path, monkeypatch, capfd):
    """Variables, arguments, folder, path, cores and outputs; with random states of its own, and without Optuna."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("SAID_LATER", "yes")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "argv", ["script.py", "--an-argument"])

    def look(number: int) -> None:
        import hpsearch.runtime.worker  # noqa: F401

        print("a word", flush=True)
        answer = {
            "environment": dict(os.environ),
            "began": [sys.argv[1], sys.path[0], str(Path.cwd()), sorted(os.sched_getaffinity(0))],
            "drawn": np.random.random(),
            "optuna": "optuna" in sys.modules,
        }
        Path(f"partial-{number}").write_text(json.dumps(answer))
        Path(f"partial-{number}").rename(f"answer-{number}")

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        workers = [WorkerProcess(partial(look, number), worker_environment(CPU, os.environ, 3)) for number in (0, 1)]
    finally:
        os.sched_setaffinity(0, cores)
    until(lambda: all(worker.has_ended() for worker in workers), 120, "no worker has looked")
    for worker in workers:
        worker.end()
    first, second = (json.loads(Path(f"answer-{number}").read_text()) for number in (0, 1))
    assert first["began"] == ["--an-argument", str(tmp_path / "elsewhere"), str(Path.cwd()), [min(cores)]]
    assert first["environment"]["SAID_LATER"] == "yes"
    assert first["environment"]["OMP_NUM_THREADS"] == "3"
    assert first["environment"]["GLIBC_TUNABLES"] == KEEP_FREED_MEMORY
    assert first["drawn"] != second["drawn"]
    assert not first["optuna"]
    assert capfd.readouterr().out == "a word\na word\n"


@pytest.mark.chaos
@pytest.mark.parametrize("moment", ["starting", "importing", "idle", "between studies"])
def test_no_process_outlives_a_pool_that_was_killed(launcher, moment):
    coordinator = launcher.launch("hold_pool", released=moment == "between studies")
    until(coordinator.started, 60, coordinator.text)
    if moment == "importing":
        until(lambda: _uses_torch(coordinator.started()), 120, coordinator.text)
    if moment in ("idle", "between studies"):
        until(lambda: "ready" in coordinator.text(), 240, coordinator.text)
        assert len(coordinator.workers()) == 1
    _kill(coordinator)


@pytest.mark.chaos
@pytest.mark.parametrize("moment", ["training", "hanging with the interpreter's lock"])
def test_no_worker_outlives_its_coordinator(launcher, tmp_path, moment):
    flag = tmp_path / "flag"
    task = {"pause": 0.1} if moment == "training" else {"trouble": "clutch", "flag": str(flag)}
    environment = {"HPSEARCH_CACHE": str(tmp_path / "cache")}
    coordinator = launcher.launch(
        "run", environment, folder=str(tmp_path), devices=1, task=task, trials=2, checkpoint_every=0.2
    )
    under_way = flag.exists if moment != "training" else (tmp_path / "toy" / "checkpoints").exists
    until(under_way, 240, coordinator.text)
    assert len(coordinator.workers()) == 1
    _kill(coordinator)


def _kill(coordinator: StudyProcess) -> None:
    """Kill a coordinator, and see that nothing that it started lives on."""
    started = coordinator.started()
    coordinator.kill()
    until(lambda: not any(map(is_alive, started)), DEATH_SECONDS, lambda: f"{started} live")


def _uses_torch(processes: list[psutil.Process]) -> bool:
    return any("libtorch" in mapped.path for each in processes for mapped in each.memory_maps())


@pytest.mark.chaos
def test_what_ends_a_process_group_does_not_end_workers(launcher):
    coordinator = launcher.launch("interrupted_pool")
    until(lambda: "started" in coordinator.text(), 60, coordinator.text)
    until(lambda: _signal_group(coordinator) or "ready" in coordinator.text(), 240, coordinator.text)
    for _ in range(3):
        _signal_group(coordinator)
    assert coordinator.wait() == 0, coordinator.text()
    assert "the same worker" in coordinator.text()
    assert "resource_tracker" not in coordinator.text()  # what tracks semaphores beside the workers lives, too


def _signal_group(coordinator: StudyProcess) -> None:
    if coordinator.poll() is None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.killpg(coordinator.pid, number)
