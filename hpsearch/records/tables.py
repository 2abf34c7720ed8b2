"""Our tables, beside Optuna's in the same database, and how records become rows and back.

Every table's name begins with `hpsearch_`. Every key has the study's name, so several studies may share a database.

    studies       one row per study: its description (JSON), the version of this layout
    lease         one row per study: who may write, and the fencing token that every write checks
    evaluations   (study, run, point): what was measured; written once, never changed
    predictions   (study, run, point): what is kept of outputs of the held-out rows; trimmed when a trial ends
    results       the ends of segments, in order
    decisions     what was done with the trials and why, in order
    queue         the configurations that the user enqueued, in order
    order         what was decided on, in the order of the study's virtual time (order_log.py)
"""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT
from sqlalchemy.schema import SchemaItem

from hpsearch.data.ragged import Rows, from_bytes, to_bytes
from hpsearch.errors import StoreError
from hpsearch.records.order_log import Entry, Happening
from hpsearch.records.types import Action, Decision, Evaluation, SegmentResult

DESCRIBES_ITSELF = -1
"""In the column `outputs`, which is no count then: `float32` holds the bytes that `hpsearch.data.ragged` writes."""

LAYOUT = 2
"""Version of these tables; a study with a later one is refused."""

LAYOUT_WITH_ORDER = 2
"""The first version that has the table of the order."""

NAME_LENGTH = 255
"""Longest name of a study that fits into a MySQL key together with a run's key."""

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class ExactFloat(TypeDecorator[float]):
    """A float stored as the shortest text that reads back to the same bits.

    A diverging run yields NaN and infinities; SQLite turns NaN into NULL, and MySQL refuses both.
    """

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> str | None:
        return None if value is None else repr(float(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


metadata = MetaData()
_long_text = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
_long_bytes = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
# Names that differ only in case or accents differ, as on the other databases.
_options: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_options |= {option.replace("mysql", "mariadb"): value for option, value in _options.items()}


def _table(name: str, *columns: SchemaItem, keyed: bool = True) -> Table[Any]:
    """Return a table keyed by the study's name or, if not `keyed`, by a number in order of writing."""
    study: Column[Any] = Column("study", String(NAME_LENGTH), primary_key=keyed, nullable=False, index=not keyed)
    order = [] if keyed else [Column("id", Integer, primary_key=True, autoincrement=True)]
    return Table(f"hpsearch_{name}", metadata, *order, study, *columns, **_options)


def _point() -> tuple[Column[Any], Column[Any]]:
    point: Column[Any] = Column("point", Integer, primary_key=True, autoincrement=False)
    return Column("run", String(64), primary_key=True), point


studies = _table(
    "studies",
    Column("layout", Integer, nullable=False),
    Column("description", _long_text, nullable=False),
    Column("created", Double, nullable=False),
)
lease = _table(
    "lease",
    Column("token", Integer, nullable=False),
    Column("owner", Text),
    Column("since", Double, nullable=False),
    Column("expires", Double, nullable=False),
)
evaluations = _table(
    "evaluations",
    *_point(),
    Column("epoch", Double, nullable=False),
    Column("train_loss", ExactFloat, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("learning_rate", Double, nullable=False),
    Column("rows_seen", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
)
predictions = _table(
    "predictions",
    *_point(),
    Column("rows", Integer, nullable=False),
    Column("outputs", Integer, nullable=False),
    Column("float32", _long_bytes, nullable=False),
)
results = _table(
    "results",
    Column("run", String(64), nullable=False),
    Column("horizon", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("point", Integer, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("log", _long_text, nullable=False),
    Column("time", Double, nullable=False),
    keyed=False,
)
decisions = _table(
    "decisions",
    Column("trial", Integer, nullable=False),
    Column("action", String(32), nullable=False),
    Column("reason", _long_text, nullable=False),
    Column("value", ExactFloat),
    Column("point", Integer),
    Column("stop", Integer),
    Column("reports", _long_text, nullable=False),
    Column("attributes", _long_text, nullable=False),
    Column("time", Double, nullable=False),
    keyed=False,
)
queue = _table(
    "queue",
    Column("digest", String(64), nullable=False),
    Column("config", _long_text, nullable=False),
    Column("time", Double, nullable=False),
    UniqueConstraint("study", "digest", name="hpsearch_queue_once"),
    keyed=False,
)

order = _table(
    "order",
    Column("time", BigInteger, nullable=False),
    Column("happening", String(16), nullable=False),
    Column("trial", Integer, nullable=False),
    Column("run", String(64), nullable=False),
    Column("horizon", Integer, nullable=False),
    Column("point", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("overhead", BigInteger, nullable=False),
    Column("words", _long_text, nullable=False),
    keyed=False,
)


def storable(text: str) -> str:
    """Return `text` as every database takes it: without NUL (PostgreSQL) and lone surrogates (UTF-8)."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def finite(value: Any) -> Any:
    """Return `value` as valid JSON: numbers that are not finite become `"NaN"`, `"Infinity"` or `"-Infinity"`."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def parsed(texts: Iterable[str]) -> Any:
    """Return what JSON texts say, in a list: one call of the parser takes a third of the time of thirty thousand.

    Raises StoreError where one of them is no JSON.
    """
    given = list(texts)
    with contextlib.suppress(ValueError, TypeError):
        values = json.loads(f"[{','.join(given)}]")
        if len(values) == len(given):
            return values
    for text in given:
        try:
            json.loads(text)
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"The database is damaged: it has {text!r:.60} where JSON belongs ({error}). Put a copy of it back, or "
                "start the study again under another name."
            ) from error
    raise AssertionError("texts that are JSON one by one are JSON together")


def _number(value: float | str) -> float:
    """Undo `finite` for one number."""
    return _NOT_FINITE[value] if isinstance(value, str) else value


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    metrics = {name: float(value) for name, value in evaluation.metrics.items()}
    return {
        "run": evaluation.run,
        "point": evaluation.point,
        "epoch": float(evaluation.epoch),
        "train_loss": float(evaluation.train_loss),
        "metrics": json.dumps(finite(metrics)),
        "learning_rate": float(evaluation.learning_rate),
        "rows_seen": int(evaluation.rows_seen),
        "seconds": float(evaluation.seconds),
        "peak_memory_bytes": int(evaluation.peak_memory_bytes),
    }


def evaluations_of(rows: Sequence[Sequence[Any]]) -> Iterator[Evaluation]:
    """Yield the evaluations of rows of the table."""
    written = parsed(row[5] for row in rows)
    for (_, run, point, epoch, train_loss, _, *measured), metrics in zip(rows, written, strict=True):
        numbers = {name: _NOT_FINITE[it] if isinstance(it, str) else it for name, it in metrics.items()}
        yield Evaluation(run, point, epoch, train_loss, numbers, *measured)


def same_numbers(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations agree in all but time and memory; unlike with `==`, NaN agrees with NaN."""
    measured = ("seconds", "peak_memory_bytes")
    rows = [{key: value for key, value in evaluation_row(it).items() if key not in measured} for it in (one, other)]
    for row in rows:
        row["metrics"] = json.loads(row["metrics"])
        row["train_loss"] = repr(row["train_loss"])
    return rows[0] == rows[1]


def predictions_row(run: str, point: int, outputs: Rows) -> dict[str, Any]:
    """Return a row of float32 outputs of shape (rows, outputs) as they are, of anything else as it describes itself."""
    if isinstance(outputs, np.ndarray) and outputs.dtype == np.float32 and outputs.ndim == 2:
        width, data = outputs.shape[1], np.ascontiguousarray(outputs, dtype="<f4").tobytes()
    else:
        width, data = DESCRIBES_ITSELF, to_bytes(outputs)
    return {"run": run, "point": point, "rows": len(outputs), "outputs": width, "float32": data}


def predictions_of(row: Row[Any]) -> Rows:
    if row.outputs == DESCRIBES_ITSELF:
        return from_bytes(row.float32)
    return np.frombuffer(row.float32, dtype="<f4").astype(np.float32).reshape(row.rows, row.outputs)


def result_row(result: SegmentResult) -> dict[str, Any]:
    segment = result.segment
    return {
        "run": segment.run.key,
        "horizon": segment.run.horizon,
        "start": segment.start,
        "stop": segment.stop,
        "point": result.point,
        "outcome": result.outcome.value,
        "log": storable(result.log),
    }


def decision_row(decision: Decision) -> dict[str, Any]:
    return {
        "trial": decision.trial,
        "action": decision.action.value,
        "reason": storable(decision.reason),
        "value": decision.value,
        "point": decision.point,
        "stop": decision.stop,
        "reports": json.dumps([[int(step), finite(float(value))] for step, value in decision.reports]),
        "attributes": storable(json.dumps(finite(decision.attributes))),
    }


def decision_of(row: Row[Any]) -> Decision:
    return Decision(
        trial=row.trial,
        action=Action(row.action),
        reason=row.reason,
        value=row.value,
        point=row.point,
        stop=row.stop,
        reports=tuple((step, _number(value)) for step, value in json.loads(row.reports)),
        attributes=json.loads(row.attributes),
    )


def entry_row(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "happening": entry.happening.value, "words": storable(entry.words)}


def entry_of(row: Row[Any]) -> Entry:
    names = [each.name for each in fields(Entry)]
    return Entry(**{**{name: getattr(row, name) for name in names}, "happening": Happening(row.happening)})
