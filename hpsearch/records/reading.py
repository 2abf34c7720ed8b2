"""Reads a study back from its database."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from optuna.storages._rdb import models
from sqlalchemy import Engine, Row, Table, and_, select

from hpsearch.records import tables
from hpsearch.records.history import History, decided
from hpsearch.records.optuna_rows import RUNS, OptunaRows
from hpsearch.records.types import Action, Decision, Evaluation, Outcome, Segment, SegmentResult, Trial, TrialState

ADOPTED = "adopted"
"""An outcome in studies of earlier versions: the run took over the evaluations of one with the same first steps.

They equal its own to the last bit; the rest of such a segment, if any, was trained next.
"""


def read_history(engine: Engine, study: str, rows: OptunaRows) -> History:
    """Read everything so far; trials last, because another process may be writing: so all other rows have theirs."""
    evaluations: dict[str, list[Evaluation]] = {}
    for evaluation in map(tables.evaluation_of, rows_of(engine, study, tables.evaluations, "run", "point")):
        evaluations.setdefault(evaluation.run, []).append(evaluation)
    result_rows = rows_of(engine, study, tables.results, "id")
    trials = _trials(engine, study, rows)
    results: dict[str, tuple[SegmentResult, ...]] = {}
    for _, result in results_of(result_rows, trials):
        key = result.segment.run.key
        results[key] = (*results.get(key, ()), result)
    measured = {run: tuple(points) for run, points in evaluations.items()}
    return History(MappingProxyType(trials), MappingProxyType(measured), MappingProxyType(results), rows.direction())


def read_outcomes(engine: Engine, study: str) -> dict[int, tuple[TrialState, float | None]]:
    """Return (state, value) of each trial, by number, in one query: a database is listed in milliseconds."""
    trial, attribute, decision = models.TrialModel, models.TrialSystemAttributeModel, tables.decisions
    final = [action.value for action in Action if Decision(0, action, "").final_state is not None]
    query = (
        select(trial.number, trial.state, decision.c.action, decision.c.value)
        .join(models.StudyModel, models.StudyModel.study_id == trial.study_id)
        .join(attribute, and_(attribute.trial_id == trial.trial_id, attribute.key == RUNS))
        .outerjoin(
            decision,
            and_(decision.c.study == study, decision.c.trial == trial.number, decision.c.action.in_(final)),
        )
        .where(models.StudyModel.study_name == study)
        .order_by(trial.number, decision.c.id)
    )
    outcomes: dict[int, tuple[TrialState, float | None]] = {}
    with engine.connect() as connection:
        for number, state, action, value in connection.execute(query):
            ended = None if action is None else Decision(number, Action(action), "").final_state
            outcomes[number] = (ended or TrialState[state.name], value)
    return outcomes


def _trials(engine: Engine, study: str, rows: OptunaRows) -> dict[int, Trial]:
    decisions = [tables.decision_of(row) for row in rows_of(engine, study, tables.decisions, "id")]
    trials = {trial.number: trial for trial in rows.load()}
    for decision in decisions:
        trials[decision.trial] = decided(trials[decision.trial], decision)
    return trials


def results_of(rows: Sequence[Row[Any]], trials: Mapping[int, Trial]) -> Iterator[tuple[float, SegmentResult]]:
    """Yield (seconds since 1970, end of a segment), the segments' runs taken from `trials`."""
    runs = {(run.key, run.horizon): run for trial in trials.values() for run in trial.runs}
    for row in rows:
        segment = Segment(runs[row.run, row.horizon], row.start, row.stop)
        if row.outcome == ADOPTED:
            yield row.time, SegmentResult(segment, Outcome.OK if row.point == row.stop else Outcome.PAUSED, row.point)
        else:
            yield row.time, SegmentResult(segment, Outcome(row.outcome), row.point, row.log)


def rows_of(engine: Engine, study: str, table: Table, *order: str) -> Sequence[Row[Any]]:
    """Return a study's rows of a table, ordered by these columns."""
    query = select(table).where(table.c.study == study).order_by(*(table.c[name] for name in order))
    with engine.connect() as connection:
        return connection.execute(query).all()
