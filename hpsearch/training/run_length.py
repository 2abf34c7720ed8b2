"""The steps of a run, and the evaluation points on them."""

from dataclasses import dataclass
from typing import Self

from hpsearch.records.run_length import horizon_of, whole_up
from hpsearch.training.batches import steps_per_epoch
from hpsearch.training.hyperparameters import TrainingSettings


@dataclass(frozen=True)
class RunLength:
    """How long a run is.

    Attributes:
        horizon: The last evaluation point, which lies on the last step.
        steps_total: Optimizer steps.
        steps_per_epoch: Optimizer steps an epoch.
        evaluations_per_epoch: Evaluation points an epoch.
    """

    horizon: int
    steps_total: int
    steps_per_epoch: int
    evaluations_per_epoch: int

    @classmethod
    def of(
        cls, settings: TrainingSettings, steps: int, evaluations_per_epoch: int, first_fold: tuple[int, int]
    ) -> Self:
        """Return the length of a run of `steps` an epoch.

        `max_steps` is exactly the number of steps of a run on the first fold's rows. Other runs of the config (on other
        folds, the refit) are as long in epochs, so that all have the same points; they may have more or fewer steps.

        Args:
            settings: The run's settings.
            steps: Optimizer steps an epoch.
            evaluations_per_epoch: Evaluation points an epoch.
            first_fold: Training rows of the study's first fold, and optimizer steps in an epoch of them.
        """
        length = {"epochs": settings.epochs, "max_steps": settings.max_steps}
        rows, of_first_fold = first_fold
        horizon = horizon_of(length, steps_per_epoch(rows, settings.batch_size), evaluations_per_epoch)
        if settings.max_steps is None:
            assert settings.epochs is not None  # one of the two is there
            total = whole_up(settings.epochs * steps)
        else:
            total = whole_up(settings.max_steps * steps / of_first_fold)
        return cls(horizon, total, steps, evaluations_per_epoch)

    def step_of(self, point: int) -> int:
        """Return the number of steps after which an evaluation point is reached."""
        if point >= self.horizon:
            return self.steps_total
        return min(self.steps_total, -(-point * self.steps_per_epoch // self.evaluations_per_epoch))
