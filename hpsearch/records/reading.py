"""Reads a study back from its database."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, Row, Table, and_, select

from hpsearch.records import optuna_reading, tables
from hpsearch.records.history import History, decided
from hpsearch.records.optuna_rows import RUNS, OptunaRows
from hpsearch.records.order_log import Entry
from hpsearch.records.types import Action, Decision, Evaluation, Outcome, Segment, SegmentResult, Trial, TrialState

ADOPTED = "adopted"
"""An outcome in studies of earlier versions: the run took over the evaluations of one with the same first steps.

They equal its own to the last bit; the rest of such a segment, if any, was trained next.
"""


def read_history(engine: Engine, study: str, rows: OptunaRows) -> History:
    """Read everything so far; trials last, because another process may be writing: so all other rows have theirs."""
    evaluations: dict[str, list[Evaluation]] = {}
    for evaluation in tables.evaluations_of(rows_of(engine, study, tables.evaluations, "run", "point")):
        evaluations.setdefault(evaluation.run, []).append(evaluation)
    result_rows = rows_of(engine, study, tables.results, "id")
    trials = _trials(engine, study, rows)
    results: dict[str, tuple[SegmentResult, ...]] = {}
    for _, result in results_of(result_rows, trials):
        key = result.segment.run.key
        results[key] = (*results.get(key, ()), result)
    measured = {run: tuple(points) for run, points in evaluations.items()}
    return History(MappingProxyType(trials), MappingProxyType(measured), MappingProxyType(results), rows.direction())


def read_entries(engine: Engine, study: str, layout: int) -> list[Entry]:
    """Read the order that was decided in so far; empty for a study that decides on arrival."""
    if layout < tables.LAYOUT_WITH_ORDER:
        return []
    return [tables.entry_of(row) for row in rows_of(engine, study, tables.order, "id")]


def read_outcomes(engine: Engine, study: str) -> dict[int, tuple[TrialState, float | None]]:
    """Return (state, value) of each trial, by number: a database is listed in milliseconds.

    Trials and decisions are not joined: where a table has no index for it, each trial would look through all decisions.
    """
    final = {action.value: state for action in Action if (state := Decision(0, action, "").final_state) is not None}
    theirs, attributes, decision = optuna_reading.trials, optuna_reading.system_attributes, tables.decisions.c
    named = optuna_reading.studies
    states = (
        select(theirs.c.number, theirs.c.state)
        .join(named, named.c.study_id == theirs.c.study_id)
        .join(attributes, and_(attributes.c.trial_id == theirs.c.trial_id, attributes.c.key == RUNS))
        .where(named.c.study_name == study)
        .order_by(theirs.c.number)
    )
    ends = select(decision.trial, decision.action, decision.value).where(
        decision.study == study, decision.action.in_(final)
    )
    outcomes: dict[int, tuple[TrialState, float | None]] = {}
    with engine.connect() as connection:
        for number, state in connection.execute(states):
            outcomes[number] = (TrialState[state], None)
        for number, action, value in connection.execute(ends.order_by(decision.id)):
            if number in outcomes:  # or else it was begun since
                outcomes[number] = (final[action], value)
    return outcomes


def _trials(engine: Engine, study: str, rows: OptunaRows) -> dict[int, Trial]:
    ends = rows_of(engine, study, tables.decisions, "id")
    trials = {trial.number: trial for trial in rows.load()}
    for row in ends:
        decision = Decision(row.trial, Action(row.action), row.reason, row.value, row.point, row.stop)
        trials[row.trial] = decided(trials[row.trial], decision)
    return trials


def results_of(rows: Sequence[Row[Any]], trials: Mapping[int, Trial]) -> Iterator[tuple[float, SegmentResult]]:
    """Yield (seconds since 1970, end of a segment), the segments' runs taken from `trials`."""
    runs = {(run.key, run.horizon): run for trial in trials.values() for run in trial.all_runs}
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
