"""The figures of a study, one line each, in the order of the page."""

from hpsearch.report.confusion_figure import confusion_figure
from hpsearch.report.content import Content
from hpsearch.report.contours_figure import contours_figure
from hpsearch.report.history_figure import history_figure
from hpsearch.report.importance_figure import importance_figure
from hpsearch.report.learning_curves_figure import learning_curves_figure
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.pairs_figure import pairs_figure
from hpsearch.report.parallel_coordinates_figure import parallel_coordinates_figure
from hpsearch.report.predicted_figure import predicted_figure
from hpsearch.report.slices_figure import slices_figure
from hpsearch.report.spans_figure import spans_figure
from hpsearch.report.timeline_figure import timeline_figure


class Figures:
    """The plots of a study. Each method returns a plotly figure, to be shown, written or changed."""

    def __init__(self, content: Content) -> None:
        self.content = content

    winner_against_default = pairs_figure
    history = history_figure
    learning_curves = learning_curves_figure
    importance = importance_figure
    slices = slices_figure
    contours = contours_figure
    parallel_coordinates = parallel_coordinates_figure
    spans_by_type = spans_figure
    confusion = confusion_figure
    predicted_against_true = predicted_figure
    timeline = timeline_figure


def drawable(content: Content) -> list[PageFigure[...]]:
    """Return the figures for which this study has something, in the order of the page."""
    figures = [figure for figure in vars(Figures).values() if isinstance(figure, PageFigure)]
    return [figure for figure in figures if figure.is_wanted(content)]
