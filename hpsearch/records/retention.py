"""What the database keeps of runs whose trials have ended.

Out-of-fold predictions that a trial's value rests on, so that it stays small. No evaluation that was never decided on:
how many there are depends on the speed of workers, and an equal trial trains them again.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, select

from hpsearch.data.ragged import Rows
from hpsearch.records import tables
from hpsearch.records.history import History
from hpsearch.records.types import Evaluation, Run, Trial, TrialState

_FORGET = delete(tables.evaluations).where(
    tables.evaluations.c.study == bindparam("of_study"),
    tables.evaluations.c.run == bindparam("of_run"),
    tables.evaluations.c.point > bindparam("last"),
)
_TRIM = delete(tables.predictions).where(
    tables.predictions.c.study == bindparam("of_study"),
    tables.predictions.c.run == bindparam("of_run"),
    tables.predictions.c.point.not_in(bindparam("needed", expanding=True)),
)


def needed_points(history: History, run: str) -> set[int] | None:
    """Return the evaluation points of `run` whose predictions a trial still needs, or None where all may be needed.

    Every trial that shares the run counts: an unfinished one needs all points, a complete one the point of its value,
    a pruned one the last point that it reached, a failed one none.
    """
    points: set[int] = set()
    for trial in history.sharing(run):
        for shared in trial.runs:
            if shared.key == run:
                if not trial.state.is_finished:
                    return None
                points |= _needed_by(trial, shared, history)
    return points


def _needed_by(trial: Trial, run: Run, history: History) -> set[int]:
    if trial.state is TrialState.COMPLETE:
        return {trial.point} if trial.point is not None else set(range(1, run.horizon + 1))
    if trial.state is TrialState.PRUNED:
        return {min(history.point(run), run.horizon)}
    return set()


def keep(
    connection: Connection, study: str, history: History, evaluation: Evaluation, outputs: Rows, *, is_repeated: bool
) -> None:
    """Write the predictions of an evaluation, unless they are there already or no trial needs them.

    So where another trial trains the run again after its predictions were trimmed, those it needs come back.
    """
    table = tables.predictions
    if is_repeated:
        needed = needed_points(history, evaluation.run)
        if needed is not None and evaluation.point not in needed:
            return
        same = (table.c.study == study, table.c.run == evaluation.run, table.c.point == evaluation.point)
        if connection.execute(select(table.c.point).where(*same)).first() is not None:
            return
    row = tables.predictions_row(evaluation.run, evaluation.point, outputs)
    connection.execute(insert(table), {"study": study, **row})


def trim(connection: Connection, study: str, history: History, runs: Iterable[Run]) -> None:
    """Delete the predictions of `runs` that no trial needs any more."""
    for run in runs:
        needed = needed_points(history, run.key)
        if needed is not None:
            connection.execute(_TRIM, {"of_study": study, "of_run": run.key, "needed": sorted(needed)})


def left_over(history: History, recorded: History, runs: Iterable[Run]) -> list[Run]:
    """Return those of `runs` that no unfinished trial has, and of which more was recorded than was decided on."""
    return [
        run for run in runs if recorded.point(run) > history.point(run) and needed_points(history, run.key) is not None
    ]


def forget(connection: Connection, study: str, history: History, runs: Iterable[Run]) -> None:
    """Delete the evaluations of runs that were never decided on."""
    for run in runs:
        connection.execute(_FORGET, {"of_study": study, "of_run": run.key, "last": history.point(run)})
