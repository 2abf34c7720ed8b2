"""What a worker must know of a study, put together from its plan."""

from hpsearch.plan.plan import Plan
from hpsearch.plan.starting_point import example_config
from hpsearch.runtime.messages import Workload
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.numerics import Numerics


def workload_of(plan: Plan, numerics: Numerics) -> Workload:
    """Return what a worker must know of a study that is run with some numerics."""
    return Workload(
        study=plan.name,
        task=plan.task,
        prepared=plan.prepared,
        folds=plan.folds.pairs,
        metrics=plan.measured,
        seed=plan.seed,
        evaluations_per_epoch=plan.evaluations_per_epoch,
        early_stopping=plan.early_stopping,
        numerics=numerics,
        checkpoint_every=plan.checkpoint_every,
        choices=plan.prepared_choices,
        example=example_config(plan),
        features=FeatureStore.within(plan.cache / "features", plan.feature_cache_bytes),
    )
