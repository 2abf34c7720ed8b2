"""All that has happened in a study so far, as one immutable value that every policy reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from hpsearch.metrics.direction import Direction
from hpsearch.records.types import Decision, Evaluation, Outcome, Run, SegmentResult, Trial, TrialState

Key = TypeVar("Key")
Value = TypeVar("Value")

_FINISHED = tuple(state for state in TrialState if state.is_finished)
_UNFINISHED = tuple(state for state in TrialState if not state.is_finished)
"""Tuples, because a thousand trials are looked up many times: `in` compares identities; a property is slow."""


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
class _Index:
    """What each segment asks of a thousand trials several times: which share a run, and which have not ended.

    Attributes:
        trials: The trials that it is of.
        runs: Run key to the numbers of the trials that have it, in the order of asking.
        unfinished: Number to trial, in the order of asking.
    """

    trials: Mapping[int, Trial]
    runs: Mapping[str, tuple[int, ...]]
    unfinished: Mapping[int, Trial]

    @classmethod
    def of(cls, trials: Mapping[int, Trial]) -> "_Index":
        runs: dict[str, tuple[int, ...]] = {}
        for trial in trials.values():
            _enter(runs, trial)
        return cls(trials, runs, {number: trial for number, trial in trials.items() if trial.state in _UNFINISHED})

    def grown(self, trials: Mapping[int, Trial], trial: Trial) -> "_Index":
        """Return the index of `trials`, which differ in `trial` alone: it is new, or has moved on."""
        before = self.trials.get(trial.number)
        if before is not None and (before.runs is not trial.runs or before.number not in self.unfinished):
            return self.of(trials)
        runs = self.runs
        if before is None:
            runs = dict(self.runs)
            _enter(runs, trial)
        unfinished = {**self.unfinished, trial.number: trial}
        if trial.state not in _UNFINISHED:
            del unfinished[trial.number]
        return _Index(trials, runs, unfinished)


def _enter(runs: dict[str, tuple[int, ...]], trial: Trial) -> None:
    for key in dict.fromkeys(run.key for run in trial.runs):
        runs[key] = (*runs.get(key, ()), trial.number)


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
    _index: _Index | None = field(default=None, init=False, compare=False, repr=False)
    _journal: list[int | str] | None = field(default=None, init=False, compare=False, repr=False)
    _length: int = field(default=0, init=False, compare=False, repr=False)

    def repeats(self, state: TrialState | None = None) -> int:
        """Return how many trials (in a state) train what an earlier one of them does: equal configs have equal runs."""
        trials = [trial for trial in self.trials.values() if state in (None, trial.state)]
        return len(trials) - len({trial.runs[0].key if trial.runs else trial.number for trial in trials})

    def with_trial(self, trial: Trial) -> "History":
        trials = _with(self.trials, trial.number, trial)
        return self._grown(trial.number, self._indexed.grown(trials, trial), trials=trials)

    def with_evaluation(self, evaluation: Evaluation) -> "History":
        """Append an evaluation; a point that has one already keeps it, because a repeated run measures the same."""
        earlier = self.of(evaluation.run)
        if evaluation.point <= len(earlier):
            return self
        if evaluation.point != len(earlier) + 1:
            raise ValueError(f"run {evaluation.run}: point {evaluation.point} after point {len(earlier)}")
        evaluations = _with(self.evaluations, evaluation.run, (*earlier, evaluation))
        return self._grown(evaluation.run, self._indexed, evaluations=evaluations)

    def up_to(self, run: str, point: int) -> "History":
        """Return what is left without a run's evaluations after a point."""
        evaluations = _with(self.evaluations, run, self.of(run)[:point])
        return self._grown(run, self._indexed, evaluations=evaluations)

    def with_result(self, result: SegmentResult) -> "History":
        key = result.segment.run.key
        results = _with(self.results, key, (*self.results.get(key, ()), result))
        return self._grown(key, self._indexed, results=results)

    def _grown(self, changed: int | str, index: _Index, **values: Any) -> "History":
        """Return a history with other `values`, in which the trial or run `changed` has moved on."""
        grown, journal, length = replace(self, **values), self._journal, self._length
        if journal is None or len(journal) != length:  # this is the first, or has been grown from before
            journal, length = [], 0
        journal.append(changed)
        for name, value in (("_index", index), ("_journal", journal), ("_length", length + 1)):
            object.__setattr__(grown, name, value)
        return grown

    def changed_since(self, earlier: "History") -> set[int] | None:
        """Return the numbers of the trials that have moved on since, by themselves or in their runs.

        None where this did not grow from `earlier`, or that is not known.
        """
        if self is earlier:
            return set()
        if self._journal is None or self._journal is not earlier._journal or earlier._length > self._length:
            return None
        numbers: set[int] = set()
        for changed in self._journal[earlier._length : self._length]:
            numbers |= {changed} if isinstance(changed, int) else {*self._indexed.runs.get(changed, ())}
        return numbers

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
        return tuple(self._indexed.unfinished.values())

    def sharing(self, run: str) -> tuple[Trial, ...]:
        """Return the trials that have a run, by its key, in the order of asking."""
        return tuple([self.trials[number] for number in self._indexed.runs.get(run, ())])

    def finished(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the finished trials, or those that finished in one of `states`."""
        wanted = states or _FINISHED
        return tuple([trial for trial in self.trials.values() if trial.state in wanted])

    @property
    def _indexed(self) -> _Index:
        """The index; a history that has not grown from another makes it when first asked."""
        if self._index is None:
            object.__setattr__(self, "_index", _Index.of(self.trials))
        assert self._index is not None
        return self._index

    @classmethod
    def of_trials(cls, trials: Iterable[Trial]) -> "History":
        return cls(trials=MappingProxyType({trial.number: trial for trial in trials}))
