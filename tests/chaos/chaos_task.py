"""The fine-tune of the chaos suite: texts, and workers that say what they train and suffer on demand.

Everything is asked for by the environment and by files, never by an argument: what is disturbed is the same study, key
by key, as its undisturbed twin.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hpsearch as hp

FOLDS = 3
"""Blocks of rows that are held out in turn."""

CONTROL = "CHAOS_CONTROL"
"""Variable with the folder of the files below; where it is not set nothing happens."""

PAUSE = "CHAOS_PAUSE"
"""Variable with the seconds that each training batch takes longer, so that there is time for faults."""

DIVERGES = "diverges.json"
"""File with the values of `batch_size` whose training loss becomes NaN, each on one fold: `{"8": fold}`."""

HOARD = "hoard-{pid}"
"""File with the megabytes that the worker of this number takes with its next batch."""

HANGS = "hang-{pid}"
"""File that has the worker of this number never end its next batch."""

TRAINING = "training-{pid}.json"
"""File in which the worker of this number says what it trains: its values of the searched, and its fold."""


@dataclass(frozen=True, eq=False)
class ChaosTexts(hp.TextClassification):
    """A text classification that looks, with each training batch, whether something is to happen to it."""

    def _learner(self, dataset: Any, pretrained: Any) -> Any:
        from chaos_learner import ChaosLearner

        return ChaosLearner(dataset, pretrained)


def control() -> Path | None:
    return Path(os.environ[CONTROL]) if CONTROL in os.environ else None


def training_of(pid: int, folder: Path) -> dict[str, Any] | None:
    """Return what a worker says that it trains: batch_size, learning_rate and fold; None where it says nothing."""
    try:
        return json.loads((folder / TRAINING.format(pid=pid)).read_text())
    except (OSError, ValueError):  # it is writing
        return None
