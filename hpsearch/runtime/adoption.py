"""What one run has measured, written as another's that begins with the same steps."""

from dataclasses import dataclass, replace

import numpy as np

from hpsearch.records import Evaluation, Run
from hpsearch.records.store import Store
from hpsearch.runtime.prefixes import Prefixes


@dataclass(frozen=True)
class Adopted:
    """An evaluation taken over from another trial's run, and the outputs of its held-out rows."""

    trial: int
    evaluation: Evaluation
    predictions: np.ndarray


def adoption(store: Store, prefixes: Prefixes, run: Run, point: int) -> Adopted | None:
    """Return what other runs have measured at a point as this run's own; it took no time.

    None where none has measured it, or none has kept its outputs there: they are trained again, for without them the
    run would lack its predictions.
    """
    for number, other in prefixes.sources(store.history, run, point):
        predictions = store.predictions(other.key, point)
        if predictions is not None:
            evaluation = replace(store.history.of(other.key)[point - 1], run=run.key, seconds=0.0)
            return Adopted(number, evaluation, predictions)
    return None
