"""The learner of language tasks: losses a token, weighed by trained tokens; on request answers as well."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset
from hpsearch.data.ragged import Rows
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.generation.predictions import TokenPredictions, packed
from hpsearch.tasks.generation.texts import shortened
from hpsearch.tasks.generation.token_losses import ROW_BLOCK, row_sums
from hpsearch.tasks.learner import PretrainedLearner
from hpsearch.tasks.pretrained import Pretrained
from hpsearch.training.batches import EVALUATION_TOKENS

EVALUATION_LOGITS = 2**28
"""Logits of an evaluation batch, at most: 1 GiB in float32."""

LABELS, PLACES = "labels", "label_places"
"""What `TokenLearner.batch` has besides the model's inputs."""


class TokenLearner(PretrainedLearner):
    """A learner of models that predict one token after the other.

    A subclass makes the batches: the model's inputs; "labels", int64 of shape (rows, m), the tokens that are to be
    predicted, `IGNORED` where none is trained; and "label_places", of the same shape, where in the row their logits
    stand, unless that is at 0, 1, 2, .... What it generates, `answers` returns.

    The loss of a row is the mean over its trained tokens, and a row weighs as much as it has trained tokens, times its
    sample weight: so the loss of a batch, however it is divided, is the loss a token.

    Attributes:
        token_counts: Trained tokens of each row, int64, shape (rows,).
        answering: Whether `keep` generates answers.
        progressed: Called after each token that is generated: a long answer is no standstill.
    """

    answering = False
    progressed: Callable[[], None] = staticmethod(lambda: None)
    judge: TokenJudge

    def __init__(self, dataset: Dataset, pretrained: Pretrained, token_counts: np.ndarray, vocabulary: int) -> None:
        """Take the trained tokens of each row, and how many tokens the model knows."""
        super().__init__(dataset, pretrained)
        self.token_counts = np.asarray(token_counts, dtype=np.int64)
        self._vocabulary = vocabulary

    def for_answers(self) -> Self:
        """Return this learner as it also generates an answer of each row that it evaluates."""
        learner = copy.copy(self)
        learner.answering = bool(self.judge.max_new_tokens)
        return learner

    @property
    def evaluation_rows(self) -> int:
        """Rows of an evaluation batch, at most: of so many logits and generated tokens fit into memory."""
        logits_a_row = self._vocabulary * max(1, int(self.token_counts.max(initial=1)))
        rows = EVALUATION_LOGITS // logits_a_row
        if self.answering:
            rows = min(rows, EVALUATION_TOKENS // self.judge.max_new_tokens)
        return max(ROW_BLOCK, rows)

    def inputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the model's forward pass takes of a batch."""
        return {name: tensor for name, tensor in batch.items() if name not in (LABELS, PLACES)}

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return sums over each row's trained tokens, shape (rows, 3): see `row_sums`."""
        return row_sums(model, self.inputs(model, batch), batch[LABELS], batch.get(PLACES))

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return the trained tokens of these rows, int64, shape (rows,)."""
        return torch.from_numpy(self.token_counts[rows])

    def weights(self, rows: np.ndarray) -> Tensor:
        """Return trained tokens times sample weights, float32, shape (rows,)."""
        tokens = torch.from_numpy(self.token_counts[rows].astype(np.float32))
        given = self.sample_weights(rows)
        return tokens if given is None else tokens * torch.from_numpy(given)

    def keep(
        self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, model: nn.Module
    ) -> Tensor | Sequence[Tensor]:
        """Return [summed loss, trained tokens, tokens right] of each row; see `TokenJudge` for rows with answers."""
        tokens = torch.from_numpy(self.token_counts[rows]).to(outputs.device, outputs.dtype)
        numbers = torch.stack([outputs[:, 0], tokens, outputs[:, 2]], dim=1)
        if not self.answering:
            return numbers
        texts = [shortened(text, self.judge.text_bytes) for text in self.answers(model, batch, rows)]
        return [torch.from_numpy(row) for row in packed(numbers.double().cpu().numpy(), texts)]

    @abstractmethod
    def answers(self, model: nn.Module, batch: Mapping[str, Tensor], rows: np.ndarray) -> list[str]:
        """Return an answer to each of these rows: greedy, of at most `max_new_tokens` of the judge's."""

    @abstractmethod
    def try_answers(self, model: nn.Module, largest: int) -> None:
        """Generate one batch of answers, each to its full length: as large as any of so many rows will be."""

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        """Return the loss a token: summed losses over trained tokens, both by sample weights."""
        found, given = TokenPredictions.of(kept), self.sample_weights(rows)
        weights: Any = 1.0 if given is None else given.astype(np.float64)
        total = float((weights * found.tokens).sum())
        return float((weights * found.loss_sums).sum()) / total if total else 0.0
