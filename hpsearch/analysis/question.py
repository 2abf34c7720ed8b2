"""The one question that is fixed before a search: does the winner beat the literature default?"""

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.analysis.aggregates import best_trial, default_trial
from hpsearch.analysis.pairing import paired_scores
from hpsearch.analysis.significance import Evidence, paired_folds
from hpsearch.records import History, TrialState

SEARCHED = "on the folds that the search itself used to choose, which favours the winner"


def winner_against_default(
    history: History, objective: str, test_shares: Sequence[float], level: float = 0.95
) -> Evidence | None:
    """Compare the best trial with the literature default over their folds, each at its own common point.

    These folds chose the winner, so the difference favours it; the method says so. Rows that the search never saw
    (`paired_bootstrap`) answer the question fairly, and come first where there are any.

    Args:
        history: Everything so far.
        objective: Name of the objective among the metrics.
        test_shares: By fold, held-out rows over all rows of the split.
        level: Coverage of the interval.

    Returns:
        The evidence, or None where the default is not complete, or is itself the best.
    """
    winner, rival = best_trial(history), default_trial(history)
    if winner is None or rival is None or rival.state is not TrialState.COMPLETE or winner.number == rival.number:
        return None
    pairs = paired_scores(history, winner, rival, [objective])
    if not pairs:
        return None
    folds = [fold for fold, _ in pairs[0].places]
    shares = [test_shares[fold] for fold in folds]
    evidence = paired_folds(pairs[0].winner, pairs[0].rival, shares, level, folds=folds)
    return replace(evidence, method=f"{evidence.method}; {SEARCHED}")
