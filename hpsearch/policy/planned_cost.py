"""What a segment costs by plan, in whole numbers: what virtual time counts in (`hpsearch.policy.order`).

It follows from the configuration and the data alone, never from what was measured, so it is the same on every machine.
It need not be right: the better it tells how long segments take against each other, the less do workers wait.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.policy.costs import rows_of
from hpsearch.records import Run

VERSION = 1
"""Version of the formula. A study keeps the one it began with; a change of the formula is a new one beside it."""

FORWARD, BACKWARD = 1, 2
"""Cost of a row in one layer: a backward pass takes two products where a forward pass takes one."""

STEP_ROWS = 8
"""An optimizer step costs as much as training so many rows: it reads and writes every weight that is trained, and small
batches do not fill a device (docs/decisions/virtual-time.md)."""

SEGMENT_ROWS = 16
"""A segment costs as much as training so many rows: to send it, read its checkpoint, write the next."""

LAYER, HEAD = 4, 1
"""Cost of a layer against what is trained beside the layers that can be frozen."""


@dataclass(frozen=True)
class PlannedCost:
    """The planned cost of a run's evaluation points and segments.

    A layer that is frozen costs nothing: its outputs are computed once for the data, whichever trial comes first.

    Attributes:
        held_out: Rows of each held-out fold.
        layers: Returns the number of layers of a training config's model that can be frozen; 0 where none can.
    """

    held_out: Sequence[int]
    layers: Callable[[Mapping[str, Any]], int]

    def of_a_point(self, run: Run) -> int:
        """Return the cost of one evaluation point: the rows trained since the one before, and the evaluation."""
        rows = rows_of(run)
        steps = rows / int(run.config.get("batch_size", 1))
        trained = (rows + STEP_ROWS * steps) * (FORWARD + BACKWARD)
        return max(1, round((trained + self._held_out(run) * FORWARD) * self._of_a_row(run)))

    def of_a_segment(self, run: Run) -> int:
        """Return what a segment costs, whatever it trains."""
        return SEGMENT_ROWS * (FORWARD + BACKWARD) * self._of_a_row(run)

    def _of_a_row(self, run: Run) -> int:
        layers = self.layers(run.config)
        frozen = run.config.get("freeze_layers", 0)
        frozen = layers if frozen == "all" else int(frozen) if isinstance(frozen, int | float) else 0
        return LAYER * max(0, layers - frozen) + HEAD

    def _held_out(self, run: Run) -> int:
        return self.held_out[run.fold] if run.fold < len(self.held_out) else 0
