"""All that has happened in a study so far, as one immutable value that every policy reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from hpsearch.metrics.direction import Direction
from hpsearch.records.types import Decision, Evaluation, Outcome, Run, SegmentResult, Trial, TrialState

Key = TypeVar("Key")
Value = TypeVar("Value")

_FINISHED = tuple(state for state in TrialState if state.is_finished)
_UNFINISHED = tuple(state for state in TrialState if not state.is_finished)
"""Tuples, because each segment looks up a thousand trials many times: `in` compares identities; a property is slow."""


def _with(mapping: Mapping[Key, Value], key: Key, value: Value) -> Mapping[Key, Value]:
    """Return a copy with one more entry; copying a thousand entries takes ten microseconds."""
    grown = mapping.copy() if isinstance(mapping, MappingProxyType) else dict(mapping)
    grown[key] = value
    return MappingProxyType(grown)


def decided(trial: Trial, decision: Decision) -> Trial:
    stop = decision.stop if decision.stop is not None else trial.stop
    state = decision.final_state
    if state is None:
        return trial if stop == trial.stop else replace(trial, stop=stop)
    return replace(trial, state=state, value=decision.value, point=decision.point, stop=stop, reason=decision.reason)


@dataclass(frozen=True)
class History:
    """A read model of one study.

    Attributes:
        trials: Trial number to trial, in the order of asking.
        evaluations: Run key to its evaluations at points 1, 2, 3, ... without a gap.
        results: Run key to the ends of its segments, oldest first.
        direction: Whether more or less of the objective is better. Values are as measured, so compare their scores.
    """

    trials: Mapping[int, Trial] = field(default_factory=lambda: MappingProxyType({}))
    evaluations: Mapping[str, tuple[Evaluation, ...]] = field(default_factory=lambda: MappingProxyType({}))
    results: Mapping[str, tuple[SegmentResult, ...]] = field(default_factory=lambda: MappingProxyType({}))
    direction: Direction = Direction.MAXIMIZE

    def repeats(self, state: TrialState | None = None) -> int:
        """Return how many trials (in a state) train what an earlier one of them does: equal configs have equal runs."""
        trials = [trial for trial in self.trials.values() if state in (None, trial.state)]
        return len(trials) - len({trial.runs[0].key if trial.runs else trial.number for trial in trials})

    def with_trial(self, trial: Trial) -> "History":
        return replace(self, trials=_with(self.trials, trial.number, trial))

    def with_evaluation(self, evaluation: Evaluation) -> "History":
        """Append an evaluation; a point that has one already keeps it, because a repeated run measures the same."""
        earlier = self.of(evaluation.run)
        if evaluation.point <= len(earlier):
            return self
        if evaluation.point != len(earlier) + 1:
            raise ValueError(f"run {evaluation.run}: point {evaluation.point} after point {len(earlier)}")
        return replace(self, evaluations=_with(self.evaluations, evaluation.run, (*earlier, evaluation)))

    def with_result(self, result: SegmentResult) -> "History":
        key = result.segment.run.key
        return replace(self, results=_with(self.results, key, (*self.results.get(key, ()), result)))

    def with_decision(self, decision: Decision) -> "History":
        return self.with_trial(decided(self.trials[decision.trial], decision))

    def of(self, run: str) -> tuple[Evaluation, ...]:
        """Return a run's evaluations, by its key."""
        return self.evaluations.get(run, ())

    def point(self, run: Run) -> int:
        """Return the last evaluation point that a run has reached, 0 before the first."""
        return len(self.of(run.key))

    def outcomes(self, run: Run) -> tuple[Outcome, ...]:
        return tuple(result.outcome for result in self.results.get(run.key, ()))

    def unfinished(self) -> tuple[Trial, ...]:
        return tuple([trial for trial in self.trials.values() if trial.state in _UNFINISHED])

    def finished(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the finished trials, or those that finished in one of `states`."""
        wanted = states or _FINISHED
        return tuple([trial for trial in self.trials.values() if trial.state in wanted])

    @classmethod
    def of_trials(cls, trials: Iterable[Trial]) -> "History":
        return cls(trials=MappingProxyType({trial.number: trial for trial in trials}))
