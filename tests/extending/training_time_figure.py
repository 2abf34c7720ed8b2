import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BLUE, Figure, empty_figure, titled
from hpsearch.report.wording import duration


def training_time(content: Content) -> Figure:
    """Draw how many seconds each trial has trained."""
    trained = [summary for summary in content.summaries if summary.seconds]
    if not trained:
        return empty_figure("Training time", "nothing has trained")
    bars = go.Bar(x=[trial.number for trial in trained], y=[trial.seconds for trial in trained], marker={"color": BLUE})
    axes = {"xaxis": {"title": {"text": "trial"}}, "yaxis": {"title": {"text": "s"}}}
    return titled(Figure(bars), "Training time", 360, **axes)


def total(content: Content) -> str:
    return f"{duration(sum(summary.seconds for summary in content.summaries))} of training in all."


training_time_figure = PageFigure(
    name="training-time",
    heading="Training time",
    draw=training_time,
    words="One bar per trial: the seconds that its runs trained, all folds together.",
    alt_text=total,
    has_something=lambda content: any(summary.seconds for summary in content.summaries),
)
