"""Several studies on one pool: its slots are shared fairly, and each study decides for itself."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.display.display import shown
from hpsearch.display.waiting import waiting_for
from hpsearch.records import Slot
from hpsearch.runtime.coordinator import WAIT_SECONDS, Coordinator
from hpsearch.runtime.devices import Devices, TrialsPerDevice
from hpsearch.runtime.messages import Ended, Event
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.base import Pool, TimeIsUpError
from hpsearch.runtime.pools.in_turn import in_turn
from hpsearch.runtime.sharing import Shares
from hpsearch.runtime.signals import Interruption
from hpsearch.runtime.study_run import StudyRun

logger = logging.getLogger("hpsearch")


@dataclass(eq=False)
class Member:
    """One of the studies that share a pool.

    An exception in one, that it failed (StudyFailedError) or was taken over (LeaseLostError) for instance, ends that
    one alone.

    Attributes:
        left: What is to be left when the study is over: its lease, its callbacks.
        error: What has ended it, if anything.
    """

    coordinator: Coordinator
    left: contextlib.ExitStack
    error: Exception | None = None
    is_over: bool = False

    @property
    def label(self) -> str:
        return self.coordinator.label

    def begin(self) -> None:
        with self._ending_alone():
            self.coordinator.begin()

    def train_on(self, slot: Slot) -> bool:
        """Give an idle slot the study's next segment; return False where nothing can be trained just now."""
        with self._ending_alone():
            return not self.is_over and self.coordinator.train_on(slot)
        return False

    def longest_left(self) -> float | None:
        """Return the seconds of the longest that may begin now, 0 where nothing may; None while trials may be added."""
        with self._ending_alone():
            return 0.0 if self.is_over else self.coordinator.longest_left()
        return 0.0

    def take(self, event: Event) -> None:
        """Record what a worker reports; what one reports after the study has ended is dropped."""
        with self._ending_alone():
            if not self.is_over:
                self.coordinator.take(event)

    def check(self) -> None:
        """Look at the clock, and end the study where nothing is left to train."""
        if self.is_over:
            return
        with self._ending_alone():
            self.coordinator.check_time()
            if not self.coordinator.has_work():
                self.coordinator.end()
                self._leave()

    def _leave(self) -> None:
        self.is_over = True
        try:
            self.coordinator.leave()
        finally:
            self.left.close()

    @contextlib.contextmanager
    def _ending_alone(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            for _, segment in self.coordinator.training():
                self.coordinator.pool.cancel(self.label, segment.run.key)
            logger.warning("The study %r has ended, and the others continue: %s", self.label, error)
            if not self.is_over:
                with contextlib.suppress(Exception):  # what has ended it is said already
                    self._leave()


def share(members: Sequence[Member], pool: Pool, shares: Shares, clock: Callable[[], float] = time.monotonic) -> None:
    """Run studies on a pool until each is over."""
    by_label = {member.label: member for member in members}
    for member in members:
        member.begin()
    try:
        while pool.busy() or not all(member.is_over for member in members):
            for slot in pool.idle():
                if not _train_on(slot, by_label, shares, clock()):
                    break
            for event in pool.completed(WAIT_SECONDS):
                if isinstance(event, Ended):
                    shares.ended(event.study, event.result.segment.run.key, clock())
                by_label[event.study].take(event)
            for member in members:
                member.check()
    finally:
        with contextlib.ExitStack() as every:
            for member in members:
                if not member.is_over:
                    every.callback(member.coordinator.leave)


def _train_on(slot: Slot, members: Mapping[str, Member], shares: Shares, now: float) -> bool:
    """Give an idle slot a segment of the study that it is due to, or else of the next that has one.

    Once no study has trials to add, what takes longest is due: so all of them end together.
    """
    order = shares.in_order(now)
    left = [members[label].longest_left() for label in order]
    if all(seconds is not None for seconds in left):
        order = [label for _, label in sorted(zip(left, order, strict=True), key=lambda pair: -(pair[0] or 0.0))]
    for place, label in enumerate(order):
        if members[label].train_on(slot):
            for at, segment in members[label].coordinator.training():
                if at.index == slot.index:
                    shares.began(label, segment.run.key, now, slot.share * len(slot.devices))
            for other in order[:place]:
                shares.gave_way(other, label)
            return True
        if all(there.index != slot.index for there in members[label].coordinator.pool.slots()):
            return False  # its last worker was given up as it tried a model
    return False


@dataclass(eq=False)
class SeveralRuns:
    """Runs several studies on some devices until each has its trials, or the time is up.

    Attributes:
        weights: Of each study, its share of the devices against the others.
        progress: What to show meanwhile, as in `Study.run`.
    """

    runs: Sequence[StudyRun]
    weights: Sequence[float]
    deadline: float | None
    progress: bool | str
    interruption: Interruption

    def on(
        self, devices: Devices, enqueued: Sequence[Sequence[Mapping[str, Any]]], trials_per_device: TrialsPerDevice = 1
    ) -> Sequence[Exception]:
        """Check what can be checked of every study, then run them all; return what has ended one before its time.

        Raises:
            UsageError: Something in a plan, its data or the devices is not valid; no study has been begun.
        """
        choice, start = chosen_pool(devices, trials_per_device)
        with waiting_for("Preparing rows and models") if self.progress else contextlib.nullcontext():
            for run, configs in zip(self.runs, enqueued, strict=True):
                run.check(configs, is_in_process=choice.is_in_process)
        members: list[Member] = []
        with contextlib.ExitStack() as all_left:
            left = [all_left.enter_context(contextlib.ExitStack()) for _ in self.runs]
            for run, configs, stack in zip(self.runs, enqueued, left, strict=True):
                stack.enter_context(run.opened(configs))
            labels = [run.label for run in self.runs]
            with contextlib.closing(in_turn(start(), choice, labels, self._can_train)) as pool:
                pool.deadline = self.deadline
                with contextlib.suppress(TimeIsUpError):
                    for run in self.runs:
                        run.prepare(pool)
                    self._run(pool, left, members)
            failed = {member.label for member in members if member.error is not None}
            for run in self.runs:
                if run.label not in failed:
                    run.say_how_it_ended()
        errors = [member.error for member in members] + [run.done_nothing() for run in self.runs]
        return [error for error in errors if error is not None]

    def _run(self, pool: Pool, left: Sequence[contextlib.ExitStack], members: list[Member]) -> None:
        called_back = [stack.enter_context(run.called_back()) for run, stack in zip(self.runs, left, strict=True)]
        shares = Shares({run.label: weight for run, weight in zip(self.runs, self.weights, strict=True)})
        with shown(self.progress, [run.watch(pool) for run in self.runs]) as displays:
            for index, run in enumerate(self.runs):
                observers = [*displays[index : index + 1], *called_back[index]]
                members.append(Member(run.coordinator(pool, observers), left[index]))
            with self.interruption.pausing(self._pause):
                share(members, pool, shares)

    def _can_train(self) -> bool:
        return any(run.can_train() for run in self.runs)

    def _pause(self) -> None:
        for run in self.runs:
            run.stop()
