"""What the fine-tune needs of texts with spans: tagged tokens, padded; and what is kept of their logits."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset, RaggedRows
from hpsearch.data.ragged import Ragged, Rows
from hpsearch.tasks.pretrained import Pretrained
from hpsearch.tasks.spans.judge import SpanJudge
from hpsearch.tasks.spans.tags import UNTAGGED
from hpsearch.tasks.tokens import TextLearner, laid_out


class SpanLearner(TextLearner):
    """Padded batches of tokens, and of the codes of their tags.

    A row's loss is the mean over its tagged tokens, and its share that of all tagged tokens of a batch: the loss of a
    batch is that of a token, however long its rows are.
    """

    def __init__(self, dataset: Dataset, pretrained: Pretrained) -> None:
        super().__init__(dataset, pretrained)
        offsets = self.tokens.offsets
        self._codes, self._starts, self._ends = (
            RaggedRows(dataset[f"token_{name}"], offsets) for name in ("codes", "starts", "ends")
        )
        is_tagged = np.asarray(self._codes.values) != UNTAGGED
        totals = np.concatenate([[0], np.cumsum(is_tagged)])
        self._tagged = totals[offsets[1:]] - totals[offsets[:-1]]

    def weights(self, rows: np.ndarray) -> Tensor | None:
        tagged, weights = self._tagged[rows].astype(np.float32), self.sample_weights(rows)
        return torch.from_numpy(tagged if weights is None else tagged * weights)

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return the codes of tags, int64, shape (rows, tokens of the longest row), UNTAGGED where there is none."""
        lengths = self.lengths[rows]
        return laid_out(self._codes.take(rows), self.filled(lengths, int(lengths.max())), UNTAGGED)

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return logits, 0 for padding: nobody reads these, and frozen layers keep none of their outputs for it."""
        is_there = batch["attention_mask"].bool().unsqueeze(-1)
        return super().outputs(model, batch).masked_fill(~is_there, 0.0)

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return self.judge.losses(self._beside(outputs, targets.shape[1]), targets, label_smoothing)

    def _beside(self, outputs: Tensor, width: int) -> Tensor:
        """Return the outputs of the tokens that targets of this width are of, without what only padding fills."""
        return outputs[:, -width:] if self.dataset.facts["padding_side"] == "left" else outputs[:, :width]

    def keep(
        self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, model: nn.Module
    ) -> Tensor | Sequence[Tensor]:
        """Return of each row what `SpanJudge` keeps, computed from its tagged tokens in float64, on the CPU."""
        codes = self.targets(rows).numpy()
        is_tagged = codes != UNTAGGED
        logits = self._beside(outputs, codes.shape[1]).detach().float().cpu().numpy()[is_tagged]
        taken = [ragged.take(rows) for ragged in (self._codes, self._starts, self._ends)]
        tagged = taken[0].values != UNTAGGED
        kept = cast(SpanJudge, self.judge).kept(
            logits,
            codes=codes[is_tagged],
            rows=np.nonzero(is_tagged)[0],
            starts=taken[1].values[tagged],
            ends=taken[2].values[tagged],
            count=len(rows),
        )
        return list(torch.from_numpy(kept.elements).split(np.diff(kept.offsets).tolist()))

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        """Return the mean loss of a tagged token, each with the weight of its row."""
        assert isinstance(kept, Ragged)
        headers = kept.elements[kept.offsets[:-1]].astype(np.float64)
        weights: Any = self.sample_weights(rows)
        losses, tokens = headers[:, 0], headers[:, 1]
        if weights is not None:
            losses, tokens = losses * weights, tokens * weights
        return float(losses.sum() / tokens.sum()) if tokens.sum() else 0.0
