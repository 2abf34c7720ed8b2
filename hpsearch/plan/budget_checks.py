"""A budget checked against the study that is to keep to it, before any worker starts."""

import logging

from hpsearch.errors import UsageError
from hpsearch.plan.distinct import distinct_configs
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
    wanted = budget.distinct_trials
    count = distinct_configs(plan, wanted - 1) if wanted is not None and is_endless else None
    if count is not None:
        raise UsageError(
            f"Budget(distinct_trials={wanted!r}): the space has {count} different configurations, so that is never "
            f"reached. Give {count} at most, take sampler='grid', which tries each once, or widen the space."
        )
    least = _fewest_epochs(plan)
    for name in ("epochs", "epochs_per_trial"):
        given = getattr(budget, name)
        if given is not None and given < least:
            raise UsageError(
                f"Budget({name}={given!r}) is shorter than one segment: the first fold of the shortest trial takes "
                f"{least} epoch(s). Give {least} or more."
            )
    folds = len(plan.folds.pairs) * plan.repeats
    if budget.epochs_per_trial is not None and budget.epochs_per_trial < folds * least:
        logger.warning(
            "Budget(epochs_per_trial=%r): the shortest trial takes %d epochs, %d for each of %d folds, so unless it "
            "stops early no trial can be complete.",
            budget.epochs_per_trial,
            folds * least,
            least,
            folds,
        )


def _fewest_epochs(plan: Plan) -> int:
    searched = plan.space.parameters.get("epochs")
    fixed = plan.space.fixed.get("epochs", plan.task.unnamed().get("epochs", 1))
    return min(int(str(edge)) for edge in ([fixed] if searched is None else searched.edges()))
