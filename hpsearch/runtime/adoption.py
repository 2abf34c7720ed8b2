"""What one run has measured, written as another's that begins with the same steps."""

from dataclasses import dataclass, replace

import numpy as np

from hpsearch.records import Evaluation, Run
from hpsearch.records.store import Store
from hpsearch.runtime.prefixes import Prefixes


@dataclass(frozen=True)
class Adopted:
    """An evaluation taken over from another trial's run, and the outputs of its held-out rows where they are kept."""

    trial: int
    evaluation: Evaluation
    predictions: np.ndarray | None


def adoption(store: Store, prefixes: Prefixes, run: Run, point: int) -> Adopted | None:
    """Return what other runs have measured at a point as this run's own, None where none has; it took no time."""
    found = None
    for number, other in prefixes.sources(store.history, run, point):
        evaluation = replace(store.history.of(other.key)[point - 1], run=run.key, seconds=0.0)
        found = Adopted(number, evaluation, store.predictions(other.key, point))
        if found.predictions is not None:
            break
    return found
