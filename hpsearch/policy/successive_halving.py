"""Successive halving with promotion from checkpoints: which trials wait at a rung, and which continue.

A trial runs to a rung and waits there. The best 1/eta of a rung continue from their checkpoints; the others may still
continue as the rung fills (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2).
Brackets that begin at different rungs hedge against curves that cross (Li et al. 2018, "Hyperband").
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.ladder import Rung
from hpsearch.policy.promotion import PromotingPruner, steps_of
from hpsearch.records import History, Trial

FIRST_RUNG = 2
"""The lowest rung: half of the first fold. On a first quarter the curves are still on their plateau."""


@dataclass(frozen=True)
class SuccessiveHalving:
    """How trials are promoted: pruner="asha" is this with its defaults, "hyperband" with all brackets.

    Rungs are steps of the pruners' axis, quarters of a trial's own runs: all of it, 1/eta of it, 1/eta^2, ..., none
    below half of the first fold. With three folds and eta 3 these are half of the first fold, the first fold, and all
    folds. When no more trials are coming, the best of each rung continues even if fewer than eta have reached it, so a
    study ends with a searched trial on all folds. Trials that still wait then are pruned. The literature default
    always trains to its end, without taking another trial's place.

    Attributes:
        reduction_factor: eta: one in so many continues to the next rung.
        brackets: Trials are dealt to so many brackets, each starting a rung higher. None: as many as there are rungs.
        synchronous: Decide in cohorts of eta^k trials by number, each rung once the whole cohort has come there or
            ended. Promotions then do not depend on which worker was faster, not even with `Study(reproducible=False)`.
            No worker idles: it starts the next cohort.

    Raises:
        UsageError: A number is out of range.
    """

    reduction_factor: int = 3
    brackets: int | None = 1
    synchronous: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("reduction_factor", self.reduction_factor, 2), ("brackets", self.brackets, 1)):
            if name == "brackets" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"SuccessiveHalving({name}={value!r}): give a whole number of at least {least}.")
        if not isinstance(self.synchronous, bool):
            raise UsageError(f"SuccessiveHalving(synchronous={self.synchronous!r}): give True or False.")


def ladder(steps: int, reduction_factor: int) -> tuple[int, ...]:
    """Return the rungs of a trial of so many steps, lowest first; the last is the trial's end."""
    rungs, divisor = {steps}, reduction_factor
    while -(-steps // divisor) >= FIRST_RUNG:
        rungs.add(-(-steps // divisor))
        divisor *= reduction_factor
    return tuple(sorted(rungs))


@lru_cache(maxsize=64)
def bracket_cycle(rungs: int, brackets: int, reduction_factor: int) -> tuple[int, ...]:
    """Return the brackets that trials are dealt to by number, over and over.

    Bracket b leaves out the b lowest rungs, and gets the share of trials that Hyperband gives it (Li et al. 2018,
    algorithm 1), dealt evenly, so that a study of any length has its share of each.
    """
    levels = range(rungs - 1, rungs - 1 - min(brackets, rungs), -1)
    sizes = [math.ceil(rungs / (level + 1) * reduction_factor**level) for level in levels]
    total, dealt = sum(sizes), [0] * len(sizes)
    cycle = []
    for position in range(1, total + 1):
        behind = [size * position / total - count for size, count in zip(sizes, dealt, strict=True)]
        cycle.append(behind.index(max(behind)))
        dealt[cycle[-1]] += 1
    return tuple(cycle)


class PromotingHalving(PromotingPruner):
    """Successive halving as a pure function of History: it says how far each trial may go, and prunes none."""

    def __init__(self, rule: SuccessiveHalving, objective: Objective, name: str) -> None:
        super().__init__(objective, name, rule.reduction_factor)
        self._rule = rule

    def rungs(self, trial: Trial) -> tuple[int, ...]:
        rungs = ladder(steps_of(trial), self._rule.reduction_factor)
        return rungs[self._bracket(trial, len(rungs))[0] : -1]

    def group_of(self, trial: Trial) -> tuple[Hashable, tuple[int, ...], int | None]:
        rungs = ladder(steps_of(trial), self._rule.reduction_factor)
        bracket, before = self._bracket(trial, len(rungs))
        size = self._rule.reduction_factor ** (len(rungs) - 1 - bracket) if self._rule.synchronous else None
        cohort = 0 if size is None else before // size
        return (len(rungs), bracket, cohort), rungs[bracket:-1], size

    def promoted(self, history: History, rung: Rung) -> list[int]:
        """Return the trials that continue: the best 1/eta that still can, and those that are further already."""
        count = len(rung.ranked) // self._rule.reduction_factor
        if rung.all_came:
            count = max(1, count)
        if self._rule.synchronous:  # by values alone: what has ended, or is further, tells who was faster
            return [number for equals in (rung.ranked[:count] if rung.all_came else ()) for number in equals]
        return self.going_by_rank(rung, count)

    def _bracket(self, trial: Trial, rungs: int) -> tuple[int, int]:
        """Return a trial's bracket, and how many trials of lower number are dealt to the same."""
        brackets = rungs if self._rule.brackets is None else self._rule.brackets
        cycle = bracket_cycle(rungs, brackets, self._rule.reduction_factor)
        rounds, position = divmod(trial.number, len(cycle))
        bracket = cycle[position]
        return bracket, rounds * cycle.count(bracket) + cycle[:position].count(bracket)
