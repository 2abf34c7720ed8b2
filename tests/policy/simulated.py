"""Whole studies through the real policy, with made-up curves and workers that finish in a random order."""

import random
from collections.abc import Iterator
from dataclasses import replace

from samples import F1, measured, trial

from hpsearch.metrics.direction import Objective
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Action, History, Origin, TrialState

HORIZON, FOLDS = 4, 3


def limits(history: History, pruner: Pruner, *, closing: bool = False) -> dict[int, int | None]:
    return {each.number: pruner.limit(history, each, closing=closing) for each in history.unfinished()}


def curve(number: int, fold: int, best: int | None = None) -> list[float]:
    """Return a trial's scores; number `best` is better than any other."""
    quality = 0.97 if number == best else random.Random(number).uniform(0.2, 0.9)
    noise = random.Random(100 * number + fold)
    return [quality * (1 - 0.4**point) + noise.gauss(0, 0.05) for point in range(1, HORIZON + 1)]


class Simulated:
    """A study whose workers finish in a random order, through the real policy.

    Curves are scores; an objective that is minimized is measured as their negatives. Trial 0 is the literature
    default. With `distinct` configurations, later trials repeat those of earlier ones.
    """

    def __init__(
        self,
        pruner: Pruner,
        trials: int,
        workers: int,
        seed: int,
        *,
        distinct: int = 1000,
        best: int = -1,
        objective: Objective = F1,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        self.distinct, self.best = distinct, best
        self.policy = Policy(objective, 2, early_stopping, pruner)
        self.total, self.workers, self.random = trials, workers, random.Random(seed)
        self.history = History(direction=objective.direction)
        self.busy: dict[tuple[int, int], int] = {}

    def run(self) -> History:
        for _ in self.steps():
            pass
        return self.history

    def steps(self) -> Iterator[History]:
        """Yield the history after each measurement."""
        while self._begin() or self.busy:
            while len(self.busy) < self.workers and self._begin():
                pass
            (number, fold) = self.random.choice(sorted(self.busy))
            run = self.history.trials[number].runs[fold]
            point = self.history.point(run)
            scores = curve(number % self.distinct, fold, self.best)
            self.history = measured(self.history, number, fold, [self.policy.objective.direction.score(scores[point])])
            if point + 1 == self.busy[number, fold]:
                del self.busy[number, fold]
            for each in self.history.unfinished():
                if run in each.runs:
                    self._settle(each.number)
            yield self.history
        for each in self.history.unfinished():
            decision = self.policy.give_up(self.history, each)
            assert decision is not None
            self.history = self.history.with_decision(decision)

    def _settle(self, number: int) -> None:
        closing = len(self.history.trials) >= self.total
        decision = self.policy.decide(self.history, number, closing=closing)
        while decision.final_state is None and decision.stop is not None:
            self.history = self.history.with_decision(decision)
            decision = self.policy.decide(self.history, number, closing=closing)
        if decision.final_state is not None:
            self.history = self.history.with_decision(decision)
        if decision.action is Action.PAUSE:
            waiting = replace(self.history.trials[number], state=TrialState.WAITING)
            self.history = self.history.with_trial(waiting)

    def _begin(self) -> bool:
        """Take the next run up, of the oldest trial that may go on, else of a new one."""
        closing = len(self.history.trials) >= self.total
        for each in self.history.unfinished():
            for fold, run in enumerate(each.runs):
                target = self.policy.target(self.history, each, fold, closing=closing)
                is_busy = any(self.history.trials[number].runs[at].key == run.key for number, at in self.busy)
                if not is_busy and self.history.point(run) < target:
                    if len(self.busy) < self.workers:
                        self.busy[each.number, fold] = target
                        self.history = self.history.with_trial(replace(each, state=TrialState.RUNNING))
                    return True
        if closing:
            return False
        number = len(self.history.trials)
        made = trial(number % self.distinct, horizon=HORIZON, folds=FOLDS)
        origin = Origin.SAMPLER if number else Origin.DEFAULT
        self.history = self.history.with_trial(replace(made, number=number, origin=origin))
        self._settle(number)  # an equal one may have been trained already
        return self._begin()


def outcome(history: History) -> dict[int, tuple]:
    return {
        number: (each.state, each.value, [history.point(run) for run in each.runs])
        for number, each in history.trials.items()
    }
