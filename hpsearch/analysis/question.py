"""The one question that is fixed before a search: does the winner beat the literature default?"""

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.analysis.aggregates import best_trial, default_trial
from hpsearch.analysis.significance import Evidence, paired_folds
from hpsearch.records import History, Trial, TrialState

SEARCHED = "on the folds that the search itself chose by, which favours the winner"


def winner_against_default(
    history: History, objective: str, test_shares: Sequence[float], level: float = 0.95
) -> Evidence | None:
    """Compare the best trial with the literature default over their folds, each at its own common point.

    These folds chose the winner, so the difference leans towards it; the method says so. Rows that the search
    never saw (`paired_bootstrap`) answer the question without that lean, and go before this where there are any.

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
    scores, rival_scores = _by_fold(winner, history, objective), _by_fold(rival, history, objective)
    common = [place for place in scores if place in rival_scores]
    if not common:
        return None
    evidence = paired_folds(
        [scores[place] for place in common],
        [rival_scores[place] for place in common],
        [test_shares[fold] for fold, _ in common],
        level,
        folds=[fold for fold, _ in common],
    )
    return replace(evidence, method=f"{evidence.method}; {SEARCHED}")


def _by_fold(trial: Trial, history: History, objective: str) -> dict[tuple[int, int], float]:
    """Return (fold, repeat) to the objective at the trial's common point."""
    point = trial.point or 0
    return {
        (run.fold, run.repeat): history.of(run.key)[point - 1].metrics[objective]
        for run in trial.runs
        if 0 < point <= history.point(run)
    }
