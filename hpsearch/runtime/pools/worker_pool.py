"""What every pool of worker processes does: gives orders, follows them, replaces workers that die or hang."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hpsearch.data.wording import counted
from hpsearch.errors import HpsearchError, PreparedDataError
from hpsearch.policy.failures import last_words
from hpsearch.records import Outcome, SegmentResult, Slot
from hpsearch.runtime.messages import (
    Broken,
    Checkpointed,
    Ended,
    Evaluated,
    Event,
    Heartbeat,
    Probe,
    Probed,
    Ready,
    Refused,
    Stop,
    Train,
    Wanted,
    Workload,
)
from hpsearch.runtime.node_folders import sent
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools.base import TimeIsUpError, prepare_again
from hpsearch.runtime.pools.failing_devices import FailingDevices, still_out, taken_out
from hpsearch.runtime.pools.places import gpus_of, is_cpu, missing, offered, shared, spare
from hpsearch.runtime.pools.pool_worker import PoolWorker, not_begun, probe_failure, start_failure
from hpsearch.runtime.pools.silence import GRACE_SECONDS, death_log, hang_seconds, silent_log
from hpsearch.runtime.pools.transport import Lost, Transport
from hpsearch.training.device_errors import Blame

logger = logging.getLogger("hpsearch")

START_SECONDS = 600.0
"""How long a worker may take to start; a process that ends first is noticed at once."""

PROBES_LIMIT = 3
"""How many workers may be killed while they try a model, before its memory is to blame and not somebody who kills."""

STARTS_LIMIT = 3
"""How often in a row a slot's worker may end before it is ready."""


class WorkerPool:
    """Long-lived worker processes, one per slot, each replaced when it dies or hangs.

    Args:
        transport: Starts their processes and carries messages; it ends with the pool.
        slots: Where the first workers are.
        occupancies: By device, where trials share devices.

    Attributes:
        hang_seconds: How long a worker may show no progress.
    """

    def __init__(
        self,
        transport: Transport,
        slots: Sequence[Slot],
        occupancies: Mapping[str, Occupancy] = MappingProxyType({}),
    ) -> None:
        self.deadline: float | None = None
        self.hang_seconds = hang_seconds()
        self._closed = False
        self._transport, self._occupancies = transport, occupancies
        self._workloads: dict[str, Workload] = {}
        self._environment: Mapping[str, Any] | None = None
        self._probed: Probed | None = None
        self._cleared: set[str] = set()
        self._held_back: list[Event] = []
        self._generation = 0
        self._failed_starts: dict[int, int] = {}
        self._failing = FailingDevices()
        self._out: dict[str, list[Slot]] = {}  # devices that were taken out
        self._failure = ""  # why no worker is left: the next turn raises it
        self._looked = time.monotonic()
        self._workers: dict[int, PoolWorker] = {}
        try:
            for slot in slots:
                self._workers[slot.index] = self._start(slot)
        except BaseException:
            self.close()  # a worker left behind would keep this process from ending
            raise

    def environment(self) -> Mapping[str, Any]:
        while self._environment is None:
            self._wait()
        return self._environment

    def prepare(self, workload: Workload) -> None:
        self._workloads[workload.study] = workload
        for worker in self._workers.values():
            if worker.pid is not None:
                worker.tell(workload)
        while not any(worker.is_ready for worker in self._workers.values()):
            self._wait(workload.study)

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        device = None if slot is None else slot.devices[0]
        if device is not None and device in gpus_of(self._busy()):
            self._cleared.add(device)
            return None
        for place in self.idle():
            if place.devices[0] == device:
                self.rest(place)
        self._probed = None
        for _ in range(PROBES_LIMIT):
            while not (places := [place for place in self.idle() if device in (None, place.devices[0])]):
                if device not in (None, *(place.devices[0] for place in self.slots())):
                    return None  # no worker could start there any more
                self._wait(order.study)
            worker = self._workers[places[0].index]
            worker.owes(order)
            # It is killed and replaced, or owes nothing: it refused, and was told of rows that have been made anew.
            while self._probed is None and worker.awaited and self._workers.get(worker.slot.index) is worker:
                self._wait(order.study)
            if self._probed is not None:
                return self._probed
        if not order.is_first:
            return Probed(0, None)
        raise HpsearchError(probe_failure(PROBES_LIMIT, worker.ending))

    def _wait(self, study: str = "") -> None:
        """Wait a moment for workers to get ready; raise where one refuses `study`."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeIsUpError("The study's time was up before a worker was ready.")
        self._drain(0.2)
        for event in self._held_back:
            if isinstance(event, Refused) and event.study == study:
                self._held_back.remove(event)
                raise event.error

    def slots(self) -> Sequence[Slot]:
        return [worker.slot for worker in list(self._workers.values())]

    def idle(self) -> Sequence[Slot]:
        self._cleared &= gpus_of(self._busy())
        resting = [worker.slot for worker in self._workers.values() if worker.is_ready and worker.order is None]
        return [slot for slot in offered(resting, self._busy(), self._trials()) if slot.devices[0] not in self._cleared]

    def _busy(self) -> Sequence[Slot]:
        return [worker.slot for worker in self._workers.values() if worker.order is not None]

    def _trials(self) -> Mapping[str, int]:
        return {device: occupancy.trials for device, occupancy in self._occupancies.items()}

    def busy(self) -> bool:
        return bool(self._busy() or self._held_back)

    def processes(self) -> Mapping[int, int | None]:
        """Return the process id of each slot's worker, None while it starts."""
        return {index: worker.pid for index, worker in self._workers.items()}

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(worker.slot, order) for worker in list(self._workers.values()) if (order := worker.order) is not None]

    def submit(self, slot: Slot, order: Train) -> None:
        worker = self._workers.get(slot.index)
        if worker is None or not worker.is_ready:
            self._held_back.append(not_begun(order))
            return
        if (occupancy := self._occupancy(slot)) is not None:
            occupancy.began(slot.index, order)
        worker.send(worker.takes(order))

    def _occupancy(self, slot: Slot) -> Occupancy | None:
        return self._occupancies.get(slot.devices[0])

    def cancel(self, study: str, run: str) -> None:
        for worker in self._workers.values():
            if worker.order is not None and (worker.order.study, worker.order.segment.run.key) == (study, run):
                worker.is_stopping = True
                worker.send(Stop(checkpoint=False))

    def interrupt(self, study: str) -> None:
        for worker in self._workers.values():
            if worker.order is not None and worker.order.study == study and not worker.is_stopping:
                worker.is_stopping = True
                worker.send(Stop(checkpoint=True))

    def rest(self, slot: Slot) -> None:
        self._workers[slot.index].rest()

    def completed(self, timeout: float) -> Iterator[Event]:
        if not self._held_back:
            self._drain(timeout)
        while self._held_back:
            yield self._held_back.pop(0)

    def close(self) -> None:
        """End all workers at once; what they trained since the last checkpoint is lost.

        Idle processes on CPUs go to the next pool; on a GPU their end frees its memory at once.
        """
        if self._closed:
            return
        self._closed = True
        for worker in self._workers.values():
            worker.dismiss()
        self._transport.close()
        for device in self._out if self._workers else ():
            logger.warning("%s", still_out(device, self._failing.out()[device]))

    # ---------------------------------------------------------------- processes

    def _start(self, slot: Slot) -> PoolWorker:
        self._generation += 1
        return PoolWorker(slot, self._transport.start(slot, self._generation), self._generation)

    def _fit(self) -> None:
        """Start and end workers where devices should train more or fewer trials than they have slots."""
        for occupancy in self._occupancies.values():
            occupancy.look()
        trials, slots = self._trials(), self.slots()
        for slot in spare(slots, self._busy(), trials):
            self._workers.pop(slot.index).dismiss()
        for slot in missing(slots, trials):
            self._workers[slot.index] = self._start(slot)
        for slot in shared(self.slots()):
            self._workers[slot.index].slot = slot

    def _lose(self, worker: PoolWorker, outcome: Outcome, log: str, ending: str = "") -> Iterator[Event]:
        """Replace a dead or hung worker, of which `ending` says how it ended; say how its order ended."""
        order, point, worker.ending = worker.order, worker.point, ending
        worker.remote.end()
        if (occupancy := self._occupancy(worker.slot)) is not None:
            occupancy.lost(worker.slot.index)
        if order is None and not worker.is_ready and not self._may_start_again(worker):
            self._give_up(worker, ending)
        else:
            self._workers[worker.slot.index] = self._start(worker.slot)
        if order is not None:
            yield Ended(order.study, SegmentResult(order.segment, outcome, point, log))

    def _may_start_again(self, worker: PoolWorker) -> bool:
        """Return whether a slot whose worker ended before it was ready gets another."""
        failed = self._failed_starts[worker.slot.index] = self._failed_starts.get(worker.slot.index, 0) + 1
        if failed < STARTS_LIMIT and worker.pid is None:
            self._transport.failed_to_start()
        return failed < STARTS_LIMIT

    def _give_up(self, worker: PoolWorker, ending: str) -> None:
        """Do without a slot whose worker cannot get ready: it may take too much memory beside the others."""
        del self._workers[worker.slot.index]  # its number may come again
        if (occupancy := self._occupancy(worker.slot)) is not None:
            occupancy.limit(sum(slot.devices == worker.slot.devices for slot in self.slots()))
        self._go_on_with_fewer(start_failure(worker, self._failed_starts.pop(worker.slot.index), ending))

    def _go_on_with_fewer(self, reason: str) -> None:
        """Say why workers were given up; where none is left, the next turn raises it."""
        if self._workers:
            logger.warning("%s The study continues with %s.", reason, counted(len(self._workers), "worker"))
        else:
            self._failure = f"{reason} No worker is left, so the study is paused; all that was recorded is kept."

    # ---------------------------------------------------------------- messages

    def _drain(self, timeout: float) -> None:
        """Read all messages, waiting up to `timeout` seconds for the first.

        What they tell is held back, for `completed` to yield: an error on the way loses none of it.
        """
        if self._failure:
            raise HpsearchError(self._failure)
        for generation, message in self._transport.received(timeout):
            worker = next((worker for worker in self._workers.values() if worker.generation == generation), None)
            if worker is None:
                continue  # it was given up meanwhile
            if message is Lost.GONE:
                ending, stack = worker.remote.ending(), worker.remote.stack()
                log = death_log(stack, worker.slot.devices[0], ending)
                self._held_back += self._lose(worker, Outcome.LOST, log, ending)
            elif (event := self._read(worker, message)) is not None:
                self._held_back.append(event)
        self._held_back += self._end_silent_workers()
        self._fit()

    def _end_silent_workers(self) -> Iterator[Event]:
        """Ask workers that show no progress to end, kill those that then neither end nor go on, or never start."""
        looked, self._looked = self._looked, time.monotonic()
        for worker in list(self._workers.values()):
            started = worker.remote.started
            if worker.pid is None and started is not None and self._looked - started > START_SECONDS:
                yield from self._lose(worker, Outcome.LOST, "")
                continue
            if self._looked - looked > GRACE_SECONDS:  # it was this process that was stopped, or had its database away
                worker.makes_progress()
            if worker.is_hung(self.hang_seconds):
                log = silent_log(worker.remote.stack(), worker.slot.devices[0], self.hang_seconds)
                yield from self._lose(worker, Outcome.TIMED_OUT, log, ending="no progress")

    def _read(self, worker: PoolWorker, message: Any) -> Event | None:
        match message:
            case Ready(pid, environment) if worker.pid is None:
                worker.pid, self._environment = pid, self._environment or environment
                for workload in self._workloads.values():
                    worker.tell(workload)
            case Ready():
                worker.awaited -= 1
            case Probed() as probed:
                worker.awaited -= 1
                self._probed = probed
            case Refused() as refused:
                worker.awaited -= 1
                return self._refused(worker, refused)
            case Broken(study, error, blame):
                return self._broke(worker, Refused(study, error), blame)
            case Heartbeat(progress):
                if progress == worker.progress:
                    return None
                worker.progress = progress
            case Wanted(study) as wanted:
                worker.send(sent(self._workloads.get(study), wanted))
            case Evaluated() | Checkpointed() | Ended() as event:
                worker.makes_progress()
                return self._noted(worker, event)
        worker.makes_progress()
        if worker.is_ready:
            self._failed_starts.pop(worker.slot.index, None)
        return None

    def _noted(self, worker: PoolWorker, event: Event) -> Event:
        occupancy = self._occupancy(worker.slot)
        match event:
            case Evaluated(_, evaluation):
                worker.point = evaluation.point
                if occupancy is not None:
                    occupancy.evaluated(worker.slot.index, evaluation)
            case Ended(study, result, blame):
                worker.ends(result)
                if occupancy is not None:
                    event = Ended(study, occupancy.ended(worker.slot.index, result))
                if blame is not None:
                    self._replace_broken(worker, blame, f"{study}/{result.segment.run.key}", last_words(result.log))
        return event

    def _broke(self, worker: PoolWorker, refused: Refused, blame: Blame) -> Event | None:
        """Take note of an error of its device that a worker met while it loaded or tried a model."""
        event = None
        if blame is Blame.TRIAL or is_cpu(worker.slot.devices[0]):  # it would be the same on any device
            worker.awaited, event = worker.awaited - 1, self._refused(worker, refused)
        self._replace_broken(worker, blame, "", last_words(str(refused.error)))
        return event

    def _replace_broken(self, worker: PoolWorker, blame: Blame, run: str, error: str) -> None:
        """Replace a worker whose process no later segment survives, unless its device fails too often."""
        if blame is Blame.DEVICE and not is_cpu(worker.slot.devices[0]):  # a CPU was asked for a GPU
            self._failing.note(worker.slot.devices[0], run, error)
            out = self._failing.out()
            for device in self._out.keys() - out:
                self._bring_back(device)
            for device in out.keys() - self._out:
                self._take_out(device, out[device])
        if self._workers.get(worker.slot.index) is worker:
            self._held_back += self._lose(worker, Outcome.LOST, "", ending=error)

    def _take_out(self, device: str, error: str) -> None:
        """Use a device no more. What else trains there is no loss of its run: it goes on elsewhere."""
        going = [worker for worker in self._workers.values() if worker.slot.devices[0] == device]
        for worker in going:
            del self._workers[worker.slot.index]
            self._let_go(worker)
            if (order := worker.order) is not None:
                self._held_back.append(Ended(order.study, SegmentResult(order.segment, Outcome.PAUSED, worker.point)))
        self._out[device] = [worker.slot for worker in going]
        if (occupancy := self._occupancies.get(device)) is not None:
            for worker in going:
                occupancy.lost(worker.slot.index)
            occupancy.limit(0)
        self._go_on_with_fewer(taken_out(device, error))

    def _let_go(self, worker: PoolWorker) -> None:
        worker.remote.end()

    def _bring_back(self, device: str) -> None:
        slots = self._out.pop(device)
        logger.warning("%s is used again: what failed there has failed elsewhere, too.", device)
        if (occupancy := self._occupancies.get(device)) is not None:
            occupancy.limit(len(slots))  # its workers are started where they pay
        for slot in slots if occupancy is None else ():
            self._workers[slot.index] = self._start(slot)

    def _refused(self, worker: PoolWorker, refused: Refused) -> Event | None:
        """Return what a worker says, unless another one has said so already, or its cause can be mended."""
        if (workload := self._workloads.get(refused.study)) is None:
            return None
        if isinstance(refused.error, PreparedDataError) and refused.study not in worker.told_again:
            worker.told_again.add(refused.study)
            prepare_again(workload, refused.error)
            worker.tell(workload)
            return None
        del self._workloads[refused.study]
        return refused
