"""The store: everything that happened in one study, durable before anyone decides on it.

One database holds Optuna's own tables, with the trials, and ours (tables.py). Only the coordinator writes: it holds the
lease, and every writing method checks that in its own transaction. The process may be killed at any moment: a trial is
one transaction, so is an evaluation with its predictions, and where a decision was written but Optuna not told of it,
`acquire` does so.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sqlalchemy import Connection, Row, Table, insert, select, update

from hpsearch.data.ragged import Rows
from hpsearch.metrics.direction import Direction
from hpsearch.records import reading, retention, tables
from hpsearch.records.digest import digest
from hpsearch.records.history import History
from hpsearch.records.optuna_rows import OptunaRows, RunRow, open_storage
from hpsearch.records.ordered_study import OrderedStudy
from hpsearch.records.studies import OpenStudy, make_study, open_study, study_names
from hpsearch.records.types import Action, Decision, Evaluation, Origin, Run, SegmentResult, Trial, TrialState

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

logger = logging.getLogger("hpsearch")


class Store(OrderedStudy):
    """One study in its database. Make one with `Store.create` or `Store.open`; reading needs no lease.

    Methods raise StoreError where the database refuses. Those that write raise LeaseLostError, and write nothing, where
    this process does not hold the lease.

    Attributes:
        mismatches: How many repeated evaluations differed from what was recorded first: promise 1 broken.
    """

    def __init__(self, study: OpenStudy, name: str) -> None:
        super().__init__(study, name)
        self.mismatches = 0
        self._taken: set[str] = set()

    @classmethod
    def create(
        cls, url: str, name: str, description: Mapping[str, Any], direction: Direction = Direction.MAXIMIZE
    ) -> Self:
        """Make a new study. Raises StoreError where it exists already or the database cannot be made."""
        make_study(url, name, description, direction)
        return cls(open_study(url, name, is_checked=True), name)

    @classmethod
    def open(cls, url: str, name: str) -> Self:
        """Open a study, which writes nothing; that is left to `acquire`.

        Raises StudyNotFoundError where there is none, StoreError where it cannot be read.
        """
        return cls(open_study(url, name, for_reading=True), name)

    @staticmethod
    def names(url: str) -> list[str]:
        """Return the names of the studies in a database, oldest first; empty where there is no database yet."""
        return study_names(url)

    def acquire(self) -> None:
        """Become the only writer: read everything again, and tell Optuna what a killed coordinator did not.

        Raises LeaseHeldError while another coordinator holds the lease.
        """
        if self._lease.held:
            return
        self._take_lease()
        try:
            self.reload()
            self._tell_optuna(*(decision for _, decision in self.decisions()))
        except BaseException:
            self.release()
            raise

    # Reading

    @property
    def description(self) -> Mapping[str, Any]:
        """What the study is, as the study layer wrote it."""
        return self._description

    def outcomes(self) -> Mapping[int, tuple[TrialState, float | None]]:
        """Return (state, value) of each trial, by number, as the database has it now."""
        return self._persist("reading the trials", lambda _again: reading.read_outcomes(self._engine, self.name))

    def reload(self) -> History:
        history = super().reload()
        trials = history.trials.values()
        self._taken = {digest(trial.config) for trial in trials if trial.origin is not Origin.SAMPLER}
        return history

    def predictions(self, run: str, point: int) -> Rows | None:
        """Return what was recorded of the outputs of the held-out rows, or None where the database has it no more."""
        table = tables.predictions
        query = select(table).where(table.c.study == self.name, table.c.run == run, table.c.point == point)

        def read(_again: bool) -> Row[Any] | None:
            with self._engine.connect() as connection:
                return connection.execute(query).first()

        row = self._persist("reading predictions", read)
        return None if row is None else tables.predictions_of(row)

    def decisions(self) -> list[tuple[float, Decision]]:
        """Return (seconds since 1970, decision) in order."""
        return [(row.time, tables.decision_of(row)) for row in self._rows("decisions", tables.decisions)]

    def results(self) -> list[tuple[float, SegmentResult]]:
        """Return (seconds since 1970, end of a segment) in order."""
        rows = self._rows("results", tables.results)
        try:
            return list(reading.results_of(rows, self.history.trials))
        except KeyError:  # of a trial that another process has begun since
            return list(reading.results_of(rows, self.reload().trials))

    def queued(self) -> list[dict[str, Any]]:
        """Return the enqueued configurations that no trial has taken, in order; a sampler's trial takes none."""
        _ = self.history
        rows = self._rows("the queue", tables.queue)
        return [json.loads(row.config) for row in rows if row.digest not in self._taken]

    def enqueued(self) -> int:
        """Return how many configurations have ever been enqueued."""
        return len(self._rows("the queue", tables.queue))

    def _rows(self, subject: str, table: Table) -> Sequence[Row[Any]]:
        return self._persist(f"reading {subject}", lambda _: reading.rows_of(self._engine, self.name, table, "id"))

    def optuna_study(self) -> "optuna.Study":
        """Return the study as Optuna has it; other tools may write to it, where this process may."""
        import optuna

        source = self._study.source
        storage = self._optuna.storage
        if storage is None:
            place = self.url if source is None or source.is_writable else source.url
            storage = open_storage(place, for_reading=True)
        return optuna.load_study(study_name=self.name, storage=storage)

    # Writing

    def replace_description(self, description: Mapping[str, Any]) -> None:
        text = json.dumps(dict(description))
        table = tables.studies
        new = update(table).where(table.c.study == self.name).values(description=text)
        self._write("replacing the description", lambda connection: connection.execute(new))
        self._description = MappingProxyType(json.loads(text))

    def enqueue(self, config: Mapping[str, Any]) -> bool:
        """Enqueue a whole configuration; return False where it was enqueued before.

        Takes the lease for a moment where it is not held. Raises LeaseHeldError while another coordinator holds it.
        """
        if self._lease.held:
            return self._enqueue(config)
        self._take_lease()
        try:
            return self._enqueue(config)
        finally:
            self.release()

    def _enqueue(self, config: Mapping[str, Any]) -> bool:
        text = json.dumps(tables.finite(config))
        name = digest(json.loads(text))
        table = tables.queue

        def add(connection: Connection) -> bool:
            same = select(table.c.id).where(table.c.study == self.name, table.c.digest == name)
            if connection.execute(same).first() is not None:
                return False
            connection.execute(insert(table).values(study=self.name, digest=name, config=text, time=time.time()))
            return True

        return self._write("enqueueing a configuration", add)

    def add_trial(
        self,
        config: Mapping[str, Any],
        params: Mapping[str, Any],
        distributions: "Mapping[str, BaseDistribution]",
        training_config: Mapping[str, Any],
        runs: Sequence[RunRow],
        origin: Origin,
    ) -> Trial:
        """Write a new RUNNING trial and its runs in one transaction; it takes its configuration off the queue.

        Args:
            config: The configuration: searched, conditional and fixed hyperparameters.
            params: The searched part of it.
            distributions: Optuna's distribution of each of `params`.
            training_config: The whole training config that all its runs share.
            runs: Each run, in the order of training.
            origin: Who proposed it.
        """
        history = self.history
        self.flush()

        def add(rows: OptunaRows, stored: Sequence[Trial]) -> Trial:
            added = [trial for trial in stored if trial.number not in history.trials]  # nobody else adds any
            return added[0] if added else rows.add(config, params, distributions, training_config, runs, origin)

        trial = self._write_optuna("adding a trial", add)
        if origin is not Origin.SAMPLER:
            self._taken.add(digest(trial.config))
        self._histories.with_trial(trial)
        return trial

    def replace_runs(self, description: Mapping[str, Any], trials: Mapping[int, Sequence[Run]]) -> History:
        """Give unfinished trials other runs, and the study another description, in one transaction.

        What was recorded of a run that is replaced stays, but for the outputs of its held-out rows.

        Args:
            description: The study's, which says how its configurations are trained from now on.
            trials: All runs of each trial, by its number; those that stay are the same.
        """
        history, replaced = self.history, []
        for number, runs in trials.items():
            trial = history.trials[number]
            keys = {run.key for run in runs}
            gone = [run for run in trial.runs if run.key not in keys]
            if trial.state.is_finished or [(r.fold, r.repeat) for r in runs] != [
                (r.fold, r.repeat) for r in trial.runs
            ]:
                raise ValueError(f"trial {number} is {trial.state.value}, or its new runs are on other folds: {runs}")
            history = history.with_trial(replace(trial, runs=tuple(runs), former=(*trial.former, *gone)))
            replaced += gone
        text = json.dumps(dict(description))
        new = update(tables.studies).where(tables.studies.c.study == self.name).values(description=text)

        def write(connection: Connection) -> None:
            connection.execute(new)
            for number in trials:
                self._optuna.replace_runs(connection, history.trials[number])
            retention.trim(connection, self.name, history, replaced)

        self._write("replacing runs that do not fit into memory", write)
        self._description = MappingProxyType(json.loads(text))
        for number in trials:
            self._histories.with_trial(history.trials[number])
        return self.history

    def set_state(self, trial: int, state: TrialState) -> History:
        """Move an unfinished trial between WAITING (paused at a clean stop) and RUNNING."""
        before = self.history.trials[trial]
        if state.is_finished or before.state.is_finished:
            raise ValueError(f"trial {trial} cannot go from {before.state.value} to {state.value} without a decision")
        self.flush()
        self._write_optuna(
            f"setting trial {trial} to {state.value}", lambda rows, _stored: rows.set_state(trial, state)
        )
        self._histories.with_trial(replace(before, state=state))
        return self.history

    def record_evaluation(self, evaluation: Evaluation, predictions: Rows | None = None) -> History:
        """Write an evaluation and what is kept of the outputs of the held-out rows, in one transaction.

        The first evaluation of a point stays; one repeated after a crash that differs is logged and counted.
        """
        row = tables.evaluation_row(evaluation)
        (evaluation,) = tables.evaluations_of([(self.name, *row.values())])  # in memory as it will be read later
        before = self.recorded
        is_repeated = before.with_evaluation(evaluation) is before

        def write(connection: Connection) -> None:
            if not is_repeated:
                connection.execute(insert(tables.evaluations), {"study": self.name, **row})
            if predictions is not None:
                retention.keep(connection, self.name, self.history, evaluation, predictions, is_repeated=is_repeated)

        self._write(f"recording an evaluation of run {evaluation.run}", write)
        if is_repeated:
            self._compare(evaluation, before.of(evaluation.run)[evaluation.point - 1])
        self._histories.with_evaluation(evaluation)
        return self.history

    def _compare(self, repeated: Evaluation, first: Evaluation) -> None:
        if not tables.same_numbers(repeated, first):
            self.mismatches += 1
            logger.warning(
                "run %s gave other numbers at point %d than before; the first ones stay. A run must depend on its key "
                "alone: compare versions and devices (`hpsearch doctor`). First: %s. Now: %s",
                first.run,
                first.point,
                first,
                repeated,
            )

    def record_result(self, result: SegmentResult) -> History:
        """Write the end of a segment of a run of one of our trials."""
        run = result.segment.run
        runs = (own for trial in self.history.sharing(run.key) for own in trial.runs)
        if not any(own.key == run.key and own.horizon == run.horizon for own in runs):
            raise ValueError(f"run {run.key} to point {run.horizon} belongs to no trial of study {self.name!r}")
        row = tables.result_row(result)
        new = {"study": self.name, "time": time.time(), **row}
        self._write(
            f"recording the end of a segment of run {run.key}",
            lambda connection: connection.execute(insert(tables.results), new),
        )
        self._histories.with_result(replace(result, log=row["log"]))
        return self.history

    def apply(self, decision: Decision) -> History:
        """Carry out a decision: write it, drop predictions that no trial needs any more, then tell Optuna.

        A final decision on a trial that has ended in that state changes nothing.
        """
        trial = self.history.trials[decision.trial]
        state = decision.final_state
        if trial.state.is_finished:
            if state is trial.state:
                return self.history
            raise ValueError(
                f"trial {trial.number} is {trial.state.value}; it cannot be told {decision.action.value!r}"
            )
        if state is TrialState.COMPLETE and (decision.value is None or np.isnan(decision.value)):
            raise ValueError(f"trial {trial.number} cannot be complete with the value {decision.value}")
        carries = decision.reports or decision.attributes or decision.stop is not None
        if decision.action is Action.CONTINUE and not carries:
            return self.history
        row = tables.decision_row(decision)
        history = self.history.with_decision(replace(decision, reason=row["reason"]))

        left = [] if state is None else retention.left_over(history, self.recorded, trial.runs)

        def write(connection: Connection) -> None:
            connection.execute(insert(tables.decisions), {"study": self.name, "time": time.time(), **row})
            if state is not None:
                retention.trim(connection, self.name, history, trial.runs)
                retention.forget(connection, self.name, history, left)

        self._write(f"recording a decision on trial {trial.number}", write)
        self._histories.with_trial(history.trials[trial.number])
        self._histories.forget(left)
        self._tell_optuna(decision)
        return self.history

    def _tell_optuna(self, *decisions: Decision) -> None:
        if not self._optuna.knows(decisions):
            self._write_optuna("telling Optuna what was decided", lambda rows, _stored: rows.tell(decisions))
