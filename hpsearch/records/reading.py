"""Reads a study back from its database."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, Row, Table, select

from hpsearch.records import tables
from hpsearch.records.history import History, decided
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.types import Evaluation, Outcome, Segment, SegmentResult, Trial

ADOPTED = "adopted"
"""An outcome in studies of earlier versions: the run took over the evaluations of one with the same first steps.

They equal its own to the last bit; the rest of such a segment, if any, was trained next.
"""


def read_history(engine: Engine, study: str, rows: OptunaRows) -> History:
    """Read everything so far; trials last, because another process may be writing: so all other rows have theirs."""
    evaluations: dict[str, tuple[Evaluation, ...]] = {}
    for evaluation in map(tables.evaluation_of, rows_of(engine, study, tables.evaluations, "run", "point")):
        evaluations[evaluation.run] = (*evaluations.get(evaluation.run, ()), evaluation)
    result_rows = rows_of(engine, study, tables.results, "id")
    decisions = [tables.decision_of(row) for row in rows_of(engine, study, tables.decisions, "id")]
    trials = {trial.number: trial for trial in rows.load()}
    for decision in decisions:
        trials[decision.trial] = decided(trials[decision.trial], decision)
    results: dict[str, tuple[SegmentResult, ...]] = {}
    for _, result in results_of(result_rows, trials):
        key = result.segment.run.key
        results[key] = (*results.get(key, ()), result)
    return History(MappingProxyType(trials), MappingProxyType(evaluations), MappingProxyType(results), rows.direction())


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
