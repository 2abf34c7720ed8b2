"""A sampler that is asked again where what it proposes is refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from hpsearch.policy.optuna_sampler import APART
from hpsearch.policy.samplers import Sampler
from hpsearch.records import History, Origin, Trial, TrialState

MOST_REFUSALS = 32
"""How often a sampler without an end is asked again for one trial: where next to nothing of a space is allowed, a trial
that is refused shows it sooner than more questions."""


@dataclass(eq=False)
class Refusing:
    """Proposes what another sampler does, but for what is refused.

    To the sampler a refused proposal is one more trial that was pruned without a value, as one is that ran out of
    memory: so it learns from it, proposes something else, and a grid goes on to its next point. Nothing of it is kept,
    so that a resumed study asks what it would have asked.

    Attributes:
        refuses: Whether searched parameters are not to be tried.
    """

    sampler: Sampler
    refuses: Callable[[Mapping[str, Any]], bool]
    _refused: list[Trial] = field(default_factory=list, init=False)

    @property
    def is_finite(self) -> bool:
        return self.sampler.is_finite

    def propose(self, history: History) -> Mapping[str, Any] | None:
        number, refused = 1 + max(history.trials, default=-1), list(self._refused)
        while True:
            params = self.sampler.propose(_beside(history, refused))
            if params is None or not self.refuses(params):
                return params
            if not self.is_finite and len(refused) == MOST_REFUSALS:
                return params
            refused.append(_refused((1 + len(refused)) * APART + number - 1, params))
            if self.is_finite:  # each point is refused once
                self._refused = refused


def _beside(history: History, refused: Sequence[Trial]) -> History:
    """Return a history with more trials; it has not grown by them, or what others read of it would be read anew."""
    if not refused:
        return history
    trials = {**history.trials, **{trial.number: trial for trial in refused}}
    return replace(history, trials=MappingProxyType(trials))


def _refused(number: int, params: Mapping[str, Any]) -> Trial:
    return Trial(number, dict(params), dict(params), TrialState.PRUNED, Origin.SAMPLER, ())
