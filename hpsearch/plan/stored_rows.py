"""What a study keeps of its rows and metrics: enough to read it without its data, its models and its script."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import DataError
from hpsearch.metrics.metric import Metric
from hpsearch.provenance.plain_values import as_json, from_json

if TYPE_CHECKING:
    from hpsearch.tasks import Prepared

OWN = ""
"""The name of the rows of a study that does not choose among pretrained models."""

SIDES = ("groups", "weights")
"""What is kept of each row beside its targets."""


@dataclass(frozen=True)
class StoredMetric(Metric):
    """A metric whose function cannot be imported here: its recorded values can be read, and no others computed."""

    def _compute(self, targets: Any, predictions: Any, weight: Any) -> Any:
        raise LookupError("its function was defined in a notebook or script, or cannot be imported here")

    def _remedy(self) -> str:
        return "Give it: hp.load(name, metric=...), or metrics=[...]."


def kept_rows(rows: "Mapping[str, Prepared]") -> dict[str, Any] | None:
    """Return what a description keeps of rows, by the choice of a model; None where the judge is not plain.

    A judge of the user's own is kept if it is a dataclass of plain values that can be imported.
    """
    try:
        return {choice: _kept(prepared) for choice, prepared in rows.items()}
    except TypeError:
        return None


def _kept(rows: "Prepared") -> dict[str, Any]:
    folders = ("folder", "test_folder")  # they are where the study is
    return {each.name: None if each.name in folders else as_json(getattr(rows, each.name)) for each in fields(rows)}


def keep_targets(prepared: "Prepared", folder: Path) -> None:
    """Write targets, groups and weights of the training and the test rows below a folder, once."""
    from hpsearch.data.dataset import open_dataset, write_dataset

    for role, source in (("train", prepared.folder), ("test", prepared.test_folder)):
        if source is None or (folder / role).exists():
            continue
        arrays = open_dataset(source).arrays
        kept = {name: array for name, array in arrays.items() if name in SIDES or name.partition("_")[0] == "targets"}
        write_dataset(folder / role, kept, {}, setting="folder=")


def stored_rows(kept: Mapping[str, Any] | None, folder: Path) -> "dict[str, Prepared] | None":
    """Return the rows of a study as `kept_rows` and `keep_targets` left them, by the choice of a model.

    Their folders hold targets, groups and weights alone. None where they were not kept (earlier versions), or cannot be
    understood here.
    """
    from hpsearch.data.dataset import open_dataset

    if kept is None:
        return None
    try:
        rows = {choice: _restored(values, folder) for choice, values in kept.items()}
        for place in _folders(rows):
            open_dataset(place)
    except (TypeError, KeyError, ImportError, AttributeError, DataError):
        return None
    return rows


def _restored(values: Mapping[str, Any], folder: Path) -> "Prepared":
    from hpsearch.tasks import Prepared
    from hpsearch.tasks.judge import Judge

    facts = {name: from_json(value) for name, value in values.items()}
    if not isinstance(facts["judge"], Judge):
        raise TypeError(f"a {type(facts['judge']).__name__} is no judge")
    has_test = facts["test_rows"] > 0
    return Prepared(**{**facts, "folder": folder / "train", "test_folder": folder / "test" if has_test else None})


def _folders(rows: "Mapping[str, Prepared]") -> Iterator[Path]:
    for prepared in rows.values():
        yield prepared.folder
        if prepared.test_folder is not None:
            yield prepared.test_folder
