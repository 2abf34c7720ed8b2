"""The plots of a study, one method each, for notebooks and for the page."""

from collections.abc import Sequence

from hpsearch.errors import MetricError, UsageError, nearest
from hpsearch.report.confusion_figure import confusion_figure
from hpsearch.report.content import Content
from hpsearch.report.contours_figure import contours_figure
from hpsearch.report.history_figure import history_figure
from hpsearch.report.importance_figure import importance_figure
from hpsearch.report.learning_curves_figure import learning_curves_figure
from hpsearch.report.pairs_figure import pairs_figure
from hpsearch.report.parallel_coordinates_figure import parallel_coordinates_figure
from hpsearch.report.slices_figure import slices_figure
from hpsearch.report.theme import Figure
from hpsearch.report.timeline_figure import timeline_figure

SHOWN_TRIALS = 6
"""Trials with a button among the learning curves: as many as there are colours to tell apart."""

MOST_SLICES = 12
"""Panels of the slices by default, for the most important hyperparameters."""

CONTOURED = 3
"""Hyperparameters whose pairs are drawn by default."""


class Figures:
    """The plots of a study. Each method returns a plotly figure, to be shown, written or changed."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def history(self) -> Figure:
        """Draw the value of every trial in the order proposed, with the best so far."""
        return history_figure(self._content)

    def learning_curves(
        self, trials: Sequence[int] | None = None, metric: str | None = None, fold: int | None = None
    ) -> Figure:
        """Draw a metric, and training and validation loss, by epoch: every fold, and their mean.

        Args:
            trials: Numbers of trials; None takes the best, the literature default and the next best.
            metric: Name of a metric that was measured; None takes the objective.
            fold: Index of the only fold to draw, from 0; None draws all of them.

        Raises:
            UsageError: There is no trial of this number, or no fold.
            MetricError: This metric was not measured.
        """
        recorded = self._content.history.trials
        chosen = self._content.leading(SHOWN_TRIALS) if trials is None else tuple(trials)
        unknown = [number for number in chosen if number not in recorded]
        if unknown:
            there = f"trials 0 to {max(recorded)}" if recorded else "none"
            raise UsageError(f"Study {self._content.name!r} has no trial {unknown[0]}; it has {there}.")
        measured = self._content.all_metrics
        name = self._content.objective if metric is None else metric
        if name not in measured:
            raise MetricError(
                f"Study {self._content.name!r} did not measure {name!r}.{nearest(name, measured)} "
                f"It measured {', '.join(measured)}."
            )
        folds = {run.fold for trial in recorded.values() for run in trial.runs}
        if fold is not None and fold not in folds:
            raise UsageError(
                f"Study {self._content.name!r} has no fold {fold}; it has folds 0 to {max(folds, default=0)}."
            )
        return learning_curves_figure(self._content, chosen, name, fold)

    def parallel_coordinates(self) -> Figure:
        """Draw every trial as a line through its hyperparameters to its value."""
        return parallel_coordinates_figure(self._content)

    def slices(self, parameters: Sequence[str] | None = None) -> Figure:
        """Draw each hyperparameter against the value, one panel each, coloured by trial number.

        Args:
            parameters: Names of searched hyperparameters; None takes those that differ, the most important first.

        Raises:
            UsageError: A name is not searched.
        """
        return slices_figure(self._content, self._chosen(parameters, self._content.ranked[:MOST_SLICES]))

    def contours(self, parameters: Sequence[str] | None = None) -> Figure:
        """Draw pairs of hyperparameters: trials as points, over a surface where there are enough of them.

        Args:
            parameters: Names of two or more searched hyperparameters; None takes the three most important, or the first
                three that differ where importance is unknown.

        Raises:
            UsageError: A name is not searched, or there are fewer than two.
        """
        if parameters is not None and len(set(parameters)) < 2:
            raise UsageError(f"parameters={list(parameters)!r}: contours need two or more hyperparameters.")
        return contours_figure(self._content, self._chosen(parameters, self._content.ranked[:CONTOURED]))

    def importance(self) -> Figure:
        """Draw how much each hyperparameter mattered (PED-ANOVA), with what chance alone would give."""
        return importance_figure(self._content)

    def timeline(self) -> Figure:
        """Draw when each run trained, one row per trial, in wall-clock time."""
        return timeline_figure(self._content)

    def winner_against_default(self) -> Figure:
        """Draw every fold of the literature default and of the winner, one panel per metric."""
        return pairs_figure(self._content)

    def confusion(self) -> Figure:
        """Draw the winner's out-of-fold predictions by true and predicted class."""
        return confusion_figure(self._content)

    def _chosen(self, names: Sequence[str] | None, otherwise: Sequence[str]) -> tuple[str, ...]:
        if names is None:
            return tuple(otherwise)
        searched = list(self._content.parameters)
        for name in names:
            if name not in searched:
                raise UsageError(
                    f"Study {self._content.name!r} does not search {name!r}.{nearest(name, searched)} "
                    f"It searches {', '.join(searched) or 'nothing'}."
                )
        return tuple(dict.fromkeys(names))
