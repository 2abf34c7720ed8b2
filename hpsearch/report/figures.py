"""The plots of a study, one method each, for notebooks and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.errors import MetricError, UsageError, nearest
from hpsearch.report.content import Content

if TYPE_CHECKING:
    from hpsearch.report.theme import Figure

SHOWN_TRIALS = 6
"""Learning curves drawn at first: as many as there are colours to tell apart."""


class Figures:
    """The plots of a study. Each method returns a plotly figure, to be shown, written or changed."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def history(self) -> Figure:
        """Draw the value of every trial in the order of asking, with the best so far."""
        from hpsearch.report.history_figure import history_figure

        return history_figure(self._content)

    def learning_curves(self, trials: Sequence[int] | None = None, metric: str | None = None) -> Figure:
        """Draw a metric, and training and validation loss, by epoch: every fold, and their mean.

        Args:
            trials: Numbers of trials; None takes the best, the literature default and the next best.
            metric: Name of a metric that was measured; None takes the objective.

        Raises:
            UsageError: There is no trial of this number.
            MetricError: This metric was not measured.
        """
        from hpsearch.report.learning_curves_figure import learning_curves_figure

        known = self._content.history.trials
        chosen = self._content.leading(SHOWN_TRIALS) if trials is None else tuple(trials)
        unknown = [number for number in chosen if number not in known]
        if unknown:
            there = f"trials 0 to {max(known)}" if known else "none"
            raise UsageError(f"Study {self._content.name!r} has no trial {unknown[0]}; it has {there}.")
        measured = self._content.all_metrics
        name = self._content.objective if metric is None else metric
        if name not in measured:
            raise MetricError(
                f"Study {self._content.name!r} did not measure {name!r}.{nearest(name, measured)} "
                f"It measured {', '.join(measured)}."
            )
        return learning_curves_figure(self._content, chosen, name)

    def parallel_coordinates(self) -> Figure:
        """Draw every trial as a line through its hyperparameters to its value."""
        from hpsearch.report.parallel_coordinates_figure import parallel_coordinates_figure

        return parallel_coordinates_figure(self._content)
