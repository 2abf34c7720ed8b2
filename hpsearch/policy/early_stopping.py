"""The early-stopping rule: it ends a trial's first fold when that no longer improves, and so sets the stop point."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Objective
from hpsearch.records import LOSS, Evaluation
from hpsearch.records.run_length import first_stop


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the monitored number has not improved for a number of epochs.

    It watches the first fold. The later folds, and the refit, then train for the same number of epochs.

    Attributes:
        patience: Epochs without improvement; may be a fraction (Prechelt 1998, "Early stopping - but when?").
        monitor: "loss" (the mean validation loss, smoother than most metrics) or "objective"; where runs measure
            themselves and report no loss it is the objective.

    Raises:
        UsageError: The patience is not positive, or the monitor is unknown.
    """

    patience: float = 1.0
    monitor: Literal["loss", "objective"] = "loss"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.patience) and self.patience > 0):
            raise UsageError(
                f"early_stopping must be a positive number of epochs, not {self.patience!r}; "
                "None switches early stopping off."
            )
        if self.monitor not in ("loss", "objective"):
            raise UsageError(f"Early stopping monitors 'loss' or 'objective', not {self.monitor!r}.")

    def stop_point(
        self,
        evaluations: Sequence[Evaluation],
        objective: Objective,
        warmup_epochs: float,
        evaluations_per_epoch: int,
        epochs: float = math.inf,
    ) -> int | None:
        """Return the point at which a run stops early, or None while it continues.

        No run stops before the learning rate's warmup and one full epoch are over, or the first half of a run of less
        than two epochs: a loss on its initial plateau says nothing yet. Where the objective is sparse, none stops where
        it is not measured: the point may be the last that folds have in common. `evaluations` are the run's, at points
        1, 2, 3, ..., and `epochs` is how long it may train.
        """
        patience = max(1, math.ceil(self.patience * evaluations_per_epoch - 1e-9))
        earliest = math.ceil(max(first_stop(epochs), warmup_epochs) * evaluations_per_epoch - 1e-9)
        best_point, best = 0, math.inf
        for evaluation in evaluations:
            is_loss = self.monitor == "loss" and LOSS in evaluation.metrics
            monitored = evaluation.metrics[LOSS] if is_loss else -objective.score(evaluation.metrics)
            if math.isfinite(monitored) and monitored < best:
                best_point, best = evaluation.point, monitored
            if objective.is_sparse and math.isnan(objective.score(evaluation.metrics)):
                continue
            if evaluation.point >= earliest and evaluation.point - best_point >= patience:
                return evaluation.point
        return None
