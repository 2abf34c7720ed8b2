"""The coordinator: the study's loop, and the only writer of its store."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from hpsearch.data.atomic_write import append_text
from hpsearch.errors import StudyFailedError
from hpsearch.policy.budget import Ending
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.records import (
    Action,
    Decision,
    History,
    Outcome,
    Run,
    Segment,
    SegmentResult,
    Slot,
    Trial,
    TrialState,
)
from hpsearch.records.checkpoint_folder import Checkpoint, CheckpointFolder
from hpsearch.records.store import Store
from hpsearch.runtime.admission import Admission, OnArrival
from hpsearch.runtime.checkpoint_budget import CheckpointBudget
from hpsearch.runtime.fitting import DeviceInUseError, Fitting
from hpsearch.runtime.last_trials import ALONE, LastTrials
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Refused, Train
from hpsearch.runtime.pools.base import Pool, TimeIsUpError
from hpsearch.runtime.scheduler import Scheduler
from hpsearch.runtime.virtual_plan import VirtualPlan
from hpsearch.runtime.virtual_time import VirtualTime

logger = logging.getLogger("hpsearch")

WAIT_SECONDS = 0.5
"""How long the loop waits for messages before it looks at the clock."""

FIRST_TRIALS = 3
"""The study ends when this many trials have failed with the same exception and none ended otherwise."""


class Observer(Protocol):
    """Learns of each change once it is durable: the display, a user's callback."""

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of a change. `trial` is the one that has just ended, or None."""


@dataclass(eq=False)
class Coordinator:
    """Runs one study's trials on a pool until they are done, time is up, or it is stopped.

    Attributes:
        store: The study's store, its lease held.
        pool: Trains segments; ready for the study.
        ask: Adds a new trial to the store and returns it, or None when the sampler has nothing left.
        limits: What the study may take.
        logs: Folder for the logs of failed segments.
        label: What the pool calls the study, by default its name.
        last: How several workers share the last trials, where it decides on arrival.
        virtual: How it counts in virtual time; None: it decides on arrival.
        fitting: Makes runs fit into memory that ran out of it; without it their trials are pruned.
        started: Segments that were given to workers.
        ending: What has ended the study, once it is over by itself; None before, and where it was stopped.
    """

    store: Store
    pool: Pool
    ask: Callable[[], Trial | None]
    limits: Limits
    policy: Policy
    checkpoints: CheckpointFolder
    logs: Path
    observers: Sequence[Observer] = ()
    clock: Callable[[], float] = time.monotonic
    label: str = ""
    last: LastTrials = ALONE
    fitting: Fitting | None = None
    virtual: VirtualPlan | None = None
    started: int = field(default=0, init=False)
    ending: Ending | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _began: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)  # by run, its checkpoint's place

    def __post_init__(self) -> None:
        self.label = self.label or self.store.name
        last = self.last if self.virtual is None else ALONE
        self._scheduler = Scheduler(
            self._add_trial, self.limits, self.policy.target, self.clock, last, self.policy.limits_of_all
        )
        self._admission: Admission = OnArrival(self.store, self._scheduler)
        if self.virtual is not None:
            self._admission = VirtualTime(self.store, self._scheduler, self.policy, self.limits, self.virtual)
        self._limits_of_recorded = replace(self.limits)  # the others see what decisions see
        self._budget = CheckpointBudget(self.store, self.checkpoints, self.policy.objective)

    def run(self) -> History:
        """Run to the end, alone on the pool, and return what happened.

        Raises:
            StudyFailedError: The first trials all failed in the same way.
            LeaseLostError: Another coordinator has taken the study over.
        """
        try:
            self.begin()
            while self.has_work():
                for slot in self.pool.idle():
                    if not self.train_on(slot):
                        break
                for event in self.pool.completed(WAIT_SECONDS):
                    self.take(event)
                self.check_time()
            self.end()
        finally:
            self.leave()
        return self.store.history

    def begin(self) -> None:
        """Decide on what an earlier coordinator recorded, and drop stray checkpoints."""
        for number in self._admission.begin():
            self.settle(number)
        self.checkpoints.sweep({run.key for trial in self.store.history.unfinished() for run in trial.runs})
        self._budget.drop_until_fits(0)  # the budget may have been lowered
        self.check_time()  # an earlier call may have spent what the study may take
        self._decide()

    def has_work(self) -> bool:
        """Return whether a segment of the study is in training, or can be."""
        return self._admission.is_busy or self.can_train()

    def can_train(self) -> bool:
        """Return whether there is a segment for one more slot, or a trial to ask for."""
        return self._admission.can_train()

    def longest_left(self) -> float | None:
        """Return the seconds of the longest way to a trial's end that may begin now; None while trials may be added."""
        return self._admission.longest_left()

    def train_on(self, slot: Slot) -> bool:
        """Give an idle slot the study's next segment; return False where nothing can be trained just now."""
        if self.fitting is not None:
            self.fitting.slot = slot
        try:
            return self._train_on(slot)
        finally:
            if self.fitting is not None:
                self.fitting.slot = None

    def _train_on(self, slot: Slot) -> bool:
        try:
            self._decide()  # what had to wait for a slot
            segment = self._admission.next_segment(slot)
        except (DeviceInUseError, TimeIsUpError):
            return False
        if segment is None:
            return False
        self.pool.submit(slot, self._order(segment))
        self.started += 1
        self._notify(None)  # the first evaluation may take minutes
        return True

    def take(self, event: Event) -> None:
        """Record what a worker of this study reports, and decide on it."""
        self._decide(self._record(event))  # durable before anyone decides on it

    def _decide(self, recorded: Sequence[int] = ()) -> None:
        """Decide on all that may be decided on; something was recorded of these trials."""
        for number in self._admission.admitted(recorded):
            self.settle(number)

    def check_time(self) -> None:
        """Renew the lease, and pause every run once a limit is reached or the study was stopped."""
        self.store.renew()
        over = None if self._stopping else self._limits_of_recorded.over(self.store.recorded, self.clock())
        if over is not None and (over.limit != "timeout" or self.has_work()):  # else the study has just ended by itself
            self.ending = over
            self._admission.over(over)
        if self._stopping or self.ending is not None:
            self._scheduler.close()
            self.pool.interrupt(self.label)

    def end(self) -> None:
        """End the trials that wait for a promotion; where all is trained none can come, and a paused study waits."""
        if not self._scheduler.is_closed:
            self.ending = self._scheduler.ending(self.store.history)
        for _, segment in self.training():  # ahead, and in vain
            self.pool.cancel(self.label, segment.run.key)
        if self.ending is not None and not self.ending.keeps_trials:
            for trial in self.store.history.unfinished():
                decision = self.policy.give_up(self.store.history, trial)
                if decision is not None:
                    self._apply(decision)
        self.store.flush()
        self.store.renew()  # what was just recorded is in a file that still has its name

    def leave(self) -> None:
        """Mark every unfinished trial as waiting, so that none looks as if it were running."""
        if not self.store.held:
            return
        for trial in self.store.history.unfinished():
            self.store.set_state(trial.number, TrialState.WAITING)
        self._notify(None)

    def training(self) -> Sequence[tuple[Slot, Segment]]:
        """Return which of the study's segments trains where; any thread may ask."""
        return [(slot, order.segment) for slot, order in self.pool.training() if order.study == self.label]

    def stop(self) -> None:
        """Pause every run with a checkpoint at the loop's next turn, and end the loop.

        Signal handlers and other threads call this, so it only sets a flag.
        """
        self._stopping = True
        self._scheduler.close()  # nothing more is decided, whatever else has been recorded by now

    def settle(self, number: int) -> None:
        """Decide on a trial and carry the decisions out, until another one needs new measurements."""
        if self.fitting is not None:
            try:
                dropped = self.fitting.fit_again(self.store.history.trials[number], self._admission.in_flight())
            except TimeIsUpError:  # the next call decides on it as it begins
                self.ending = Ending("timeout", "its time is up")
                self._scheduler.close()
                return
            for run in dropped:
                self.checkpoints.remove(run)
        while True:
            history = self.store.history
            decision = self.policy.decide(history, number, closing=self._scheduler.is_closing(history))
            if decision.action is Action.PAUSE:
                if not self._admission.is_open(history.trials[number]):  # else at the end of its segment
                    self._pause(decision)
                return
            if decision.final_state is None and decision.stop is None:
                return
            self._apply(decision)
            if decision.final_state is not None:
                return

    def _add_trial(self, *, is_ahead: bool = False) -> History | None:
        """Ask for a trial, and settle it: one equal to an earlier trial may need no training."""
        self._admission.asking()
        trial = self.ask()
        if trial is None:
            return None
        self.settle(trial.number)
        if is_ahead and not self.store.history.trials[trial.number].state.is_finished:
            self.store.set_state(trial.number, TrialState.WAITING)  # until a worker takes it
        return self.store.history

    def _pause(self, decision: Decision) -> None:
        """Let a trial wait for a promotion; samplers no longer see it as running."""
        self._admission.paused(decision.trial)
        self.store.apply(decision)
        self.store.set_state(decision.trial, TrialState.WAITING)
        self._notify(None)

    def _order(self, segment: Segment) -> Train:
        history, run = self.store.history, segment.run
        checkpoint = self.checkpoints.read(run.key)
        usable = checkpoint is not None and checkpoint.point <= segment.start
        self._began[run.key] = _place(checkpoint)
        return Train(
            study=self.label,
            segment=segment,
            previous=self.store.recorded.of(run.key),
            watched=self._scheduler.is_watched(history, run),
            leaves_checkpoint=self._may_continue(run, segment.stop),
            checkpoint=checkpoint.files if checkpoint is not None and usable else None,
        )

    def _record(self, event: Event) -> Sequence[int]:
        """Make an event durable, and return the numbers of the trials to decide on."""
        match event:
            case Evaluated(_, evaluation, outputs):
                numbers = self._trials_of(evaluation.run)
                follows = evaluation.point <= 1 + len(self.store.recorded.of(evaluation.run))
                if numbers and follows:  # whether a worker measures more after its trial ended depends on its speed
                    self.store.record_evaluation(evaluation, outputs)
                    self._notify(None)
                return numbers
            case Checkpointed(_, key, point, step, files):
                if self._trials_of(key):
                    self.store.renew()  # no lease protects files: notice a takeover before writing any
                    self._budget.write(key, point, step, files)
                return ()
            case Ended(_, result):
                run = result.segment.run
                self._write_log(result)
                self.store.record_result(self._counted(result))
                self._admission.ended(run)
                if result.outcome is Outcome.OK and not self._may_continue(run, result.point):
                    self.checkpoints.remove(run.key)
                return self._trials_of(run.key)
            case Refused(_, error):
                raise error

    def _counted(self, result: SegmentResult) -> SegmentResult:
        """Return the end of a segment; a worker that was lost after it had left a checkpoint counts as a pause."""
        began = self._began.pop(result.segment.run.key, (0, 0))
        if result.outcome not in (Outcome.LOST, Outcome.TIMED_OUT) or not result.log:
            return result
        is_further = _place(self.checkpoints.read(result.segment.run.key)) > began
        return replace(result, outcome=Outcome.PAUSED) if is_further else result

    def _apply(self, decision: Decision) -> None:
        self.store.apply(decision)
        if decision.final_state is None:
            self._drop_what_is_whole(decision.trial)
            return
        trial = self.store.history.trials[decision.trial]
        for run in trial.runs:
            if not self._trials_of(run.key):  # no other unfinished trial shares it
                self.pool.cancel(self.label, run.key)
                self.checkpoints.remove(run.key)
        self._notify(trial)
        if decision.action is Action.FAIL:
            self._end_if_all_fail_alike()

    def _drop_what_is_whole(self, number: int) -> None:
        """Drop the checkpoints of a trial's runs that have come to its stop before that was decided."""
        history, in_training = self.store.history, {segment.run.key for _, segment in self.training()}
        for run in history.trials[number].runs:
            if run.key not in in_training and not self._may_continue(run, history.point(run)):
                self.checkpoints.remove(run.key)

    def _may_continue(self, run: Run, point: int) -> bool:
        """Return whether a run may train beyond an evaluation point, now or after a promotion."""
        trials = [self.store.history.trials[number] for number in self._trials_of(run.key)]
        return any(point < (trial.stop if trial.stop is not None else run.horizon) for trial in trials)

    def _trials_of(self, run: str) -> Sequence[int]:
        return [trial.number for trial in self.store.history.sharing(run) if not trial.state.is_finished]

    def _write_log(self, result: SegmentResult) -> None:
        if result.outcome in (Outcome.OK, Outcome.PAUSED) or not result.log:
            return
        self.store.renew()  # no lease protects files
        run = result.segment.run
        for number in self._trials_of(run.key):
            name = log_name(number, run.fold, run.repeat)
            append_text(self.logs / name, f"{result.outcome.value} at point {result.point}\n{result.log.rstrip()}\n")
            logger.warning("Trial %d: %s on fold %d; see logs/%s", number, result.outcome.value, run.fold, name)

    def _end_if_all_fail_alike(self) -> None:
        """End a study whose first trials all failed with the same exception.

        A complete or pruned trial shows that the study can be trained; from then on, also after a resume, a failure
        concerns only its own trial.
        """
        history = self.store.history
        ended = history.finished()
        if len(ended) < FIRST_TRIALS or any(trial.state is not TrialState.FAIL for trial in ended):
            return
        logs = [_last_log(history, trial) for trial in ended[:FIRST_TRIALS]]
        if all(logs) and len({log.splitlines()[-1] for log in logs}) == 1:
            raise StudyFailedError(
                f"The first {FIRST_TRIALS} trials all failed with the same exception, so the study was ended. "
                f"Fix the cause and run the study again under a new name.\n\n{logs[-1]}"
            )

    def _notify(self, trial: Trial | None) -> None:
        for observer in self.observers:
            observer.observe(self.store.recorded, trial)  # a display shows what has been trained


def _place(checkpoint: Checkpoint | None) -> tuple[int, int]:
    return (0, 0) if checkpoint is None else (checkpoint.point, checkpoint.step)


def _last_log(history: History, trial: Trial) -> str:
    """Return the last traceback of a trial's runs, or ""."""
    logs = [result.log.rstrip() for run in trial.runs for result in history.results.get(run.key, ())]
    return next((log for log in reversed(logs) if log), "")


def log_name(trial: int, fold: int, repeat: int) -> str:
    """Return the file name of a trial's log, below the study's folder `logs`."""
    return f"trial-{trial:04d}-fold-{fold}" + (f"-repeat-{repeat}" if repeat else "") + ".log"
