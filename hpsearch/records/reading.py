"""Reads a study back from its database: the history, and what is too large to be part of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import Engine, Row, Table, select

from hpsearch.records import tables
from hpsearch.records.history import History, decided
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.types import Decision, Evaluation, Outcome, Segment, SegmentResult, Trial

ResultRows = Sequence[Row[Any]]

ADOPTED = "adopted"
"""An outcome in studies of earlier versions: the run took evaluations over from one with the same first steps.

They are its own evaluations, equal to the last bit; the rest of such a segment, where one was left, was trained next.
"""


def read_history(engine: Engine, study: str, rows: OptunaRows) -> History:
    """Read everything so far.

    Trials are read last: another process may be writing, and so whatever was read before has its trial.
    """
    evaluations = _read_evaluations(engine, study)
    result_rows = read_result_rows(engine, study)
    decisions = [decision for _, decision in read_decisions(engine, study)]
    trials = {trial.number: trial for trial in rows.load()}
    for decision in decisions:
        trials[decision.trial] = decided(trials[decision.trial], decision)
    results: dict[str, tuple[SegmentResult, ...]] = {}
    for _, result in results_of(result_rows, trials):
        key = result.segment.run.key
        results[key] = (*results.get(key, ()), result)
    return History(MappingProxyType(trials), MappingProxyType(evaluations), MappingProxyType(results))


def _read_evaluations(engine: Engine, study: str) -> dict[str, tuple[Evaluation, ...]]:
    evaluations: dict[str, list[Evaluation]] = {}
    for evaluation in map(tables.evaluation_of, _rows(engine, study, tables.evaluations, "run", "point")):
        evaluations.setdefault(evaluation.run, []).append(evaluation)
    return {run: tuple(points) for run, points in evaluations.items()}


def read_decisions(engine: Engine, study: str) -> list[tuple[float, Decision]]:
    """Return (seconds since 1970, decision) in the order of deciding."""
    return [(row.time, tables.decision_of(row)) for row in _rows(engine, study, tables.decisions, "id")]


def read_result_rows(engine: Engine, study: str) -> ResultRows:
    return _rows(engine, study, tables.results, "id")


def results_of(rows: ResultRows, trials: Mapping[int, Trial]) -> Iterator[tuple[float, SegmentResult]]:
    """Yield (seconds since 1970, end of a segment), the segments' runs taken from `trials`."""
    runs = {(run.key, run.horizon): run for trial in trials.values() for run in trial.runs}
    for row in rows:
        segment = Segment(runs[row.run, row.horizon], row.start, row.stop)
        if row.outcome == ADOPTED:
            yield row.time, SegmentResult(segment, Outcome.OK if row.point == row.stop else Outcome.PAUSED, row.point)
        else:
            yield row.time, SegmentResult(segment, Outcome(row.outcome), row.point, row.log)


def read_queue(engine: Engine, study: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (digest, configuration) of everything that was ever enqueued, in order."""
    return [(row.digest, json.loads(row.config)) for row in _rows(engine, study, tables.queue, "id")]


def read_description(engine: Engine, study: str) -> dict[str, Any]:
    """Return what the study is, as the study layer wrote it last."""
    table = tables.studies
    with engine.connect() as connection:
        text = connection.execute(select(table.c.description).where(table.c.study == study)).scalar_one()
    description: dict[str, Any] = json.loads(text)
    return description


def read_predictions(engine: Engine, study: str, run: str, point: int) -> np.ndarray | None:
    """Return the float32 outputs of the held-out rows, shape (rows, outputs), or None where they were dropped."""
    table = tables.predictions
    query = select(table).where(table.c.study == study, table.c.run == run, table.c.point == point)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else tables.predictions_of(row)


def _rows(engine: Engine, study: str, table: Table, *order: str) -> Sequence[Row[Any]]:
    query = select(table).where(table.c.study == study).order_by(*(table.c[name] for name in order))
    with engine.connect() as connection:
        return connection.execute(query).all()
