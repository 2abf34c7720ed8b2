"""The report: one HTML page that opens offline, with everything it needs inside it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from hpsearch import __version__
from hpsearch.data.durable import replaced_file, writing
from hpsearch.errors import UsageError
from hpsearch.records import LOSS
from hpsearch.report.content import Content
from hpsearch.report.figures import SHOWN_TRIALS, Figures
from hpsearch.report.sections import configuration, details, header, outcome
from hpsearch.report.trials_section import ended_badly, trials_table
from hpsearch.report.wording import escaped

FIRST_CURVES = 2
"""Trials whose learning curves are on at first; the others are a click away."""


def write_page(path: str | Path, content: Content) -> Path:
    """Write the report of a study, whole or not at all: temporary name, fsync, rename.

    The page asks no network for anything, which its content security policy also forbids it.

    Args:
        path: Where it goes; folders on the way are made, a file that is there is replaced.
        content: What it shows.

    Returns:
        The path.

    Raises:
        UsageError: The path is a folder.
        StoreError: The disk refuses.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name the file the report is to be written to, such as report.html.")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as file:
        file.write(page(content).encode())
    return target


def page(content: Content) -> str:
    """Return the page as text."""
    from plotly.offline import get_plotlyjs

    # A script that stands in the page ends at the first of these, wherever it is.
    library = get_plotlyjs().replace("</script", "<\\/script")
    program = _asset("page.js")
    allowed = " ".join(_hash(script) for script in (library, program))
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    body = "\n".join(
        [
            header(content),
            outcome(content),
            configuration(content),
            _figures(content),
            trials_table(content),
            ended_badly(content),
            details(content),
            f"<footer>hpsearch {escaped(__version__)}</footer>",
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(content.name)} – hpsearch</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="data">{_json(_data(content))}</script>
<script>{library}</script>
<script>{program}</script>
</body>
</html>
"""


def _figures(content: Content) -> str:
    return f"""<section class="card"><h2>Search history</h2><div class="figure" id="history"></div></section>
<section class="card"><h2>Learning curves</h2>{_curve_controls(content)}
<div class="figure" id="curves"></div>
<p class="muted">Thin lines are folds, bold ones their mean; a ring marks the epoch at which the value is read, one
for all folds. Below: validation loss, and training loss dotted.</p></section>
<section class="card"><h2>Hyperparameters</h2>
<p class="muted">A line a trial, the stronger the better; pruned ones grey, without a value.
<span class="pointer">Drag over an axis to keep the trials that pass there, double-click to have all back.</span></p>
<div class="scroll" tabindex="0"><div class="figure" id="parallel"
 style="min-width:{126 * (len(content.parameters) + 1)}px"></div></div></section>"""


def _curve_controls(content: Content) -> str:
    """Return a choice of the metric, and a button a trial in the colour of its curves."""
    from hpsearch.report.learning_curves_figure import colored_trials

    options = "".join(f'<option value="{escaped(name)}">{escaped(name)}</option>' for name in _metrics(content))
    chips = "".join(
        f'<button type="button" class="chip" data-trial="{escaped(content.label(summary.number))}" '
        f'aria-pressed="{"true" if index < FIRST_CURVES else "false"}"><i style="background:{color}"></i>'
        f"{escaped(content.label(summary.number))}</button>"
        for index, (summary, color) in enumerate(colored_trials(content, content.leading(SHOWN_TRIALS)))
    )
    return f"""<div class="controls"><label>metric <select id="metric">{options}</select></label>
<span class="chips">{chips}</span></div>"""


def _metrics(content: Content) -> list[str]:
    """Return the metrics to choose from; the loss has a plot of its own."""
    return [name for name in content.all_metrics if name != LOSS or name == content.objective]


def _data(content: Content) -> dict[str, Any]:
    """Return what the page's program draws: three figures, and the learning curves of every other metric."""
    from hpsearch.report.theme import CONFIG

    figures = Figures(content)
    drawn = {metric: _plain(figures.learning_curves(metric=metric)) for metric in _metrics(content)}
    first = drawn[content.objective]
    above = [index for index, trace in enumerate(first["data"]) if trace.get("yaxis", "y") == "y"]
    return {
        "config": dict(CONFIG),
        "figures": {
            "history": _plain(figures.history()),
            "curves": first,
            "parallel": _plain(figures.parallel_coordinates()),
        },
        "metrics": {
            metric: {
                "title": escaped(metric),
                "traces": above,
                "x": [figure["data"][index]["x"] for index in above],
                "y": [figure["data"][index]["y"] for index in above],
            }
            for metric, figure in drawn.items()
        },
    }


def _plain(figure: Any) -> dict[str, Any]:
    """Return a figure as JSON, without its title: on the page a heading stands above it."""
    found: dict[str, Any] = json.loads(figure.to_json())
    found["layout"].pop("title", None)
    return found


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return resources.files("hpsearch.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return how a content security policy names an inline script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
