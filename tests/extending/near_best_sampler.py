from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from hpsearch.policy.optuna_sampler import OptunaSampler


class NearBest(RandomSampler):
    """Of two random values, takes the one that is nearer to the best complete trial's."""

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        drawn = [super(NearBest, self).sample_independent(study, trial, param_name, param_distribution) for _ in "ab"]
        is_known = any(other.state is TrialState.COMPLETE for other in study.get_trials(deepcopy=False))
        best: Mapping[str, Any] = study.best_trial.params if is_known else {}
        if param_name not in best:
            return drawn[0]
        number = param_distribution.to_internal_repr
        return min(drawn, key=lambda value: abs(number(value) - number(best[param_name])))


def near_best(space: Any, objective: Any, seed: int) -> OptunaSampler:
    return OptunaSampler(space, objective, seed, lambda ask: NearBest(seed=ask))
