"""How far a trial has come, as promotion ranks it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

from hpsearch.records import Evaluation, Run, TrialState


@dataclass(frozen=True)
class Progress:
    """How far a trial has come, and what that was read from.

    Attributes:
        group: The group that it is compared with: key, rungs and size.
        first: The first step at which it may have to wait.
        steps: Step to (score of the partial value, minus validation loss). The loss breaks ties: models that predict
            one class for every row have equal scores, and it tells which has learnt more.
        folds: The best score of each of its whole runs, in order, up to the first that is not whole.
    """

    group: tuple[Hashable, tuple[int, ...], int | None]
    first: int
    runs: tuple[Run, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]
    stop: int | None
    state: TrialState
    steps: Mapping[int, tuple[float, float]]
    folds: tuple[float, ...]

    @cached_property
    def last_step(self) -> int:
        return max(self.steps, default=0)

    @cached_property
    def _reached(self) -> dict[int, int | None]:
        return {}

    def _step(self, rung: int) -> int | None:
        """Return the step at which it came to a rung; a thousand trials are asked at each decision."""
        if rung not in self._reached:
            self._reached[rung] = min((step for step in self.steps if step >= rung), default=None)
        return self._reached[rung]

    def at(self, rung: int) -> tuple[float, float] | None:
        """Return what a rung ranks by, or None before it; a run of few evaluation points may skip a rung."""
        step = self._step(rung)
        return None if step is None else self.steps[step]

    def is_beyond(self, rung: int) -> bool:
        step = self._step(rung)
        return step is not None and self.last_step > step

    def tells_the_same_as(self, other: "Progress | None") -> bool:
        """Return whether no ranking can tell the two apart: none asks whether an unfinished trial waits."""
        if other is None or other.runs is not self.runs:
            return False
        is_as_ended = self.state is other.state or not (self.state.is_finished or other.state.is_finished)
        return is_as_ended and (self.steps, self.folds) == (other.steps, other.folds)
