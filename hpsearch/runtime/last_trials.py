"""How several workers share the last trials of a study, so that none is idle while another trains for minutes."""

from collections.abc import Callable, Sized
from dataclasses import dataclass, replace

from hpsearch.policy.budget import Budget
from hpsearch.policy.promotion import PromotingPruner
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.samplers import Sampler, is_blind

AHEAD_BLIND, AHEAD = 2, 1
"""How many of the last trials are asked for ahead of time for each worker, of a sampler that is blind, and of others.

Of 12 trials on two workers the idle time of one fell from 12% to 4% with a sampler that learns, from 6% to 1% with one
that does not (tests/runtime/test_balance.py)."""

AHEAD_OF_PROMOTIONS = 4
"""The same where trials wait for promotions, of any sampler: rungs and folds of the last one follow one another, so it
has to begin while others can train beside it (docs/decisions/end-of-a-study.md)."""

BLIND_START = 10
"""So many trials Optuna's samplers propose at random before they learn."""

LEARNED_SHARE = 5
"""Of what a sampler has learned to propose, at most a fifth of the trials are asked for ahead, or one a worker."""


@dataclass(frozen=True)
class LastTrials:
    """How the last trials are shared.

    Attributes:
        workers: Returns how many there are.
        expected: How many trials the study will have; None where that is not known.
        ahead: How many of the last trials are asked for ahead of time, for each worker, at most: they can then be begun
            longest first. A sampler that learns proposes them without the results of those before them.
        is_blind: Whether the sampler does not learn.
    """

    workers: Callable[[], int]
    expected: int | None
    ahead: int
    is_blind: bool = True

    def are_left(self, trials: int) -> bool:
        """Return whether of so many trials no more are left than are asked for ahead of time."""
        workers = self.workers()
        if workers < 2 or self.expected is None:
            return False
        left = self.expected - trials
        learned = 0 if self.is_blind else min(left, self.expected - BLIND_START)
        return left <= self.ahead * workers and learned <= max(workers, self.expected // LEARNED_SHARE)


ALONE = LastTrials(workers=lambda: 1, expected=None, ahead=0)


def last_trials(sampler: Sampler, pruner: Pruner, budget: Budget, workers: Callable[[], int]) -> LastTrials:
    """Return how several workers share the last trials of a study of so many, or of all of a grid's.

    Where something else may end the study, which trial is the last is known only then.
    """
    expected = len(sampler) if budget.trials is None and isinstance(sampler, Sized) else budget.trials
    is_known = replace(budget, trials=None) == Budget()
    ahead = AHEAD_BLIND if is_blind(sampler) else AHEAD
    if isinstance(pruner, PromotingPruner):
        ahead = AHEAD_OF_PROMOTIONS
    return LastTrials(workers, expected if is_known else None, ahead, is_blind(sampler))
