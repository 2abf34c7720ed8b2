"""The report of a study: one HTML page that opens offline."""

from pathlib import Path
from typing import Any

from hpsearch.analysis.repeatability import HEADING
from hpsearch.records import LOSS, TrialState
from hpsearch.report.content import Content
from hpsearch.report.curves_data import curves_data
from hpsearch.report.document import document, figures_data, write_document
from hpsearch.report.figures import drawable
from hpsearch.report.learning_curves_figure import SHOWN_TRIALS
from hpsearch.report.tables import (
    details,
    epoch_heads,
    score_rows,
    search_range,
    setting_rows,
    study_facts,
    trial_heads,
)
from hpsearch.report.theme import colored_trials

STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)


def write_page(path: str | Path, content: Content) -> Path:
    """Write the report of a study, whole or not at all, and return its path.

    Missing folders are made; a file that is there is replaced.

    Raises:
        UsageError: The path is a folder.
        StoreError: The disk refuses.
    """
    return write_document(path, page(content))


def page(content: Content) -> str:
    """Return the page as text: the answer first, then why, then everything."""
    figures = drawable(content)
    return document(
        "page.html",
        {
            **figures_data({figure.name: figure.drawn(content) for figure in figures}),
            "curves": curves_data(content, content.leading(SHOWN_TRIALS)),
        },
        study=content,
        state_counts=[(state, content.count(state)) for state in STATES if content.count(state)],
        complete_trials=content.count(TrialState.COMPLETE) - content.history.repeats(TrialState.COMPLETE),
        study_facts=study_facts(content),
        details=details(content),
        search_ranges=[(name, search_range(parameter)) for name, parameter in content.parameters.items() if parameter],
        trial_heads=trial_heads(content),
        disturbances_heading=HEADING,
        troubled_trials=[s for s in content.summaries if s.state is TrialState.FAIL or s.number in content.logs],
        **_configurations(content),
        figures=figures,
        **_menus(content),
    )


def _configurations(content: Content) -> dict[str, Any]:
    """Return the best configuration and the literature default side by side, and the scores of both."""
    roles = (("winner", content.best), ("literature default", content.rival))
    shown = [(role, summary) for role, summary in roles if summary is not None]
    return {
        "columns": [f"{role}, trial\u00a0{summary.number}" for role, summary in shown],
        "settings": setting_rows([summary.config for _, summary in shown]),
        "score_heads": ["metric", *(f"{role}, folds" for role, _ in shown)]
        + [f"{model}, test" for model in content.test_scores or {}],
        "scores": score_rows(content, [summary for _, summary in shown]),
    }


def _menus(content: Content) -> dict[str, Any]:
    """Return what learning curves and the table of epochs can be chosen by."""
    measured = [
        (summary.number, content.label(summary.number)) for summary in content.summaries if summary.point is not None
    ]
    folds = sorted({run.fold for trial in content.history.trials.values() for run in trial.runs})
    metrics = list(enumerate(content.all_metrics))
    return {
        "measured": measured,
        "first_trial": next(iter([*content.leading(1), *(number for number, _ in measured)]), None),
        "first_curves": [
            (summary.number, content.label(summary.number), color)
            for summary, color in colored_trials(content, content.leading(SHOWN_TRIALS))
        ],
        "folds": [(fold, f"fold {fold + 1}") for fold in folds],
        "drawn_metrics": [(index, name) for index, name in metrics if name != LOSS or name == content.objective],
        "epoch_heads": epoch_heads(content),
    }
