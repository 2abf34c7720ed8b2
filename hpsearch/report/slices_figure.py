"""Slices: each hyperparameter against the value, one panel each."""

from collections.abc import Sequence

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.panels import COLORBAR, add_trials, axis_of, describe_axes, lay_out
from hpsearch.report.scales import ABSENT, Scale, scale_of
from hpsearch.report.theme import SKY, VERMILION, Figure, empty_figure
from hpsearch.report.wording import escaped, settings

MOST_SLICES = 12
"""Panels by default, for the most important hyperparameters."""

ORDER_COLORS = [[0.0, SKY], [1.0, VERMILION]]
"""From the first trial to the last; both ends show on light and dark pages."""


def slices(content: Content, parameters: Sequence[str] | None = None) -> Figure:
    """Draw each hyperparameter against the value, one panel each, coloured by trial number.

    Args:
        parameters: Names of searched hyperparameters; None takes those that differ, the most important first.

    Raises:
        UsageError: A name is not searched.
    """
    names = content.ranked[:MOST_SLICES] if parameters is None else content.searched(parameters)
    title = f"{escaped(content.objective)} by hyperparameter"
    judged = [s for s in content.summaries if s.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    shown = [(summary, summary.value) for summary in judged if summary.value is not None]
    if not names or not shown:
        return empty_figure(title, "no trial has been judged yet" if not shown else "nothing was searched")
    figure = Figure()
    for index, name in enumerate(names):
        using = [(summary, value) for summary, value in shown if name in summary.config]
        scale = scale_of(name, [summary.config[name] for summary, _ in using], content.parameters.get(name))
        places = [(summary, _place(scale, summary, name), value) for summary, value in using]
        places = [place for place in places if place[1] > ABSENT / 2]
        pruned = [place for place in places if place[0].state is TrialState.PRUNED]
        complete = [place for place in places if place[0].state is TrialState.COMPLETE]
        add_trials(figure, content, index, pruned, complete, [summary.number for summary, _, _ in complete])
        describe_axes(figure, index, axis_of(scale), {"nticks": 5, "matches": "y"})
    figure.layout.yaxis.matches = None
    lay_out(figure, names, title)
    last = max(summary.number for summary, _ in shown)
    scale_title = {"text": "trial, in the order proposed", "side": "top"}
    figure.update_layout(
        coloraxis={
            "colorscale": ORDER_COLORS,
            "cmin": 0,
            "cmax": max(1, last),
            "colorbar": {**COLORBAR, "title": scale_title, "tickvals": [0, last] if last else [0]},
        },
    )
    return figure


def _place(scale: Scale, summary: TrialSummary, name: str) -> float:
    """Return where a trial lies; choices spread a little, so that equal ones do not hide each other."""
    at = scale.position(summary.config[name])
    if scale.positions is None or at == ABSENT:
        return at
    room = 0.25 / max(2, len(scale.positions))
    return at + room * (2 * ((summary.number * 0.618034) % 1) - 1)


def _words(content: Content) -> str:
    text = (
        "One point per trial, at its setting and its value, coloured from blue for the first trial to red for the "
        "last. Where late points gather, the sampler saw promise. Values of pruned trials are partial."
    )
    if len(content.ranked) > MOST_SLICES:
        text += f" The first {MOST_SLICES} of {len(content.ranked)} hyperparameters are shown."
    if any(name not in summary.config for summary in content.summaries for name in content.ranked[:MOST_SLICES]):
        text += " A trial without a hyperparameter is not in its panel."
    return text


def _alt_text(content: Content) -> str:
    """Return what the panels show, and the best setting of each."""
    text = f"{content.objective} over each of {', '.join(content.ranked)}."
    if content.best is None:
        return text
    return f"{text} The best trial has {settings(content.best.config, content.ranked)}."


slices_figure = PageFigure(
    name="slices",
    heading="Each hyperparameter by itself",
    draw=slices,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: bool(content.ranked),
)
