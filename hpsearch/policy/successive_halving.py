"""Successive halving with promotion from checkpoints: who waits at a rung, and who goes on.

A trial runs to a rung and waits there; the best 1/eta of a rung go on from their checkpoints, and whoever is not among
them yet may still be, as the rung fills (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
algorithm 2). Brackets that begin at different rungs hedge against curves that cross (Li et al. 2018, "Hyperband").
"""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from hpsearch.errors import UsageError
from hpsearch.policy.axis import RUNGS_PER_RUN, first_judged_step, reports_at_end, steps_reached
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Evaluation, History, Origin, Trial, TrialState

FIRST_RUNG = 2
"""The lowest rung: half of the first fold. On a first quarter the curves are still on their plateau."""


@dataclass(frozen=True)
class SuccessiveHalving:
    """How trials are promoted: pruner="asha" is this with its defaults, "hyperband" with all brackets.

    Rungs are steps of the pruners' axis, quarters of a trial's own runs: all of it, 1/eta of it, 1/eta^2, ..., none
    below half of the first fold. With three folds and eta 3 these are half of the first fold, the first fold, and all
    folds. When no further trial is coming, the best of each rung goes on even where fewer than eta have reached it, so
    that a study ends with a searched trial on all folds; who still waits then is pruned. The literature default is
    trained to its end in any case, and takes nobody's place.

    Attributes:
        reduction_factor: eta: one of so many goes on to the next rung.
        brackets: Trials are dealt to so many brackets, each beginning a rung higher than the one before; None: to as
            many as there are rungs.
        synchronous: Decide in cohorts of eta^k trials by number, each rung when all of the cohort have come there or
            ended. What is promoted then does not depend on which worker was faster; workers wait for no one, for they
            begin the next cohort meanwhile.

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


@dataclass(frozen=True)
class _Group:
    """Trials that are compared with each other: a bracket, or one cohort of it.

    Attributes:
        rungs: Their rungs, lowest first, without the end.
        size: Trials that the group shall have in the end; None where it grows without end.
        trials: Those that it has.
    """

    rungs: tuple[int, ...]
    size: int | None
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class _Standing:
    """Who may go on past which rung, and where each stands there, from 1, among how many."""

    passes: frozenset[tuple[int, int]]
    places: Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class _Reports:
    """What a trial has shown, and what that was read from.

    Attributes:
        steps: Step to (value, minus validation loss): where values are equal, as those of models that predict one class
            for every row are, the loss tells who has learnt more.
    """

    evaluations: tuple[tuple[Evaluation, ...], ...]
    stop: int | None
    state: TrialState
    steps: Mapping[int, tuple[float, float]]

    @cached_property
    def last_step(self) -> int:
        return max(self.steps, default=0)

    def at(self, rung: int) -> tuple[float, float] | None:
        """Return what a rung ranks by, or None before it; a run of few evaluation points may step over a rung."""
        step = min((step for step in self.steps if step >= rung), default=None)
        return None if step is None else self.steps[step]

    def is_beyond(self, rung: int) -> bool:
        return self.last_step > min((step for step in self.steps if step >= rung), default=self.last_step)


class PromotingHalving(Pruner):
    """Successive halving as a pure function of History: it prunes nobody under way, and says how far each may go."""

    def __init__(self, rule: SuccessiveHalving, objective: str, name: str) -> None:
        self._rule = rule
        self._objective = objective
        self._name = name
        self._reports: dict[int, _Reports] = {}
        self._known: tuple[History, dict[bool, _Standing]] | None = None

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        """Return the step that the trial may go to for now, or None when it may go to its end.

        Args:
            history: Everything so far.
            trial: An unfinished trial of it.
            closing: Whether no further trials are coming.
        """
        if trial.origin is Origin.DEFAULT:
            return None
        standing = self._standing(history, closing)
        for rung in self._rungs(trial):
            if (trial.number, rung) not in standing.passes and rung >= first_judged_step(trial):
                return rung
        return None

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        place = self._standing(history, closing=False).places.get((trial.number, limit))
        where = f"after step {limit} of {self._steps(trial)}"
        if place is None:
            return f"{self._name}: not promoted {where}"
        return f"{self._name}: place {place[0]} of {place[1]} {where}, where 1 of {self._rule.reduction_factor} goes on"

    def _steps(self, trial: Trial) -> int:
        return RUNGS_PER_RUN * len(trial.runs)

    def _rungs(self, trial: Trial) -> tuple[int, ...]:
        """Return the rungs that a trial may have to wait at."""
        rungs = ladder(self._steps(trial), self._rule.reduction_factor)
        return rungs[self._bracket(trial, len(rungs))[0] : -1]

    def _bracket(self, trial: Trial, rungs: int) -> tuple[int, int]:
        """Return a trial's bracket, and how many trials of lower number are dealt to the same."""
        brackets = rungs if self._rule.brackets is None else self._rule.brackets
        cycle = bracket_cycle(rungs, brackets, self._rule.reduction_factor)
        rounds, position = divmod(trial.number, len(cycle))
        bracket = cycle[position]
        return bracket, rounds * cycle.count(bracket) + cycle[:position].count(bracket)

    def _standing(self, history: History, closing: bool) -> _Standing:
        """Return who may go on; worked out once for each History."""
        if self._known is None or self._known[0] is not history:
            self._known = (history, {})
        known = self._known[1]
        if closing not in known:
            passes: set[tuple[int, int]] = set()
            places: dict[tuple[int, int], tuple[int, int]] = {}
            for group in self._groups(history.trials.values()):
                self._judge(history, group, closing, passes, places)
            known[closing] = _Standing(frozenset(passes), places)
        return known[closing]

    def _groups(self, trials: Iterable[Trial]) -> Iterable[_Group]:
        groups: dict[tuple[int, int, int], _Group] = {}
        for trial in trials:
            rungs = ladder(self._steps(trial), self._rule.reduction_factor)
            bracket, before = self._bracket(trial, len(rungs))
            size = self._rule.reduction_factor ** (len(rungs) - 1 - bracket) if self._rule.synchronous else None
            cohort = 0 if size is None else before // size
            group = groups.setdefault((len(rungs), bracket, cohort), _Group(rungs[bracket:-1], size))
            group.trials.append(trial)
        return groups.values()

    def _judge(
        self,
        history: History,
        group: _Group,
        closing: bool,
        passes: set[tuple[int, int]],
        places: dict[tuple[int, int], tuple[int, int]],
    ) -> None:
        """Add who of a group goes past each of its rungs, from the lowest upwards.

        The literature default goes on in any case, and takes nobody's place. Equal configurations, which share their
        runs, take one place together.
        """
        climbing = [trial for trial in group.trials if trial.origin is not Origin.DEFAULT]
        all_came = closing or len(group.trials) == group.size
        for rung in group.rungs:
            came: list[tuple[tuple[float, float], Trial]] = []
            free: list[Trial] = []
            for trial in climbing:
                shown = self._read(history, trial).at(rung)
                if rung < first_judged_step(trial):
                    free.append(trial)
                elif shown is not None:
                    came.append((shown, trial))
                elif not trial.state.is_finished:
                    all_came = False
                elif trial.state is TrialState.PRUNED and trial.value is None:
                    came.append(((-math.inf, -math.inf), trial))  # diverged or out of memory: the worst that came
            came.sort(key=lambda each: (-each[0][0], -each[0][1], each[1].number))
            equals: dict[str, list[Trial]] = {}
            for _, trial in came:
                equals.setdefault(trial.runs[0].key, []).append(trial)
            ranked = list(equals.values())
            going = self._promoted(history, ranked, rung, all_came)
            passes.update((trial.number, rung) for trial in going)
            places.update(
                {(trial.number, rung): (at, len(ranked)) for at, some in enumerate(ranked, 1) for trial in some}
            )
            climbing = [*free, *going]

    def _promoted(self, history: History, ranked: Sequence[list[Trial]], rung: int, all_came: bool) -> list[Trial]:
        """Return who goes on: the best 1/eta that still can, and who is further already.

        Args:
            history: Everything so far.
            ranked: Trials that came to the rung, the best first, equal ones together.
            rung: The rung.
            all_came: Whether nobody else can come.
        """
        count = len(ranked) // self._rule.reduction_factor
        if all_came:
            count = max(1, count)
        if self._rule.synchronous:  # by values alone: what has ended, or is further, tells who was faster
            return [trial for equals in (ranked[:count] if all_came else ()) for trial in equals]
        going: list[Trial] = []
        for equals in ranked:
            is_beyond = any(self._read(history, trial).is_beyond(rung) for trial in equals)
            is_able = is_beyond or any(not trial.state.is_finished for trial in equals)
            if is_beyond or (is_able and count > 0):
                going += equals
            count -= is_able
        return going

    def _read(self, history: History, trial: Trial) -> _Reports:
        """Return a trial's reports; those of one that has not moved since the last time are kept."""
        known = self._reports.get(trial.number)
        evaluations = tuple([history.of(run.key) for run in trial.runs])
        if (
            known is None
            or known.stop != trial.stop
            or known.state is not trial.state
            or not all(map(operator.is_, known.evaluations, evaluations))
            or len(known.evaluations) != len(evaluations)
        ):
            steps = {step: (value, -at.loss) for step, value, at in steps_reached(history, trial, self._objective)}
            if trial.state.is_finished:  # an equal trial may take its runs further
                steps = {step: steps[step] for step, _ in reports_at_end(history, trial, self._objective)}
            known = self._reports[trial.number] = _Reports(evaluations, trial.stop, trial.state, steps)
        return known
