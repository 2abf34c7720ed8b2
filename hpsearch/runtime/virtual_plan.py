"""How a study counts in virtual time, and where it continues: what it is given, and what its log says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from hpsearch.errors import UsageError
from hpsearch.policy.order import Open, Order
from hpsearch.policy.policy import Policy
from hpsearch.records import Run, Segment, Trial
from hpsearch.records.order_log import WHOLE, Entry, Happening
from hpsearch.records.store import Store

LEAST_SLOTS = 4
"""Virtual slots of a new study, at least: one table comes of one to four workers (docs/decisions/virtual-time.md)."""

SLOTS_FACT = "virtual slots"
"""What the log calls a number of virtual slots that was raised."""


class Cost(Protocol):
    """The planned cost of a run: `hpsearch.policy.planned_cost.PlannedCost`."""

    def of_a_point(self, run: Run) -> int: ...

    def of_a_segment(self, run: Run) -> int: ...


@dataclass(frozen=True)
class VirtualPlan:
    """How a study counts in virtual time.

    Attributes:
        cost: The formula.
        slots: Virtual slots that the user asks for; None: as many as the study has, for a new one `usual_slots`.
        workers: How many workers this run has.
        ahead: Says what workers that would wait train meanwhile; None: nothing. It must not share its pruner with the
            study's policy: pruners remember what they saw last.
        facts: What this run was given, by name, that a table depends on and a study may change.
    """

    cost: Cost
    slots: int | None = None
    workers: int = 1
    ahead: Policy | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def usual_slots(workers: int) -> int:
    """Return the virtual slots of a new study that begins with so many workers."""
    return max(LEAST_SLOTS, workers)


def check_enough_slots(store: Store, slots: int | None) -> None:
    """Raise UsageError where a study has more virtual slots than it is asked for."""
    has = max((entry.number for entry in store.entries if entry.happening is Happening.SLOTS), default=0)
    if slots is not None and slots < has:
        raise UsageError(
            f"virtual_slots={slots}: the study {store.name!r} has {has}, and what it decided rests on that. Leave the "
            "argument out, or give as many or more."
        )


def order_of(entries: Sequence[Entry], trials: Mapping[int, Trial]) -> Order:
    """Return the order that a log, which has entries, ends with."""
    runs = {run.key: run for trial in trials.values() for run in trial.all_runs}
    order = Order(LEAST_SLOTS)
    for entry in entries:
        order = order.at(max(order.now, entry.time))
        match entry.happening:
            case Happening.SLOTS:
                order = replace(order, slots=entry.number)
            case Happening.BEGUN:
                segment = Segment(runs[entry.run], entry.point, entry.number)
                is_whole = entry.words == WHOLE
                order = order.begun(Open(segment, entry.trial, entry.time, entry.cost, entry.overhead, is_whole))
            case Happening.ENDED | Happening.FAILED | Happening.LEFT:
                order = order.without([entry.run])
    return order


def changed_facts(entries: Sequence[Entry], facts: Mapping[str, str]) -> list[str]:
    """Return what this run is given otherwise than the last one was, as "name: value"."""
    before: dict[str, str] = {}
    for entry in entries:
        if entry.happening is Happening.GIVEN:
            name, _, before[name] = entry.words.partition(": ")
    before.pop(SLOTS_FACT, None)
    now = {name: facts.get(name, "none") for name in (*facts, *before)}
    return [f"{name}: {value}" for name, value in now.items() if value != before.get(name, "none")]
