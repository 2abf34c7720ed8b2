"""The order in which what was recorded was decided on, in the study's virtual time.

Workers report when they can; a study that counts in virtual time decides in an order that does not depend on that
(`hpsearch.policy.order`). Here stands what it has decided on so far, so that a study continues where it was, and so
that whoever reads it sees only that. Of one study these entries are the same, however it was run.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from hpsearch.records.history import History
from hpsearch.records.types import Evaluation, Outcome, Segment, SegmentResult, Trial


class Happening(enum.Enum):
    """What an entry says.

    SLOTS: There are `number` virtual slots from now on.
    ASKED: `trial` is asked for.
    BEGUN: A virtual slot begins with `run`, from `point` on to point `number`; `cost` is that of one point, and
        `overhead` that of the segment.
    EVALUATED: The evaluation of `run` at `point`, and those before it, are decided on.
    ENDED: Its segment has ended at `point`.
    FAILED: Its segment has ended badly after `point`; `words` is the outcome.
    LEFT: Its segment is trained no further: no trial needs it any more.
    PAUSED: `trial` waits for a promotion.
    GIVEN: What a call was given that decides its table, as "name: value"; `number` is 1 where it was another before.
    NOTED: Something else outside the promise of one table: `words`.
    """

    SLOTS = "slots"
    ASKED = "asked"
    BEGUN = "begun"
    EVALUATED = "evaluated"
    ENDED = "ended"
    FAILED = "failed"
    LEFT = "left"
    PAUSED = "paused"
    GIVEN = "given"
    NOTED = "noted"


WHOLE = "whole"
"""The words of a segment whose evaluations are decided on together, at its end."""

EVENTS = (
    Happening.ASKED, Happening.BEGUN, Happening.EVALUATED, Happening.ENDED, Happening.FAILED, Happening.LEFT,
)  # fmt: skip
"""What follows from the plan, each after all decisions on what was before it."""


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes:
        time: Virtual time, in units of planned cost.
        run: A run's key, and `horizon` its last evaluation point; "" and 0 where it is of no run.
    """

    time: int
    happening: Happening
    trial: int = -1
    run: str = ""
    horizon: int = 0
    point: int = 0
    number: int = 0
    cost: int = 0
    overhead: int = 0
    words: str = ""

    @property
    def is_disturbance(self) -> bool:
        """Whether another run of the same script may lack it, and what follows from it."""
        return self.happening is Happening.NOTED or (self.happening is Happening.GIVEN and self.number > 0)


def admitted(recorded: History, entries: Iterable[Entry]) -> History:
    """Return what decisions see of what was recorded: what the log says was decided on."""
    runs = {(run.key, run.horizon): run for trial in recorded.trials.values() for run in trial.all_runs}
    points: dict[str, int] = {}
    begun: dict[str, Segment] = {}
    results: dict[str, tuple[SegmentResult, ...]] = {}
    for entry in entries:
        match entry.happening:
            case Happening.BEGUN if (entry.run, entry.horizon) in runs:
                begun[entry.run] = Segment(runs[entry.run, entry.horizon], entry.point, entry.number)
            case Happening.EVALUATED:
                points[entry.run] = max(points.get(entry.run, 0), entry.point)
            case Happening.ENDED | Happening.FAILED if entry.run in begun:
                ends = ends_of(recorded, begun[entry.run], entry)
                results[entry.run] = (*results.get(entry.run, ()), *ends)
    evaluations: Mapping[str, tuple[Evaluation, ...]] = {
        run: recorded.of(run)[:point] for run, point in points.items() if point
    }
    return replace(recorded, evaluations=MappingProxyType(dict(evaluations)), results=MappingProxyType(results))


def ends_of(recorded: History, segment: Segment, entry: Entry) -> Sequence[SegmentResult]:
    """Return the ends of a segment that decisions see, as the log has its end.

    One that ended badly has those that were recorded: three, where a worker was lost three times.
    """
    if entry.happening is Happening.ENDED:
        return (SegmentResult(segment, Outcome.OK, entry.point),)
    bad = [end for end in recorded.results.get(segment.run.key, ()) if end.outcome not in (Outcome.OK, Outcome.PAUSED)]
    outcome = Outcome(entry.words)
    last = [end for end in bad if end.outcome is outcome][-1:] or [SegmentResult(segment, outcome, entry.point)]
    if not outcome.is_loss:
        return (replace(last[0], segment=segment, point=entry.point),)
    return [end for end in bad if end.outcome.is_loss][-entry.number :]


def is_spent(entries: Iterable[Entry], trials: Mapping[int, Trial]) -> bool:
    """Return whether the sampler had nothing left when it was last asked: things went on without that trial."""
    asked, spent = -1, False
    for entry in entries:
        if entry.happening is Happening.ASKED:
            asked, spent = entry.trial, False
        elif entry.happening in EVENTS:
            spent = asked >= 0 and asked not in trials
    return spent


def waiting(entries: Iterable[Entry], trials: Mapping[int, Trial]) -> set[int]:
    """Return the numbers of the unfinished trials that wait for a promotion, as the log has them."""
    of_run: dict[str, list[int]] = {}
    for trial in trials.values():
        for run in trial.runs:
            of_run.setdefault(run.key, []).append(trial.number)
    numbers: set[int] = set()
    for entry in entries:
        if entry.happening is Happening.PAUSED:
            numbers.add(entry.trial)
        elif entry.happening is Happening.BEGUN:
            numbers.difference_update(of_run.get(entry.run, ()))
    return {number for number in numbers if number in trials and not trials[number].state.is_finished}
