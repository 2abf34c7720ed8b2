"""What tasks over models of transformers have in common: one way from sources to prepared rows."""

import operator
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.data.audit import group_codes, labels_of, sample_weights
from hpsearch.data.dataset import Dataset, is_prepared, open_dataset, write_dataset
from hpsearch.data.images import ImageRows
from hpsearch.data.ragged import Rows, as_arrays
from hpsearch.errors import TaskError
from hpsearch.records import digest
from hpsearch.tasks.adapters.task import AdaptedTask
from hpsearch.tasks.base import LATER, Prepared, Split, audited, prepared_rows
from hpsearch.tasks.encoding import Encoded as Encoded  # noqa: PLC0414  (whoever makes a task takes them from here)
from hpsearch.tasks.encoding import Encoder as Encoder  # noqa: PLC0414
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.read_back_judge import ReadBackJudge
from hpsearch.tasks.sources import Source, source_of, with_splits
from hpsearch.tasks.starting_weights import MODEL, PRETRAINED, model_of, settled, starts_pretrained
from hpsearch.training.hyperparameters import Hyperparameter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hpsearch.tasks.learner import PretrainedLearner
    from hpsearch.tasks.pretrained import Pretrained
    from hpsearch.tasks.stranger import Answers

_FORMAT = 2
"""Part of every prepared folder's name: counted up when the arrays in it, or how they are encoded, change."""

_AUDIT = 3
"""Part of every kept audit's name: counted up when an audit sees more."""


@dataclass(frozen=True, eq=False)
class PretrainedTask(AdaptedTask):
    """Rows with targets, and a model of transformers.

    Attributes:
        model: A local folder, or a name on the hub. Where a space searches `model`, this one is loaded only if it is
            among the choices.
        train: The training rows.
        validation: Rows that every trial is evaluated on, instead of folds of the training rows, or None. No model is
            trained on them, the exported one neither.
        test: Rows that the search never sees, or None.
        label: The column of targets, or several of them.
        group: The column of groups: rows of one group are never on both sides of a fold.
        sample_weight: The column of weights: a row's share in the loss and in the scores.
        pretrained: Whether to start from the model's weights; otherwise only its config.json is read, and each seed
            draws every weight.
        keep_head: Keep the head in the weights, whose outputs must be those of this task. Otherwise each seed draws a
            new one.
        call_settings: What the pipeline is to be called with.
        judge_class: What becomes of targets and outputs.
        revision: The branch, tag or commit of a model on the hub. It becomes part of `model`: "org/name@revision",
            which is also how a choice among models is written. A token for gated models is read from HF_TOKEN.
    """

    model: Any
    train: Any = field(kw_only=True)
    test: Any = field(default=None, kw_only=True)
    label: Any = field(default=None, kw_only=True)
    group: Any = field(default=None, kw_only=True)
    sample_weight: Any = field(default=None, kw_only=True)
    pretrained: bool = field(default=True, kw_only=True)
    keep_head: bool = field(default=False, kw_only=True)
    validation: Any = field(default=None, kw_only=True, metadata=LATER)
    revision: str | None = field(default=None, kw_only=True, metadata=LATER)

    auto_class: ClassVar[str]
    call_settings: ClassVar[Mapping[str, Any]] = {}
    judge_class: ClassVar[type[Judge]]
    choice: ClassVar[str | None] = "model"

    def __post_init__(self) -> None:
        self._set("model", model_of(self.model, self.revision))
        self._set("revision", None)
        self._set("label", names_of(self.label, "label"))
        for name in ("group", "sample_weight"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TaskError(f"{name}={value!r} is a {type(value).__name__}: give the name of a column, or None.")
        for name in ("pretrained", "keep_head"):
            if not isinstance(getattr(self, name), bool):
                raise TaskError(f"{name}={getattr(self, name)!r}: give True or False.")
        if self.keep_head and not self.pretrained:
            raise TaskError("keep_head=True with pretrained=False: no weights are read, so there is no head to keep.")
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        for role, rows in with_splits(given, self._label_of(self.train)).items():
            if rows is not None or role == "train":
                self._set(role, self._source(rows, role))

    def _source(self, rows: Any, role: str) -> Source:
        """Return the source of rows as they were given."""
        return source_of(rows, self._columns(), role)

    def _label_of(self, rows: Any) -> str | None:
        """Return the one column of targets of rows as they were given, or None."""
        return self.label if isinstance(self.label, str) else None

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        left_out = () if self.judge_class.takes_label_smoothing else ("label_smoothing_factor",)
        training = {name: value for name, value in super().hyperparameters().items() if name not in left_out}
        return {**training, "model": MODEL, "pretrained": PRETRAINED}

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """See `Task.complete`; `pretrained` is left out where it is the task's own."""
        return settled(super().complete(config), self.pretrained)

    def base_key(self, config: Mapping[str, Any]) -> str:
        key = super().base_key(config)
        return key if starts_pretrained(config, self.pretrained) == self.pretrained else f"{key} from scratch".lstrip()

    def freezable_layers(self, prepared: Prepared, config: Mapping[str, Any]) -> int | None:
        layers = super().freezable_layers(prepared, config)
        return layers if starts_pretrained(config, self.pretrained) else 0

    def choosing(self, model: str) -> Self:
        return replace(self, model=model)

    def recommended(self) -> Mapping[str, Any]:
        """Return the literature's values, and the published dropout where it is known: a search of it begins there."""
        from hpsearch.tasks.dropout import published_dropout

        dropout = published_dropout(str(self.model))
        return {**self._literature(), **({} if dropout is None else {"dropout": dropout})}

    def unnamed(self) -> Mapping[str, Any]:
        """Return the literature's value of each hyperparameter, else the default.

        Dropout stays None, so that each place keeps its own: DistilBERT has 0.1, but 0.2 before its head.
        """
        return self._defaults() | {"pretrained": self.pretrained} | dict(self._literature())

    @abstractmethod
    def _literature(self) -> Mapping[str, Any]:
        """Return the values that the literature starts from, whatever the model."""

    @abstractmethod
    def _input_columns(self) -> list[str]:
        """Return the columns of a table that the model reads."""

    def _columns(self) -> list[str]:
        """Return all columns that are read of a table."""
        others = [self.label, self.group, self.sample_weight]
        return self._input_columns() + [
            name for names in others if names is not None for name in ([names] if isinstance(names, str) else names)
        ]

    def _names(self) -> list[str]:
        """Return the columns of a table that hold names: classes, where there is one a row, and groups."""
        label = self.label if self.judge_class.targets_are_names and isinstance(self.label, str) else None
        return [name for name in (label, self.group) if name is not None]

    @abstractmethod
    def _read(self, source: Source, role: Split) -> Any:
        """Return the rows of a source: a DataFrame or ImageRows."""

    @abstractmethod
    def _fingerprint(self, rows: Any) -> str:
        """Return the digest of all that is read of rows."""

    @abstractmethod
    def _audit(self, train: Any, test: Any, role: Split = "test") -> list[str]:
        """Check the rows; return warnings. With another `role` the second rows are such ones: see `audit`."""

    @abstractmethod
    def _encoder(self, train: Any) -> Encoder:
        """Return what encodes the rows."""

    @abstractmethod
    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "PretrainedLearner":
        """Return what the fine-tune needs of this kind of rows."""

    def learner(
        self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None
    ) -> "PretrainedLearner":
        from hpsearch.tasks.pretrained import Pretrained

        dataset = open_dataset(prepared.folder_of(split))
        pretrained = Pretrained(
            source=prepared.source or str(self.model),
            auto_class=self.auto_class,
            judge=prepared.judge,
            weights=starts_pretrained(config, self.pretrained),
            keep_head=self.keep_head and starts_pretrained(config, self.pretrained),
            pad_token_id=dataset.facts.get("pad_token_id"),
        )
        return self._learner(dataset, pretrained)

    @abstractmethod
    def _inputs(self, rows: Any, places: np.ndarray, prepared: Prepared) -> list[Any]:
        """Return some rows as the pipeline takes them."""

    def exported_answers(
        self,
        folder: Path,
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        device: "torch.device",
    ) -> "Iterator[Answers]":
        from hpsearch.tasks.stranger import mixed, pipeline_answers

        is_there = split != "test" or self.test is not None
        if self.pipeline is None or not is_there or not isinstance(prepared.judge, ReadBackJudge):
            return
        inputs = self._inputs(self._rows_of(split), rows, prepared)
        batches = mixed(self.learner(prepared, split).lengths[rows])
        yield from pipeline_answers(
            self.pipeline, folder, prepared.judge, inputs, batches=batches, device=device, settings=self.call_settings
        )

    def prepare(self, cache: Path) -> Prepared:
        """Read, audit and encode the rows into folders under `cache`, once, and try the model on one of them.

        A digest of the rows, the encoder's settings and its versions names each folder, so that the same rows are not
        prepared twice.
        """
        return self._prepare(Path(cache).absolute(), *self._rows())

    def preparation(self, cache: Path) -> Callable[[Self], Prepared]:
        rows, prints = self._rows()
        return lambda chosen: chosen._prepare(Path(cache).absolute(), rows, prints)

    def _rows(self) -> tuple[dict[Split, Any], dict[Split, str]]:
        """Return the rows of each split, and the digest of what is read of them."""
        sources: dict[Split, Any] = {"train": self.train, "validation": self.validation, "test": self.test}
        rows = {role: self._read(source, role) for role, source in sources.items() if source is not None}
        return rows, {role: self._fingerprint(examples) for role, examples in rows.items()}

    def _rows_of(self, split: Split) -> Any:
        """Return the rows of a prepared dataset, in its order."""
        if split == "test":
            return self._read(self.test, "test")
        train = self._read(self.train, "train")
        return train if self.validation is None else self._joined(train, self._read(self.validation, "validation"))

    def _joined(self, train: Any, validation: Any) -> Any:
        """Return the training rows with the validation rows behind them."""
        if isinstance(train, ImageRows):
            return train.joined(validation)
        import pandas as pd

        return pd.concat([train, validation], ignore_index=True)

    def _prepare(self, cache: Path, rows: dict[Split, Any], prints: dict[Split, str]) -> Prepared:
        rows, warnings = self._looked_over(cache, rows, prints)
        arguments = [self.group, self.sample_weight, self.label, self._columns(), prints]
        key = [_AUDIT, self.judge_class.__name__, *arguments]
        warnings += audited(cache, key, lambda: self._audit(rows["train"], rows.get("test")))
        judge = self._learned(labels_of(rows["train"], self.label))
        encoder = self._encoder(rows["train"])
        held_out, content = rows.get("validation"), prints
        if held_out is not None:
            key = ["validation", *key]
            found = audited(cache, key, lambda: self._audit(rows["train"], held_out, "validation"))
            warnings += [text for text in found if text not in warnings]
            joined = self._joined(rows["train"], held_out)
            rows = {role: joined if role == "train" else rows[role] for role in rows if role != "validation"}
            prints = {**prints, "train": digest([prints["train"], "validation", prints["validation"]])}
        digests = {role: self._digest(role, prints[role], encoder=encoder, judge=judge) for role in rows}
        folders: dict[Split, Path] = {}
        for role, examples in rows.items():
            folders[role] = cache / digest([digests[role], encoder.versions()])
            self._write(folders[role], examples, role, encoder=encoder, judge=judge)
        for folder in folders.values():
            warnings += open_dataset(folder).facts["warnings"]
        prepared = prepared_rows(folders, digests, judge, source=str(self.model), content=content)
        prepared = replace(prepared, validation_rows=0 if held_out is None else len(held_out))
        return self._tried(prepared, warnings, rows, encoder)

    def _looked_over(
        self, cache: Path, rows: dict[Split, Any], prints: Mapping[Split, str]
    ) -> tuple[dict[Split, Any], list[str]]:
        """Return the rows, with what must be known of all before one is encoded, and what was left out of them."""
        return rows, []

    def _learned(self, targets: Any) -> Judge:
        """Return the judge of training rows with these targets."""
        return self.judge_class.learn(targets)

    def _read_targets(self, train: Any, test: Any, role: Split = "test") -> tuple[Rows, list[str]]:
        """Return the encoded targets of the training rows, and what is to be said of targets."""
        judge = self._learned(labels_of(train, self.label))
        targets = judge.encode(labels_of(train, self.label))
        tested = None if test is None else judge.encode(labels_of(test, self.label), role)
        return targets, judge.remarks(targets, tested if role == "test" else None)

    def _digest(self, role: str, content: str, *, encoder: Encoder, judge: Judge) -> str:
        """Return the digest of the rows as the model sees them.

        It leaves out the encoder's versions: the numerics already put them in every run's key, and a study that
        continues under others says which they are.
        """
        settings = {"format": _FORMAT, "rows": content, "role": role, "labels": judge.to_json()}
        return digest([settings, [self.group, self.sample_weight], encoder.settings()])

    def _write(self, folder: Path, rows: Any, role: str, *, encoder: Encoder, judge: Judge) -> None:
        """Encode rows into a folder, unless they were before."""
        if not is_prepared(folder):
            targets = judge.encode(labels_of(rows, self.label), role)
            arrays = {**as_arrays("targets", targets), **self._side_columns(rows, role)}
            encoded = encoder.encode(rows, role, folder.parent)
            facts = {**encoded.facts, "warnings": list(encoded.warnings), "labels": judge.to_json()}
            write_dataset(folder, {**arrays, **encoded.arrays}, facts)

    def _side_columns(self, rows: Any, role: str) -> dict[str, np.ndarray]:
        """Return groups and weights: of training rows, and of test rows where they have these columns."""
        table = rows.table if isinstance(rows, ImageRows) else rows
        columns: dict[str, np.ndarray] = {}
        if table is None:
            return columns
        if self.group is not None and (role == "train" or self.group in table.columns):
            columns["groups"] = group_codes(table[self.group], role)
        if self.sample_weight is not None and self.sample_weight in table.columns:
            columns["weights"] = sample_weights(table[self.sample_weight], role)
        return columns

    def _try_rows(
        self, prepared: Prepared, role: Split, rows: Any, *, encoder: Any, model: "nn.Module"
    ) -> Sequence[str]:
        """Put rows through the model that it may not take though it takes others; return warnings."""
        return ()

    def _tried(self, prepared: Prepared, warnings: list[str], rows: dict[Split, Any], encoder: Encoder) -> Prepared:
        """Load the model and put some rows through it, to find what cannot work before any trial starts."""
        from hpsearch.tasks.adapters.targets import target_names
        from hpsearch.tasks.dropout import has_dropout
        from hpsearch.tasks.learner import count_layers, try_model
        from hpsearch.tasks.pretrained import attention_of

        learner = self.learner(prepared)
        model = learner.load_model()
        try_model(learner, model)
        for role, examples in rows.items():
            warnings += self._try_rows(prepared, role, examples, encoder=encoder, model=model)
        warnings += learner.pretrained.remarks(model)
        return replace(
            prepared,
            model_digest=learner.pretrained.digest(model),
            warnings=tuple(warnings),
            attention=attention_of(model),
            layers=count_layers(learner, model),
            has_dropout=has_dropout(model),
            adaptable=target_names(model),
        )


def names_of(value: Any, argument: str) -> str | tuple[str, ...] | None:
    """Return a column's name, or a tuple of names."""
    if value is None or isinstance(value, str):
        return value
    names = tuple(value) if isinstance(value, tuple | list) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise TaskError(f"{argument}={value!r}: give the name of a column, or a list of names.")
    return names


def whole_number(value: Any, argument: str, low: int) -> int:
    """Return `value` as an int of at least `low`, or raise TaskError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or number < low:
        raise TaskError(f"{argument}={value!r}: give a whole number from {low}, or None.")
    return number
