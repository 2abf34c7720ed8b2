"""Two trials side by side, fold by fold: in every metric, and whether the winner beats the literature default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpsearch.analysis.aggregates import best_trial, default_trial
from hpsearch.analysis.significance import Evidence, paired_folds
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, Trial, TrialState
from hpsearch.records.objective_values import mean_value

SEARCHED = "on the folds that the search itself used to choose, which favours the winner"


@dataclass(frozen=True)
class PairedScores:
    """One metric of two trials on the folds that both have, each trial read at its own point.

    Attributes:
        metric: Its name.
        direction: Whether more or less of it is better.
        places: (fold, repeat) of each score.
        winner, rival: The scores, one for each of `places`.
    """

    metric: str
    direction: Direction
    places: tuple[tuple[int, int], ...]
    winner: tuple[float, ...]
    rival: tuple[float, ...]

    @property
    def difference(self) -> float:
        """Mean over folds of winner minus rival."""
        return mean_value([one - other for one, other in zip(self.winner, self.rival, strict=True)])

    @property
    def won(self) -> int:
        """On how many folds the winner is better."""
        score = self.direction.score
        return sum(score(one) > score(other) for one, other in zip(self.winner, self.rival, strict=True))


def paired_scores(
    history: History, winner: Trial, rival: Trial, directions: Mapping[str, Direction]
) -> tuple[PairedScores, ...]:
    """Return the scores of two trials by metric, without metrics that one of them lacks on a fold.

    Args:
        directions: Which way each metric is better, by name.
    """
    one, other = _measured(winner, history), _measured(rival, history)
    places = tuple(place for place in one if place in other)
    pairs = []
    for metric, direction in directions.items():
        if places and all(metric in by_place[place] for by_place in (one, other) for place in places):
            scores = [tuple(by_place[place][metric] for place in places) for by_place in (one, other)]
            pairs.append(PairedScores(metric, direction, places, scores[0], scores[1]))
    return tuple(pairs)


def winner_against_default(history: History, objective: str, test_shares: Sequence[float]) -> Evidence | None:
    """Compare the best trial with the literature default over their folds, each at its own common point.

    These folds chose the winner, so the difference favours it; the method says so. Rows that the search never saw
    (`paired_bootstrap`) answer the question fairly, and come first where there are any.

    Args:
        test_shares: By fold, held-out rows over all rows of the split.

    Returns:
        The evidence, or None where the default is not complete, or is itself the best.
    """
    winner, rival = best_trial(history), default_trial(history)
    if winner is None or rival is None or rival.state is not TrialState.COMPLETE or winner.number == rival.number:
        return None
    pairs = paired_scores(history, winner, rival, {objective: history.direction})
    if not pairs:
        return None
    folds = [fold for fold, _ in pairs[0].places]
    shares = [test_shares[fold] for fold in folds]
    evidence = paired_folds(pairs[0].winner, pairs[0].rival, shares, folds=folds, direction=history.direction)
    return replace(evidence, method=f"{evidence.method}; {SEARCHED}")


def _measured(trial: Trial, history: History) -> dict[tuple[int, int], dict[str, float]]:
    """Return (fold, repeat) to the metrics at the trial's point, for the runs that reached it."""
    point = trial.point or 0
    return {
        (run.fold, run.repeat): dict(history.of(run.key)[point - 1].metrics)
        for run in trial.runs
        if 0 < point <= history.point(run)
    }
