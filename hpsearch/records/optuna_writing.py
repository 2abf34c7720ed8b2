"""Trials written into Optuna's tables, every change in one transaction of plain SQL.

Optuna's own way is a transaction a value, each with queries and objects of its own: 17 of them at the end of a trial of
three folds, which were half of what the coordinator took for a segment.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from hpsearch.records.types import TrialState


def _table(model: Any) -> Table[Any]:
    return cast("Table[Any]", model.__table__)


_studies, _trials = _table(models.StudyModel), _table(models.TrialModel)
_params, _values = _table(models.TrialParamModel), _table(models.TrialValueModel)
_reports = _table(models.TrialIntermediateValueModel)
_user, _system = _table(models.TrialUserAttributeModel), _table(models.TrialSystemAttributeModel)

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to carry it out.
_the_trial = _trials.c.trial_id == bindparam("of_trial")
_LOCK_STUDY = select(_studies.c.study_id).where(_studies.c.study_id == bindparam("of_study")).with_for_update()
_LOCK_TRIAL = select(_trials.c.state).where(_the_trial).with_for_update()
_EARLIER = select(func.count(_trials.c.trial_id)).where(
    _trials.c.study_id == bindparam("of_study"), _trials.c.trial_id < bindparam("of_trial")
)
_NUMBER = update(_trials).where(_the_trial).values(number=bindparam("its_number"))
_STATE = update(_trials).where(_the_trial).values(state=bindparam("its_state"))
_START = _STATE.values(datetime_start=bindparam("now"))
_END = _STATE.values(datetime_complete=bindparam("now"))
_STEPS = select(_reports.c.step).where(_reports.c.trial_id == bindparam("of_trial"))
_NAMES = select(_user.c.key).where(_user.c.trial_id == bindparam("of_trial"))
_REPORT_AGAIN = (
    update(_reports)
    .where(_reports.c.trial_id == bindparam("of_trial"), _reports.c.step == bindparam("of_step"))
    .values(intermediate_value=bindparam("its_value"), intermediate_value_type=bindparam("its_type"))
)
_DESCRIBE_AGAIN = (
    update(_user)
    .where(_user.c.trial_id == bindparam("of_trial"), _user.c.key == bindparam("of_key"))
    .values(value_json=bindparam("its_value"))
)

_FORGET_SYSTEM = delete(_system).where(
    _system.c.trial_id == bindparam("of_trial"), _system.c.key.in_(bindparam("of_keys", expanding=True))
)


@dataclass
class Change:
    """What Optuna is to be told of a trial.

    Attributes:
        reports: Step to intermediate value.
        attributes: Name to value of user attributes, as JSON has them.
        state: Its new state, or None.
        value: Its objective, or None.
    """

    reports: dict[int, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    value: float | None = None

    def __bool__(self) -> bool:
        return bool(self.reports or self.attributes or self.state is not None)


def write_trial(
    connection: Connection,
    study_id: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    user_attributes: Mapping[str, Any],
    system_attributes: Mapping[str, Any],
) -> tuple[int, int]:
    """Write a new running trial; return (Optuna's id of it, its number)."""
    connection.execute(_LOCK_STUDY, {"of_study": study_id})  # no other tool draws a number meanwhile
    row = {"study_id": study_id, "number": None, "state": OptunaState.RUNNING, "datetime_start": _now()}
    key = connection.execute(insert(_trials), row).inserted_primary_key
    assert key is not None  # one row was inserted
    trial_id = int(key[0])
    number = connection.execute(_EARLIER, {"of_study": study_id, "of_trial": trial_id}).scalar_one()
    connection.execute(_NUMBER, {"of_trial": trial_id, "its_number": number})
    rows: list[dict[str, Any]] = [
        {
            "param_name": name,
            "param_value": distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(distributions[name]),
        }
        for name, value in params.items()
    ]
    _insert(connection, _params, trial_id, rows)
    _insert(connection, _user, trial_id, _as_rows(user_attributes))
    _insert(connection, _system, trial_id, _as_rows(system_attributes))
    return trial_id, number


def write_change(connection: Connection, trial_id: int, change: Change) -> None:
    """Write what has changed of a trial. Raises UpdateFinishedTrialError where it has ended there, as Optuna does."""
    state = connection.execute(_LOCK_TRIAL, {"of_trial": trial_id}).scalar_one()
    if state.is_finished():
        raise UpdateFinishedTrialError(f"Optuna's trial {trial_id} has ended already: {state.name}.")
    _write_reports(connection, trial_id, change.reports)
    _write_attributes(connection, trial_id, change.attributes)
    if change.value is not None:
        stored, kind = models.TrialValueModel.value_to_stored_repr(change.value)
        _insert(connection, _values, trial_id, [{"objective": 0, "value": stored, "value_type": kind}])
    if change.state is not None:
        _write_state(connection, trial_id, change.state)


def write_system_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Write system attributes of a trial that has not ended, over those that are there."""
    state = connection.execute(_LOCK_TRIAL, {"of_trial": trial_id}).scalar_one()
    if state.is_finished():
        raise UpdateFinishedTrialError(f"Optuna's trial {trial_id} has ended already: {state.name}.")
    connection.execute(_FORGET_SYSTEM, {"of_trial": trial_id, "of_keys": list(attributes)})
    _insert(connection, _system, trial_id, _as_rows(attributes))


def _write_reports(connection: Connection, trial_id: int, reports: Mapping[int, float]) -> None:
    if not reports:
        return
    written = set(connection.execute(_STEPS, {"of_trial": trial_id}).scalars())
    new = []
    for step, value in reports.items():
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        if step in written:
            again = {"of_trial": trial_id, "of_step": step, "its_value": stored, "its_type": kind}
            connection.execute(_REPORT_AGAIN, again)
        else:
            new.append({"step": step, "intermediate_value": stored, "intermediate_value_type": kind})
    _insert(connection, _reports, trial_id, new)


def _write_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    if not attributes:
        return
    written = set(connection.execute(_NAMES, {"of_trial": trial_id}).scalars())
    for name in attributes.keys() & written:
        again = {"of_trial": trial_id, "of_key": name, "its_value": json.dumps(attributes[name])}
        connection.execute(_DESCRIBE_AGAIN, again)
    new = {name: value for name, value in attributes.items() if name not in written}
    _insert(connection, _user, trial_id, _as_rows(new))


def _write_state(connection: Connection, trial_id: int, state: TrialState) -> None:
    statement = _END if state.is_finished else _START if state is TrialState.RUNNING else _STATE
    now = {} if statement is _STATE else {"now": _now()}
    connection.execute(statement, {"of_trial": trial_id, "its_state": OptunaState[state.name], **now})


def _insert(connection: Connection, table: Table[Any], trial_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), [{"trial_id": trial_id, **row} for row in rows])


def _as_rows(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value_json": json.dumps(value)} for name, value in attributes.items()]


def _now() -> datetime:
    """Return the time as Optuna's tables have it: of UTC, and without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
