"""Texts in, tokens out: encoded once, kept as one ragged array, padded when a batch is asked for."""

import bisect
import importlib.util
import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset, RaggedRows
from hpsearch.errors import TaskError
from hpsearch.provenance.packages import versions_of
from hpsearch.records import digest
from hpsearch.tasks.heads import base_of
from hpsearch.tasks.hub import hub_arguments
from hpsearch.tasks.learner import FAILURES, PretrainedLearner
from hpsearch.tasks.padding import padding_facts, settle_pad_token, text_config
from hpsearch.tasks.pretrained import LOADING_ERRORS, Pretrained, first_line, quiet, read_config
from hpsearch.tasks.pretrained_task import Encoded

DEFAULT_MAX_LENGTH = 512
_BATCH = 1000
_PADDING = 16
NO_LIMIT = 10**6
_MANY_UNKNOWN = 0.2
_POSITION_TABLES = (
    "position_embeddings", "position_embedding", "embed_positions", "wpe", "positions_embed",
    "char_position_embeddings",
)  # fmt: skip
_SENTENCEPIECE = ("sentencepiece", "google.protobuf")
"""What transformers reads a sentencepiece model with."""

_WITHOUT_SENTENCEPIECE = (
    "; or, where they are, write a tokenizer.json, which needs neither: "
    "AutoTokenizer.from_pretrained(<folder>).save_pretrained(<folder>)."
)
"""Marian's tokenizers (`.spm`) have no such form."""

_CLASSIFIED = {"AutoModelForTokenClassification": ("tokens", "token")}
"""What models of an auto class classify, and the class's word for it, where it is not texts."""

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
    "sentencepiece.bpe.model", "spm.model", "source.spm", "bpe.codes", "vocab.model",
)  # fmt: skip


def load_tokenizer(source: str, config: Any) -> Any:
    """Return the tokenizer of a model folder or hub name, with the pad token that the model of this config pads with.

    Raises:
        TaskError: There is no tokenizer, or it has neither a pad nor an end-of-text token.
    """
    from transformers import AutoTokenizer

    folder = Path(source)
    if folder.is_dir() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise TaskError(
            f"the model folder {source!r} has no tokenizer (no tokenizer.json or vocabulary file). Save the model's "
            "tokenizer there: AutoTokenizer.from_pretrained(<model>).save_pretrained(<folder>)."
        )
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(**hub_arguments(source), trust_remote_code=False)
        except LOADING_ERRORS as error:
            _require_sentencepiece(folder)
            raise TaskError(
                f"the tokenizer of {source!r} cannot be loaded: {first_line(error)} Save it into the model's folder: "
                "AutoTokenizer.from_pretrained(<model>).save_pretrained(<folder>)."
            ) from error
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
            raise TaskError(
                f"the tokenizer of {source!r} ({type(tokenizer).__name__}) knows no tokens but its special ones: the "
                "folder lacks its vocabulary. Save the model's tokenizer there: "
                "AutoTokenizer.from_pretrained(<model>).save_pretrained(<folder>)."
            )
        settle_pad_token(tokenizer, config, source)
    return tokenizer


def _require_sentencepiece(folder: Path) -> None:
    """Raise TaskError where a folder has a sentencepiece model only, and what reads it is not installed.

    transformers then names tiktoken, which would not help.
    """
    found = [*folder.glob("*.model"), *folder.glob("*.spm")] if folder.is_dir() else []
    models = sorted(path.name for path in found)
    missing = [name.rpartition(".")[2] for name in _SENTENCEPIECE if not _is_installed(name)]
    if models and missing and not (folder / "tokenizer.json").is_file():
        raise TaskError(
            f"the model folder {str(folder)!r} has its tokenizer as a sentencepiece model only ({models[0]}), and "
            f"{' and '.join(missing)} to read it {'is' if len(missing) == 1 else 'are'} not installed. Install "
            "sentencepiece and protobuf (pip install sentencepiece protobuf)"
            + ("." if models[0].endswith(".spm") else _WITHOUT_SENTENCEPIECE)
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


class TokenEncoder:
    """A tokenizer with the columns and the length of one task."""

    def __init__(self, source: str, auto_class: str, columns: Sequence[str], max_length: int | None) -> None:
        """Read the tokenizer, and what the model's config says of the rows it takes; see `TextClassification`."""
        self.config = read_config(source)
        self._check_pad(
            getattr(text_config(self.config), "pad_token_id", None), f"config.json of {source!r} has pad_token_id"
        )
        skeleton = _skeleton(source, auto_class, self.config)
        self.positions = position_limit(skeleton)
        self.tokenizer = load_tokenizer(source, self.config)
        self.columns = list(columns)
        self.reads_types = "token_type_ids" in self.tokenizer.model_input_names and reads_token_types(skeleton)
        self.pad_token_id = int(self.tokenizer.pad_token_id)
        self._check_pad(self.pad_token_id, f"the tokenizer of {source!r} pads with {self.tokenizer.pad_token!r}, token")
        self.max_length = self._max_length(max_length, source)

    def _max_length(self, asked: int | None, source: str) -> int:
        given = (self.positions, int(self.tokenizer.model_max_length))
        limits = [limit for limit in given if limit is not None and limit < NO_LIMIT]
        limit = asked if asked is not None else min([*limits, DEFAULT_MAX_LENGTH])
        if self.positions is not None and limit > self.positions:
            raise TaskError(
                f"max_length={asked}, but {source!r} has positions for {self.positions} tokens only. Give at most that."
            )
        special = self.tokenizer.num_special_tokens_to_add(pair=len(self.columns) == 2)
        if limit <= special:
            raise TaskError(
                f"max_length={limit} leaves no room for text beside {special} special tokens. Give {special + 1} or "
                "more."
            )
        return limit

    def settings(self) -> dict[str, Any]:
        tokenizer = self.tokenizer
        if tokenizer.is_fast:
            # Truncation and padding belong to a call, but the last call leaves them in the tokenizer's state.
            state = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        else:
            state = {"vocabulary": tokenizer.get_vocab(), "special": str(tokenizer.special_tokens_map)}
        return {
            "tokenizer": digest([type(tokenizer).__name__, state]),
            "columns": self.columns,
            "reads_types": self.reads_types,
            "vocabulary": getattr(self.config, "vocab_size", None),
            "facts": self._facts(),
        }

    def versions(self) -> dict[str, str]:
        return versions_of("tokenizers", "transformers")

    def encode(self, rows: Any, role: str, scratch: Path) -> Encoded:
        """Return the tokens of a DataFrame's rows, int32, and their token types where the model reads any.

        Raises:
            TaskError: The tokenizer knows more tokens than the model.
        """
        texts = [rows[column].tolist() for column in self.columns]
        tokens: list[np.ndarray] = []
        types: list[np.ndarray] = []
        longest = cut = 0
        for start in range(0, len(rows), _BATCH):
            part = [column[start : start + _BATCH] for column in texts]
            rows_of_tokens, kinds = self._tokenized(part, truncation=False)
            lengths = [len(row) for row in rows_of_tokens]
            long = [position for position, length in enumerate(lengths) if length > self.max_length]
            longest, cut = max(longest, *lengths), cut + len(long)
            if long:
                short, short_kinds = self._tokenized([[column[at] for at in long] for column in part], truncation=True)
                for at, row, kind in zip(long, short, short_kinds, strict=True):
                    rows_of_tokens[at], kinds[at] = row, kind
            # The tokenizer may drop every character of a text; the row still needs one token.
            tokens += [np.array(row or [self.pad_token_id], dtype=np.int32) for row in rows_of_tokens]
            types += [np.array(kind or [0], dtype=np.int8) for kind in kinds]
        arrays = RaggedRows.from_rows(tokens, np.int32).to_arrays("tokens")
        self._check_vocabulary(int(arrays["tokens_values"].max()))
        if self.reads_types and any(kind.any() for kind in types):
            arrays["token_types"] = np.concatenate(types)
        warnings = self._warnings(role, len(rows), cut, longest, arrays["tokens_values"])
        return Encoded(arrays, self._facts(), tuple(warnings))

    def _tokenized(self, texts: list[list[str]], truncation: bool) -> tuple[list[list[int]], list[list[int]]]:
        encoding = self.tokenizer(
            *texts,
            truncation=truncation,
            max_length=self.max_length if truncation else None,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=self.reads_types,
            verbose=False,
        )
        tokens: list[list[int]] = encoding["input_ids"]
        return tokens, encoding["token_type_ids"] if self.reads_types else [[] for _ in tokens]

    def _check_pad(self, pad: int | None, whose: str) -> None:
        """Raise TaskError where a pad token is none of those that the model has embeddings for."""
        size = getattr(text_config(self.config), "vocab_size", None)
        if pad is not None and size is not None and not 0 <= pad < size:
            raise TaskError(
                f"{whose} {pad}, and the model has embeddings for the {size} tokens from 0 to {size - 1}. Pad with one "
                "of them (tokenizer.pad_token = tokenizer.eos_token, model.config.pad_token_id = "
                "tokenizer.pad_token_id), or let the model have as many as the tokenizer "
                "(model.resize_token_embeddings(len(tokenizer))), and save both into the folder."
            )

    def _check_vocabulary(self, largest: int) -> None:
        size = getattr(text_config(self.config), "vocab_size", None)
        if size is not None and largest >= size:
            raise TaskError(
                f"the tokenizer gives token {largest}, and the model has embeddings for {size} tokens only: they do "
                "not belong together. Use the tokenizer that the model was trained with."
            )

    def _facts(self) -> dict[str, Any]:
        padding = padding_facts(self.tokenizer, self.config)
        return {"max_length": self.max_length, "positions": self.positions, **padding}

    def _warnings(self, role: str, rows: int, cut: int, longest: int, tokens: np.ndarray) -> Iterator[str]:
        if cut:
            yield (
                f"{cut} of {rows} {role} rows are longer than {self.max_length} tokens and were cut (the longest has "
                f"{longest})."
            )
        unknown = self.tokenizer.unk_token_id
        share = 0.0 if unknown is None or unknown == self.pad_token_id else float(np.mean(tokens == unknown))
        if share >= _MANY_UNKNOWN:
            yield (
                f"the tokenizer does not know {share:.0%} of the tokens of the {role} rows: it may be that of another "
                "language or model."
            )


class TextLearner(PretrainedLearner):
    """Padded batches of tokens.

    Attributes:
        tokens: Those of each row, without padding.
    """

    def __init__(self, dataset: Dataset, pretrained: Pretrained) -> None:
        super().__init__(dataset, pretrained)
        self.tokens = dataset.ragged("tokens")
        kinds = dataset.get("token_types")
        self._types = None if kinds is None else RaggedRows(kinds, self.tokens.offsets)
        self.lengths = self.tokens.lengths

    @torch.no_grad()
    def advice(self, model: nn.Module) -> str:
        """Say how many tokens the model takes, where shorter rows would do; else that the parts may not fit."""
        longest = int(self.lengths.max())
        row = np.array([np.argmax(self.lengths)])
        whole = self.batch(row, 1)

        def takes(tokens: int) -> bool:
            try:
                self.outputs(model, {name: tensor[:, :tokens] for name, tensor in whole.items()})
            except FAILURES:
                return False
            return True

        fits = bisect.bisect_left(range(1, longest + 1), True, key=lambda tokens: not takes(tokens))
        fits -= fits % _PADDING  # rows are filled up to a multiple of it
        if not fits or fits == longest:
            return "Use the tokenizer that belongs to the model, and a folder whose config.json and weights are whole."
        return f"It takes rows of up to {fits} tokens, and the longest has {longest}: give max_length={fits}."

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and perhaps token_type_ids, each int64 of shape (rows, length).

        The length is that of the longest row, rounded up to the multiple, but no more than the model has positions.
        """
        facts, lengths = self.dataset.facts, self.lengths[rows]
        longest = int(lengths.max())
        width = -(-longest // padding_multiple) * padding_multiple
        if facts["positions"] is not None:
            width = max(longest, min(width, facts["positions"]))
        filled = self.filled(lengths, width)
        batch = {
            "input_ids": laid_out(self.tokens.take(rows), filled, facts["pad_token_id"]),
            "attention_mask": torch.from_numpy(filled.astype(np.int64)),
        }
        if self._types is not None:
            batch["token_type_ids"] = laid_out(self._types.take(rows), filled, facts["pad_token_type"])
        return batch

    def filled(self, lengths: np.ndarray, width: int) -> np.ndarray:
        """Return which of so many places rows of these lengths fill, (rows, width), by the side that is padded."""
        places = np.arange(width)
        if self.dataset.facts["padding_side"] == "left":
            return np.asarray(places >= width - lengths[:, None])
        return np.asarray(places < lengths[:, None])


def laid_out(rows: RaggedRows, filled: np.ndarray, padding: int) -> Tensor:
    """Return rows as int64, where they are filled; elsewhere the padding."""
    out = np.full(filled.shape, padding, dtype=np.int64)
    out[filled] = rows.values
    return torch.from_numpy(out)


def position_limit(model: nn.Module) -> int | None:
    """Return how many tokens a model has positions for, or None where positions are relative or rotary.

    Tables of positions are known by their names. RoBERTa's begin after the padding index, BART's after an offset, and
    Nystromformer's where the positions in the buffer beside it do.
    """
    limits = []
    for parent in _reading_tokens(base_of(model)):
        positions = getattr(parent, "position_ids", None)
        for name, table in (*parent.named_children(), *parent.named_buffers(recurse=False)):
            size = getattr(table, "weight", table)
            if name not in _POSITION_TABLES or not isinstance(size, Tensor) or size.ndim != 2:
                continue
            padding = getattr(table, "padding_idx", None)
            before = 0 if padding is None else padding + 1
            limits.append(len(size) - max(before, int(getattr(table, "offset", 0))))
            if isinstance(positions, Tensor):
                limits.append(positions.shape[-1])
    return min(limits, default=None)


def _reading_tokens(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a model's modules, without its parts that read images: their patches have tables of positions too."""
    yield model
    for child in model.children():
        if getattr(child, "main_input_name", "input_ids") == "input_ids":
            yield from _reading_tokens(child)


def reads_token_types(model: nn.Module) -> bool:
    """Return whether a model takes token types and has more than one to tell apart (RoBERTa has one, DeBERTa none)."""
    config: Any = model.config
    taken = "token_type_ids" in inspect.signature(model.forward).parameters
    return taken and int(getattr(config, "type_vocab_size", 2) or 0) > 1


def _skeleton(source: str, auto_class: str, config: Any) -> nn.Module:
    """Return the model without its numbers: the modules alone cost nothing."""
    import transformers

    what, unit = _CLASSIFIED.get(auto_class, ("texts", "sequence"))
    with quiet(), torch.device("meta"):
        try:
            return getattr(transformers, auto_class).from_config(config, trust_remote_code=False)
        except LOADING_ERRORS as error:
            raise TaskError(
                f"the model {source!r} cannot classify {what}: {first_line(error)} Give an encoder that transformers "
                f"has a {unit} classification class for."
            ) from error
