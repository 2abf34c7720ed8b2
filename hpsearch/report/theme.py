"""One look for all figures: colours that colour-blind readers tell apart, on light and dark pages alike."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.report.content import Content
from hpsearch.report.wording import broken, ended, escaped, score, setting

# Okabe and Ito (2008), Color Universal Design; without black and yellow, which a dark or a light page swallows.
GREEN, ORANGE, BLUE, VERMILION, PURPLE, SKY = "#009E73", "#E69F00", "#2B87C8", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#8A919B"
BEST, DEFAULT = GREEN, ORANGE
"""The best trial and the literature default have the same colours in every figure."""

OTHERS = (BLUE, VERMILION, PURPLE, SKY)

CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        "showSendToCloud": False,
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "autoScale2d"],
    }
)
"""plotly.js settings of every figure; without the first, plotly 7 offers to upload the chart to a server."""

AXIS = {"gridcolor": "#E6E8EB", "zeroline": False, "linecolor": "#C9CDD2", "automargin": True}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13},
        # At the top of the margin, with room for a legend of two lines below it.
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14},
            "font": {"size": 16},
        },
        "colorway": [BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY],
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 64, "r": 16, "t": 92, "b": 52},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "hovermode": "closest",
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
        },
        "xaxis": {**AXIS, "title": {"standoff": 10}},
        "yaxis": {**AXIS, "title": {"standoff": 8}},
    }
)


class Figure(go.Figure):
    """A plotly figure that keeps hpsearch's settings wherever it is shown or written.

    A plotly figure cannot hold these settings, and changing plotly's renderers would change the user's other plots, so
    every call passes them on. Settings given in the call come first.
    """

    def show(self, *args: Any, **arguments: Any) -> Any:
        return super().show(*args, **_configured(arguments))

    def to_html(self, *args: Any, **arguments: Any) -> str:
        text: str = super().to_html(*args, **_configured(arguments))
        return text

    def write_html(self, *args: Any, **arguments: Any) -> Any:
        return super().write_html(*args, **_configured(arguments))

    def _repr_mimebundle_(self, *args: Any, **arguments: Any) -> Any:
        return super()._repr_mimebundle_(*args, **_configured(arguments))

    def _repr_html_(self) -> str:
        bundle = self._repr_mimebundle_()
        return str(bundle["text/html"]) if "text/html" in bundle else self.to_html(full_html=False)

    def _ipython_display_(self) -> None:
        import plotly.io

        if plotly.io.renderers.render_on_display and plotly.io.renderers.default:
            self.show()
        else:
            print(repr(self))  # noqa: T201  (what plotly itself does in a session without a display)


def _configured(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "config": {**CONFIG, **(arguments.get("config") or {})}}


def titled(figure: Figure, title: str, height: int, **layout: Any) -> Figure:
    """Return the figure in the common look, with a title and a height in pixels."""
    figure.update_layout(template=TEMPLATE, title=title, height=height, **layout)
    return figure


def empty_figure(title: str, text: str) -> Figure:
    """Return a figure that says why there is nothing to see."""
    hidden = {"visible": False}
    note = {"text": text, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    return titled(Figure(), title, 240, xaxis=hidden, yaxis=hidden, annotations=[note])


def hover_text(content: Content, summary: TrialSummary) -> str:
    """Return a trial's text under the pointer: state, value, configuration, and why it ended.

    A trial is in most figures, several times: its text is made once.
    """
    if summary.number not in content.texts:
        content.texts[summary.number] = _hover_text(content, summary)
    return content.texts[summary.number]


def _hover_text(content: Content, summary: TrialSummary) -> str:
    lines = [f"<b>{escaped(content.label(summary.number))}</b>, {ended(summary.state)}"]
    if summary.value is not None:
        lines.append(f"{escaped(content.objective)} {score(summary.value)}" + _spread(summary))
    lines += [
        f"{escaped(name)} = " + "<br>".join(map(escaped, broken(setting(summary.config[name]))))
        for name in content.parameters
        if name in summary.config
    ]
    if summary.reason:
        lines.append(f"<i>{escaped(shortened(summary.reason, 70))}</i>")
    return "<br>".join(lines)


def role_color(content: Content, number: int) -> str | None:
    """Return the colour of the best trial or of the literature default; None for any other trial."""
    if content.best is not None and number == content.best.number:
        return BEST
    return DEFAULT if content.default is not None and number == content.default.number else None


def colored_trials(content: Content, numbers: Sequence[int]) -> list[tuple[TrialSummary, str]]:
    """Return the trials that have something to draw, each with its colour."""
    others = [number for number in numbers if role_color(content, number) is None]
    colors = {number: OTHERS[index % len(OTHERS)] for index, number in enumerate(others)}
    trials = [content.summary(number) for number in numbers]
    return [
        (trial, role_color(content, trial.number) or colors[trial.number])
        for trial in trials
        if trial.point is not None
    ]


def shortened(text: str, length: int = 40) -> str:
    """Cut a text to a length; of a path keep the last part, which tells it from others."""
    folder, slash, name = text.rpartition("/")
    if len(text) > length and slash and " " not in folder and len(name) + 2 <= length:
        return f"…/{name}"
    return text if len(text) <= length else text[: length - 1] + "…"


def _spread(summary: TrialSummary) -> str:
    if summary.interval is not None:
        return f" (95% {score(summary.interval[0])} to {score(summary.interval[1])})"
    return f" ({len(summary.folds)} of {summary.runs} folds)" if summary.runs > 1 else ""
