"""What a study has taken so far, and what its next segments will take, from what was measured."""

import math
from bisect import insort
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.records import Evaluation, History, Run, Segment, Trial
from hpsearch.records.fit import SAME_STEP
from hpsearch.records.run_length import run_epochs


def _pace_of(config: Mapping[str, Any]) -> Hashable:
    """Return what a row's time depends on: what of a training config decides model, batch and frozen layers.

    Unlike the shape that memory depends on it keeps fractions, of layers that are frozen for instance.
    """
    return tuple(sorted((name, repr(value)) for name, value in config.items() if name not in SAME_STEP))


def epochs_of(segment: Segment) -> float:
    """Return the passes over the training rows that a segment takes."""
    return (segment.stop - segment.start) * _epochs_a_point(segment.run)


def rows_of(run: Run) -> float:
    """Return the training rows between two evaluation points of a run."""
    rows_per_epoch = max(1, run.steps_per_epoch) * int(run.config.get("batch_size", 1))  # 0 steps: an earlier version's
    return rows_per_epoch * _epochs_a_point(run)


def _epochs_a_point(run: Run) -> float:
    return run_epochs(run) / run.horizon


@dataclass(frozen=True)
class _OfRun:
    """What one run has taken; `evaluations` are those it was read from."""

    evaluations: Sequence[Evaluation]
    epochs: float
    seconds: float


class Costs:
    """What a history has taken, and what segments will; a pure function of History, which is read once."""

    def __init__(self) -> None:
        self._history: History | None = None
        self._trials: dict[int, Trial] = {}
        self._runs: dict[str, _OfRun] = {}
        self._speeds: dict[Hashable, list[float]] = {}
        self._shapes: dict[str, tuple[Hashable, float]] = {}
        self.epochs = 0.0
        self.seconds = 0.0
        self.kinds: dict[Hashable, Sequence[Segment]] = {}

    def look_at(self, history: History) -> None:
        """Read a new History; what has not changed since the last one is not read again.

        `epochs` and `seconds` are then sums over all runs, and `kinds` has all segments of one trial of each kind.
        Trials of a kind take the same.
        """
        if self._history is history:
            return
        self._history = history
        for number, trial in history.trials.items():
            if self._trials.get(number) is not trial and trial.runs:
                self._trials[number] = trial
                for run in trial.all_runs:
                    self._shapes.setdefault(run.key, (_pace_of(run.config), rows_of(run)))
                self.kinds[self._kind(trial)] = whole(trial)
        changed = False
        for key, evaluations in history.evaluations.items():
            known = self._runs.get(key)
            if known is None or known.evaluations is not evaluations:
                self._read(key, evaluations, known)
                changed = True
        if changed:
            self.epochs = math.fsum([run.epochs for run in self._runs.values()])
            self.seconds = math.fsum([run.seconds for run in self._runs.values()])

    def _kind(self, trial: Trial) -> Hashable:
        run = trial.runs[0]
        return self._shapes[run.key], _end(trial), epochs_of(Segment(run, 0, run.horizon)), len(trial.runs)

    def _read(self, key: str, evaluations: Sequence[Evaluation], known: _OfRun | None) -> None:
        new = evaluations[0 if known is None else len(known.evaluations) :]
        if key in self._shapes:
            shape, rows = self._shapes[key]
            speeds = self._speeds.setdefault(shape, [])
            for evaluation in new:
                if evaluation.seconds > 0:  # 0: taken over
                    insort(speeds, evaluation.seconds / rows)
        seconds = math.fsum(evaluation.seconds for evaluation in evaluations)
        self._runs[key] = _OfRun(evaluations, evaluations[-1].epoch if evaluations else 0.0, seconds)

    def seconds_of(self, segment: Segment) -> float | None:
        """Return what a segment will take, from the seconds a row of its shape so far; None where none was measured.

        The lower median: the first points of a run also load a model or fill a cache.
        """
        shape, rows = self._shapes.get(segment.run.key) or (_pace_of(segment.run.config), rows_of(segment.run))
        speeds = self._speeds.get(shape)
        return speeds[(len(speeds) - 1) // 2] * rows * (segment.stop - segment.start) if speeds else None


def _end(trial: Trial) -> int:
    return trial.runs[0].horizon if trial.stop is None else trial.stop


def whole(trial: Trial) -> Sequence[Segment]:
    """Return all that a trial trains, from its beginning, a segment a run."""
    return [Segment(run, 0, _end(trial)) for run in trial.runs]


def wall_seconds(seconds: Collection[float], workers: int) -> float:
    """Return how long segments take on some workers, each begun by the first that is free, the longest first."""
    free = [0.0] * max(1, workers)
    for one in sorted(seconds, reverse=True):
        free[free.index(min(free))] += one
    return max(free)
