import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_samples import evaluation_of
from sqlalchemy import create_engine, insert, select
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from hpsearch.data.ragged import Ragged, Rows, to_bytes
from hpsearch.errors import StoreError
from hpsearch.records import Action, Decision, tables

RUN = "a" * 32


@pytest.fixture(scope="module")
def connection() -> Any:
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def through(connection: Any, table: Any, row: dict[str, Any]) -> Any:
    """Return `row` as the database gives it back; nothing stays."""
    connection.execute(insert(table).values(study="emotion", **row))
    try:
        return connection.execute(select(table)).one()
    finally:
        connection.rollback()


@given(
    metrics=st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(), max_size=3),
    train_loss=st.floats(),
    rate=st.floats(0, 1),
)
def test_every_float_of_an_evaluation_comes_back_as_it_was(
    connection: Any, metrics: dict[str, float], train_loss: float, rate: float
) -> None:
    evaluation = evaluation_of(RUN, 2, metrics=metrics, train_loss=train_loss, learning_rate=rate)
    row = through(connection, tables.evaluations, tables.evaluation_row(evaluation))
    assert repr(list(tables.evaluations_of([row]))) == repr([evaluation])
    json.loads(row.metrics, parse_constant=pytest.fail)  # valid JSON, for other readers of the database


def test_numpy_numbers_become_plain_ones() -> None:
    row = tables.evaluation_row(evaluation_of(RUN, 1, metrics={"f1": np.float32(0.5)}, rows_seen=np.int64(7)))
    assert (row["metrics"], type(row["rows_seen"])) == ('{"f1": 0.5}', int)


def test_same_numbers_minds_numbers_and_not_measurements() -> None:
    one = evaluation_of(RUN, 1, metrics={"loss": math.nan, "f1": 0.5}, train_loss=math.nan)
    again = evaluation_of(RUN, 1, metrics={"f1": 0.5, "loss": math.nan}, train_loss=math.nan, seconds=9)
    assert tables.same_numbers(one, again)
    assert not tables.same_numbers(one, evaluation_of(RUN, 1, metrics={"loss": math.inf, "f1": 0.5}))


@pytest.mark.parametrize("value", [None, 0.1, math.nan, math.inf])
def test_decisions_come_back_as_they_were(connection: Any, value: float | None) -> None:
    decision = Decision(
        3,
        Action.PRUNE,
        "worse: ü \u2603",
        value=value,
        point=2,
        stop=None,
        reports=((1, math.nan), (5, -math.inf), (7, 0.1)),
        attributes={"folds": [0.5, 0.25], "name": "x"},
    )
    again = tables.decision_of(through(connection, tables.decisions, {**tables.decision_row(decision), "time": 0.0}))
    assert repr(again) == repr(decision)


def test_predictions_keep_shape_and_bits(connection: Any) -> None:
    outputs = np.array([[1.5, np.nan, -0.0], [np.inf, 1e-45, 3.4e38]], dtype=np.float32)
    row = tables.predictions_row(RUN, 1, outputs[::-1])
    assert row == {"run": RUN, "point": 1, "rows": 2, "outputs": 3, "float32": outputs[::-1].tobytes()}  # as ever
    again = tables.predictions_of(through(connection, tables.predictions, row))
    assert isinstance(again, np.ndarray)
    assert again.dtype == np.float32
    assert again.tobytes() == outputs[::-1].tobytes()
    again[0, 0] = 1.0  # the reader's own copy


@pytest.mark.parametrize(
    "outputs",
    [
        np.array([[0.1], [1e300], [-np.inf]]),
        np.array([0.5, np.nan], dtype=np.float32),
        np.ones((3, 2, 4), dtype=np.float32),
        np.ones((4, 0), dtype=np.float32),
        np.array([[3, -1], [2**40, 0]]),
        np.array([True, False]),
        Ragged.of([np.array([1.5, 2.5], dtype=np.float32), np.array([], dtype=np.float32)]),
        Ragged.of([np.array([[7, 8]]), np.array([[9, 10], [11, 12]])]),
    ],
    ids=["float64", "one number", "three axes", "none", "integers", "booleans", "ragged", "ragged pairs"],
)
def test_whatever_is_kept_of_outputs_comes_back_as_it_was(connection: Any, outputs: Rows) -> None:
    row = through(connection, tables.predictions, tables.predictions_row(RUN, 1, outputs))
    assert row.rows == len(outputs)
    again = tables.predictions_of(row)
    assert type(again) is type(outputs)
    assert to_bytes(again) == to_bytes(outputs)


def test_text_that_a_database_refuses_is_made_storable() -> None:
    assert tables.storable("a\x00b \udcff ü") == "ab ? ü"


def test_servers_get_columns_that_hold_what_is_large_and_names_that_differ_in_case() -> None:
    on_mysql = {t.name: str(CreateTable(t).compile(dialect=mysql.dialect())) for t in tables.metadata.sorted_tables}
    assert all(name.startswith("hpsearch_") for name in on_mysql)
    assert "LONGBLOB" in on_mysql["hpsearch_predictions"]
    assert "LONGTEXT" in on_mysql["hpsearch_results"]
    assert all("utf8mb4_bin" in text and "InnoDB" in text for text in on_mysql.values())
    on_postgresql = str(CreateTable(tables.evaluations).compile(dialect=postgresql.dialect()))
    assert "epoch DOUBLE PRECISION" in on_postgresql
    assert "PRIMARY KEY (study, run, point)" in on_postgresql


@pytest.mark.parametrize("text", ["{", "1,2", "", None, '{"a": 1'])
def test_a_text_that_is_no_json_is_named(text: Any) -> None:
    with pytest.raises(StoreError, match=r"it has .{1,60} where JSON belongs"):
        tables.parsed(['{"b": 2}', text, "3"])
    assert tables.parsed(['{"b": 2}', "[1, 2]", "3"]) == [{"b": 2}, [1, 2], 3]
    assert tables.parsed([]) == []
