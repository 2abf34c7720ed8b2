"""Where a metric is undefined: folds and test rows that it cannot judge, found from their targets before training."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.metrics.metric import Metric
from hpsearch.plan.stored_rows import StoredMetric
from hpsearch.tasks.base import Prepared
from hpsearch.tasks.judge import Judged

Reasons = Mapping[str, str]
"""The name of a metric to the reason."""


@dataclass(frozen=True)
class Gaps:
    """Which metrics say nothing of which rows, whatever is predicted of them; they are not a number there.

    Attributes:
        folds: By fold, those of its held-out rows.
        test: Those of the test rows.
    """

    folds: Mapping[int, Reasons] = field(default_factory=dict)
    test: Reasons = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of them, a sentence a metric."""
        names = dict.fromkeys(name for reasons in self.folds.values() for name in reasons)
        sentences = []
        for name in names:
            folds = [fold for fold, reasons in self.folds.items() if name in reasons]
            several = f"folds {', '.join(map(str, folds))}; in " if len(folds) > 1 else ""
            sentences.append(
                f"metric {name!r} is not defined on the held-out rows of {several}fold {folds[0]}: "
                f"{self.folds[folds[0]][name]}. It is not a number there, and so is its mean over folds."
            )
        return (
            *sentences,
            *(
                f"metric {name!r} is not defined on the test rows: {reason}. It has no test score."
                for name, reason in self.test.items()
            ),
        )


def gaps_of(prepared: Prepared, held_out: Sequence[np.ndarray], metrics: Sequence[Metric]) -> Gaps:
    """Return where metrics are undefined, by the held-out rows of each fold; each is tried on made-up predictions.

    One that gives the same for whatever is predicted of all training rows is as its user wants it.
    """
    folds: dict[int, dict[str, str]] = {}
    test: dict[str, str] = {}
    rows = _Rows.of(prepared.folder)
    parts = {fold: rows.part(part) for fold, part in enumerate(held_out)}
    tested = None if prepared.test_folder is None else _Rows.of(prepared.test_folder)
    for metric in metrics:
        if isinstance(metric, StoredMetric):  # it can only be read
            continue
        judged = functools.partial(prepared.judge.judged, metric)
        found = {fold: judged(part.targets, part.weights) for fold, part in parts.items()}
        on_test = Judged() if tested is None else judged(tested.targets, tested.weights)
        constant = any(one.is_constant for one in (*found.values(), on_test))
        if constant and judged(rows.targets, rows.weights).is_constant:
            continue
        for fold, one in found.items():
            if one.reason is not None:
                folds.setdefault(fold, {})[metric.name] = one.reason
        if on_test.reason is not None:
            test[metric.name] = on_test.reason
    return Gaps(dict(sorted(folds.items())), test)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Targets and sample weights of rows."""

    targets: Any
    weights: np.ndarray | None

    @classmethod
    def of(cls, folder: Path) -> "_Rows":
        from hpsearch.data.dataset import open_dataset
        from hpsearch.data.ragged import rows_of

        dataset = open_dataset(folder)
        return cls(rows_of(dataset.arrays, "targets"), dataset.get("weights"))

    def part(self, rows: np.ndarray) -> "_Rows":
        return _Rows(self.targets[rows], None if self.weights is None else self.weights[rows])
