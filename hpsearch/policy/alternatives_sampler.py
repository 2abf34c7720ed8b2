"""A sampler for a space with alternatives: another sampler that sees each alternative under a name of its own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from hpsearch.records import History, Trial
from hpsearch.space import Separation, Space


class _Proposing(Protocol):
    @property
    def is_finite(self) -> bool:
        """Whether the sampler comes to an end by itself."""

    def propose(self, history: History) -> Mapping[str, Any] | None:
        """Return the searched parameters of the next trial."""


class AlternativesSampler:
    """Hands on proposals of a sampler to which the alternatives of a name are parameters of different names.

    Args:
        space: The space with alternatives.
        make: Makes the sampler for the space without them.
    """

    def __init__(self, space: Space, make: Callable[[Space], _Proposing]) -> None:
        self._separation = Separation(space)
        self._sampler = make(self._separation.space)
        self._separated: dict[int, tuple[Trial, Trial]] = {}

    @property
    def is_finite(self) -> bool:
        return self._sampler.is_finite

    def propose(self, history: History) -> Mapping[str, Any] | None:
        trials = {number: self._renamed(trial) for number, trial in history.trials.items()}
        found = self._sampler.propose(replace(history, trials=trials))
        return None if found is None else self._separation.joined(found)

    def _renamed(self, trial: Trial) -> Trial:
        """Return a trial with the separate names, the same object as long as the trial is the same one."""
        known = self._separated.get(trial.number)
        if known is None or known[0] is not trial:
            known = (trial, replace(trial, params=self._separation.separated(trial.params)))
            self._separated[trial.number] = known
        return known[1]
