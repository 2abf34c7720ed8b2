"""The figures' places on the page: a heading, a sentence on how to read each, its text alternative, its controls."""

from collections.abc import Iterable, Mapping

from hpsearch.records import LOSS, TrialState
from hpsearch.report import alternatives
from hpsearch.report.content import Content
from hpsearch.report.figures import CONTOURED, MOST_SLICES, SHOWN_TRIALS, Figures
from hpsearch.report.sections import grid_table, head_button
from hpsearch.report.theme import Figure
from hpsearch.report.wording import MISSING, escaped, signed

FIRST_CURVES = 2
"""Trials whose learning curves are on at first; the others are a click away."""


def place(name: str, alternative: str, *, fits: bool = False, style: str = "") -> str:
    """Return where page.js draws a figure; `fits` takes the figure's own height instead of the style sheet's."""
    return (
        f'<div class="figure" id="{name}" role="img" aria-label="{escaped(alternative)}"'
        f"{' data-fits=yes' if fits else ''}{f' style={style!r}' if style else ''}></div>"
    )


def card(name: str, title: str, how: str, body: str) -> str:
    """Return a section with an anchor for the list of contents."""
    return f'<section class="card" id="{name}-section"><h2>{title}</h2><p class="muted">{how}</p>{body}</section>'


def drawn(content: Content) -> dict[str, Figure]:
    """Return the figures that this study has something for, in the order of the page."""
    figures = Figures(content)
    found = {"history": figures.history(), "curves": figures.learning_curves(trials=content.leading(1))}
    if content.pairs:
        found = {"pairs": figures.winner_against_default(), **found}
    if content.ranked:
        found["importance"] = figures.importance()
        found["slices"] = figures.slices()
    if len(content.ranked) > 1 and content.best is not None:
        found["contours"] = figures.contours()
    if content.parameters:
        found["parallel"] = figures.parallel_coordinates()
    if content.confusion is not None:
        found["confusion"] = figures.confusion()
    if content.spans:
        found["timeline"] = figures.timeline()
    return found


TITLES: Mapping[str, str] = {
    "pairs": "Winner against literature default, fold by fold",
    "history": "Search history",
    "curves": "Learning curves",
    "epochs": "Metrics by epoch",
    "importance": "Importance of hyperparameters",
    "slices": "Each hyperparameter by itself",
    "contours": "Pairs of hyperparameters",
    "parallel": "All hyperparameters at once",
    "confusion": "Which class is taken for which",
    "timeline": "Timeline",
}


def figure_sections(content: Content, names: Iterable[str]) -> str:
    """Return the sections of the figures named, and the table by epoch after the learning curves."""
    makers = {
        "pairs": _pairs,
        "history": _history,
        "curves": _curves,
        "importance": _importance,
        "slices": _slices,
        "contours": _contours,
        "parallel": _parallel,
        "confusion": _confusion,
        "timeline": _timeline,
    }
    return "\n".join(makers[name](content) for name in names)


def contents(names: Iterable[str]) -> str:
    """Return links to the sections."""
    links = "".join(f'<a href="#{name}-section">{title}</a>' for name, title in TITLES.items() if name in set(names))
    return f'<nav aria-label="Contents">{links}<a href="#trials-section">Trials</a></nav>'


def _pairs(content: Content) -> str:
    how = (
        "A grey line is one fold, trained with both configurations: lines that all rise speak for the winner, lines "
        "that cross for chance. Greater is better, but for the loss."
    )
    if content.test_scores:
        how += " Diamonds are the scores on the test rows."
    rows = [
        [
            f"<code>{escaped(pair.metric)}</code>",
            f"{pair.won} of {len(pair.places)}",
            signed(pair.difference),
            _tested_difference(content, pair.metric),
        ]
        for pair in content.pairs
    ]
    heads = ["metric", "runs on which the winner is better", "mean difference", "difference on the test rows"]
    if not content.test_scores:
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    note = (
        f'<p class="muted">Only the difference in {escaped(content.objective)} was a question fixed beforehand; its '
        "interval is given above. The others are described, not tested.</p>"
    )
    body = place("pairs", alternatives.pairs(content)) + grid_table(heads, rows) + note
    return card("pairs", TITLES["pairs"], how, body)


def _tested_difference(content: Content, metric: str) -> str:
    tested = content.test_scores or {}
    one, other = (tested.get(side, {}).get(metric) for side in ("winner", "literature default"))
    return MISSING if one is None or other is None else signed(one - other)


def _history(content: Content) -> str:
    how = (
        "A mark a trial in the order of asking; the line is the best complete value so far, and the bar through the "
        "best is the 95% interval of its cross-validated mean. Values of trials that are not complete are partial."
    )
    return card("history", TITLES["history"], how, place("history", alternatives.history(content)))


def _curves(content: Content) -> str:
    how = (
        "Thin lines are folds, bold ones their mean; a ring marks the epoch at which the value is read, one for all "
        "folds. Below: validation loss, and training loss dotted; a validation loss that rises again is overfitting."
    )
    body = _curve_controls(content) + place("curves", alternatives.curves(content))
    return card("curves", TITLES["curves"], how, body) + _epochs(content)


def measured(content: Content) -> list[tuple[int, str]]:
    """Return the trials that have something to draw, by number, with their labels."""
    return [(each.number, content.label(each.number)) for each in content.summaries if each.point is not None]


def _curve_controls(content: Content) -> str:
    """Return choices of metric, fold and further trials, and a button a trial in the colour of its curves."""
    from hpsearch.report.learning_curves_figure import colored_trials

    if not measured(content):
        return ""
    metrics = "".join(
        f'<option value="{index}"{" selected" if name == content.objective else ""}>{escaped(name)}</option>'
        for index, name in enumerate(content.all_metrics)
        if name != LOSS or name == content.objective
    )
    chips = "".join(
        f'<button type="button" class="chip" data-trial="{summary.number}" data-color="{color}" '
        f'aria-pressed="{"true" if index < FIRST_CURVES else "false"}"><i style="background:{color}"></i>'
        f"{escaped(content.label(summary.number))}</button>"
        for index, (summary, color) in enumerate(colored_trials(content, content.leading(SHOWN_TRIALS)))
    )
    more = "".join(f'<option value="{number}">{escaped(label)}</option>' for number, label in measured(content))
    return f"""<div class="controls"><label>metric <select id="metric">{metrics}
<option value="-1">learning rate</option></select></label>
<label>folds <select id="fold"><option value="all">all, and their mean</option><option value="mean">the mean</option>
{_fold_options(content)}</select></label>
<label>add <select id="more"><option value="">a trial…</option>{more}</select></label></div>
<div class="controls"><span class="chips" id="chips">{chips}</span></div>"""


def _fold_options(content: Content) -> str:
    folds = sorted({run.fold for trial in content.history.trials.values() for run in trial.runs})
    return "".join(f'<option value="{fold}">fold {fold + 1}</option>' for fold in folds)


def _epochs(content: Content) -> str:
    """Return the table of what was measured by epoch; page.js fills it for the trial that is chosen."""
    if not measured(content):
        return ""
    first = (content.leading(1) or (measured(content)[0][0],))[0]
    options = "".join(
        f'<option value="{number}"{" selected" if number == first else ""}>{escaped(label)}</option>'
        for number, label in measured(content)
    )
    names = [name for name in content.all_metrics if name != LOSS]
    loss = ["validation loss"] if LOSS in content.all_metrics else []
    heads = "".join(
        head_button(text, numeric=True)
        for text in ("epoch", "training loss", *loss, *names, "learning rate", "time of a run")
    )
    body = f"""<div class="controls"><label>trial <select id="epochs-trial">{options}</select></label>
<label>folds <select id="epochs-fold"><option value="mean">the mean</option>
{_fold_options(content)}</select></label></div>
<p class="muted" id="epochs-note" aria-live="polite"></p>
<div class="scroll tall" tabindex="0" role="region" aria-label="Metrics by epoch">
<table id="epochs" class="sortable"><thead><tr>{heads}</tr></thead><tbody></tbody></table></div>"""
    how = (
        "A row an evaluation point of the chosen trial; the row at which its value is read is tinted. Time is that of "
        "one run since the point before. A click on a head sorts."
    )
    return card("epochs", TITLES["epochs"], how, body)


def _importance(content: Content) -> str:
    found = content.importance
    how = (
        f"How differently a hyperparameter is spread among the top trials and among all {found.trials} that were "
        "judged (PED-ANOVA; a pruned trial counts as none of the top). Grey bars stay below the red mark, which "
        "shuffled values exceed once in twenty times: they do not stand out from chance."
    )
    return card(
        "importance", TITLES["importance"], how, place("importance", alternatives.importance(content), fits=True)
    )


def _slices(content: Content) -> str:
    how = (
        "A dot a trial at its setting and value, from blue for the first to red for the last: where late dots gather, "
        "the sampler has found it worth a look."
    )
    if len(content.ranked) > MOST_SLICES:
        how += f" The first {MOST_SLICES} of {len(content.ranked)} hyperparameters are shown."
    if any(not name_in_all(content, name) for name in content.ranked[:MOST_SLICES]):
        how += " A trial without a hyperparameter is not in its panel."
    return card("slices", TITLES["slices"], how, place("slices", alternatives.slices(content)))


def name_in_all(content: Content, name: str) -> bool:
    return all(name in summary.config for summary in content.summaries)


def _contours(content: Content) -> str:
    which = "the most important hyperparameters"
    if not content.importance.shares:
        which = "the first hyperparameters that differ, as importance cannot be told yet"
    how = (
        f"Pairs of {which}: dots are trials coloured by value, over their smoothed mean; where the ground is blank too "
        "few trials lie near to say anything."
    )
    names = content.ranked[:CONTOURED]
    return card("contours", TITLES["contours"], how, place("contours", alternatives.contours(content, names)))


def _parallel(content: Content) -> str:
    how = (
        "A line a trial through its settings to its value, the stronger the better; pruned ones grey, without a value. "
        '<span class="pointer">Drag over an axis to keep the trials that pass there, double-click to have all back.'
        "</span>"
    )
    width = f"min-width:{126 * (len(content.parameters) + 1)}px"
    body = place("parallel", alternatives.parallel(content), style=width)
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="Parallel coordinates">{body}</div>'
    return card("parallel", TITLES["parallel"], how, scroll)


def _confusion(content: Content) -> str:
    how = (
        "A row a true class, a column what the winner predicted for its rows while they were held out; the diagonal is "
        "right, and colour is the share of the class."
    )
    return card("confusion", TITLES["confusion"], how, place("confusion", alternatives.confusion(content), fits=True))


def _timeline(content: Content) -> str:
    how = (
        "A row a trial, a bar each stretch of its training by the clock; gaps are waiting. A bar ends when its end was "
        "recorded, and begins the measured seconds before."
    )
    if any(trial.state is TrialState.WAITING for trial in content.history.trials.values()):
        how += " Waiting trials may go on."
    return card("timeline", TITLES["timeline"], how, place("timeline", alternatives.timeline(content)))
