"""One HTML document that opens offline, with everything it needs inside: jinja2 fills templates."""

import base64
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hpsearch.data.atomic_write import replaced_file, writing
from hpsearch.errors import UsageError, printable
from hpsearch.provenance.packages import __version__
from hpsearch.report.wording import (
    MISSING,
    brief,
    duration,
    ended,
    fact,
    number,
    p_value,
    score,
    setting,
    signed,
    sort_key,
    whole,
)

FILTERS = (brief, duration, ended, fact, number, p_value, score, setting, signed, sort_key, whole)
"""How templates write values, by name."""

DIGITS = 5
"""Significant digits of numbers in figures: one more than the page ever shows."""


def write_document(path: str | Path, text: str) -> Path:
    """Write a page, whole or not at all: temporary name, fsync, rename.

    Raises:
        UsageError: The path is a folder.
        StoreError: The disk refuses.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name the file to write the report to, such as report.html.")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as file:
        file.write(text.encode())
    return target


def document(template: str, data: Mapping[str, Any], **values: Any) -> str:
    """Return a page as text.

    The page loads nothing from the network: its content security policy forbids it.

    Args:
        template: Name of a file in `templates/`.
        data: What page.js draws.
        values: What the template lays out. All text in it is escaped.
    """
    from plotly.offline import get_plotlyjs

    # The browser ends a script at the first "</script", even inside a string.
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), _asset("page.js")]
    return (
        _templates()
        .get_template(template)
        .render(
            values,
            data=_printable_data(data),
            scripts=scripts,
            script_hashes=[_hash(script) for script in scripts],
            style=_asset("page.css"),
            version=__version__,
        )
    )


def figures_data(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures, by their names on the page, as page.js draws them: numbers rounded, each hover text once."""
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
    """Return a figure as JSON, without its title: the page has a heading for it."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    plain["layout"].pop("title", None)
    for trace in plain["data"]:
        for name in ("x", "y", "z"):
            if isinstance(trace.get(name), list):
                trace[name] = rounded(trace[name])
        if trace.get("type") == "scatter" and isinstance(trace.get("text"), list):
            # A trial has the same hover text in every figure: the page holds it once, and figures its number.
            trace["text"] = {"shared": [texts.setdefault(text, len(texts)) for text in trace["text"]]}
    return plain


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("hpsearch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    environment.globals["missing"] = MISSING
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _printable_data(value: Any) -> Any:
    """Return data for page.js, its texts printable."""
    if isinstance(value, dict):
        return {name: _printable_data(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_printable_data(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def _asset(name: str) -> str:
    return resources.files("hpsearch.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return a script's hash as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
