"""Plots of the results as small SVG files, which a README shows as they are: bars with intervals, and lines."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks import measurements

# Okabe and Ito (2008), Color Universal Design: told apart by colour-blind readers.
COLOURS = ("#009E73", "#E69F00", "#2B87C8", "#D55E00", "#CC79A7", "#56B4E9", "#8A919B", "#6B4C9A")
INK, FAINT = "#24292F", "#D0D7DE"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
WIDTH = 760
CHARACTER = 6.6
"""Width of a character of the 12-pixel font, about: SVG cannot ask."""


@dataclass(frozen=True)
class Bar:
    """One horizontal bar; bars of one group stand together under its name.

    Attributes:
        group: Heading.
        label: Name of the bar; bars of the same name have the same colour in every group.
        value: Length.
        low, high: The interval that is drawn over its end, or None for none.
        note: Written behind it; by default the value.
    """

    group: str
    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line, with a band around it if `low` and `high` are given, all as long as `x`.

    Attributes:
        step: Whether a value holds until the next x (a best score so far), instead of a straight line between.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    step: bool = False
    dashed: bool = False


def write_plot(name: str, svg: str) -> Path:
    """Write a plot beside the measurements of the same name."""
    measurements.FOLDER.mkdir(exist_ok=True)
    path = measurements.FOLDER / f"{name}.svg"
    path.write_text(svg, encoding="utf-8")
    return path


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten) from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten from `low` to `high`, or only the powers where those are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 4 else (1, 2, 5)
    found = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)] or [low, high]


def bars(title: str, axis: str, shown: Sequence[Bar]) -> str:
    """Return horizontal bars, group by group, from zero.

    Args:
        title: What is shown, in a line.
        axis: What the bars' length is, with its unit.
        shown: The bars, those of one group one after the other.
    """
    labels = list(dict.fromkeys(bar.label for bar in shown))
    left = min(300.0, 24 + CHARACTER * max(len(bar.label) for bar in shown))
    room = 16 + CHARACTER * max(len(bar.note or _number(bar.value)) for bar in shown)
    longest = max(max(bar.value, bar.high or 0.0) for bar in shown) or 1.0
    scale = (WIDTH - left - room) / longest
    parts, y, group = [], 44.0, None
    for bar in shown:
        if bar.group != group:
            y += 22 if bar.group else 4
            group = bar.group
            parts.append(_text(12, y - 6, bar.group, weight=600))
        colour = COLOURS[labels.index(bar.label) % len(COLOURS)]
        parts.append(_text(left - 8, y + 13, bar.label, anchor="end"))
        parts.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{bar.value * scale:.1f}" height="18" fill="{colour}"/>')
        end = bar.value
        if bar.low is not None and bar.high is not None:
            end = max(end, bar.high)
            parts.append(_interval(left + bar.low * scale, left + bar.high * scale, y + 9))
        parts.append(_text(left + end * scale + 6, y + 13, bar.note or _number(bar.value)))
        y += 24
    grid = []
    for tick in ticks(0.0, longest):
        x = left + tick * scale
        grid.append(f'<line x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{y:.1f}" stroke="{FAINT}"/>')
        grid.append(_text(x, y + 16, _number(tick), anchor="middle"))
    parts.append(_text((left + WIDTH - room) / 2, y + 36, axis, anchor="middle"))
    return _page(title, y + 48, [*grid, *parts])


def lines(title: str, x_axis: str, y_axis: str, shown: Sequence[Line], *, log_x: bool = False) -> str:
    """Return lines over one pair of axes, with a legend below.

    Args:
        title: What is shown, in a line.
        x_axis: What x is, with its unit.
        y_axis: What y is, with its unit.
        shown: The lines.
        log_x: Draw x by its logarithm; every x must be above zero.
    """
    left, top, right, bottom = 64.0, 60.0, WIDTH - 20.0, 360.0
    every_x = [x for line in shown for x in line.x]
    every_y = [y for line in shown for values in (line.y, line.low or (), line.high or ()) for y in values]
    x_of = _scale(min(every_x), max(every_x), left, right, log=log_x)
    margin = 0.04 * (max(every_y) - min(every_y) or 1.0)
    low, high = min(every_y) - margin, max(every_y) + margin
    y_of = _scale(low, high, bottom, top)
    parts = []
    for tick in ticks(low, high):
        y = y_of(tick)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{FAINT}"/>')
        parts.append(_text(left - 8, y + 4, _number(tick), anchor="end"))
    for tick in (log_ticks if log_x else ticks)(min(every_x), max(every_x)):
        x = x_of(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="{INK}"/>')
        parts.append(_text(x, bottom + 20, _number(tick), anchor="middle"))
    for index, line in enumerate(shown):
        parts += _drawn(line, COLOURS[index % len(COLOURS)], x_of, y_of)
    parts.append(f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="{INK}"/>')
    parts.append(_text((left + right) / 2, bottom + 40, x_axis, anchor="middle"))
    parts.append(_text(12, top - 12, y_axis))
    legend, height = _legend([line.label for line in shown], bottom + 62)
    return _page(title, height, [*parts, *legend])


def _drawn(line: Line, colour: str, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> list[str]:
    parts = []
    if line.low is not None and line.high is not None:
        upper, lower = _points(line, line.high, x_of, y_of), _points(line, line.low, x_of, y_of)
        parts.append(f'<polygon points="{_joined([*upper, *reversed(lower)])}" fill="{colour}" opacity="0.15"/>')
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    points = _joined(_points(line, line.y, x_of, y_of))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
    return parts


def _points(
    line: Line, values: Sequence[float], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for x, y in zip(line.x, values, strict=True):
        if line.step and found:
            found.append((x_of(x), found[-1][1]))
        found.append((x_of(x), y_of(y)))
    return found


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _scale(low: float, high: float, start: float, end: float, *, log: bool = False) -> Callable[[float], float]:
    warp = math.log if log else float
    first, last = warp(low), warp(high)
    span = last - first or 1.0
    return lambda value: start + (warp(value) - first) / span * (end - start)


def _legend(labels: Sequence[str], y: float) -> tuple[list[str], float]:
    """Return a legend, wrapped, and the y below it."""
    parts, x = [], 64.0
    for index, label in enumerate(labels):
        width = 44 + CHARACTER * len(label)
        if x + width > WIDTH - 10 and x > 64.0:
            x, y = 64.0, y + 20
        colour = COLOURS[index % len(COLOURS)]
        parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="12" height="10" fill="{colour}"/>')
        parts.append(_text(x + 18, y, label))
        x += width
    return parts, y + 16


def _interval(low: float, high: float, y: float) -> str:
    path = f"M{low:.1f} {y - 4:.1f}v8M{low:.1f} {y:.1f}H{high:.1f}M{high:.1f} {y - 4:.1f}v8"
    return f'<path d="{path}" stroke="{INK}" stroke-width="1.5" fill="none"/>'


def _number(value: float) -> str:
    """Return a number as a person writes it: 0.65, 12.5, 1,200."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400) -> str:
    styled = "" if weight == 400 else f' font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{styled}>{escape(text)}</text>'


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    """Return the whole file, on white: a README may be read on a dark page."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="{FONT}" font-size="12" fill="{INK}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#FFFFFF"/>'
    heading = f'<text x="12" y="24" font-size="15" font-weight="600">{escape(title)}</text>'
    return "\n".join([head, f"<title>{escape(title)}</title>", ground, heading, *parts, "</svg>"]) + "\n"
