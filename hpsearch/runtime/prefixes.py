"""Shared prefixes: what runs that differ in their length alone have in common, and need not train twice.

Under a constant schedule, and until the cooldown of a warmup-stable-decay one, a longer run begins with the steps of a
shorter one, bit for bit: their *trunk* (`hpsearch.training.trunks`). What one of them has measured there holds for the
others, and where one left a checkpoint they can go on. Nothing here decides anything or writes anything.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.records import History, Run, Segment, Trial
from hpsearch.records.checkpoints import Checkpoint, CheckpointFolder
from hpsearch.runtime.kinship import Kinship, last_point, step_of

SHARED = "trunk-"
"""How the names begin of checkpoints that were left for others."""


@dataclass(frozen=True)
class Sibling:
    """A run that begins with the steps of another, tried or to be expected.

    Attributes:
        steps: How many of its steps are the same however long it is.
        steps_total: Optimizer steps of the whole run.
        step: The step that it can go on from by itself, 0 where it has not begun.
        point: The last evaluation point that it has reached.
    """

    steps: int
    steps_total: int
    step: int = 0
    point: int = 0


class Prefixes:
    """Knows which runs of a study share which steps.

    Args:
        checkpoints: The runs' checkpoints, and those left for others.
        prospects: Yields the completed configs that may still be tried, given (History, a trial); see `Prospects`.
            None: no more than have been.
        base_key: What of a completed config decides which model is trained (`Task.base_key`).
    """

    def __init__(
        self,
        checkpoints: CheckpointFolder,
        prospects: Callable[[History, Trial], Iterable[Mapping[str, Any]]] | None = None,
        base_key: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> None:
        self._checkpoints, self._prospects = checkpoints, prospects
        self._kinship = Kinship(base_key)
        self._promised: dict[str, tuple[int, ...]] = {}

    # What has been measured

    def sources(self, history: History, run: Run, point: int) -> Sequence[tuple[int, Run]]:
        """Return (trial, run) of every other run that has measured an evaluation point for this one, too."""
        return [
            (number, kin)
            for number, kin, common in self._kinship.relatives(history, run)
            if point <= history.point(kin) and step_of(run, point) <= common
        ]

    def _furthest(self, history: History, run: Run, target: int) -> int:
        """Return the last evaluation point up to `target` that the run or another one has measured for it."""
        point = history.point(run)
        while point < target and self.sources(history, run, point + 1):
            point += 1
        return point

    def lent(self, history: History, run: Run, *, closing: bool) -> int:
        """Return up to which evaluation point others may still take over what a run has measured, 0 where none may."""
        own = self._kinship.trunk(run)
        if own is None:
            return 0
        found = 0
        for other in self._siblings(history, run, closing):
            point = last_point(run, min(own[1].steps, other.steps))
            found = max(found, point if other.point < point else 0)
        return found

    # Where to go on

    def checkpoint(self, history: History, run: Run, point: int) -> tuple[Checkpoint | None, bool]:
        """Return the checkpoint to go on from, having passed an evaluation point, and whether it is another run's.

        None where there is none. Of several the one that stands furthest, the run's own where they stand alike.
        """
        for key, _ in sorted(self._places(history, run, point), key=lambda each: (-each[1], each[0] != run.key)):
            found = self._checkpoints.read(key)
            if found is not None:
                return found, key != run.key
        return None, False

    def _places(self, history: History, run: Run, point: int) -> Iterator[tuple[str, int]]:
        """Yield (key, step) of every checkpoint that a run can go on from, having passed an evaluation point."""
        limits = {run.key: sys.maxsize}  # its own fits it wherever it stands
        own = self._kinship.trunk(run)
        if own is not None:
            limits |= {kin.key: common for _, kin, common in self._kinship.relatives(history, run)}
            limits |= dict.fromkeys(self._shared(own[0]), own[1].steps)
        for key, limit in limits.items():
            place = self._checkpoints.place(key)
            if place is not None and place[0] <= point and place[1] <= limit:
                yield key, place[1]

    def _step(self, history: History, run: Run, point: int) -> int:
        """Return the step that a run can go on from, having passed an evaluation point."""
        return max((step for _, step in self._places(history, run, point)), default=0)

    # What is being trained

    def waits(self, history: History, segment: Segment, in_flight: Collection[Segment]) -> bool:
        """Return whether a run in flight will spare this segment steps that it would otherwise train now.

        Either it will measure all that the segment is to measure, or leave a checkpoint on the way there. It is never
        slower than this one would be, because it is no further behind: so waiting costs no time.
        """
        run, target = segment.run, segment.stop
        own = self._kinship.trunk(run)
        if own is None or not in_flight:
            return False
        point = self._furthest(history, run, target)
        if point >= target:
            return False
        for other in in_flight:
            trunk = self._kinship.trunk(other.run)
            if trunk is None or trunk[0] != own[0]:
                continue
            common = min(own[1].steps, trunk[1].steps)
            if step_of(run, target) <= min(common, step_of(run, other.stop)):
                return True
            until = min(common, step_of(run, target))
            have = self._step(history, run, point)
            if any(have < step <= until for step in self._promised.get(other.run.key, ())):
                return True
        return False

    def leave(self, history: History, segment: Segment, *, closing: bool, goes_on: bool) -> tuple[int, ...]:
        """Return the steps within a segment at which others could go on; what waits for them is told of these.

        Args:
            history: Everything so far.
            segment: What is about to be trained.
            closing: Whether no further trials are coming.
            goes_on: Whether the run leaves a checkpoint of its own at the end.
        """
        run = segment.run
        own = self._kinship.trunk(run)
        self._promised.pop(run.key, None)
        if own is None or not self._checkpoints.budget_bytes:
            return ()
        begin = self._step(history, run, segment.start)
        end = min(own[1].steps, step_of(run, segment.stop))
        wanted = set()
        for other in self._siblings(history, run, closing):
            step = min(other.steps, own[1].steps)
            if begin < step <= end and other.step < step < other.steps_total:
                wanted.add(step)
        left = tuple(sorted(wanted))
        at_end = (end,) if goes_on and end == step_of(run, segment.stop) else ()
        self._promised[run.key] = (*left, *at_end)
        return left

    def withdraw(self, run: str, step: int) -> None:
        """Take a promise back, for the checkpoint that a run left at a step has come: kept or not, nobody waits for it.

        One that was kept, and has to make room for others before its run has ended, is not waited for either.
        """
        if run in self._promised:
            self._promised[run] = tuple(each for each in self._promised[run] if each != step)

    # What is kept

    def name(self, run: str, step: int) -> str:
        """Return what a checkpoint is kept as that a run, by its key, has left for others."""
        own = self._kinship.known(run)
        if own is None:
            raise ValueError(f"run {run} has no steps that others share")
        return f"{SHARED}{own[0]}-{step}"

    def wanted(self, history: History, *, closing: bool) -> dict[str, bool]:
        """Return the checkpoints that others can go on from, and whether a trial that was tried already would.

        Those that are of no trial under way; the least useful first.
        """
        held: dict[str, list[str]] = {}
        for key in self._checkpoints.runs():
            held.setdefault(self._trunk_of(key), []).append(key)
        found: dict[str, bool] = {}
        for trunk, mine in held.items():
            if not self._kinship.of(history, trunk):
                continue
            number, run = next(iter(self._kinship.of(history, trunk).values()))
            for certain, other in self._everyone(history, trunk, number, run, closing):
                places = [(self._checkpoints.place(key), key) for key in mine]
                usable = [(place[1], key) for place, key in places if place and place[1] <= self._limit(key, other)]
                step, key = max(usable, default=(0, ""))
                if other.step < step < other.steps_total:
                    found[key] = found.get(key, False) or certain
        return dict(sorted(found.items(), key=lambda each: (each[1], each[0])))

    def _trunk_of(self, key: str) -> str:
        """Return the name of the trunk that a checkpoint is of, empty where it is of none."""
        if key.startswith(SHARED):
            return key.removeprefix(SHARED).rpartition("-")[0]
        own = self._kinship.known(key)
        return "" if own is None else own[0]

    def _limit(self, key: str, other: Sibling) -> int:
        """Return the last step at which a checkpoint of this name is of use to another run."""
        own = self._kinship.known(key)
        return other.steps if own is None else min(own[1].steps, other.steps)

    def families(self, history: History, runs: Sequence[Run] | None = None) -> list[Run]:
        """Return all runs that share steps with another one, or with one of `runs`."""
        return self._kinship.families(history, runs)

    # Who is related

    def _shared(self, trunk: str) -> list[str]:
        return [key for key in self._checkpoints.runs() if key.startswith(f"{SHARED}{trunk}-")]

    def _siblings(self, history: History, run: Run, closing: bool) -> Iterator[Sibling]:
        """Yield the other runs with the same trunk that are under way or can still come."""
        own = self._kinship.trunk(run)
        if own is None:
            return
        number, _ = self._kinship.of(history, own[0])[run.key]
        for _, other in self._everyone(history, own[0], number, run, closing, but=run.key):
            yield other

    def _everyone(
        self, history: History, trunk: str, number: int, run: Run, closing: bool, but: str = ""
    ) -> Iterator[tuple[bool, Sibling]]:
        """Yield the runs of a trunk that are under way (True) or can still come (False); `run` is trial `number`'s."""
        under_way = {each.key for trial in history.unfinished() for each in trial.runs}
        for key, (_, kin) in self._kinship.of(history, trunk).items():
            if key in under_way and key != but:
                found, point = self._kinship.require(kin), history.point(kin)
                place = self._checkpoints.place(key)
                step = place[1] if place is not None and place[0] <= point else 0
                yield True, Sibling(found.steps, found.steps_total, step, point)
        if closing or self._prospects is None:
            return
        for config in self._prospects(history, history.trials[number]):
            if config == run.config:
                continue
            named = self._kinship.of_config(config, run)
            if named is not None and named[0] == trunk:
                yield False, Sibling(named[1].steps, named[1].steps_total)
