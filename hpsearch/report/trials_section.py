"""The table of all trials, which sorts by a click on a head, and the list of those that ended badly."""

from collections.abc import Sequence
from typing import Any

from hpsearch.analysis import TrialSummary
from hpsearch.records import Origin, TrialState
from hpsearch.report.content import Content
from hpsearch.report.sections import grid_table, head_button
from hpsearch.report.wording import MISSING, brief, duration, ended, escaped, score

_CARD = '<section class="card" id="trials-section">'


def trials_table(content: Content) -> str:
    """Return a row a trial: state, value, interval, folds, epoch, the searched hyperparameters, time, reason."""
    if not content.summaries:
        return f"{_CARD}<h2>Trials</h2><p>No trial has been asked for yet.</p></section>"
    names = list(content.parameters)
    heads = [
        ("#", True),
        ("state", False),
        (content.objective, True),
        ("95% interval", True),
        ("folds", True),
        ("epoch", True),
        *((name, all(_is_number(summary.config.get(name, 0)) for summary in content.summaries)) for name in names),
        ("time", True),
        ("reason", False),
    ]
    head = "".join(head_button(text, numeric=number) for text, number in heads)
    body = "".join(_row(content, summary, names) for summary in content.summaries)
    return f"""{_CARD}<h2>Trials</h2>
<p class="muted">A row a trial; values of trials that are not complete are partial. A click on a head sorts.</p>
<div class="scroll tall" tabindex="0" role="region" aria-label="Trials">
<table id="trials" class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"""


def ended_badly(content: Content) -> str:
    """Return the trials that failed, and any other that left a log, with the logs' names; empty without any."""
    rows = [
        [
            str(summary.number),
            f'<span class="badge {summary.state.value}">{ended(summary.state)}</span>',
            escaped(summary.reason or MISSING),
            f"<code>{escaped(content.logs[summary.number])}</code>" if summary.number in content.logs else MISSING,
        ]
        for summary in content.summaries
        if summary.state is TrialState.FAIL or summary.number in content.logs
    ]
    if not rows:
        return ""
    table = grid_table(["#", "state", "reason", "log, in the study's folder"], rows)
    return f'<section class="card"><h2>Trials that failed or left a log</h2>{table}</section>'


def _row(content: Content, summary: TrialSummary, names: Sequence[str]) -> str:
    roles = []
    if content.best is not None and summary.number == content.best.number:
        roles.append("best")
    if summary.origin is not Origin.SAMPLER:
        roles.append(summary.origin.value)
    marks = "".join(f' <span class="role {role}">{role}</span>' for role in roles)
    low, high = summary.interval if summary.interval is not None else (None, None)
    cells = [
        _cell(summary.number, f"{summary.number}{marks}"),
        _cell(summary.state.value, f'<span class="badge {summary.state.value}">{ended(summary.state)}</span>'),
        _cell(summary.value, score(summary.value)),
        _cell(low, MISSING if low is None else f"{score(low)} to {score(high)}"),
        _cell(len(summary.folds), f"{len(summary.folds)}/{summary.runs}"),
        _cell(summary.epoch, MISSING if summary.epoch is None else f"{summary.epoch:.3g}"),
        *(_setting(summary, name) for name in names),
        _cell(summary.seconds, duration(summary.seconds) if summary.seconds else MISSING),
        _cell(summary.reason, escaped(summary.reason or MISSING), css="reason"),
    ]
    classes = " ".join(roles)
    return f'<tr class="{classes}" data-trial="{summary.number}">{"".join(cells)}</tr>'


def _setting(summary: TrialSummary, name: str) -> str:
    if name not in summary.config:
        return _cell(None, MISSING)
    value = summary.config[name]
    return _cell(value, f'<span title="{escaped(value)}">{escaped(brief(value))}</span>')


def _cell(value: Any, html: str, css: str = "") -> str:
    """Return a cell; `value` is what it sorts by, nothing sorts last."""
    sort = "" if value is None else escaped(repr(value) if _is_number(value) else value)
    return f'<td data-sort="{sort}"{f" class={css!r}" if css else ""}>{html}</td>'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
