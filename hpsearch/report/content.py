"""All that figures and page show of a study, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpsearch.analysis.aggregates import TrialSummary, best_trial, default_trial, summarize_all
from hpsearch.analysis.importance import Importance, importance
from hpsearch.analysis.pairing import PairedScores, paired_scores
from hpsearch.analysis.significance import Evidence
from hpsearch.analysis.table import metric_names
from hpsearch.analysis.timeline import End, Span, spans
from hpsearch.errors import UsageError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.records import LOSS, Decision, History, Origin, TrialState


@dataclass(frozen=True)
class Content:
    """What a report is written from. It needs no study, so any History can have a report.

    Attributes:
        task: What is fine-tuned, in a line.
        facts: Facts of data and search in the order shown: rows, classes, sampler, ...
        objective: Name of the objective among the metrics; the history knows its direction.
        metrics: Names of all the metrics measured, the objective among them or not.
        directions: Which way metrics are better, by name; more of one without an entry is, except for the loss.
        space: The search space as JSON, as `Space.to_json` gives it; empty where it is not known.
        test_shares: By fold, held-out rows over all rows of the split; empty leaves the intervals out.
        evidence: The answer to whether the winner beats the literature default, or None.
        test_scores: Name of a model ("winner", "literature default") to its scores on the test rows, or None.
        test_is_to_come: Whether there are test rows, to be scored once the study has ended.
        not_done: What could not be done on the test rows, and why, in words; or None.
        numerics: How numbers were computed: precision, versions, hardware.
        fingerprints: Name of what was hashed (data, model, ...) to its digest.
        logs: Number of a trial to the name of its log.
        ends: (seconds since 1970, end of a segment) in order, as the store has them; empty where not known.
        decisions: (seconds since 1970, decision) likewise.
        outputs: Name of a figure to what it shows of the winner's out-of-fold predictions, as the task's judge gives
            it.
        disturbances: What another run of the same script may lack, one sentence each.
    """

    name: str
    task: str
    facts: Mapping[str, Any]
    history: History
    objective: str
    metrics: Sequence[str] = ()
    directions: Mapping[str, Direction] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    test_shares: Sequence[float] = ()
    evidence: Evidence | None = None
    test_scores: Mapping[str, Mapping[str, float]] | None = None
    test_is_to_come: bool = False
    not_done: str | None = None
    numerics: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[int, str] = field(default_factory=dict)
    ends: Sequence[End] = ()
    decisions: Sequence[tuple[float, Decision]] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    disturbances: Sequence[str] = ()

    @cached_property
    def summaries(self) -> tuple[TrialSummary, ...]:
        """Every trial in numbers, by number."""
        return summarize_all(self.history, self.objective, self.test_shares or None)

    @cached_property
    def texts(self) -> dict[int, str]:
        """Texts of trials under the pointer, by number, as far as they were made."""
        return {}

    @cached_property
    def best(self) -> TrialSummary | None:
        """The best trial, or None where none is complete."""
        trial = best_trial(self.history)
        return None if trial is None else self.summary(trial.number)

    @cached_property
    def default(self) -> TrialSummary | None:
        """The trial of the literature default, in whatever state, or None."""
        trial = default_trial(self.history)
        return None if trial is None else self.summary(trial.number)

    @property
    def rival(self) -> TrialSummary | None:
        """The literature default where another trial is the best, or None."""
        is_other = self.best is not None and self.default is not None and self.default.number != self.best.number
        return self.default if is_other else None

    @cached_property
    def all_metrics(self) -> tuple[str, ...]:
        """The objective, then the other metrics, the validation loss last."""
        names = dict.fromkeys([self.objective, *self.metrics, *metric_names(self.summaries)])
        return (*(name for name in names if name != LOSS), *(name for name in names if name == LOSS))

    @cached_property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """Searched hyperparameters: name to what the space says of it, or to nothing where there is no space."""
        searched = {parameter["name"]: parameter for parameter in self.space.get("parameters", ())}
        if searched:
            return searched
        return {name: {} for trial in self.history.trials.values() for name in trial.params}

    @cached_property
    def importance(self) -> Importance:
        return importance(self.summaries, self.parameters, self.history.direction)

    def direction(self, metric: str) -> Direction:
        """Return which way a metric is better."""
        if metric == self.objective:
            return self.history.direction
        return self.directions.get(metric, Direction.MINIMIZE if metric == LOSS else Direction.MAXIMIZE)

    def described(self, metric: str) -> str:
        """Return a metric's name, and where less of it is better, that it is."""
        return metric + (" (lower is better)" if self.direction(metric) is Direction.MINIMIZE else "")

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """When each segment trained; empty where no times are known."""
        return spans(self.ends, self.history)

    @cached_property
    def pairs(self) -> tuple[PairedScores, ...]:
        """Winner and literature default on the same folds, by metric; empty without two to compare."""
        winner, rival = best_trial(self.history), default_trial(self.history)
        if winner is None or rival is None or rival.state is not TrialState.COMPLETE or winner.number == rival.number:
            return ()
        return paired_scores(self.history, winner, rival, {name: self.direction(name) for name in self.all_metrics})

    @property
    def repeats(self) -> int:
        """How often every fold trains, with another seed each time."""
        return max((run.repeat + 1 for trial in self.history.trials.values() for run in trial.runs), default=1)

    def count(self, state: TrialState) -> int:
        return sum(summary.state is state for summary in self.summaries)

    def label(self, number: int) -> str:
        """Return a trial's name in legends: its number, and whether it is the best or the default."""
        roles = [
            role
            for role, summary in (("best", self.best), ("default", self.default))
            if summary is not None and summary.number == number
        ]
        return f"trial {number}" + (f" ({', '.join(roles)})" if roles else "")

    def roles(self, summary: TrialSummary) -> tuple[str, ...]:
        """Return a trial's roles: "best", and who proposed it if not the sampler."""
        is_best = self.best is not None and summary.number == self.best.number
        origin = () if summary.origin is Origin.SAMPLER else (summary.origin.value,)
        return ("best", *origin) if is_best else origin

    def test_difference(self, metric: str) -> float | None:
        """Return winner minus literature default on the test rows, or None where one of them was not scored."""
        tested = self.test_scores or {}
        winner, rival = (tested.get(side, {}).get(metric) for side in ("winner", "literature default"))
        return None if winner is None or rival is None else winner - rival

    def leading(self, count: int) -> tuple[int, ...]:
        """Return the numbers of up to `count` trials worth a look: best, default, then the next best."""
        first = [summary.number for summary in (self.best, self.default) if summary is not None and summary.folds]
        measured = [summary for summary in self.summaries if summary.value is not None]
        score = self.history.direction.score
        ranked = sorted(
            measured, key=lambda summary: (summary.state is not TrialState.COMPLETE, -score(summary.value or 0.0))
        )
        return tuple(dict.fromkeys([*first, *(summary.number for summary in ranked)]))[:count]

    @cached_property
    def ranked(self) -> tuple[str, ...]:
        """The searched hyperparameters that differ between trials, the most important first where that is known."""
        varying = [
            name
            for name in self.parameters
            if len({repr(summary.config[name]) for summary in self.summaries if name in summary.config}) > 1
        ]
        ranked = [name for name in self.importance.shares if name in varying]
        return (*ranked, *(name for name in varying if name not in ranked))

    def searched(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return these hyperparameters, each once.

        Raises:
            UsageError: One of them is not searched.
        """
        for name in names:
            if name not in self.parameters:
                raise UsageError(
                    f"Study {self.name!r} does not search {name!r}.{nearest(name, list(self.parameters))} "
                    f"It searches {', '.join(self.parameters) or 'nothing'}."
                )
        return tuple(dict.fromkeys(names))

    def summary(self, number: int) -> TrialSummary:
        return self._by_number[number]

    @cached_property
    def _by_number(self) -> Mapping[int, TrialSummary]:
        return {summary.number: summary for summary in self.summaries}
