"""A pool whose slots take turns with those of other processes on this machine."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpsearch.records import Slot
from hpsearch.runtime.messages import Ended, Event, Probe, Probed, Refused, Train, Workload
from hpsearch.runtime.pools.base import Pool, PoolChoice, TimeIsUpError
from hpsearch.runtime.turns import Turns

logger = logging.getLogger("hpsearch")

TURN_SECONDS = 0.05
"""How long a pool that waits in line lets a device stand idle, at most, after another process has left it."""


PATIENCE_SECONDS = 10.0
"""A wait that is over by then needs no words but those of a live display."""


class PoolInTurn:
    """A pool that holds each slot's device, against other processes, for one segment at a time.

    Args:
        pool: A pool on devices of this machine.
        studies: The names of its studies, for those who wait.
        wants: Whether an idle slot would be given an order; only then is its device waited for.
    """

    def __init__(self, pool: Pool, studies: Sequence[str], wants: Callable[[], bool]) -> None:
        self._pool, self._wants = pool, wants
        named = "study" if len(studies) == 1 else "studies"
        self._turns = Turns(f"process {os.getpid()} ({named} {', '.join(map(repr, studies))})")
        self._idle_since: float | None = None

    def waits_for(self) -> str | None:
        """Return whom this process waits for, in words; any thread may ask."""
        return self._turns.waits_for

    @property
    def deadline(self) -> float | None:
        return self._pool.deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._pool.deadline = deadline

    def idle(self) -> Sequence[Slot]:
        """Return the slots that can take an order now; the device of one that gets none is given back."""
        return self._turns.take(self._pool.idle(), self._pool.slots(), self._wants)

    def completed(self, timeout: float) -> Iterator[Event]:
        self._keep_used()
        if self._turns.is_waiting and not self._pool.busy():
            self._say_that_it_waits()
            time.sleep(TURN_SECONDS)
            return
        self._idle_since = None
        for event in self._pool.completed(min(timeout, TURN_SECONDS) if self._turns.is_waiting else timeout):
            if isinstance(event, Ended):  # what becomes of it, a callback for instance, may take its time
                self._keep_used()
            yield event

    def _say_that_it_waits(self) -> None:
        """Log it once a wait has taken a while: displays of plain lines show it nowhere else."""
        now = time.monotonic()
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since >= PATIENCE_SECONDS:
            logger.warning(
                "Waiting for %s: studies on one machine take turns, a segment of training at a time.",
                self.waits_for(),
            )
            self._idle_since = math.inf  # said once a wait

    def _keep_used(self) -> None:
        wanted = self._turns.keep({slot.index for slot, _ in self._pool.training()})
        for slot in self._pool.slots() if wanted else ():
            if slot.index in wanted:
                self._pool.rest(slot)

    def rest(self, slot: Slot) -> None:
        self._pool.rest(slot)

    def close(self) -> None:
        self._pool.close()
        self._turns.close()

    def environment(self) -> Mapping[str, Any]:
        return self._pool.environment()

    def prepare(self, workload: Workload) -> None:
        self._pool.prepare(workload)

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        if slot is not None or order.rows is None:
            return self._pool.probe(order, slot)
        while (probed := self._pool.probe(order, self._first_turn())) is None:
            pass  # no worker is left there: another device's turn
        return probed

    def _first_turn(self) -> Slot:
        """Wait until a device is this process's: what another one trains there takes memory."""
        while not (taken := self._turns.take(self._pool.idle(), self._pool.slots(), lambda: True)):
            if self.deadline is not None and time.monotonic() >= self.deadline:
                raise TimeIsUpError("The study's time was up before a device was free.")
            for event in self.completed(TURN_SECONDS):
                if isinstance(event, Refused):
                    raise event.error
        return taken[0]

    def slots(self) -> Sequence[Slot]:
        return self._pool.slots()

    def busy(self) -> bool:
        return self._pool.busy()

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return self._pool.training()

    def submit(self, slot: Slot, order: Train) -> None:
        self._pool.submit(slot, order)

    def cancel(self, study: str, run: str) -> None:
        self._pool.cancel(study, run)

    def interrupt(self, study: str) -> None:
        self._pool.interrupt(study)


def in_turn(pool: Pool, choice: PoolChoice, studies: Sequence[str], wants: Callable[[], bool]) -> Pool:
    """Return a pool that takes turns with other processes, where it is on devices of this machine."""
    return PoolInTurn(pool, studies, wants) if choice.takes_turns else pool
