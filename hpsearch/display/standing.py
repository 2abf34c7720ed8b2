"""How a study stands: what someone waiting for it wants to know, as values that every display draws."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.analysis.aggregates import best_trial, summarize
from hpsearch.display.time_left import Pace
from hpsearch.plan.paths import shown_folder
from hpsearch.policy.budget import Ending
from hpsearch.records import LOSS, Evaluation, History, Run, Segment, Slot, Trial, TrialState
from hpsearch.records.run_length import epoch_at


@dataclass(frozen=True)
class Tally:
    """How many trials there are in each state, and the best of the complete ones, ties to the first proposed.

    `repeats` counts those of them that train what an earlier one does.
    """

    running: int
    waiting: int
    complete: int
    pruned: int
    failed: int
    best: Trial | None
    repeats: int = 0

    @property
    def ended(self) -> int:
        return self.complete + self.pruned + self.failed

    @property
    def unfinished(self) -> int:
        return self.running + self.waiting

    @classmethod
    def of(cls, history: History) -> "Tally":
        states = [trial.state for trial in history.trials.values()]
        return cls(
            running=states.count(TrialState.RUNNING),
            waiting=states.count(TrialState.WAITING),
            complete=states.count(TrialState.COMPLETE),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAIL),
            best=best_trial(history),
            repeats=history.repeats(),
        )


@dataclass(frozen=True)
class BestSoFar:
    """The best trial so far: its cross-validated objective with the corrected 95% interval, and what was searched."""

    number: int
    value: float
    interval: tuple[float, float] | None
    params: Mapping[str, Any]


@dataclass(frozen=True)
class RunningFold:
    """One fold in training.

    Attributes:
        fold: Which of the trial's runs it is, from 1; `folds` is how many the trial has.
        epoch: Passes over the training rows at the last evaluation.
        epochs: Passes at which it ends, at the latest.
        loss: The validation loss last measured, None before the first evaluation; so is `value`, the objective.
        device: Where it trains; a number tells workers of one device apart.
        elapsed: Seconds since this process gave it to its worker.
        left: Seconds until it ends, at the latest, from the pace of its own epochs; None before the first evaluation.
    """

    trial: int
    fold: int
    folds: int
    epoch: float
    epochs: float
    loss: float | None
    value: float | None
    device: str
    elapsed: float
    left: float | None


@dataclass(frozen=True)
class Standing:
    """A study at one moment.

    Attributes:
        folder: Its folder, as users see it.
        trials: How many trials there will be, or None.
        best: The best so far, or None while none is complete.
        folds: What is in training, by trial and fold.
        devices: Device to workers on it.
        elapsed: Seconds since this call began.
        left: Seconds until the last trial has ended, or None while that would be a guess.
        pauses_in: Seconds until the time is up, or None without a timeout.
        is_pausing: Whether it was asked to pause.
        waits_for: Which other process trains on the devices that this one waits for, if it does.
        ending: What has ended it, or None.
    """

    name: str
    folder: str
    objective: str
    trials: int | None
    tally: Tally
    best: BestSoFar | None
    folds: Sequence[RunningFold]
    devices: Mapping[str, int]
    elapsed: float
    left: float | None
    pauses_in: float | None
    is_pausing: bool
    waits_for: str | None = None
    ending: Ending | None = None


@dataclass
class Watch:
    """Follows a study. One thread may report changes while another one asks.

    Attributes:
        trials: How many trials there will be, or None.
        test_shares: By fold, held-out rows over all rows, for the interval; None leaves it out.
        slots: Returns every worker's place (`Pool.slots`): devices that trials share come to have more or fewer.
        training: Returns what trains now, and where (`Pool.training`).
        deadline: When the study will pause, on `clock`, or None.
        is_pausing: Says whether the study was asked to pause.
        waits_for: Says which other process it waits for, or None.
        ending: Returns what has ended the study, None before.
    """

    name: str
    folder: Path
    objective: str
    trials: int | None
    evaluations_per_epoch: int
    test_shares: Sequence[float] | None = None
    slots: Callable[[], Sequence[Slot]] = tuple
    training: Callable[[], Sequence[tuple[Slot, Segment]]] = tuple
    deadline: float | None = None
    is_pausing: Callable[[], bool] = bool
    waits_for: Callable[[], str | None] = lambda: None
    ending: Callable[[], Ending | None] = lambda: None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._pace = Pace(self.clock)
        self._history: History | None = None
        self._best: BestSoFar | None = None
        self._began: dict[tuple[int, str], float] = {}
        self._measured: dict[str, tuple[int, float]] = {}

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of a change; `standing` does what takes time. `trial` has just ended, if one has."""
        if self._history is None:
            tally = Tally.of(history)
            self._pace.begin(tally.ended - (trial is not None), tally.unfinished)
        self._history = history

    def standing(self) -> Standing:
        history, now = self._history or History(), self.clock()
        tally = Tally.of(history)
        devices = Counter(slot.devices[0] for slot in self.slots())
        folds = self._running_folds(history, now, devices)
        return Standing(
            name=self.name,
            folder=str(shown_folder(self.folder)),
            objective=self.objective,
            trials=self.trials,
            tally=tally,
            best=self._best_of(history, tally.best),
            folds=sorted(folds, key=lambda fold: (fold.trial, fold.fold)),
            devices=devices,
            elapsed=self._pace.elapsed(),
            left=self._pace.left(tally.ended, tally.unfinished, self.trials),
            pauses_in=None if self.deadline is None else max(0.0, self.deadline - now),
            is_pausing=self.is_pausing(),
            waits_for=self.waits_for(),
            ending=self.ending(),
        )

    def _best_of(self, history: History, trial: Trial | None) -> BestSoFar | None:
        """Return the best trial with its interval, computed once."""
        if trial is None or trial.value is None or not math.isfinite(trial.value):
            return None
        if self._best is None or self._best.number != trial.number:
            interval = summarize(trial, history, self.objective, self.test_shares).interval
            params = {name: trial.config[name] for name in trial.params}
            self._best = BestSoFar(trial.number, trial.value, interval, params)
        return self._best

    def _running_folds(self, history: History, now: float, devices: Mapping[str, int]) -> Iterator[RunningFold]:
        training = self.training()
        places = [(slot.index, segment.run.key) for slot, segment in training]
        self._began = {place: self._began.get(place, now) for place in places}
        self._measured = {segment.run.key: self._last_measured(history, segment.run, now) for _, segment in training}
        unfinished = history.unfinished()
        for slot, segment in training:
            run = segment.run
            place = _place_among(unfinished, run)
            if place is None:  # its trial has ended, and its worker is about to stop
                continue
            trial, fold = place
            evaluations = history.of(run.key)
            last = evaluations[-1] if evaluations else None
            device = slot.devices[0]
            yield RunningFold(
                trial=trial.number,
                fold=1 + fold,
                folds=len(trial.runs),
                epoch=epoch_at(run, len(evaluations), self.evaluations_per_epoch),
                epochs=epoch_at(run, segment.stop, self.evaluations_per_epoch),
                loss=None if last is None or LOSS not in last.metrics else last.loss,
                value=self._last_value(evaluations),
                device=f"{device} #{slot.index}" if devices[device] > 1 else device,
                elapsed=now - self._began[slot.index, run.key],
                left=self._time_left(history, segment, now),
            )

    def _last_value(self, evaluations: Sequence[Evaluation]) -> float | None:
        """Return the objective where it was last a number: it may not be measured at every point."""
        values = (each.metrics.get(self.objective, math.nan) for each in reversed(evaluations))
        return next((value for value in values if not math.isnan(value)), None)

    def _last_measured(self, history: History, run: Run, now: float) -> tuple[int, float]:
        """Return a run's last evaluation point, and when it was first seen."""
        point = history.point(run)
        seen_point, seen = self._measured.get(run.key, (None, now))
        return (point, seen) if seen_point == point else (point, now)

    def _time_left(self, history: History, segment: Segment, now: float) -> float | None:
        evaluations = history.of(segment.run.key)
        seconds = [evaluation.seconds for evaluation in evaluations if evaluation.seconds > 0]  # 0: taken over
        if not seconds:
            return None
        since = now - self._measured[segment.run.key][1]
        return max(0.0, math.fsum(seconds) / len(seconds) * (segment.stop - len(evaluations)) - since)


def _place_among(trials: Iterable[Trial], run: Run) -> tuple[Trial, int] | None:
    """Return the first trial that has this run, and which of its runs it is, from 0."""
    places = ((trial, fold) for trial in trials for fold, own in enumerate(trial.runs) if own.key == run.key)
    return next(places, None)
