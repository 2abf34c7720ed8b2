"""The sections of the page that say what came out: header, answer, configuration, scores. HTML, all text escaped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpsearch.analysis import Evidence, TrialSummary, compute
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.wording import MISSING, brief, duration, ended, escaped, score, setting, signed

ANSWERS = {"better": "Yes, it is better", "not distinguishable": "Not distinguishable", "worse": "No, it is worse"}

SHOWN_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)


def header(content: Content) -> str:
    """Return the study's name, its task, and how many trials ended how."""
    counts = [
        f'<span class="badge {state.value}">{content.count(state)} {ended(state)}</span>'
        for state in SHOWN_STATES
        if content.count(state)
    ]
    return f"""<header>
<p class="overline">hpsearch study</p>
<h1>{escaped(content.name)}</h1>
<p class="task">{escaped(content.task)}</p>
<p class="badges">{" ".join(counts) or "no trial yet"}</p>
</header>"""


def about(content: Content) -> str:
    """Return the facts of data and search, and what training took."""
    found: dict[str, Any] = dict(content.facts)
    if content.history.trials:
        taken = compute(content.history, content.ends)
        found |= {"epochs of one fold": f"{taken.epochs:.4g}", "training": duration(taken.seconds)}
        found |= {} if taken.elapsed is None else {"by the clock": duration(taken.elapsed)}
    return f'<section class="card"><h2>Data and search</h2>{facts(found)}</section>' if found else ""


def facts(values: Mapping[str, Any]) -> str:
    """Return names and values as a list that flows into columns; one level of nesting is spelled out."""
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += [(f"{name}: {inner}", text) for inner, text in value.items()]
        else:
            flat.append((name, value))
    items = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(_fact(value))}</dd></div>" for name, value in flat)
    return f'<dl class="facts">{items}</dl>' if items else ""


def outcome(content: Content) -> str:
    """Return the answer to the study's one question, and the best value with its interval."""
    return f'<section class="outcome">{_answer(content)}{_best_value(content)}</section>'


def configuration(content: Content) -> str:
    """Return the best configuration beside the literature default, and the scores of both."""
    best, default = content.best, content.default
    if best is None:
        return ""
    other = default if default is not None and default.number != best.number else None
    columns = [("winner", best)] + ([("literature default", other)] if other is not None else [])
    rows = []
    for name in dict.fromkeys(name for _, summary in columns for name in summary.config):
        cells = [_setting_cell(summary, name) for _, summary in columns]
        differs = len(set(cells)) > 1
        kind = "" if name in content.parameters else ' <span class="muted">fixed</span>'
        rows.append([f"<code>{escaped(name)}</code>{kind}", *(f"<b>{cell}</b>" if differs else cell for cell in cells)])
    heads = ["hyperparameter", *(f"{role}, trial\u00a0{summary.number}" for role, summary in columns)]
    return f"""<section class="pair">
<div class="card"><h2>Best configuration</h2>{grid_table(heads, rows)}</div>
<div class="card"><h2>Scores</h2>{_scores(content, columns)}</div>
</section>"""


def details(content: Content) -> str:
    """Return what is needed to compute the same again, folded away."""
    fixed = content.space.get("fixed") or {}
    blocks = [("Numerics", content.numerics), ("Fingerprints", content.fingerprints), ("Fixed hyperparameters", fixed)]
    body = "".join(f"<h3>{title}</h3>{facts(values)}" for title, values in blocks if values)
    if content.parameters and content.space:
        lines = [[f"<code>{escaped(name)}</code>", _range(of)] for name, of in content.parameters.items()]
        body += "<h3>Search space</h3>" + grid_table(["hyperparameter", "searched"], lines)
    if not body:
        return ""
    return f'<details class="card"><summary>Numerics, fingerprints and search space</summary>{body}</details>'


def grid_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a plain table in a box that scrolls by itself; `heads` are text, the cells of `rows` are HTML."""
    head = "".join(f'<th class="wraps">{escaped(text)}</th>' for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def head_button(text: str, *, numeric: bool) -> str:
    """Return the head of a column that sorts by a click."""
    kind = "number" if numeric else "text"
    return f'<th scope="col" data-kind="{kind}"><button type="button">{escaped(text)}</button></th>'


def _best_value(content: Content) -> str:
    best = content.best
    if best is None:
        return '<div class="card"><h2>Best trial</h2><p class="big">none yet</p><p>No trial is complete.</p></div>'
    folds = f"mean over {best.runs // content.repeats} folds" if best.runs > 1 else "on one fold"
    if content.repeats > 1:
        folds += f", {content.repeats} times each"
    interval = "one fold gives no interval" if best.runs == 1 else "no interval: the folds do not differ"
    if best.interval is not None:
        interval = (
            f"95% interval {score(best.interval[0])} to {score(best.interval[1])}, corrected for shared training rows"
        )
    elif not content.test_shares:
        interval = f"standard deviation over folds {score(best.std)}"
    each = ", ".join(score(fold) for fold in best.folds)
    epochs = best.config.get("epochs")
    of = f" of {setting(epochs)}" if isinstance(epochs, (int, float)) else ""
    return f"""<div class="card best">
<h2>Best {escaped(content.objective)}</h2>
<p class="big">{score(best.value)}</p>
<p>{folds}; {interval}.</p>
{_rivals(content)}
<p class="muted">Trial {best.number}, read at epoch {setting(best.epoch)}{of}. By fold: {each}.{_leaning(content)}</p>
</div>"""


def _leaning(content: Content) -> str:
    complete = content.count(TrialState.COMPLETE)
    return f" As the highest of {complete} it leans upwards." if complete > 1 else ""


def _rivals(content: Content) -> str:
    """Return the literature default's value, and what both came to on the test rows."""
    lines = []
    best, default = content.best, content.default
    if best is not None and default is not None and default.number != best.number and default.value is not None:
        state = "" if default.state is TrialState.COMPLETE else f" ({ended(default.state)})"
        lines.append(f"The literature default, trial {default.number}{state}: {score(default.value)}.")
    tested = {model: scores.get(content.objective) for model, scores in (content.test_scores or {}).items()}
    if tested:
        values = ", ".join(f"{escaped(model)} {score(value)}" for model, value in tested.items())
        lines.append(f"On the test rows: {values}.")
    elif content.test_is_to_come:
        lines.append("Scores on the test rows come when the study has ended, so that no one steers it by them.")
    return "".join(f"<p>{line}</p>" for line in lines)


def _answer(content: Content) -> str:
    question = "Does the winner beat the literature default?"
    evidence = content.evidence
    if evidence is None:
        return f'<div class="card"><h2>{question}</h2><p class="big">Open</p><p>{_why_open(content)}</p></div>'
    interval = "no interval"
    if evidence.interval is not None and evidence.p_value is not None:
        low, high = evidence.interval
        p_value = "p&nbsp;&lt;&nbsp;0.001" if evidence.p_value < 0.001 else f"p&nbsp;=&nbsp;{evidence.p_value:.2g}"
        interval = f"{evidence.level:.0%} interval {signed(low)} to {signed(high)}, {p_value}"
    css = evidence.verdict.replace(" ", "-")
    return f"""<div class="card answer {css}">
<h2>{question}</h2>
<p class="big">{ANSWERS[evidence.verdict]}</p>
<p>Difference in {escaped(content.objective)} {signed(evidence.difference)}; {interval}.</p>
{_interval_drawing(evidence)}
<p class="muted">Method: {escaped(evidence.method)}.</p>
</div>"""


def _why_open(content: Content) -> str:
    best, default = content.best, content.default
    if default is None:
        return "The literature default was not among the trials, so there is nothing to compare with."
    if best is None or default.state is not TrialState.COMPLETE:
        return f"The literature default (trial {default.number}) is {ended(default.state)}, not complete."
    if best.number == default.number:
        return "No trial has a higher value than the literature default itself."
    return "The two have not been compared."


def _interval_drawing(evidence: Evidence) -> str:
    """Return the interval of the difference as a small drawing with zero marked, 100 wide, empty without one."""
    if evidence.interval is None:
        return ""
    low, high = evidence.interval
    left, right = min(low, 0.0), max(high, 0.0)
    room = (right - left) * 0.08 or 1.0

    def place(value: float) -> str:
        return f"{100 * (value - left + room) / (right - left + 2 * room):.2f}%"

    label = f"difference {signed(evidence.difference)}, from {signed(low)} to {signed(high)}"
    return f"""<svg class="interval" role="img" aria-label="{label}" width="100%" height="38">
<line class="zero" x1="{place(0)}" x2="{place(0)}" y1="2" y2="24"/><text x="{place(0)}" y="36">0</text>
<line class="bar" x1="{place(low)}" x2="{place(high)}" y1="13" y2="13"/>
<circle cx="{place(evidence.difference)}" cy="13" r="6"/></svg>"""


def _scores(content: Content, columns: Sequence[tuple[str, TrialSummary]]) -> str:
    tested = content.test_scores or {}
    heads = ["metric", *(f"{role}, folds" for role, _ in columns), *(f"{model}, test" for model in tested)]
    rows = []
    for name in content.all_metrics:
        cells = [score(summary.metrics.get(name)) for _, summary in columns]
        cells += [score(scores.get(name)) for scores in tested.values()]
        if all(cell == MISSING for cell in cells):
            continue
        mark = ' <span class="muted">objective</span>' if name == content.objective else ""
        rows.append([f"<code>{escaped(name)}</code>{mark}", *cells])
    note = "Folds: the mean over the held-out folds at the trial's own epoch."
    if tested:
        note += " Test: rows that the search never saw, by a model trained on all training rows."
    return grid_table(heads, rows) + f'<p class="muted">{note}</p>'


def _setting_cell(summary: TrialSummary, name: str) -> str:
    if name not in summary.config:
        return '<span class="muted">not used</span>'
    value = summary.config[name]
    return f'<span title="{escaped(value)}">{escaped(brief(value))}</span>'


def _range(parameter: Mapping[str, Any]) -> str:
    """Return in words what the space says of a hyperparameter."""
    if "alternatives" in parameter:
        return "; ".join(_range(each) for each in parameter["alternatives"])
    if "choices" in parameter:
        text = ", ".join(escaped(setting(choice)) for choice in parameter["choices"])
    elif "low" not in parameter:
        text = escaped(
            ", ".join(f"{name}: {value}" for name, value in parameter.items() if name not in ("name", "when"))
        )
    else:
        text = f"{escaped(setting(parameter.get('low')))} to {escaped(setting(parameter.get('high')))}"
        text += ", logarithmic" if parameter.get("log") else ""
    for name, values in (parameter.get("when") or {}).items():
        text += f", when {escaped(name)} is {' or '.join(escaped(setting(value)) for value in values)}"
    return text


def _fact(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return setting(value)
