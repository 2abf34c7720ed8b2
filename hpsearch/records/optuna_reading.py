"""A study read from Optuna's tables, all trials at once, and without Optuna, whose import takes as long as the reading.

Optuna's own way makes an object of SQLAlchemy's for each row and parses each distribution anew: 1.3 of the 1.8 seconds
that it took to read a study of two thousand trials. Its storage reads all its migrations first, a fifth of a second.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Engine, TableClause, column, select, table, true

from hpsearch.metrics.direction import Direction
from hpsearch.records.tables import parsed
from hpsearch.records.types import TrialState

_NUMBERS = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}
"""Optuna's words for what is not finite; its number is NULL then."""


def _table(name: str, *columns: str) -> TableClause:
    floats = ("value", "intermediate_value", "param_value")
    return table(name, *(column(each, Double) if each in floats else column(each) for each in columns))


studies = _table("studies", "study_id", "study_name")
trials = _table("trials", "trial_id", "study_id", "number", "state")
system_attributes = _table("trial_system_attributes", "trial_system_attribute_id", "trial_id", "key", "value_json")
_user_attributes = _table("trial_user_attributes", "trial_user_attribute_id", "trial_id", "key", "value_json")
_directions = _table("study_directions", "study_id", "direction")
_params = _table("trial_params", "param_id", "trial_id", "param_name", "param_value", "distribution_json")
_values = _table("trial_values", "trial_value_id", "trial_id", "value", "value_type")
_reports = _table(
    "trial_intermediate_values",
    "trial_intermediate_value_id", "trial_id", "step", "intermediate_value", "intermediate_value_type",
)  # fmt: skip
"""Each begins with what its rows are numbered by; of Optuna's columns, those that are read."""


@dataclass(frozen=True)
class StoredTrial:
    """A trial as Optuna's tables have it, but for the times: nobody here asks for them.

    Attributes:
        reports: Its intermediate values, by step.
    """

    trial_id: int
    number: int
    state: TrialState
    value: float | None
    params: dict[str, Any]
    user_attributes: dict[str, Any]
    system_attributes: dict[str, Any]
    reports: dict[int, float]


def read_study_id(engine: Engine, name: str) -> int:
    """Return Optuna's number of a study."""
    with engine.connect() as connection:
        found = connection.execute(select(studies.c.study_id).where(studies.c.study_name == name))
        return int(found.scalar_one())


def read_direction(engine: Engine, study_id: int) -> Direction:
    """Return the direction of a study's only objective."""
    query = select(_directions.c.direction).where(_directions.c.study_id == study_id)
    with engine.connect() as connection:
        return Direction[connection.execute(query).scalar_one()]


def read_trials(engine: Engine, study_id: int, trial_id: int | None = None) -> list[StoredTrial]:
    """Return a study's trials in the order of writing, or one of them.

    The trials are read first, so that one that is written meanwhile is not half seen.
    """
    which = (trials.c.study_id == study_id) & (true() if trial_id is None else trials.c.trial_id == trial_id)
    with engine.connect() as connection:
        rows = connection.execute(
            select(trials.c.trial_id, trials.c.number, trials.c.state).where(which).order_by(trials.c.trial_id)
        ).all()
        user, system = (_attributes(_rows(connection, which, each)) for each in (_user_attributes, system_attributes))
        params = _decoded(_rows(connection, which, _params))
        values = {trial: _NUMBERS.get(kind, value) for trial, value, kind in _rows(connection, which, _values)}
        reports: dict[int, dict[int, float]] = defaultdict(dict)
        for trial, step, value, kind in _rows(connection, which, _reports):
            reports[trial][step] = _NUMBERS.get(kind, value)
    return [
        StoredTrial(
            trial, number, TrialState[state], values.get(trial), params[trial], user[trial], system[trial],
            reports[trial],
        )
        for trial, number, state in rows
    ]  # fmt: skip


def _rows(connection: Connection, which: ColumnElement[bool], of: TableClause) -> Sequence[Sequence[Any]]:
    """Return all columns but the first of a table of Optuna's, for some trials, in the order of writing."""
    order, *columns = of.c
    query = select(*columns).join(trials, trials.c.trial_id == of.c.trial_id).where(which).order_by(order)
    return connection.execute(query).all()


def _attributes(rows: Sequence[Sequence[Any]]) -> dict[int, dict[str, Any]]:
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    for (trial, key, _), value in zip(rows, parsed(row[2] for row in rows), strict=True):
        attributes[trial][key] = value
    return attributes


def _decoded(rows: Sequence[Sequence[Any]]) -> dict[int, dict[str, Any]]:
    """Return params by trial, out of Optuna's numbers for them and their distributions, which are few."""
    texts = list({row[3] for row in rows})
    distributions = dict(zip(texts, parsed(texts), strict=True))
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial, name, number, text in rows:
        distribution = distributions[text]
        attributes = distribution.get("attributes", distribution)
        if "choices" in attributes:
            params[trial][name] = attributes["choices"][int(number)]
        else:
            is_whole = distribution.get("name", distribution.get("type")).lower().startswith("int")
            params[trial][name] = int(number) if is_whole else number
    return params
