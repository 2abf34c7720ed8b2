"""The learner of encoder-decoder models: sources in, targets out, both padded when a batch is asked for."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset
from hpsearch.errors import TaskError
from hpsearch.tasks.generation.answering import generated, greedy
from hpsearch.tasks.generation.learner import LABELS, TokenLearner
from hpsearch.tasks.generation.token_losses import IGNORED
from hpsearch.tasks.padding import text_config
from hpsearch.tasks.pretrained import Pretrained, read_config
from hpsearch.tasks.tokens import TextLearner, load_tokenizer
from hpsearch.training.to_device import batch_to_device

WHOLE = 16
"""Where tokens are padded to a multiple of this, outputs of frozen layers may be read: sources and targets are then of
one width, so that each layer of either gives a vector for every token of a row."""


class SequenceLearner(TokenLearner, TextLearner):
    """Batches of sources and targets.

    Attributes:
        labels: The tokens of each target, its end token included.
        lengths: Tokens of the longer of source and target.
    """

    def __init__(self, dataset: Dataset, pretrained: Pretrained) -> None:
        self.labels = dataset.ragged("labels")
        counts = self.labels.lengths
        vocabulary = int(getattr(text_config(read_config(pretrained.source)), "vocab_size", 1))
        super().__init__(dataset, pretrained, counts, vocabulary)
        self._source_lengths = self.lengths
        self.lengths = np.maximum(self._source_lengths, counts)

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, each int64 of shape (rows, length)."""
        facts, width = self.dataset.facts, 0
        if padding_multiple % WHOLE == 0:
            width = self._width(self.lengths[rows], padding_multiple)
        sources, targets = self._source_lengths[rows], self.token_counts[rows]
        filled = np.arange(width or self._width(sources, padding_multiple)) < sources[:, None]
        written = np.arange(width or self._width(targets, padding_multiple)) < targets[:, None]
        return {
            "input_ids": _laid_out(self.tokens.take(rows).values, filled, facts["pad_token_id"]),
            "attention_mask": torch.from_numpy(filled.astype(np.int64)),
            LABELS: _laid_out(self.labels.take(rows).values, written, IGNORED),
        }

    def _width(self, lengths: np.ndarray, multiple: int) -> int:
        longest, positions = int(lengths.max()), self.dataset.facts["positions"]
        width = -(-longest // multiple) * multiple
        return width if positions is None else max(longest, min(width, positions))

    def inputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return source and mask, and the targets shifted by one as the model itself shifts them."""
        shift: Any = getattr(model, "prepare_decoder_input_ids_from_labels", None)
        if shift is None:
            raise TaskError(
                f"{type(model).__name__} does not say how targets become its decoder's inputs, so it cannot be trained "
                "here. Give an encoder-decoder such as Marian, T5, BART or mBART."
            )
        return {**super().inputs(model, batch), "decoder_input_ids": shift(labels=batch[LABELS])}

    def answers(self, model: nn.Module, batch: Mapping[str, Tensor], rows: np.ndarray) -> list[str]:
        settings = answer_settings(model, self.dataset.facts, self.judge.max_new_tokens)
        tokens = generated(model, _source(batch), settings, self.progressed)
        texts: list[str] = self._tokenizer.batch_decode(tokens.cpu(), skip_special_tokens=True)
        return texts

    def try_answers(self, model: nn.Module, largest: int) -> None:
        rows = np.argsort(-np.asarray(self.lengths), kind="stable")[:largest]
        batch = batch_to_device(self.batch(rows, WHOLE), next(model.parameters()).device)
        settings = answer_settings(model, self.dataset.facts, self.judge.max_new_tokens)
        settings.eos_token_id = None  # so that no answer ends before its full length
        generated(model, _source(batch), settings, self.progressed)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.pretrained.source, read_config(self.pretrained.source))


def _source(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def answer_settings(model: nn.Module, facts: Mapping[str, Any], max_new_tokens: int) -> Any:
    """Return what a model generates with; the language of its answers where its rows have one."""
    forced = facts["forced_bos_token_id"]
    changed = {} if forced is None else {"forced_bos_token_id": forced}
    return greedy(model, max_new_tokens, pad_token_id=facts["pad_token_id"], **changed)


def _laid_out(tokens: np.ndarray, filled: np.ndarray, padding: int) -> Tensor:
    out = np.full(filled.shape, padding, dtype=np.int64)
    out[filled] = tokens
    return torch.from_numpy(out)
