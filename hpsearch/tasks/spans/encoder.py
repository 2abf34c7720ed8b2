"""Texts with spans in, tagged tokens out: aligned by the offsets that a fast tokenizer gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.dataset import RaggedRows
from hpsearch.data.wording import counted
from hpsearch.errors import TaskError
from hpsearch.tasks.pretrained_task import Encoded
from hpsearch.tasks.spans.reading import Span, without_space
from hpsearch.tasks.spans.tags import UNTAGGED, Tags, alone, read_spans
from hpsearch.tasks.tokens import TokenEncoder

_BATCH = 1000


@dataclass
class _Unmatched:
    """Spans that no prediction can match exactly: how many, and the first in words.

    Attributes:
        count: Their number.
        first: The first: its text, its label and its row.
    """

    count: int = 0
    first: str = ""

    def add(self, row: int, text: str, span: Span) -> None:
        self.count += 1
        self.first = self.first or f"{text[span[0] : span[1]]!r} ({span[2]!r}) in row {row}"


@dataclass
class _Rows:
    """What becomes of rows, one array a row, and what is said of them."""

    tokens: list[np.ndarray] = field(default_factory=list)
    types: list[np.ndarray] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)
    starts: list[np.ndarray] = field(default_factory=list)
    ends: list[np.ndarray] = field(default_factory=list)
    cut: _Unmatched = field(default_factory=_Unmatched)
    within: _Unmatched = field(default_factory=_Unmatched)


class SpanEncoder(TokenEncoder):
    """A fast tokenizer with the text column, the column of spans, and the tags of one task."""

    def __init__(self, source: str, auto_class: str, text: str, spans: str, tags: Tags, max_length: int | None) -> None:
        super().__init__(source, auto_class, [text], max_length)
        if not self.tokenizer.is_fast:
            raise TaskError(
                f"the tokenizer of {source!r} ({type(self.tokenizer).__name__}) does not say where in the text each "
                "token stands, as fast tokenizers do, so spans cannot be told by tokens. Take a model with a "
                "tokenizer.json, or write one where it can be converted: AutoTokenizer.from_pretrained(<model>, "
                "use_fast=True).save_pretrained(<folder>)."
            )
        self.spans, self.tags = spans, tags

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "tags": list(self.tags.names)}

    def encode(self, rows: Any, role: str, scratch: Path) -> Encoded:
        """Return tokens, int32, with token types where the model reads any; and of each token its tag's code, and where
        in the text it stands, without white space at its ends: its first character, and the first after it.

        Raises:
            TaskError: The tokenizer knows more tokens than the model.
        """
        texts, spans = rows[self.columns[0]].tolist(), rows[self.spans].tolist()
        found = _Rows()
        longest = cut = 0
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            whole = self._with_offsets(part, truncation=False)
            lengths = [len(row) for row in whole["input_ids"]]
            longest = max(longest, *lengths)
            long = [place for place, length in enumerate(lengths) if length > self.max_length]
            cut += len(long)
            short = self._with_offsets([part[place] for place in long], truncation=True) if long else {}
            encoded = {name: list(values) for name, values in whole.items()}
            for name, values in short.items():
                for place, value in zip(long, values, strict=True):
                    encoded[name][place] = value
            for place, text in enumerate(part):
                row = {name: values[place] for name, values in encoded.items()}
                self._add(found, start + place, row, text, spans[start + place])
        tokens = RaggedRows.from_rows(found.tokens, np.int32).to_arrays("tokens")
        self._check_vocabulary(int(tokens["tokens_values"].max()))
        arrays = {**tokens, **{f"token_{name}": np.concatenate(getattr(found, name)) for name in _PLACES}}
        if self.reads_types and any(kinds.any() for kinds in found.types):
            arrays["token_types"] = np.concatenate(found.types)
        warnings = [
            *self._warnings(role, len(texts), cut, longest, tokens["tokens_values"]),
            *self._unmatched(found, role),
        ]
        return Encoded(arrays, self._facts(), tuple(warnings))

    def _with_offsets(self, texts: Sequence[str], *, truncation: bool) -> dict[str, Any]:
        return dict(
            self.tokenizer(
                list(texts),
                truncation=truncation,
                max_length=self.max_length if truncation else None,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=self.reads_types,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
                verbose=False,
            )
        )

    def _add(self, found: _Rows, row: int, encoded: dict[str, Any], text: str, spans: Sequence[Span]) -> None:
        """Add a row; the tokenizer may drop every character of a text, and the row still needs one token."""
        is_special = np.array(encoded["special_tokens_mask"] or [1], dtype=bool)
        offsets = np.array(encoded["offset_mapping"] or [(0, 0)], dtype=np.int32).reshape(-1, 2)
        starts, ends = _without_space(offsets, text)
        tagged = np.flatnonzero(~is_special)
        codes = np.full(len(starts), UNTAGGED, dtype=np.int16)
        codes[tagged] = self.tags.codes(starts[tagged], ends[tagged], spans)
        found.tokens.append(np.array(encoded["input_ids"] or [self.pad_token_id], dtype=np.int32))
        found.types.append(np.array(encoded.get("token_type_ids") or [0] * len(codes), dtype=np.int8))
        found.codes.append(codes)
        found.starts.append(starts)
        found.ends.append(ends)
        read = read_spans(codes[tagged], np.zeros(len(tagged), dtype=np.int64), starts[tagged], ends[tagged])
        said = {
            (int(start), int(end), self.tags.types[kind])
            for start, end, kind in zip(read.starts, read.ends, read.types, strict=True)
        }
        reach = int(ends[tagged].max()) if len(tagged) else 0
        for span in set(alone(spans)) - said:
            (found.cut if span[1] > reach else found.within).add(row, text, span)

    def _unmatched(self, found: _Rows, role: str) -> list[str]:
        warnings = []
        if found.cut.count:
            warnings.append(
                f"No prediction finds {counted(found.cut.count, f'{role} span')} beyond the {self.max_length} tokens "
                f"of a row; {found.cut.first} is the first. They count as missed; a greater max_length or shorter "
                "texts would keep them."
            )
        if found.within.count:
            warnings.append(
                f"No prediction has the boundaries of {counted(found.within.count, f'{role} span')} that begin or end "
                f"within a token; {found.within.first} is the first. They count as missed; the whole token is trained "
                "on."
            )
        return warnings


_PLACES = ("codes", "starts", "ends")


def _without_space(offsets: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where tokens start and end, int32, without white space at their ends.

    Byte-level tokenizers count the space before a word to the word. A token of white space alone starts where the text
    goes on, and ends where it stopped.
    """
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    for place, (start, end) in enumerate(offsets.tolist()):
        part = text[start:end]
        if part and (part[0].isspace() or part[-1].isspace()):
            starts[place], ends[place], _ = without_space((start, end, ""), text)
            if not part.strip():
                starts[place], ends[place] = end, start
    return starts, ends
