"""Promotion worked out anew from the whole History for each question: pruners that keep it have to agree with this."""

import math
from collections.abc import Hashable
from statistics import stdev
from typing import Any

from hpsearch.metrics.direction import Objective
from hpsearch.policy.ladder import Rung
from hpsearch.policy.promotion import PromotingPruner, steps_of
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN
from hpsearch.policy.racing import LEAST_FOR_SPREAD, RacingPruner, _Best, sampling_error
from hpsearch.policy.successive_halving import PromotingHalving
from hpsearch.records import History, Origin, Trial, TrialState

Rankings = tuple[set[tuple[int, int]], dict[tuple[int, int], tuple[int, int]]]
"""Which (trial, step) go on past a rung, and (trial, step) to (place, of how many)."""


class _Plain(PromotingPruner):
    def limits(self, history: History, closing: bool) -> dict[int, int | None]:
        """Return the limit of each trial."""
        passes = _rankings(self, history, closing)[0]
        return {
            number: None
            if trial.origin is Origin.DEFAULT
            else next(
                (at for at in self.rungs(trial) if at >= self.first_judged(trial) and (number, at) not in passes), None
            )
            for number, trial in history.trials.items()
        }

    def place(self, history: History, trial: Trial, limit: int) -> str:
        place = _rankings(self, history, False)[1].get((trial.number, limit))
        where = f"after step {limit} of {steps_of(trial)}"
        if place is None:
            return f"{self._name}: not promoted {where}"
        return f"{self._name}: place {place[0]} of {place[1]} {where}, where 1 of {self._reduction_factor} continues"

    def going_by_rank(self, rung: Rung, count: int) -> list[int]:
        going: list[int] = []
        for equals in rung.ranked:
            is_beyond = any(number in rung.beyond for number in equals)
            is_able = is_beyond or any(number in rung.able for number in equals)
            if is_beyond or (is_able and count > 0):
                going += equals
            count -= is_able and not all(number in rung.failed for number in equals)
        return going


class PlainHalving(_Plain, PromotingHalving):
    """Successive halving."""


class PlainRacing(_Plain, RacingPruner):
    """Racing."""

    def _tells_nothing_apart(self, rung: Rung, best: _Best) -> bool:
        scores = [score for score in rung.scores if math.isfinite(score)]
        if not self._rule.spread or best.error is None or len(scores) < LEAST_FOR_SPREAD:
            return False
        return stdev(scores) <= best.error / math.sqrt(max(1, rung.step // RUNGS_PER_RUN))

    def basis(self, history: History) -> _Best | None:
        complete = history.finished(TrialState.COMPLETE)
        if self._rule.synchronous or not complete:
            return None
        score = self._objective.direction.score
        best = max(complete, key=lambda t: (-math.inf if t.value is None else score(t.value), -t.number))
        scores = [self.progress(history, trial).folds for trial in history.trials.values()]
        error = sampling_error([folds for folds in scores if len(folds) >= 2])
        only_default = all(trial.origin is Origin.DEFAULT for trial in complete)
        return _Best(best, self.progress(history, best).folds, error, only_default)


def plain(pruner: PromotingPruner, objective: Objective) -> Any:
    """Return the plain twin of a pruner, which has seen nothing yet."""
    if isinstance(pruner, RacingPruner):
        return PlainRacing(pruner._rule, objective)
    assert isinstance(pruner, PromotingHalving)
    return PlainHalving(pruner._rule, objective, pruner._name)


def _diverged(trial: Trial) -> bool:
    return trial.state is TrialState.PRUNED and trial.value is None


def _rankings(pruner: Any, history: History, closing: bool) -> Rankings:
    passes: set[tuple[int, int]] = set()
    places: dict[tuple[int, int], tuple[int, int]] = {}
    groups: dict[Hashable, tuple[tuple[int, ...], int | None, list[Trial]]] = {}
    for trial in history.trials.values():
        key, rungs, size = pruner.group_of(trial)
        groups.setdefault(key, (rungs, size, []))[2].append(trial)
    for rungs, size, trials in groups.values():
        climbing = [trial for trial in trials if trial.origin is not Origin.DEFAULT]
        all_came = closing or len(trials) == size
        for step in rungs:
            came: list[tuple[tuple[float, float], Trial]] = []
            free: list[Trial] = []
            for trial in climbing:
                score = pruner.progress(history, trial).at(step)
                if step < pruner.first_judged(trial):
                    free.append(trial)
                elif score is not None:
                    came.append((score, trial))
                elif not trial.state.is_finished:
                    all_came = False
                elif _diverged(trial):
                    came.append(((-math.inf, -math.inf), trial))
            rung = _ranked(pruner, history, step, came, all_came)
            going = pruner.promoted(history, rung)
            passes |= {(number, step) for number in going}
            for place, equals in enumerate(rung.ranked, 1):
                places |= {(number, step): (place, len(rung.ranked)) for number in equals}
            climbing = [*free, *(history.trials[number] for number in going)]
    return passes, places


def _ranked(
    pruner: Any, history: History, step: int, came: list[tuple[tuple[float, float], Trial]], all_came: bool
) -> Rung:
    came.sort(key=lambda pair: (-pair[0][0], -pair[0][1], pair[1].number))
    equals: dict[str, list[int]] = {}
    scores: dict[str, float] = {}
    for score, trial in came:
        equals.setdefault(trial.runs[0].key, []).append(trial.number)
        scores.setdefault(trial.runs[0].key, score[0])
    return Rung(
        step,
        list(equals.values()),
        list(scores.values()),
        beyond={t.number for _, t in came if pruner.progress(history, t).is_beyond(step)},
        able={t.number for _, t in came if not t.state.is_finished},
        failed={t.number for _, t in came if t.state is TrialState.FAIL or _diverged(t)},
        all_came=all_came,
    )
