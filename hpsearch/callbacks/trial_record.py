"""What a tracking service gets to know of a trial and of a study, all from the study's history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hpsearch.analysis.aggregates import TrialSummary, best_trial, summarize
from hpsearch.metrics.direction import Direction
from hpsearch.records import Evaluation, History, Run, Trial, TrialState, digest
from hpsearch.records.objective_values import mean_value

if TYPE_CHECKING:
    from hpsearch.data.folds import Folds
    from hpsearch.metrics.metric import Metric
    from hpsearch.records.store import Store


class TrackedStudy(Protocol):
    """What a callback reads of the study that calls it."""

    @property
    def name(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def folder(self) -> Path: ...

    @property
    def folds(self) -> "Folds": ...

    @property
    def objective(self) -> "Metric": ...

    def store(self) -> "Store": ...


@dataclass(frozen=True)
class CurvePoint:
    """The measurements at one evaluation point.

    Attributes:
        point: The evaluation point, from 1.
        epoch: Passes over the training rows.
        values: `metric/fold_0`, ... and `metric/mean` to value; `train_loss` and `learning_rate` are among them. A mean
            is over all folds that have begun, and is left out where one of them has not come so far.
    """

    point: int
    epoch: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class TrialRecord(TrialSummary):
    """One ended trial in numbers, and what was measured on the way.

    Attributes:
        id: 32 hexadecimal digits, which stay the same when the study is resumed, here or elsewhere: a digest of the
            study's name and seed, the trial's number, and the key of its first run, which covers data, model, config
            and numerics.
        study: The study's name.
        study_id: The study's own id, a digest alike.
        objective: Name of the objective.
        curves: The measurements on the way, by evaluation point.
        direction: Whether more or less of the objective is better.
    """

    id: str
    study: str
    study_id: str
    objective: str
    curves: tuple[CurvePoint, ...]
    direction: Direction = Direction.MAXIMIZE

    @property
    def name(self) -> str:
        return f"{self.study}-{self.number}"


@dataclass(frozen=True)
class StudyRecord:
    """The state of a study when its run is over.

    Attributes:
        id: As `TrialRecord.study_id`.
        study: The study's name.
        objective: Name of the objective.
        states: State to number of trials in it.
        best: The best trial, or None where none is complete.
    """

    id: str
    study: str
    objective: str
    states: Mapping[str, int]
    best: TrialRecord | None


def trial_record(study: TrackedStudy, history: History, trial: Trial) -> TrialRecord:
    """Return the record of an ended trial."""
    objective, folds = study.objective.name, study.folds
    shares = [folds.test_share(index) for index in range(len(folds.pairs))]
    return TrialRecord(
        **vars(summarize(trial, history, objective, shares)),
        id=digest(["trial", study.name, study.seed, trial.number, trial.runs[0].key]),
        study=study.name,
        study_id=_study_id(study, history),
        objective=objective,
        curves=_curves(history, trial),
        direction=history.direction,
    )


def study_record(study: TrackedStudy, history: History) -> StudyRecord:
    """Return the record of a study."""
    states = [trial.state.value for trial in history.trials.values()]
    best = best_trial(history)
    return StudyRecord(
        id=_study_id(study, history),
        study=study.name,
        objective=study.objective.name,
        states={state.value: states.count(state.value) for state in TrialState if state.value in states},
        best=None if best is None else trial_record(study, history, best),
    )


def _study_id(study: TrackedStudy, history: History) -> str:
    first = history.trials[min(history.trials)].runs[0].key
    return digest(["study", study.name, study.seed, first])


def _curves(history: History, trial: Trial) -> tuple[CurvePoint, ...]:
    begun = [(run, history.of(run.key)[: trial.stop]) for run in trial.runs if history.point(run)]
    points = max((len(evaluations) for _, evaluations in begun), default=0)
    return tuple(_point(begun, place) for place in range(points))


def _point(begun: Sequence[tuple[Run, Sequence[Evaluation]]], place: int) -> CurvePoint:
    reached = [(run, evaluations[place]) for run, evaluations in begun if place < len(evaluations)]
    measured = {
        _fold_name(run): {**at.metrics, "train_loss": at.train_loss, "learning_rate": at.learning_rate}
        for run, at in reached
    }
    names = list(next(iter(measured.values())))
    values = {f"{name}/{fold}": on_fold[name] for name in names for fold, on_fold in measured.items()}
    if len(reached) == len(begun):
        values |= {f"{name}/mean": mean_value([on_fold[name] for on_fold in measured.values()]) for name in names}
    return CurvePoint(place + 1, reached[0][1].epoch, values)


def _fold_name(run: Run) -> str:
    return f"fold_{run.fold}" + (f"_repeat_{run.repeat}" if run.repeat else "")
