"""Two trials side by side, fold by fold, in every metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.records import LOSS, History, Trial
from hpsearch.records.values import mean_value


@dataclass(frozen=True)
class PairedScores:
    """One metric of two trials on the folds that both were measured on, each trial read at its own point.

    Attributes:
        metric: Its name; greater is better, except for the loss.
        places: (fold, repeat) of each score.
        winner, rival: The scores, one for each of `places`.
    """

    metric: str
    places: tuple[tuple[int, int], ...]
    winner: tuple[float, ...]
    rival: tuple[float, ...]

    @property
    def difference(self) -> float:
        """Mean over folds of winner minus rival."""
        return mean_value([one - other for one, other in zip(self.winner, self.rival, strict=True)])

    @property
    def won(self) -> int:
        """On how many folds the winner is the better of the two."""
        sign = -1 if self.metric == LOSS else 1
        return sum(sign * one > sign * other for one, other in zip(self.winner, self.rival, strict=True))


def paired_scores(history: History, winner: Trial, rival: Trial, metrics: Sequence[str]) -> tuple[PairedScores, ...]:
    """Return the scores of two trials by metric, without metrics that one of them lacks on a fold."""
    one, other = _measured(winner, history), _measured(rival, history)
    places = tuple(place for place in one if place in other)
    pairs = []
    for metric in metrics:
        if places and all(metric in by_place[place] for by_place in (one, other) for place in places):
            scores = [tuple(by_place[place][metric] for place in places) for by_place in (one, other)]
            pairs.append(PairedScores(metric, places, scores[0], scores[1]))
    return tuple(pairs)


def _measured(trial: Trial, history: History) -> dict[tuple[int, int], dict[str, float]]:
    """Return (fold, repeat) to the metrics at the trial's point, of the runs that reached it."""
    point = trial.point or 0
    return {
        (run.fold, run.repeat): dict(history.of(run.key)[point - 1].metrics)
        for run in trial.runs
        if 0 < point <= history.point(run)
    }
