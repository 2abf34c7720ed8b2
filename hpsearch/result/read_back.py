"""Reads an exported folder back as a stranger would, and compares its predictions with those that were scored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import DataError, TaskError
from hpsearch.runtime.refit import honoured, outputs_of

if TYPE_CHECKING:
    from hpsearch.data.ragged import Rows
    from hpsearch.runtime.messages import Workload
    from hpsearch.runtime.refit import Refit
    from hpsearch.tasks.base import Split

_LONGEST = 8
_SPACED = 16
_NAMED_ROWS = 3


@dataclass(frozen=True)
class Difference:
    """A row that the folder predicts otherwise: what was scored, and what is predicted."""

    row: int
    scored: str
    predicted: str


@dataclass(frozen=True)
class Way:
    """One way of asking the folder, and the rows that it predicts otherwise; for the other fields see `Answers`."""

    name: str
    as_exported: bool
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Check:
    """What came of reading an exported folder back.

    Attributes:
        split: "train" or "test": which rows were predicted.
        rows: Their places.
        ways: Each way in which they were.
        failure: Why it could not be done; empty where it could.
    """

    split: str
    rows: tuple[int, ...]
    ways: tuple[Way, ...] = ()
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the folder, used as it was exported, predicts as it was scored."""
        return not self.failure and not any(way.differences for way in self.ways if way.as_exported)

    def to_json(self) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "split": self.split,
            "rows": list(self.rows),
            "failure": self.failure,
            "ways": [
                {
                    "way": way.name,
                    "as_exported": way.as_exported,
                    "differences": [vars(difference) for difference in way.differences],
                }
                for way in self.ways
            ],
        }

    def text(self) -> str:
        """Return what a person is told: sentences."""
        return " ".join([self._verdict(), *self._advice()])

    def _verdict(self) -> str:
        if self.failure:
            return (
                "The exported folder could not be checked by loading it as a stranger would, so its score is not "
                f"stated: {self.failure}"
            )
        if self.agrees:
            asked = [way.name for way in self.ways if way.as_exported]
            return f"{self._rows} were predicted from this folder {' and '.join(asked)}: as they were scored."
        told = [self._told(way) for way in self.ways if way.as_exported and way.differences]
        return (
            "The exported model does not predict as it was scored, so its score is not stated. "
            f"{self._rows} were predicted from the folder. {' '.join(told)} Score it the way you will use it."
        )

    def _advice(self) -> Iterator[str]:
        for way in self.ways:
            if not way.as_exported and way.differences and not self.failure:
                yield f"{way.name.capitalize()}, {self._count(way)}: leave the tokenizer's padding_side as it is."

    def _told(self, way: Way) -> str:
        named = "; ".join(
            f"row {each.row} was scored as {each.scored} and is now {each.predicted}"
            for each in way.differences[:_NAMED_ROWS]
        )
        return f"{way.name.capitalize()}, {self._count(way)}: {named}."

    def _count(self, way: Way) -> str:
        return f"{len(way.differences)} of {len(self.rows)} rows differ"

    @property
    def _rows(self) -> str:
        return f"{len(self.rows)} {'training' if self.split == 'train' else self.split} rows"


def read_back(workload: "Workload", refit: "Refit", folder: Path, scored: "Rows | None") -> Check | None:
    """Predict some rows with an exported folder in every way a stranger would, and compare.

    The refit's model leaves its device, so that two need not fit there.

    Args:
        workload: The study's.
        refit: What was exported.
        folder: What `Task.save` wrote.
        scored: What was kept of the test rows when the refit was scored; None where there are none, and training rows
            are predicted.

    Returns:
        None where the task knows no way that a stranger would.
    """
    if workload.task.trains_itself:
        return None
    split: Split = "train" if scored is None else "test"
    device = next(refit.model.parameters()).device
    prepared = replace(workload.prepared_for(refit.config), judge=refit.judge)
    rows = _sample(np.asarray(workload.learner_for(refit.config, split, refit.judge).lengths))
    kept = outputs_of(workload, refit, split, rows)[0] if scored is None else scored[rows]
    with honoured(workload.numerics, device):
        expected = workload.task.scored_predictions(
            refit.model, prepared, refit.config, split=split, rows=rows, kept=kept, device=device
        )
    refit.model.cpu()
    places = tuple(int(row) for row in rows)
    ways = []
    try:
        with honoured(workload.numerics, device):
            for answers in workload.task.exported_answers(
                folder, prepared, refit.config, split=split, rows=rows, device=device
            ):
                differing = np.flatnonzero(answers.judge.differing(expected, answers.predictions))
                words = answers.judge.prediction_text
                found = tuple(
                    Difference(places[place], words(expected, place), words(answers.predictions, place))
                    for place in differing.tolist()
                )
                ways.append(Way(answers.way, answers.as_exported, found))
    except (TaskError, DataError) as error:
        return Check(split, places, tuple(ways), str(error).replace(str(folder), "the folder"))
    return Check(split, places, tuple(ways)) if ways else None


def _sample(lengths: np.ndarray) -> np.ndarray:
    """Return the places of the longest and the shortest rows, and of some evenly spaced."""
    order = np.argsort(lengths, kind="stable")
    spaced = np.linspace(0, len(lengths) - 1, min(len(lengths), _SPACED)).round().astype(np.int64)
    return np.unique(np.concatenate([order[:_LONGEST], order[-_LONGEST:], spaced]))
