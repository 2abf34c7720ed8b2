"""Which out-of-fold predictions are kept: the disk stays bounded, and what a trial's value rests on stays."""

from collections.abc import Iterable

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from hpsearch.records import tables
from hpsearch.records.history import History
from hpsearch.records.types import Evaluation, Run, Trial, TrialState


def wanted_points(history: History, run: str) -> set[int] | None:
    """Return the evaluation points of `run` whose predictions a trial still wants, or None where all may be wanted.

    Equal configs share runs, so every trial with this run has its say: one that goes on wants all, a complete one the
    point that its value was read at, a pruned one the last point it reached, a failed one nothing.
    """
    points: set[int] = set()
    for trial in history.trials.values():
        for shared in trial.runs:
            if shared.key == run:
                if not trial.state.is_finished:
                    return None
                points |= _wanted_by(trial, shared, history)
    return points


def _wanted_by(trial: Trial, run: Run, history: History) -> set[int]:
    if trial.state is TrialState.COMPLETE:
        return {trial.point} if trial.point is not None else set(range(1, run.horizon + 1))
    if trial.state is TrialState.PRUNED:
        return {min(history.point(run), run.horizon)}
    return set()


def keep(connection: Connection, study: str, history: History, evaluation: Evaluation, outputs: np.ndarray) -> None:
    """Write the predictions of an evaluation, unless they are there already or nobody wants them.

    Where a run is trained again after its predictions were trimmed (for another trial that shares it), the ones that
    are missing come back.
    """
    table = tables.predictions
    if evaluation.point <= len(history.of(evaluation.run)):
        wanted = wanted_points(history, evaluation.run)
        if wanted is not None and evaluation.point not in wanted:
            return
        here = (table.c.study == study, table.c.run == evaluation.run, table.c.point == evaluation.point)
        if connection.execute(select(table.c.point).where(*here)).first() is not None:
            return
    row = tables.predictions_row(evaluation.run, evaluation.point, outputs)
    connection.execute(insert(table).values(study=study, **row))


def trim(connection: Connection, study: str, history: History, runs: Iterable[Run]) -> None:
    """Delete the predictions of `runs` that, by `history`, no trial wants any more."""
    table = tables.predictions
    for run in runs:
        wanted = wanted_points(history, run.key)
        if wanted is not None:
            unwanted = table.c.point.not_in(wanted)
            connection.execute(delete(table).where(table.c.study == study, table.c.run == run.key, unwanted))
