"""What it means, in numbers only: pure functions of History. pandas and SciPy load when first used."""

from hpsearch.analysis.aggregates import (
    TrialSummary,
    best_so_far,
    best_trial,
    default_trial,
    summarize,
    summarize_all,
)
from hpsearch.analysis.question import winner_against_default
from hpsearch.analysis.significance import (
    Evidence,
    Verdict,
    corrected_interval,
    paired_bootstrap,
    paired_folds,
    variance_factor,
)
from hpsearch.analysis.table import config_names, curves, mean_curves, metric_names, table

__all__ = [
    "Evidence",
    "TrialSummary",
    "Verdict",
    "best_so_far",
    "best_trial",
    "config_names",
    "corrected_interval",
    "curves",
    "default_trial",
    "mean_curves",
    "metric_names",
    "paired_bootstrap",
    "paired_folds",
    "summarize",
    "summarize_all",
    "table",
    "variance_factor",
    "winner_against_default",
]
