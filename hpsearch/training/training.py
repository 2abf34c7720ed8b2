"""The seam between a worker and what trains a run: the project's own loop, or a process that runs the user's."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.errors import TaskError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hpsearch.training.base_model import BaseModel
    from hpsearch.training.measurement import Measurement
    from hpsearch.training.numerics import Numerics


class Training(Protocol):
    """One training of one config on one fold: it can be left, written down, and continued elsewhere."""

    @property
    def has_model(self) -> bool:
        """Whether it can go on from where it is: nobody else has taken what it needs."""

    @property
    def point(self) -> int:
        """The last evaluation point reached, 0 before the first."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def place(self) -> tuple[int, int]:
        """The point and the step of what `checkpoint` would hold; (0, 0) for the beginning."""

    def advance(self, stop: int) -> "Iterator[Measurement | None]":
        """Train until evaluation point `stop` is reached, or until `pause` is heard.

        An item is a Measurement, or None, so that the caller can look at the clock.
        """

    def pause(self) -> None:
        """Have `advance` end as soon as the run can be left."""

    def checkpoint(self) -> dict[str, bytes]:
        """Return the run's state at `place`, file name to bytes."""

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Continue from a `checkpoint` of this run, made by any process; `CheckpointError` where it is none."""

    def files(self) -> Mapping[str, bytes]:
        """Return what the user's code has saved, path to bytes; of the project's own loop, the same as `checkpoint`.

        Raises:
            RunFailedError: It has saved nothing.
        """

    def close(self) -> None:
        """Free what it holds; it is not used any more. A second call does nothing."""


@dataclass(frozen=True)
class RunArguments:
    """What a task is given to make the training of a run.

    Attributes:
        config: The whole training config.
        train_rows: Rows to train on, int64, shape (rows,).
        held_out_rows: Rows to evaluate on; None for a refit.
        seed: The run's own.
        evaluations_per_epoch: Evaluation points an epoch.
        numerics: What to compute with.
        device: Where to compute.
        base: Returns the worker's base model for the config, loaded if need be.
        folder: A folder for the run's own files, on this machine. It may have those of an earlier process.
        checkpoint_every: Seconds after which a run that saves itself is to save again.
        answer_points: Evaluation points at which answers are generated.
        first_fold_rows: Training rows of the study's first fold, which `max_steps` counts steps of.
        progressed: To be called as work continues; it must not raise.
    """

    config: Mapping[str, Any]
    train_rows: "np.ndarray"
    held_out_rows: "np.ndarray | None"
    seed: int
    evaluations_per_epoch: int
    numerics: "Numerics"
    device: "torch.device"
    base: "Callable[[], BaseModel]"
    folder: Path
    checkpoint_every: float
    answer_points: frozenset[int] = frozenset()
    first_fold_rows: int | None = None
    progressed: Callable[[], None] = lambda: None


class RunFailedError(TaskError):
    """The user's code failed in a process of its own.

    Attributes:
        log: Its traceback, or how the process ended and what it had written last.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFailedError, (str(self), self.log)


class RunLostError(RunFailedError):
    """The process was killed, and its code is not to blame: the run may be tried again."""
