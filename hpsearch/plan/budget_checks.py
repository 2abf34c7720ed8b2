"""A budget checked against the study that is to keep to it, before any worker starts."""

import logging
import math

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import bounds
from hpsearch.plan.distinct import distinct_configs
from hpsearch.plan.lengths import run_epochs
from hpsearch.plan.plan import Plan
from hpsearch.policy.budget import Budget

logger = logging.getLogger("hpsearch")


def check_budget(plan: Plan, budget: Budget, *, is_endless: bool) -> None:
    """Raise UsageError where a study would never end by its budget, or could train nothing within it.

    `is_endless` says that the sampler never ends by itself. The rows are prepared.
    """
    if is_endless and not budget.is_bounded:
        raise UsageError(
            f"The sampler {plan.sampler!r} never ends by itself. Give trials= (--trials), the number of "
            "trials in all, or timeout= (--timeout), for instance study.run(trials=50)."
        )
    if budget.target is not None:
        _check_target(plan, budget.target)
    wanted = budget.distinct_trials
    count = distinct_configs(plan, wanted - 1) if wanted is not None and is_endless else None
    if count is not None:
        raise UsageError(
            f"Budget(distinct_trials={wanted!r}): the space has {count} different configurations, so that is never "
            f"reached. Give {count} at most, take sampler='grid', which tries each once, or widen the space."
        )
    rows = [len(train) for train, _ in plan.folds.pairs]
    least, _ = run_epochs(plan.space, plan.task.unnamed(), rows)
    for name in ("epochs", "epochs_per_trial"):
        given = getattr(budget, name)
        if given is not None and given < least:
            raise UsageError(
                f"Budget({name}={given!r}) is shorter than one segment: the first fold of the shortest trial takes "
                f"{least:g} epoch(s). Give {least:g} or more."
            )
    folds = len(plan.folds.pairs) * plan.repeats
    if budget.epochs_per_trial is not None and budget.epochs_per_trial < folds * least:
        logger.warning(
            "Budget(epochs_per_trial=%r): the shortest trial takes %g epochs, %g for each of %d folds, so unless it "
            "stops early no trial can be complete.",
            budget.epochs_per_trial,
            folds * least,
            least,
            folds,
        )


def _check_target(plan: Plan, target: float) -> None:
    """Raise UsageError where no trial can have a target, or every one has."""
    objective = plan.objective
    least, greatest = (-math.inf, math.inf) if callable(plan.metric) else bounds(objective.name)
    if objective.direction is Direction.MINIMIZE:
        best, worst, words = least, greatest, ("at least", "at most")
    else:
        best, worst, words = greatest, least, ("at most", "at least")
    score = objective.direction.score
    if score(target) > score(best):
        raise UsageError(
            f"Budget(target={target!r}): {objective.name} is {best:g} {words[0]}, so no trial reaches it. Give a "
            "value of the objective as it is measured."
        )
    if score(target) <= score(worst):
        raise UsageError(
            f"Budget(target={target!r}): {objective.name} is {worst:g} {words[1]}, so the first complete trial ends "
            "the study. Give a value of the objective as it is measured, or leave target= out."
        )
