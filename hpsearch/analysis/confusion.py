"""The confusion matrix: which class was predicted for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Counts of rows, or of parts of rows.

    Attributes:
        classes: The classes' names, in the order of the codes.
        counts: One tuple per true class, with one count per predicted class.
        noun: What is counted.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    noun: str = "rows"

    @property
    def rows(self) -> int:
        return sum(map(sum, self.counts))

    def worst(self) -> tuple[str, str, int, int] | None:
        """Return the most frequent mistake: (true class, predicted class, how often, rows of the true class)."""
        mistakes = [
            (count, -true, -predicted)
            for true, row in enumerate(self.counts)
            for predicted, count in enumerate(row)
            if true != predicted and count
        ]
        if not mistakes:
            return None
        count, true, predicted = max(mistakes)
        return self.classes[-true], self.classes[-predicted], count, sum(self.counts[-true])


def confusion(targets: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> Confusion | None:
    """Return how often each class was predicted for each, ties to the lower code; None where no row was predicted.

    Args:
        targets: Codes of the classes, shape (rows,).
        probabilities: Shape (rows, classes); rows of NaN, which no fold held out, are left out.
        classes: Names in the order of the codes.
    """
    predicted = np.isfinite(probabilities).all(axis=1)
    if not predicted.any():
        return None
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (targets[predicted], probabilities[predicted].argmax(axis=1)), 1)
    return Confusion(tuple(classes), tuple(tuple(row) for row in counts.tolist()))
