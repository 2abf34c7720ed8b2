"""The search of the end-to-end benchmark, the same for both parties, and what they find."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs import Job

if TYPE_CHECKING:
    import hpsearch as hp

LEARNING_RATE, WEIGHT_DECAY = (1e-5, 3e-3), (1e-3, 0.3)
"""Both searched on a logarithmic scale."""

BATCH_SIZES, EPOCHS, FREEZE_LAYERS = (8, 16, 32), (1, 4), (0, 6)
DEFAULT = {"learning_rate": 2e-5, "batch_size": 32, "epochs": 3, "weight_decay": 0.01, "freeze_layers": 0}
"""The literature default, which hpsearch begins with; the peer is given it, too."""

FIXED = {"warmup_ratio": 0.1, "lr_scheduler_type": "linear"}


def hpsearch_space() -> "hp.Space":
    """Return the space as hpsearch has it."""
    import hpsearch as hp

    return hp.Space(
        learning_rate=hp.Float(*LEARNING_RATE, log=True),
        batch_size=hp.Categorical(list(BATCH_SIZES)),
        epochs=hp.Int(*EPOCHS),
        weight_decay=hp.Float(*WEIGHT_DECAY, log=True),
        freeze_layers=hp.Int(*FREEZE_LAYERS),
        **FIXED,
    )


def suggested(trial: Any) -> dict[str, Any]:
    """Return a configuration that an Optuna trial suggests."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATE, log=True),
        "batch_size": trial.suggest_categorical("batch_size", list(BATCH_SIZES)),
        "epochs": trial.suggest_int("epochs", *EPOCHS),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY, log=True),
        "freeze_layers": trial.suggest_int("freeze_layers", *FREEZE_LAYERS),
        **FIXED,
    }


@dataclass(frozen=True)
class Complete:
    """A trial that has ended with a cross-validated value.

    Attributes:
        time: When its value was known, in seconds since 1970.
        value: Mean of the objective over the folds.
        config: The configuration.
        epochs: Passes over the rows at which it has this value: what a refit trains.
    """

    time: float
    value: float
    config: Mapping[str, Any]
    epochs: float


def write_trials(job: Job, trials: Sequence[Complete], facts: Mapping[str, Any], index: int = 0) -> None:
    """Write one process's complete trials, and what else there is to know of it."""
    text = json.dumps({"trials": [asdict(trial) for trial in trials], "facts": dict(facts)})
    (Path(job.folder) / f"trials-{index}.json").write_text(text, encoding="utf-8")


def read_trials(job: Job) -> tuple[list[Complete], dict[str, Any]]:
    """Return the complete trials of all processes by time, and the facts; of numbers among them the sum."""
    trials: list[Complete] = []
    facts: dict[str, Any] = {}
    for path in sorted(Path(job.folder).glob("trials-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        trials += [Complete(**trial) for trial in found["trials"]]
        for name, value in found["facts"].items():
            facts[name] = facts.get(name, 0) + value if isinstance(value, int) else value
    return sorted(trials, key=lambda trial: trial.time), facts


def improvements(trials: Sequence[Complete]) -> list[Complete]:
    """Return the trials that were the best so far when they ended, by time."""
    found: list[Complete] = []
    for trial in trials:
        if not found or trial.value > found[-1].value:
            found.append(trial)
    return found
