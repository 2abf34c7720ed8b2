"""Whether a study is decided in virtual time, and with what."""

import logging
from collections.abc import Mapping
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.plan.arguments import check_whole
from hpsearch.plan.description import Description
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.policy.budget import Budget
from hpsearch.policy.planned_cost import VERSION, PlannedCost
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.samplers import Sampler, is_blind
from hpsearch.provenance.packages import __version__
from hpsearch.records.store import Store
from hpsearch.runtime.virtual_plan import VirtualPlan

logger = logging.getLogger("hpsearch")

_BLIND = ("trials", "distinct_trials", "timeout", "epochs_per_trial")
"""Limits of which none asks what earlier trials came to, or what else has been trained."""

_SPENT = ("epochs", "device_seconds", "device_seconds_per_trial")
"""Limits that count what is trained."""


def check_virtual_slots(plan: Plan, slots: Any) -> None:
    """Raise UsageError where it is no number of virtual slots, or the study has none."""
    check_whole("virtual_slots", slots, 1)
    if not plan.reproducible:
        raise UsageError(
            f"virtual_slots={slots}: the study {plan.name!r} is not reproducible, so it has no virtual slots. Leave "
            "the argument out."
        )


def virtual_plan(
    plan: Plan,
    record: Record,
    rules: tuple[Sampler, Pruner],
    budget: Budget,
    slots: int | None,
    workers: int,
    ahead: Policy | None,
) -> VirtualPlan | None:
    """Return how a study counts in virtual time; None where it decides on arrival.

    So do studies of earlier versions, and those that depend on no history: a blind sampler's configurations, all
    trained to their end, have one table in any order, and wait for nobody.

    Args:
        ahead: What workers that would wait train by; not used where the budget counts what is trained.
    """
    store = record.store
    is_asked = bool(record.description.reproducible)
    if not store.entries and (not is_asked or store.history.trials or _needs_no_order(rules, budget)):
        if slots is not None:
            logger.warning("virtual_slots=%d is not used: the study %r decides on arrival.", slots, plan.name)
        if is_asked and store.history.trials and not _needs_no_order(rules, budget):
            logger.warning(
                "The study %r was begun without a plan of its order, which it did not need. With this sampler, pruner "
                "and budget its table may differ from run to run.",
                plan.name,
            )
        return None
    folds = plan.folds.pairs
    cost = PlannedCost([len(held_out) for _, held_out in folds], lambda config: plan.rows_for(config).layers or 0)
    ahead = None if set(budget.given) & set(_SPENT) else ahead
    return VirtualPlan(cost, slots, workers, ahead, _facts(record.description, budget, store))


def _needs_no_order(rules: tuple[Sampler, Pruner], budget: Budget) -> bool:
    sampler, pruner = rules
    return is_blind(sampler) and type(pruner) is Pruner and set(budget.given) <= set(_BLIND)


def _facts(description: Description, budget: Budget, store: Store) -> Mapping[str, str]:
    """Return what a call is given that decides its table, and that a later call may give otherwise."""
    limits = {name: str(value) for name, value in budget.given.items() if name != "timeout"}
    rules = {"sampler": description.sampler, "pruner": description.pruner}
    facts = {"hpsearch": __version__, "planned cost": str(VERSION), **rules, **limits}
    trials = store.history.trials
    counts = {"enqueued": store.enqueued(), "trials of other tools": 1 + max(trials, default=-1) - len(trials)}
    return {**facts, **{name: str(count) for name, count in counts.items() if count}}
