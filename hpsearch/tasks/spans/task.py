"""Token classification: spans of a text, such as names and times, found token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hpsearch.data.audit import check_texts
from hpsearch.data.dataset import Dataset, open_dataset
from hpsearch.data.fingerprint import fingerprint_table
from hpsearch.data.images import require_columns
from hpsearch.data.ragged import Ragged
from hpsearch.data.sources import read_table
from hpsearch.data.tables_in_memory import columns_table, is_pair
from hpsearch.errors import TaskError
from hpsearch.tasks.base import Prepared, Split
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.pretrained_task import Encoder
from hpsearch.tasks.sources import Location, Source, Table, source_of
from hpsearch.tasks.spans.conll import ENDINGS, read_conll
from hpsearch.tasks.spans.counts import HEADER
from hpsearch.tasks.spans.judge import SpanJudge
from hpsearch.tasks.spans.reading import spans_of, spans_of_tags, without_space
from hpsearch.tasks.text import TextTask

if TYPE_CHECKING:
    import torch

    from hpsearch.tasks.pretrained import Pretrained
    from hpsearch.tasks.spans.encoder import SpanEncoder
    from hpsearch.tasks.spans.learner import SpanLearner
    from hpsearch.tasks.stranger import Answers

SPANS = "spans"
"""The column of a read table that has each row's spans."""

_OVERLAPPING = ("error", "longest")


@dataclass(frozen=True, eq=False)
class TokenClassification(TextTask):
    """Fine-tune a transformers model to find spans of a text: names, times, products.

    Rows are texts with spans, or words with tags. Every token of a span is tagged ("B-" its first, "I-" the others), so
    that transformers' pipeline reads the exported model with the aggregation "simple". The model needs a fast
    tokenizer. Code that comes with a model is not run.

    Attributes:
        text: The column of texts.
        spans: The column of spans: a list a row (or the same as JSON text), each a mapping of "start", "end" (in
            characters; the end is the first after the span) and "label", or a triple of these. A row without any has an
            empty list.
        words: The column of words, a list a row; with `tags` it takes the place of `text` and `spans`. The text is the
            words with a space between them.
        tags: The column of BIO tags, one for each word: "O", "B-city", "I-city". A file that ends in .conll, .bio, .iob
            or .iob2 has words and tags without their columns being named.
        overlapping: What becomes of spans that overlap: "error", or "longest" to train on the longest. The others count
            as missed.
        max_length: Most tokens of a row; longer rows are cut, and `Prepared.warnings` says so. None: the limit of model
            and tokenizer, up to 512.
    """

    label: Any = field(default=None, init=False, repr=False)
    spans: Any = field(default=SPANS, kw_only=True)
    words: Any = field(default=None, kw_only=True)
    tags: Any = field(default=None, kw_only=True)
    overlapping: str = field(default="error", kw_only=True)

    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    pipeline: ClassVar[str | None] = "token-classification"
    call_settings: ClassVar[Mapping[str, Any]] = {}
    judge_class: ClassVar[type[Judge]] = SpanJudge

    def __post_init__(self) -> None:
        for name in ("text", "spans", "words", "tags"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in ("words", "tags")):
                raise TaskError(f"{name}={value!r}: give the name of a column.")
        if (self.words is None) is not (self.tags is None):
            raise TaskError(
                f"words={self.words!r} and tags={self.tags!r}: give both columns, or neither for texts with spans."
            )
        if self.overlapping not in _OVERLAPPING:
            raise TaskError(f"overlapping={self.overlapping!r}: give {' or '.join(map(repr, _OVERLAPPING))}.")
        self._set("label", SPANS)
        super().__post_init__()

    def _literature(self) -> Mapping[str, Any]:
        """Return values of BERT's fine-tuning ranges (Devlin et al. 2019, appendix A.3), the most steps and the
        highest learning rate of them: each token is an example, and its head is new.

        Weight decay and warmup are those of its published code.
        """
        return {"learning_rate": 5e-5, "batch_size": 16, "epochs": 4, "weight_decay": 0.01, "warmup_ratio": 0.1}

    # ------------------------------------------------------------------ rows

    def _source(self, rows: Any, role: str) -> Source:
        """Return the source of rows; a pair is one of texts and spans, or of words and tags."""
        if not is_pair(rows):
            return source_of(rows, self._columns(), role)
        named = dict(zip(self._columns(), rows, strict=False))
        return Table(tuple(self._columns()), frame=columns_table(named, role))

    def _columns(self) -> list[str]:
        read = [self.text, self.spans] if self.words is None else [self.words, self.tags]
        return read + [name for name in (self.group, self.sample_weight) if name is not None]

    def _read(self, source: Source, role: Split) -> Any:
        """Return a table with the columns of the text and of `SPANS`, and the columns beside them."""
        table, columns = self._table(source, role)
        if columns is None:
            texts = table[self.text].tolist()
            check_texts(table, [self.text], role)
            spans, remarks = spans_of(
                table[self.spans].tolist(), texts, self.spans, role, may_overlap=self.overlapping != _OVERLAPPING[0]
            )
        else:
            words, tags = (table[column].tolist() for column in columns)
            texts, spans = spans_of_tags(words, tags, columns, role)
            remarks = []
        beside = [name for name in (self.group, self.sample_weight) if name is not None and name in table.columns]
        import pandas as pd

        # A column of lists: as a plain argument pandas would try to make an array of them.
        read = table[beside].assign(**{self.text: texts, SPANS: pd.Series(spans, dtype=object, index=table.index)})
        read.attrs["remarks"] = remarks
        return read

    def _table(self, source: Source, role: Split) -> tuple[Any, tuple[str, str] | None]:
        """Return the rows as they stand in a source, and the columns of words and tags, where it has these."""
        columns = None if self.words is None else (self.words, self.tags)
        if isinstance(source, Location) and source.value.suffix.lower() in ENDINGS:
            words, tags = columns or ("words", "tags")
            return read_conll(source.value, words, tags, role), (words, tags)
        rows: Any = source.value
        texts = [self.text] if role == "test" and columns is None else []
        table = read_table(rows, role, columns=self._columns(), names=self._names(), texts=texts)
        require_columns(table, list(columns or (self.text, self.spans)), role)
        return table, columns

    def _looked_over(
        self, cache: Path, rows: dict[Split, Any], prints: Mapping[Split, str]
    ) -> tuple[dict[Split, Any], list[str]]:
        return rows, [remark for table in rows.values() for remark in table.attrs["remarks"]]

    def _fingerprint(self, rows: Any) -> str:
        return fingerprint_table(rows)

    def _encoder(self, train: Any) -> "SpanEncoder":
        from hpsearch.tasks.spans.encoder import SpanEncoder

        tags = cast(SpanJudge, self._learned(train[SPANS])).tags
        return SpanEncoder(str(self.model), self.auto_class, self.text, SPANS, tags, self.max_length)

    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "SpanLearner":
        from hpsearch.tasks.spans.learner import SpanLearner

        return SpanLearner(dataset, pretrained)

    def _tried(self, prepared: Prepared, warnings: list[str], rows: dict[Split, Any], encoder: Encoder) -> Prepared:
        folders = [folder for folder in (prepared.folder, prepared.test_folder) if folder is not None]
        longest = max(int(open_dataset(folder).ragged("tokens").lengths.max()) for folder in folders)
        judge = replace(cast(SpanJudge, prepared.judge), longest=longest)
        return super()._tried(replace(prepared, judge=judge), warnings, rows, encoder)

    # ------------------------------------------------------------------ of an exported model

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
        """See `Task.exported_answers`; a pipeline may count the space before a word to the word."""
        texts = self._inputs(self._rows_of(split), rows, prepared)
        for answers in super().exported_answers(folder, prepared, config, split=split, rows=rows, device=device):
            yield replace(answers, predictions=_without_space(answers.predictions, texts))

    def how_to_call(self, prepared: Prepared) -> str:
        return (
            "from transformers import pipeline\n\n"
            f'find = pipeline("{self.pipeline}", model="path/to/this/folder", aggregation_strategy="simple")\n'
            "for text, spans in zip(texts, find(texts)):\n"
            '    print([(text[span["start"] : span["end"]].strip(), span["entity_group"]) for span in spans])'
        )


def _without_space(predictions: Ragged, texts: Sequence[str]) -> Ragged:
    """Return predicted spans without the white space at their ends, and without those of white space only."""
    rows = []
    for place, text in enumerate(texts):
        row = predictions.row(place).copy()
        for span in row[HEADER:]:
            span[0], span[1], _ = without_space((int(span[0]), int(span[1]), ""), text)
        is_there = np.ones(len(row), dtype=bool)
        is_there[HEADER:] = row[HEADER:, 0] < row[HEADER:, 1]
        rows.append(row[is_there])
    return Ragged.of(rows)
