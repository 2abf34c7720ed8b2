"""A study in virtual time: workers train its open segments, and decisions are made in the order of the plan."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from hpsearch.policy.budget import Ending
from hpsearch.policy.failures import LOST_LIMIT, after_bad_outcome, failure
from hpsearch.policy.limits import Limits
from hpsearch.policy.order import Event, Open, Order
from hpsearch.policy.policy import Policy
from hpsearch.records import History, Outcome, Run, Segment, Slot, Trial, TrialState
from hpsearch.records.order_log import EVENTS, WHOLE, Entry, Happening, is_spent, waiting
from hpsearch.records.store import Store
from hpsearch.runtime.admission import set_running
from hpsearch.runtime.fitting import DeviceInUseError
from hpsearch.runtime.job_lengths import longest_way, seconds_per_point
from hpsearch.runtime.pools.base import TimeIsUpError
from hpsearch.runtime.scheduler import Scheduler
from hpsearch.runtime.virtual_plan import (
    SLOTS_FACT,
    VirtualPlan,
    changed_facts,
    check_enough_slots,
    order_of,
    usual_slots,
)

VIRTUAL = Slot(0, ("virtual",))
"""What the scheduler is told to find a segment for: in virtual time all slots are alike."""

_MEASURED = ("timeout", "device_seconds")
"""Limits that are measured, so that where they come into effect differs from run to run."""

_DISTURBING = {
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.TIMED_OUT: f"hung {LOST_LIMIT} times",
    Outcome.LOST: f"lost its worker {LOST_LIMIT} times",
}
"""Bad ends that another run of the same script may not meet, in words."""


class VirtualTime:
    """Decides in the order of virtual time (`hpsearch.policy.order`); implements `hpsearch.runtime.admission`.

    A fresh one continues from what the store's log says.
    """

    def __init__(self, store: Store, scheduler: Scheduler, policy: Policy, limits: Limits, plan: VirtualPlan) -> None:
        self._store, self._scheduler, self._policy, self._limits, self._plan = store, scheduler, policy, limits, plan
        self._order = Order(usual_slots(plan.workers))
        self._training: dict[str, Segment] = {}
        self._is_blocked = False
        self._has_nothing_new = False
        self._nothing_ahead: tuple[History | None, bool] = (None, False)  # what `_ahead` last found nothing in
        self._limits_noted: set[str] = set()

    # ------------------------------------------------------------------ beginning

    def begin(self) -> Iterator[int]:
        """Continue where the log ends, and yield the trials that the last event was of: it may not be decided on yet.

        Raises:
            UsageError: Fewer virtual slots are asked for than the study has.
        """
        store, entries = self._store, list(self._store.entries)
        if not entries:
            self._note(Happening.SLOTS, number=self._plan.slots or usual_slots(self._plan.workers))
            for name, value in self._plan.facts.items():
                self._note(Happening.GIVEN, words=f"{name}: {value}")
            store.flush()
            self._order = Order(store.entries[0].number)
            return
        self._continue(entries)
        paused = waiting(entries, store.history.trials)
        for trial in store.history.unfinished():
            state = TrialState.WAITING if trial.number in paused else TrialState.RUNNING
            if trial.state is not state:
                store.set_state(trial.number, state)
        self._note_changes(entries)
        store.flush()
        self._look_at_limits()
        yield from [each.number for each in store.history.unfinished() if after_bad_outcome(store.history, each)]
        last = next((entry for entry in reversed(entries) if entry.happening in EVENTS), entries[0])
        if last.happening is Happening.ASKED:
            yield from [trial.number for trial in store.history.unfinished() if trial.number >= last.trial]
        elif last.happening in (Happening.EVALUATED, Happening.ENDED, Happening.FAILED):
            yield from self._trials_of(last.run)

    def _continue(self, entries: Sequence[Entry]) -> None:
        self._order = order_of(entries, self._store.history.trials)
        for opened in self._order.open.values():
            self._scheduler.began(opened.segment)
        if is_spent(entries, self._store.history.trials) and not self._store.queued():
            self._scheduler.spend()

    def _note_changes(self, entries: Sequence[Entry]) -> None:
        slots = self._plan.slots
        check_enough_slots(self._store, slots)
        if slots is not None and slots > self._order.slots:
            self._note(Happening.SLOTS, number=slots)
            self._note(Happening.GIVEN, number=1, words=f"{SLOTS_FACT}: {slots}")
            self._order = replace(self._order, slots=slots)
        for words in changed_facts(entries, self._plan.facts):
            self._note(Happening.GIVEN, number=1, words=words)

    # ------------------------------------------------------------------ deciding

    def admitted(self, recorded: Sequence[int] = ()) -> Iterator[int]:
        """Yield the trials to decide on, event by event, until one is next that is not measured yet.

        Nothing is decided once the study is closed: what it does then, it does where it continues.
        """
        while not self._scheduler.is_closed:
            yield from self._end_segments()
            if self._limits.reached_target(self._store.history) or not self._fill():
                return
            event = self._order.next(lambda run: len(self._store.history.of(run)))
            if event is None:
                return
            run = event.open.segment.run
            failed = self._failure(event)
            if failed is None and self._store.recorded.point(run) < event.point:
                return
            self._order = self._order.at(event.time)
            self._has_nothing_new = False
            if failed is None:
                self._note(Happening.EVALUATED, event.open, point=event.point)
            else:
                self._note_failure(event.open, failed)
            self._look_at_limits()
            yield from self._trials_of(run.key)

    def _end_segments(self) -> Iterator[int]:
        """End the segments that have come to their end, or that no trial needs any more."""
        for opened in self._order.open.values():
            run, history = opened.segment.run, self._store.history
            trials, point = self._trials_of(run.key), history.point(run)
            ends = [history.trials[number].stop for number in trials]
            if not trials:
                self._close(run)
                self._note(Happening.LEFT, opened, point=point)
            elif point >= opened.segment.stop or all(end is not None and point >= end for end in ends):
                self._close(run)
                self._note(Happening.ENDED, opened, point=point)
                self._look_at_limits()
                yield from trials

    def _close(self, run: Run) -> None:
        self._order = self._order.without([run.key])
        self._scheduler.ended(run)

    def _failure(self, event: Event) -> Outcome | None:
        """Return how the run of an event ended badly before its point, where it did."""
        run, recorded = event.open.segment.run, self._store.recorded
        if recorded.point(run) >= event.point or run.key in self._training:
            return None
        return self._failed(run)

    def _failed(self, run: Run) -> Outcome | None:
        """Return how a run ended badly; what it came to beyond what is still known of it does not count."""
        recorded = self._store.recorded
        known = recorded.point(run)
        return failure([end for end in recorded.results.get(run.key, ()) if end.point <= known])

    def _note_failure(self, opened: Open, outcome: Outcome) -> None:
        run = opened.segment.run
        point = self._store.recorded.point(run)
        if point > self._store.history.point(run):
            self._note(Happening.EVALUATED, opened, point=point)
        if outcome in _DISTURBING:
            words = f"trial {opened.trial} {_DISTURBING[outcome]} on fold {run.fold}"
            self._note(Happening.NOTED, words=words)
        self._close(run)
        self._note(Happening.FAILED, opened, point=point, number=LOST_LIMIT, words=outcome.value)

    def _fill(self) -> bool:
        """Let free virtual slots begin what comes next; return whether they could."""
        self._is_blocked = False
        while self._order.has_room and not self._has_nothing_new:
            try:
                segment = self._scheduler.next_segment(self._store.history, VIRTUAL)
            except (DeviceInUseError, TimeIsUpError):
                self._is_blocked = True
                return False
            if segment is None:
                self._has_nothing_new = True
            else:
                self._open(segment)
        return True

    def asking(self) -> None:
        number = 1 + max(self._store.history.trials, default=-1)
        last = next((entry.trial for entry in reversed(self._store.entries) if entry.happening is Happening.ASKED), -1)
        if last < number:
            self._note(Happening.ASKED, trial=number)

    def paused(self, trial: int) -> None:
        self._note(Happening.PAUSED, trial=trial)

    def _open(self, segment: Segment) -> None:
        run, history = segment.run, self._store.history
        cost = self._plan.cost.of_a_point(run)
        is_whole = not self._policy.decides_within(is_watched=self._scheduler.is_watched(history, run))
        trial = min(self._trials_of(run.key))
        opened = Open(segment, trial, self._order.now, cost, self._plan.cost.of_a_segment(run), is_whole)
        self._order = self._order.begun(opened)
        if self._limits.is_measured and segment.stop < self._target(history.trials[trial], run):
            self._note_limit(Ending("timeout", f"a segment of trial {trial} was made shorter"))
        words = WHOLE if is_whole else ""
        self._note(Happening.BEGUN, opened, point=segment.start, number=segment.stop, words=words)
        set_running(self._store, run)

    def _target(self, trial: Trial, run: Run) -> int:
        """Return how far a run may be trained for now, limits on time left out."""
        history = self._store.history
        index = trial.runs.index(run)
        return self._policy.target(history, trial, index, closing=self._scheduler.is_closing(history))

    def _look_at_limits(self) -> None:
        """Ask anew whether more trials are coming: decisions depend on it, and it must not be remembered.

        What a study would remember of an earlier question, one that continues would not.
        """
        if self._limits.is_compute_limited:
            self._scheduler.has_work(self._store.history)
        if self._limits.is_measured:
            self._note_limit(self._scheduler.ending(self._store.history))

    def _note_limit(self, ending: Ending) -> None:
        """Note that a limit that is measured has come into effect: in another run that is sooner or later."""
        if ending.limit in _MEASURED and ending.limit not in self._limits_noted:
            self._limits_noted.add(ending.limit)
            self._note(Happening.NOTED, words=f"the limit {ending.limit} came into effect: {ending.reason}")

    def over(self, ending: Ending) -> None:
        if ending.limit == "device_seconds":  # a timeout is a pause: the next call decides what this one would have
            self._note_limit(ending)

    # ------------------------------------------------------------------ training

    def next_segment(self, slot: Slot) -> Segment | None:
        """Return what holds up the order most; whatever must be finished before time is up comes first."""
        if self._is_blocked or self._scheduler.is_closed:
            return None
        history = self._store.history
        first = self._scheduler.first_of_all(history)
        keys = set() if first is None else {run.key for run in first.runs}
        segments = list(self._to_train())
        if self._scheduler.is_closing(history):  # no further trial waits for these: the longest go first
            segments.sort(key=lambda each: -self._way(each, self._plan.cost.of_a_point))
        segment = min(segments, key=lambda each: each.run.key not in keys, default=None) or self._ahead()
        if segment is not None:
            self._training[segment.run.key] = segment
        return segment

    def _way(self, segment: Segment, of_a_point: Callable[[Run], float]) -> float:
        """Return what it takes from a segment to its trial's end, in the unit of what one point takes."""
        recorded = self._store.recorded
        trial = recorded.sharing(segment.run.key)[0]
        return longest_way(recorded, trial, trial.runs.index(segment.run), of_a_point)

    def _to_train(self) -> Iterator[Segment]:
        """Yield what is left to measure of the open segments, the one first whose virtual end comes first."""
        recorded = self._store.recorded
        for opened in self._order.to_train():
            run, stop = opened.segment.run, opened.segment.stop
            point = recorded.point(run)
            if run.key in self._training or point >= stop or self._failed(run) is not None:
                continue
            if point > opened.segment.start and self._scheduler.is_watched(self._store.history, run):
                end = self._policy.stop_point(recorded, recorded.trials[opened.trial])
                if end is not None and point >= end:
                    continue
            yield Segment(run, point, stop)

    def _ahead(self) -> Segment | None:
        """Return what would be trained next if all that was recorded were decided on: most likely it is needed.

        A slot would wait otherwise. Until it is needed nobody sees what it measures; if it never is, it was in vain.
        """
        recorded = self._store.recorded
        closing = self._scheduler.is_closing(self._store.history)
        last, was_closing = self._nothing_ahead
        policy = self._plan.ahead
        if policy is None or not self._order.open or (last is recorded and was_closing is closing):
            return None
        for trial in recorded.unfinished():
            stop = trial.stop if trial.stop is not None else policy.stop_point(recorded, trial)
            seen = trial if stop == trial.stop else replace(trial, stop=stop)
            for index, run in enumerate(trial.runs if stop is not None else trial.runs[:1]):
                if run.key in self._training or self._failed(run) is not None:
                    continue
                point = recorded.point(run)
                target = policy.target(recorded, seen, index, closing=closing)
                if point < target:
                    return Segment(run, point, target)
        self._nothing_ahead = recorded, closing
        return None

    def ended(self, run: Run) -> None:
        self._training.pop(run.key, None)

    @property
    def is_busy(self) -> bool:
        """Whether a worker trains what is needed; once nothing is open, what was trained ahead is in vain."""
        return bool(self._training) and (self._scheduler.is_closed or bool(self._order.open))

    def can_train(self) -> bool:
        if self._scheduler.is_closed:
            return False
        if self._is_blocked or next(self._to_train(), None) or self._ahead():
            return True
        has_room = self._order.has_room and not self._has_nothing_new
        return has_room and self._scheduler.has_work(self._store.history)

    def longest_left(self) -> float | None:
        if not self._scheduler.is_closing(self._store.history):
            return None
        of_a_point = seconds_per_point(self._store.recorded)
        return max((self._way(segment, of_a_point) for segment in self._to_train()), default=0.0)

    def is_open(self, trial: Trial) -> bool:
        return any(run.key in self._order.open for run in trial.runs)

    def in_flight(self) -> Collection[str]:
        return self._training.keys() | self._order.open.keys()

    # ------------------------------------------------------------------ small things

    def _trials_of(self, run: str) -> Sequence[int]:
        return [trial.number for trial in self._store.history.sharing(run) if not trial.state.is_finished]

    def _note(
        self,
        happening: Happening,
        opened: Open | None = None,
        *,
        trial: int = -1,
        point: int = 0,
        number: int = 0,
        words: str = "",
    ) -> None:
        run = None if opened is None else opened.segment.run
        cost, overhead = (opened.cost, opened.overhead) if opened and happening is Happening.BEGUN else (0, 0)
        key, horizon = ("", 0) if run is None else (run.key, run.horizon)
        trial = trial if opened is None else opened.trial
        entry = Entry(self._order.now, happening, trial, key, horizon, point, number, cost, overhead, words)
        self._store.note(entry, None if opened is None else opened.segment)
