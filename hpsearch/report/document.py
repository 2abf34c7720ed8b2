"""One HTML document that opens offline, with everything it needs inside it; what a page and a comparison share."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from hpsearch.data.durable import replaced_file, writing
from hpsearch.errors import UsageError
from hpsearch.provenance.packages import __version__
from hpsearch.report.wording import escaped

DIGITS = 5
"""Significant digits of the numbers in figures: one more than the page shows of any."""


def write_document(path: str | Path, text: str) -> Path:
    """Write a page, whole or not at all: temporary name, fsync, rename.

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
        file.write(text.encode())
    return target


def document(title: str, body: str, data: Mapping[str, Any]) -> str:
    """Return the page as text: `body` is HTML, `data` is what page.js draws.

    The page asks no network for anything, which its content security policy also forbids it.
    """
    from plotly.offline import get_plotlyjs

    # A script that stands in the page ends at the first of these, wherever it is.
    library = get_plotlyjs().replace("</script", "<\\/script")
    program = _asset("page.js")
    allowed = " ".join(_hash(script) for script in (library, program))
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)} – hpsearch</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
<main>
{body}
<footer>hpsearch {escaped(__version__)}</footer>
</main>
<script type="application/json" id="data">{_json(data)}</script>
<script>{library}</script>
<script>{program}</script>
</body>
</html>
"""


def figures_data(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures as page.js draws them: numbers rounded to what is seen, each text under the pointer once.

    Args:
        figures: The id of a figure's place on the page to the figure.
    """
    from hpsearch.report.theme import CONFIG

    texts: dict[str, int] = {}
    return {
        "config": dict(CONFIG),
        "figures": {name: _plain(figure, texts) for name, figure in figures.items()},
        "texts": list(texts),
    }


def rounded(value: Any) -> Any:
    """Return numbers, also within lists, to `DIGITS` significant digits; those that are not finite as None."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(figure: Any, texts: dict[str, int]) -> dict[str, Any]:
    """Return a figure as JSON, without its title: on the page a heading stands above it."""
    found: dict[str, Any] = json.loads(figure.to_json())
    found["layout"].pop("title", None)
    for trace in found["data"]:
        for name in ("x", "y", "z"):
            if isinstance(trace.get(name), list):
                trace[name] = rounded(trace[name])
        if trace.get("type") == "scatter" and isinstance(trace.get("text"), list):
            # Under the pointer a trial says the same in every figure: the text stands once, its number everywhere.
            trace["text"] = {"shared": [texts.setdefault(text, len(texts)) for text in trace["text"]]}
    return found


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return resources.files("hpsearch.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return how a content security policy names an inline script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
