"""The loss of each row of a classification."""

from torch import Tensor
from torch.nn import functional

from hpsearch.metrics.metric import TargetKind


def classification_losses(logits: Tensor, targets: Tensor, label_smoothing: float, kind: TargetKind) -> Tensor:
    """Return each row's loss in float32, shape (rows,).

    Cross-entropy, the target's share `label_smoothing` spread over all classes (Szegedy et al. 2016, section 7);
    of a multilabel task the mean over its labels of binary cross-entropy, each target drawn towards 1/2 by that share.
    """
    scores = logits.float()
    if kind != "multilabel":
        return functional.cross_entropy(scores, targets, reduction="none", label_smoothing=label_smoothing)
    smoothed = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return functional.binary_cross_entropy_with_logits(scores, smoothed, reduction="none").mean(dim=1)
