"""The messages between a worker and the process of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# From the worker to the process.


@dataclass(frozen=True)
class Begin:
    """What a process is to run: the first message, after the search path of modules.

    Attributes:
        call: Runs the user's code with a `Run`.
        train_rows, validation_rows: The rows of the fold, as the user's own type; None where the task has none.
        seed: The run's seed.
        device: The device that the worker trains on.
        folder: The run's folder.
        restored: The folder of the state to continue from, or None.
        point, step: Where that state stands.
        horizon: How many reports the whole run has.
        until: The report at which it is to wait.
        checkpoint_every: Seconds between saves.
        threads: How many threads a CPU computes with, or None.
        is_refit: Whether it trains on all rows, to be exported.
    """

    call: Callable[[Any], None]
    train_rows: Any
    validation_rows: Any
    seed: int
    device: str
    folder: Path
    restored: Path | None
    point: int
    step: int
    horizon: int
    until: int
    checkpoint_every: float
    threads: int | None = None
    is_refit: bool = False


@dataclass(frozen=True)
class Go:
    """Train on, up to this report."""

    until: int


@dataclass(frozen=True)
class Pause:
    """Save as soon as that can be done, and wait."""


@dataclass(frozen=True)
class End:
    """Nothing more is wanted: let the code return."""


# From the process to the worker.


@dataclass(frozen=True)
class Reported:
    """The code reported.

    Attributes:
        metrics: Name to number, as reported.
        peak_memory_bytes: The most memory that the process, or its GPU, has held.
    """

    point: int
    step: int
    metrics: Mapping[str, float]
    peak_memory_bytes: int = 0


@dataclass(frozen=True)
class Saved:
    """A state is complete in a folder: it has the reports up to `point`."""

    folder: Path
    point: int
    step: int


@dataclass(frozen=True)
class Waiting:
    """The process waits for `Go` or `End`: it has come to its report, or heard `Pause`, and saved if it ever does."""


@dataclass(frozen=True)
class Warned:
    """Something that the user should know, once."""

    text: str


@dataclass(frozen=True)
class Returned:
    """The user's code has returned."""


@dataclass(frozen=True)
class Failed:
    """The user's code has raised.

    Attributes:
        message: The exception, in a line.
        log: Its traceback.
        is_memory: Whether memory ran out.
    """

    message: str
    log: str = field(repr=False)
    is_memory: bool = False
