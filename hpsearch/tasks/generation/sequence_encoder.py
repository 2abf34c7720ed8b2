"""Pairs of texts in, tokens out: the source as the encoder reads it, the target as the decoder is to write it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.dataset import RaggedRows
from hpsearch.data.wording import row_list
from hpsearch.errors import DataError, TaskError, nearest
from hpsearch.tasks.pretrained import read_config
from hpsearch.tasks.pretrained_task import Encoded
from hpsearch.tasks.tokens import TokenEncoder

DEFAULT_TARGET_LENGTH = 128
_NAMED_CODES = 20


class SequenceEncoder(TokenEncoder):
    """A tokenizer with the columns, languages and lengths of one task.

    Attributes:
        max_target_length: Most tokens of a target, its end token included.
        forced_bos_token_id: The token that a target has to begin with, where the language says so; else None.
    """

    def __init__(
        self,
        source: str,
        auto_class: str,
        columns: tuple[str, str],
        *,
        languages: tuple[str | None, str | None] = (None, None),
        prefix: str = "",
        max_source_length: int | None = None,
        max_target_length: int | None = None,
    ) -> None:
        """Read the tokenizer, and what the model's config says of the rows it takes; see `SequenceToSequence`."""
        config = read_config(source)
        if not getattr(config, "is_encoder_decoder", False):
            raise TaskError(
                f"the model {source!r} (of type {config.model_type!r}) cannot write texts for texts: it is no "
                "encoder-decoder. Give one, such as Marian, T5, BART or mBART."
            )
        super().__init__(source, auto_class, columns[:1], max_source_length)
        self._source, self._target, self._prefix, self._languages = source, columns[1], prefix, languages
        self.forced_bos_token_id = self._settle_languages()
        self.max_target_length = self._target_length(max_target_length)

    def _settle_languages(self) -> int | None:
        """Tell the tokenizer which languages it reads and writes; return the token that tells the model."""
        arguments = dict(zip(("source_language", "target_language"), self._languages, strict=True))
        given = {name: code for name, code in arguments.items() if code is not None}
        if not hasattr(self.tokenizer, "src_lang"):
            if given:
                name, code = next(iter(given.items()))
                raise TaskError(
                    f"{name}={code!r}: the tokenizer of {self._source!r} ({type(self.tokenizer).__name__}) has no "
                    "language codes. Leave it out; a model that is told its language in words takes prefix=."
                )
            return None
        codes = self._language_codes()
        for name, asked in arguments.items():
            if asked is None:
                raise TaskError(
                    f"{self._source!r} translates between many languages, and {name}= is not given. Give its code, one "
                    f"of {', '.join(list(codes)[:_NAMED_CODES])}, ...; for texts in one language give it twice."
                )
            if asked not in codes:
                raise TaskError(
                    f"{name}={asked!r}: the tokenizer of {self._source!r} has no such language.{nearest(asked, codes)} "
                    f"It has {', '.join(list(codes)[:_NAMED_CODES])}, ...."
                )
        self.tokenizer.src_lang, self.tokenizer.tgt_lang = self._languages
        return codes[str(self._languages[1])]

    def _language_codes(self) -> dict[str, int]:
        """Return the codes of the tokenizer's languages, and their tokens."""
        known = getattr(self.tokenizer, "lang_code_to_id", None)
        if known:
            return {str(code): int(token) for code, token in known.items()}
        tokens = self.tokenizer.all_special_tokens  # those of NLLB are plain special tokens, such as "deu_Latn"
        return {code: int(self.tokenizer.convert_tokens_to_ids(code)) for code in tokens if "_" in code}

    def _target_length(self, asked: int | None) -> int:
        limit = asked if asked is not None else min(self.positions or DEFAULT_TARGET_LENGTH, DEFAULT_TARGET_LENGTH)
        if self.positions is not None and limit > self.positions:
            raise TaskError(
                f"max_target_length={asked}, but {self._source!r} has positions for {self.positions} tokens only. Give "
                "at most that."
            )
        if limit <= self._special_tokens():
            raise TaskError(
                f"max_target_length={limit} leaves no room for text beside {self._special_tokens()} special tokens. "
                "Give more."
            )
        return limit

    def _special_tokens(self) -> int:
        return len(self._targets([""])[0])

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "target": [self._target, self.max_target_length],
            "prefix": self._prefix,
            "languages": list(self._languages),
        }

    def encode(self, rows: Any, role: str, scratch: Path) -> Encoded:
        """Return the tokens of sources ("tokens") and of targets ("labels"), int32.

        Raises:
            TaskError: The tokenizer knows more tokens than the model.
            DataError: Every target would be cut, or none ends with the end token.
        """
        encoded = super().encode(rows, role, scratch)
        targets = self._targets(rows[self._target].tolist())
        lengths = np.array([len(target) for target in targets])
        cut = np.flatnonzero(lengths > self.max_target_length)
        self._check_targets(targets, cut, role)
        if len(cut):
            short = self._targets([rows[self._target].iloc[row] for row in cut.tolist()], truncation=True)
            for row, target in zip(cut.tolist(), short, strict=True):
                targets[row] = target
        labels = RaggedRows.from_rows(targets, np.int32).to_arrays("labels")
        self._check_vocabulary(int(labels["labels_values"].max()))
        warnings = [*encoded.warnings, *self._target_warnings(role, lengths, cut)]
        return Encoded({**encoded.arrays, **labels}, encoded.facts, tuple(warnings))

    def _tokenized(self, texts: list[list[str]], truncation: bool) -> tuple[list[list[int]], list[list[int]]]:
        return super()._tokenized([[self._prefix + text for text in texts[0]]], truncation)

    def _targets(self, texts: list[str], *, truncation: bool = False) -> list[list[int]]:
        tokens: list[list[int]] = self.tokenizer(
            text_target=texts,
            truncation=truncation,
            max_length=self.max_target_length if truncation else None,
            padding=False,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return [list(row) for row in tokens]

    def _check_targets(self, targets: list[list[int]], cut: np.ndarray, role: str) -> None:
        end = self.tokenizer.eos_token_id
        open_ended = [row for row, target in enumerate(targets) if end not in target[-2:]]
        if open_ended:
            raise TaskError(
                f"the tokenizer of {self._source!r} ({type(self.tokenizer).__name__}) does not end a target with its "
                f"end token ({self.tokenizer.eos_token!r}), so the model would not learn where to stop: "
                f"{row_list(open_ended)} of the {role} rows. Use the tokenizer that belongs to the model."
            )
        if len(cut) == len(targets):
            shortest = min(len(target) for target in targets)
            raise DataError(
                f"each of the {len(targets)} {role} targets is longer than max_target_length="
                f"{self.max_target_length} tokens (the shortest has {shortest}), so the model would learn beginnings "
                f"only. Give max_target_length={max(len(target) for target in targets)} to keep all."
            )

    def _target_warnings(self, role: str, lengths: np.ndarray, cut: np.ndarray) -> Iterator[str]:
        if len(cut):
            yield (
                f"{len(cut)} of {len(lengths)} {role} targets are longer than {self.max_target_length} tokens and were "
                f"cut (the longest has {lengths.max()}): {row_list(cut.tolist())}. max_target_length= keeps more."
            )

    def _facts(self) -> dict[str, Any]:
        facts = {**super()._facts(), "forced_bos_token_id": self.forced_bos_token_id}
        return {**facts, "languages": list(self._languages), "prefix": self._prefix}
