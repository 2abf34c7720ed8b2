"""Tasks over texts, or pairs of texts; text classification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hpsearch.data.audit import audit
from hpsearch.data.dataset import Dataset, open_dataset
from hpsearch.data.fingerprint import fingerprint_table
from hpsearch.data.sources import read_table
from hpsearch.data.tables_in_memory import is_pair, pair_of_texts
from hpsearch.errors import TaskError
from hpsearch.tasks.base import LATER, Prepared, Split
from hpsearch.tasks.classes.classification import Classification
from hpsearch.tasks.pretrained_task import PretrainedTask, names_of, whole_number
from hpsearch.tasks.sources import Source, Table

if TYPE_CHECKING:
    from torch import nn

    from hpsearch.tasks.pretrained import Pretrained
    from hpsearch.tasks.tokens import TextLearner, TokenEncoder


@dataclass(frozen=True, eq=False)
class TextTask(PretrainedTask):
    """Fine-tune a transformers model on texts. Code that comes with a model is not run.

    Attributes:
        text: The column of texts, or the two columns of a pair.
        label: The column of targets, or a list of columns.
        max_length: Most tokens of a row; longer rows are cut, and `Prepared.warnings` says so. None: the limit of model
            and tokenizer, up to 512.
    """

    text: Any = field(default="text", kw_only=True)
    label: Any = field(default="label", kw_only=True)
    max_length: int | None = field(default=None, kw_only=True)

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    pipeline: ClassVar[str | None] = "text-classification"
    call_settings: ClassVar[Mapping[str, Any]] = {"truncation": True}

    def __post_init__(self) -> None:
        text = names_of(self.text, "text")
        if text is None or (isinstance(text, tuple) and len(text) != 2):
            raise TaskError(f"text={self.text!r}: give the name of a column of texts, or of two for pairs.")
        self._set("text", text)
        if self.label is None:
            raise TaskError("label=None: give the name of the column of labels, or a list of columns.")
        if self.max_length is not None:
            self._set("max_length", whole_number(self.max_length, "max_length", 1))
        super().__post_init__()

    def _source(self, rows: Any, role: str) -> Source:
        """Return the source of rows; a pair (texts, labels) becomes a table."""
        if not is_pair(rows):
            return super()._source(rows, role)
        table, label = pair_of_texts(rows, self.text, self.label, role)
        self._set("label", label)
        return Table(tuple(self._columns()), frame=table)

    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "TextLearner":
        from hpsearch.tasks.tokens import TextLearner

        return TextLearner(dataset, pretrained)

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write the model and its tokenizer into `folder`, for `pipeline`: `how_to_call` says how.

        Given `truncation=True`, the pipeline cuts texts where training did.
        """
        from hpsearch.tasks.padding import put_in_force
        from hpsearch.tasks.pretrained import save_model
        from hpsearch.tasks.tokens import load_tokenizer

        dataset, trained = open_dataset(prepared.folder), cast(Any, model)
        tokenizer = load_tokenizer(prepared.source or str(self.model), trained.config)
        put_in_force(tokenizer, model, dataset.facts, has_types="token_types" in dataset)
        save_model(model, tokenizer, folder)

    def how_to_call(self, prepared: Prepared) -> str:
        return (
            "from transformers import pipeline\n\n"
            f'classify = pipeline("{self.pipeline}", model="path/to/this/folder")\n'
            f"classify(texts, truncation=True{prepared.judge.pipeline_arguments()})"
        )

    def _inputs(self, rows: Any, places: np.ndarray, prepared: Prepared) -> list[Any]:
        columns = [rows[column].iloc[places].tolist() for column in self._input_columns()]
        if len(columns) == 1:
            return columns[0]
        return [{"text": text, "text_pair": pair} for text, pair in zip(*columns, strict=True)]

    def _input_columns(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) else list(self.text)

    def _read(self, source: Source, role: Split) -> Any:
        rows: Any = source.value  # a pair of arrays, which are no texts, is refused there
        # Training texts that are all numbers are another column by mistake. Of few test rows all may be numbers.
        texts = self._input_columns() if role != "train" else ()
        return read_table(rows, role, columns=self._columns(), names=self._names(), texts=texts)

    def _fingerprint(self, rows: Any) -> str:
        return fingerprint_table(rows, [name for name in self._columns() if name in rows.columns])

    def _audit(self, train: Any, test: Any, role: Split = "test") -> list[str]:
        label = self.label if isinstance(self.label, str) else list(self.label)
        return audit(
            train,
            test,
            read_targets=lambda: self._read_targets(train, test, role),
            text=self._input_columns(),
            label=label,
            group=self.group,
            sample_weight=self.sample_weight,
            role=role,
        )

    def _try_rows(
        self, prepared: Prepared, role: Split, rows: Any, *, encoder: Any, model: "nn.Module"
    ) -> Sequence[str]:
        from hpsearch.tasks.special_tokens import try_special_tokens

        learner: Any = self.learner(prepared, role)
        return try_special_tokens(learner, model, encoder.tokenizer, rows, self._input_columns(), role)

    def _encoder(self, train: Any) -> "TokenEncoder":
        from hpsearch.tasks.tokens import TokenEncoder

        return TokenEncoder(str(self.model), self.auto_class, self._input_columns(), self.max_length)


@dataclass(frozen=True, eq=False)
class TextClassification(Classification, TextTask):
    """Fine-tune a transformers model to classify texts.

    Two classes are a binary task (two outputs, softmax), more a multi-class one; a list of 0/1 columns is a multi-label
    task (one sigmoid per label). Code that comes with a model is not run.

    Attributes:
        text: The column of texts, or the two columns of a pair.
        label: The column of labels, or a list of 0/1 columns.
        pos_label: Of two classes the positive one, which metrics such as "f1", "precision" and "average_precision" are
            of. None: 1, True, "yes", "positive" and the like, beside 0, False, "no", "negative"; metrics of one of two
            other classes need it.
        class_weight: Weights of the classes in the training loss, None for equal ones: "balanced" (the rows of all
            classes weigh the same together, counted in the training part of each fold), or a mapping from labels to
            weights; of several labels a row, to the weights of their positives. Scores and validation losses are not
            weighed. A space may search it too.
        max_length: Most tokens of a row; longer rows are cut, and `Prepared.warnings` says so. None: the limit of model
            and tokenizer, up to 512.
    """

    pos_label: Any = field(default=None, kw_only=True)
    class_weight: Any = field(default=None, kw_only=True, metadata=LATER)

    def _literature(self) -> Mapping[str, Any]:
        """Return the values of BERT's fine-tuning (Devlin et al. 2019, appendix A.3; of its ranges the usual ones).

        Weight decay and warmup are those of its published code. search_spaces/bert.toml has the ranges.
        """
        return {"learning_rate": 2e-5, "batch_size": 32, "epochs": 3, "weight_decay": 0.01, "warmup_ratio": 0.1}
