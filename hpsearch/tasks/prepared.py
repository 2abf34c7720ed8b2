"""Rows ready to be trained on, and what is known of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hpsearch.data.dataset import is_prepared, open_dataset, write_dataset
from hpsearch.data.ragged import rows_of
from hpsearch.errors import TaskError
from hpsearch.records import digest
from hpsearch.tasks.judge import Judge

Split = Literal["train", "validation", "test"]
"""Whose rows: validation rows, where a task is given some, are the last rows of the training dataset."""


@dataclass(frozen=True)
class Prepared:
    """Rows ready to be trained on: encoded once, kept on disk, memory-mapped by every worker.

    Attributes:
        folder: The dataset of the training rows, with "targets" (as the judge encodes them), and "groups" (int64) and
            "weights" (float32) where the task has them.
        test_folder: The dataset of the test rows, or None.
        judge: What becomes of targets and outputs.
        rows: Training rows, and validation rows behind them.
        test_rows: Test rows, 0 where there are none.
        data_digest: The training rows as the model sees them: texts or images, labels, groups, weights, and the
            settings of the tokenizer or image processor.
        test_digest: The same of the test rows, or None.
        model_digest: What training starts from: config and pretrained weights, and which parameters are new.
        warnings: What the audit and the encoding found, each a sentence for the user.
        attention: The attention kernel that the model computes with, by transformers' name, for the numerics.
        source: What the pretrained model is read from: a folder, or a name on the hub. Empty where the task knows.
        layers: How many layers `freeze_layers` can keep as pretrained; 0 where not even "all" keeps any; None where
            that is unknown, or differs between configs.
        has_dropout: Whether the model has a dropout that can be set.
        adaptable: Names of the model's modules that may get an adapter, without what they are in; empty where that is
            unknown.
        content: By role ("train", "validation", "test"), the digest of the rows before encoding; empty where nothing
            encodes them.
        validation_rows: How many of the rows, the last ones, are those that `validation=` gave: they are held out, and
            never trained on.
    """

    folder: Path
    test_folder: Path | None
    judge: Judge
    rows: int
    test_rows: int
    data_digest: str
    test_digest: str | None
    model_digest: str
    warnings: tuple[str, ...] = ()
    attention: str = "sdpa"
    source: str = ""
    layers: int | None = None
    has_dropout: bool = True
    adaptable: tuple[str, ...] = ()
    content: Mapping[str, str] = field(default_factory=dict)
    validation_rows: int = 0

    @property
    def trained_rows(self) -> int:
        """How many rows, the first ones, a model of all training rows is trained on."""
        return self.rows - self.validation_rows

    def folder_of(self, split: Split) -> Path:
        """Return the dataset of a split; `TaskError` where the task has no test rows."""
        folder = self.test_folder if split == "test" else self.folder
        if folder is None:
            raise TaskError("the task has no test rows. Give test= when making the task.")
        return folder


def prepared_rows(folders: Mapping[Split, Path], digests: Mapping[Split, str], judge: Judge, **others: Any) -> Prepared:
    """Return what these folders hold. The caller fills in `model_digest`."""
    counts = {role: len(rows_of(open_dataset(folder).arrays, "targets")) for role, folder in folders.items()}
    return Prepared(
        folder=folders["train"],
        test_folder=folders.get("test"),
        judge=judge,
        rows=counts["train"],
        test_rows=counts.get("test", 0),
        data_digest=digests["train"],
        test_digest=digests.get("test"),
        model_digest="",
        **others,
    )


def audited(cache: Path, key: Sequence[Any], audit: Callable[[], list[str]]) -> list[str]:
    """Return the warnings of an audit, which runs once for each key."""
    folder = cache / f"audit-{digest(key)}"
    if not is_prepared(folder):
        write_dataset(folder, {}, {"warnings": audit()})
    return list(open_dataset(folder).facts["warnings"])
