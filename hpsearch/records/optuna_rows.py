"""Trials as rows of Optuna's own tables: any Optuna tool reads them, and our trials are rebuilt from them alone.

What Optuna has no place for is kept as attributes, written in the transaction that makes the trial: user attribute
`config`; system attributes `hpsearch:origin`, `hpsearch:training_config`, `hpsearch:runs`. A trial without these was
made by another tool; it is ignored, and leaves a gap in the numbers.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import URL

from hpsearch.errors import StoreError
from hpsearch.metrics.direction import Direction
from hpsearch.records.database import engine_arguments, make_durable
from hpsearch.records.fit import Fit
from hpsearch.records.optuna_reading import StoredTrial, read_direction, read_study_id, read_trials, studies
from hpsearch.records.outage import tell_outages
from hpsearch.records.tables import finite, storable
from hpsearch.records.types import Decision, Origin, Run, Trial, TrialState
from hpsearch.records.urls import optuna_url, shown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

    from hpsearch.records.optuna_writing import Change

CONFIG = "config"
ORIGIN = "hpsearch:origin"
TRAINING_CONFIG = "hpsearch:training_config"
RUNS = "hpsearch:runs"
FORMER_RUNS = "hpsearch:former_runs"
REASON = "reason"
PARTIAL_MEAN = "partial_mean"
"""User attribute of a pruned trial: its partial mean."""

RunRow = tuple[str, int, int, int] | tuple[str, int, int, int, int] | tuple[str, int, int, int, int, Fit | None]
"""A run as it is written: (key, fold, repeat, horizon), in newer studies its steps an epoch, and its fit."""


def open_storage(url: URL, *, is_checked: bool = False, for_reading: bool = False) -> "RDBStorage":
    """Return Optuna's storage on `url`, its tables made where they are missing.

    `is_checked` says that this process has just checked the version of the tables: for that Optuna reads all its
    migrations, which takes as long as everything else here. `for_reading` it holds no SQLite file open between queries.

    On SQLite Optuna's commits, a dozen per trial, do not wait for the disk; ours do, and take them along. A power cut
    may lose the last ones: a new trial without any record, or the effects of a decision, which `Store.acquire` finds in
    our tables and writes again.
    """
    import optuna

    arguments = engine_arguments(url, for_reading=for_reading)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(optuna_url(url), arguments, skip_compatibility_check=is_checked)
    except RuntimeError as error:  # an incompatible schema; the message says which version made it
        raise StoreError(f"{shown(url)}: {error}") from error
    finally:
        optuna.logging.set_verbosity(verbosity)
    make_durable(storage.engine, "NORMAL")
    tell_outages(storage.engine)
    return storage


def _plain(value: Any) -> Any:
    """Return `value` as JSON gives it back, so that memory equals what is read after a restart."""
    return json.loads(json.dumps(finite(value)))


def _stored(key: str, fold: int, repeat: int, horizon: int, steps: int | None = None, fit: Fit | None = None) -> Any:
    """Return a run as JSON; what it does not have is left out, as earlier versions wrote it."""
    numbers = [int(number) for number in (fold, repeat, horizon, steps) if number is not None]
    return [key, *numbers] if fit is None else [key, *numbers, fit.to_dict()]


def _runs(rows: Iterable[Sequence[Any]], training_config: Mapping[str, Any]) -> tuple[Run, ...]:
    """Undo `_stored`."""
    return tuple(
        Run(key, training_config, fold, repeat, horizon, *steps[:1], *map(Fit.from_dict, steps[1:]))
        for key, fold, repeat, horizon, *steps in rows
    )


class OptunaRows:
    """One study in Optuna's tables, written through a storage without a cache; the caller checks the lease.

    Attributes:
        storage: What it is written through; None where it is only read.
    """

    def __init__(self, engine: Engine, name: str, storage: "RDBStorage | None" = None) -> None:
        self.storage = storage
        self._engine = engine
        self._name = name
        self._ids: dict[int, int] = {}
        self._reports: dict[int, dict[int, float]] = {}
        self._attributes: dict[int, dict[str, Any]] = {}
        self._states: dict[int, TrialState] = {}

    @cached_property
    def _study_id(self) -> int:
        return read_study_id(self._engine, self._name)

    @property
    def _writing(self) -> "RDBStorage":
        assert self.storage is not None  # whoever writes holds the lease, for which the study was opened for writing
        return self.storage

    def forget(self) -> None:
        """Forget what a transaction that failed has left."""
        if self.storage is not None:
            self.storage.remove_session()

    def close(self) -> None:
        """Close the storage's connections."""
        self.forget()
        if self.storage is not None:
            self.storage.engine.dispose()

    def direction(self) -> Direction:
        """Return the direction of the objective: that of Optuna's study."""
        return read_direction(self._engine, self._study_id)

    def load(self) -> list[Trial]:
        """Read all of our trials, by number."""
        self._ids, self._reports, self._attributes, self._states = {}, {}, {}, {}
        trials = read_trials(self._engine, self._study_id)
        ours = (trial for trial in trials if RUNS in trial.system_attributes and CONFIG in trial.user_attributes)
        return [self._learn(trial) for trial in ours]

    def reread(self) -> list[Trial]:
        """Read all of our trials after an outage: what was written last is there now, or never will be."""
        self.forget()
        row = select(studies.c.study_id).where(studies.c.study_id == self._study_id)
        with self._writing.engine.begin() as connection:
            connection.execute(row.with_for_update())  # Optuna locks it until a new trial is written
        return self.load()

    def _learn(self, stored: StoredTrial) -> Trial:
        """Rebuild a trial from Optuna's rows; the caller applies our decisions to it."""
        number = stored.number
        self._ids[number], self._states[number] = stored.trial_id, stored.state
        self._reports[number], self._attributes[number] = stored.reports, stored.user_attributes
        training_config = stored.system_attributes[TRAINING_CONFIG]
        return Trial(
            number=number,
            config=stored.user_attributes[CONFIG],
            params=stored.params,
            state=stored.state,
            origin=Origin(stored.system_attributes[ORIGIN]),
            runs=_runs(stored.system_attributes[RUNS], training_config),
            former=_runs(stored.system_attributes.get(FORMER_RUNS, ()), training_config),
            value=stored.value,
            reason="ended by another Optuna tool" if stored.state.is_finished else None,
        )

    def add(
        self,
        config: Mapping[str, Any],
        params: Mapping[str, Any],
        distributions: "Mapping[str, BaseDistribution]",
        training_config: Mapping[str, Any],
        runs: Sequence[RunRow],
        origin: Origin,
    ) -> Trial:
        """Write a trial and its runs in one transaction, and return it as written."""
        from hpsearch.records.optuna_writing import write_trial

        user = {CONFIG: _plain(config)}
        system = {
            ORIGIN: origin.value,
            TRAINING_CONFIG: _plain(training_config),
            RUNS: [_stored(*run) for run in runs],
        }
        with self._writing.engine.begin() as connection:
            trial_id, number = write_trial(connection, self._study_id, params, distributions, user, system)
        kinds = {name: distributions[name] for name in params}
        values = {name: kind.to_external_repr(kind.to_internal_repr(params[name])) for name, kind in kinds.items()}
        return self._learn(StoredTrial(trial_id, number, TrialState.RUNNING, None, values, user, system, {}))

    def replace_runs(self, connection: Connection, trial: Trial) -> None:
        """Write the runs of a trial, and those that they took the place of, in a transaction of ours."""
        from hpsearch.records.optuna_writing import write_system_attributes

        rows = {
            name: [_stored(run.key, run.fold, run.repeat, run.horizon, run.steps_per_epoch, run.fit) for run in runs]
            for name, runs in ((RUNS, trial.runs), (FORMER_RUNS, trial.former))
        }
        write_system_attributes(connection, self._ids[trial.number], rows)

    def tell(self, decisions: Iterable[Decision]) -> None:
        """Write what Optuna lacks of decisions, in one transaction."""
        self._write(self._changes(decisions))

    def knows(self, decisions: Iterable[Decision]) -> bool:
        """Return whether Optuna lacks nothing of decisions."""
        return not self._changes(decisions)

    def _changes(self, decisions: Iterable[Decision]) -> "dict[int, Change]":
        by_trial: dict[int, list[Decision]] = {}
        for decision in decisions:
            by_trial.setdefault(decision.trial, []).append(decision)
        changes = {number: self._lacking(number, of_trial) for number, of_trial in by_trial.items()}
        return {number: change for number, change in changes.items() if change}

    def _lacking(self, number: int, decisions: Iterable[Decision]) -> "Change":
        """Return what Optuna lacks of the decisions on a trial; of several reports for one step, the last.

        A pruned trial's value is its partial mean: Optuna's own `tell` likewise keeps the last reported value.
        """
        from hpsearch.records.optuna_writing import Change

        change = Change()
        if self._states[number].is_finished:
            return change
        for decision in decisions:
            state = decision.final_state
            finite_value = decision.value is not None and math.isfinite(decision.value)
            change.reports |= {step: float(value) for step, value in decision.reports}
            attributes = dict(decision.attributes)
            if state is not None and decision.reason:
                attributes[REASON] = storable(decision.reason)
            if state is TrialState.PRUNED and decision.value is not None:
                attributes[PARTIAL_MEAN] = decision.value
            change.attributes |= _plain(attributes)
            if state is not None and change.state is None:
                with_value = state is TrialState.COMPLETE or (state is TrialState.PRUNED and finite_value)
                change.state = state
                change.value = float(decision.value) if with_value and decision.value is not None else None
        reports, known = self._reports[number], self._attributes[number]
        for step in [step for step, value in change.reports.items() if repr(reports.get(step)) == repr(value)]:
            del change.reports[step]
        for name in [name for name, value in change.attributes.items() if name in known and known[name] == value]:
            del change.attributes[name]
        return change

    def _write(self, changes: "Mapping[int, Change]") -> None:
        if not changes:
            return
        from hpsearch.records import optuna_writing

        with self._writing.engine.begin() as connection:
            for number, change in changes.items():
                optuna_writing.write_change(connection, self._ids[number], change)
        for number, change in changes.items():
            self._reports[number] |= change.reports
            self._attributes[number] |= change.attributes
            if change.state is not None:
                self._states[number] = change.state

    def set_state(self, number: int, state: TrialState) -> None:
        """Move an unfinished trial between WAITING and RUNNING."""
        if self._states[number] is not state:
            from hpsearch.records.optuna_writing import Change

            self._write({number: Change(state=state)})
