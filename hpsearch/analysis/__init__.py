"""What the results mean, in numbers: pure functions of History. pandas and SciPy load when first used."""

from hpsearch.analysis.aggregates import (
    TrialSummary,
    best_so_far,
    best_trial,
    default_trial,
    summarize,
    summarize_all,
)
from hpsearch.analysis.confusion import Confusion, confusion
from hpsearch.analysis.importance import Importance, importance
from hpsearch.analysis.multiplicity import corrected_for_several
from hpsearch.analysis.pairing import PairedScores, paired_scores
from hpsearch.analysis.question import winner_against_default
from hpsearch.analysis.significance import Evidence, paired_bootstrap, paired_folds
from hpsearch.analysis.surfaces import surface
from hpsearch.analysis.table import curves, mean_curves, metric_names, table
from hpsearch.analysis.timeline import (
    Compute,
    End,
    Span,
    best_by_compute,
    compute,
    pauses,
    spans,
    without_pauses,
)

__all__ = [
    "Compute",
    "Confusion",
    "End",
    "Evidence",
    "Importance",
    "PairedScores",
    "Span",
    "TrialSummary",
    "best_by_compute",
    "best_so_far",
    "best_trial",
    "compute",
    "confusion",
    "corrected_for_several",
    "curves",
    "default_trial",
    "importance",
    "mean_curves",
    "metric_names",
    "paired_bootstrap",
    "paired_folds",
    "paired_scores",
    "pauses",
    "spans",
    "summarize",
    "summarize_all",
    "surface",
    "table",
    "winner_against_default",
    "without_pauses",
]
