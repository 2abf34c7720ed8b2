"""Optuna's samplers: each proposal asks a new one, on a study made from History."""

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.trial import FrozenTrial

from hpsearch.metrics.direction import Objective
from hpsearch.policy.projection import Projection, distribution
from hpsearch.records import History, Origin, ask_seed, digest
from hpsearch.space import Categorical, Float, Int, Space

LARGEST_GIVEN_SEED = 2**32 - 1
"""NumPy takes no larger seed; the one that a QMCSampler draws for itself is larger but once in four billion times."""

SCRAMBLE = -1
"""The trial number whose seed scrambles a study's quasi-random sequence; those below it scramble the sequences that
points are taken from where one of the first is refused."""

APART = 1 << 20
"""How far the numbers of refused proposals (`hpsearch.policy.refusals`) lie above those of trials: a sampler's seed is
that of the next number, and none may be drawn from twice."""


class OptunaSampler:
    """One of Optuna's samplers, made anew for every proposal and seeded by (study seed, trial number).

    Args:
        make: Makes the sampler from a seed. If it always returns the same object, as for a user's own class, proposals
            depend on what that object remembers.
        imputes: Whether the sampler sees waiting and pruned trials as complete (`hpsearch.policy.imputation`).
        is_blind: Whether it proposes the same whatever came of earlier trials.
    """

    is_finite = False

    def __init__(
        self,
        space: Space,
        objective: Objective,
        seed: int,
        make: Callable[[int], BaseSampler],
        *,
        imputes: bool = False,
        is_blind: bool = False,
    ) -> None:
        self.is_blind = is_blind
        self._space = space
        self._seed = seed
        self._make = make
        self._imputes = imputes
        self._projection = Projection(space, objective)

    def propose(self, history: History) -> Mapping[str, Any] | None:
        number = 1 + max(history.trials, default=-1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = self._make(ask_seed(self._seed, number))
            seen = History() if self.is_blind else history  # a thousand trials need not be shown to the blind
            study = self._projection.study(seen, sampler, imputes=self._imputes)
            uses_torch = any(isinstance(asked, optuna.samplers.GPSampler) for asked in within(sampler))
            with _one_thread() if uses_torch else nullcontext():
                return suggest(study.ask(), self._space)


@dataclass(frozen=True)
class QuasiRandomSampler:
    """The points of one Sobol' sequence, scrambled by the study's seed; each of the sampler's trials takes the next.

    A default or enqueued configuration skips no point: a sequence without its first point is no longer balanced (Owen
    2020, "On dropping the first Sobol' point"). In place of a point that is refused comes the same one of another
    scramble. Every parameter has its own coordinate; that of a conditional one goes unused where the parameter does not
    exist. Optuna's own sampler would draw the first trial, and whatever its space lacks, at random.
    """

    space: Space
    seed: int
    is_finite: ClassVar[bool] = False
    is_blind: ClassVar[bool] = True

    def propose(self, history: History) -> Mapping[str, Any] | None:
        tried = [trial for number, trial in history.trials.items() if number < APART]
        index = sum(trial.origin is Origin.SAMPLER for trial in tried)
        refusals = max(history.trials, default=0) // APART
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = _SobolPoint(self.space, ask_seed(self.seed, SCRAMBLE - refusals), index)
            study = Projection(self.space, Objective("")).study(History(), sampler)
            return suggest(study.ask(), self.space)


class _SobolPoint(optuna.samplers.QMCSampler):
    """One point of a scrambled Sobol' sequence."""

    def __init__(self, space: Space, seed: int, index: int) -> None:
        super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self._space = space
        self._index = index

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {name: distribution(parameter) for name, parameter in self._space.parameters.items()}

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._index


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Draw the active parameters in order, parents first: what they choose decides which others are active."""
    params: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if not space.is_active(name, {**space.fixed, **params}):
            continue
        match parameter:
            case Categorical():
                params[name] = trial.suggest_categorical(name, parameter.choices)
            case Int():
                params[name] = trial.suggest_int(
                    name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
                )
            case Float():
                params[name] = trial.suggest_float(
                    name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
                )
    return params


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread: a Gaussian process over some hundred trials is faster so, and its last bits do not
    depend on how many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# A user's sampler objects.


def within(sampler: BaseSampler) -> Iterator[BaseSampler]:
    """Yield a sampler and those that it asks itself."""
    yield sampler
    for value in vars(sampler).values():
        if isinstance(value, BaseSampler):
            yield from within(value)


def is_replayable(sampler: BaseSampler) -> bool:
    """Return whether a sampler's proposals can be computed again: whether it, and all within it, is Optuna's own.

    Optuna's own keep only random states and caches between proposals. A user's class may keep more.
    """
    return all(type(asked).__module__.startswith("optuna.samplers") for asked in within(sampler))


def learns_from_values(sampler: BaseSampler) -> bool:
    """Return whether a sampler, or one within it, does better with imputed values (`hpsearch.policy.imputation`).

    With most trials waiting at a low rung, a Parzen estimator's good tenth is else whatever happened to complete.
    """
    return any(isinstance(asked, optuna.samplers.GPSampler | optuna.samplers.TPESampler) for asked in within(sampler))


def reseeding(sampler: BaseSampler, study_seed: int) -> Callable[[int], BaseSampler]:
    """Return a function that makes reseeded copies of a sampler as it is now; the object itself is never asked.

    A copy's seed mixes the seed it is asked with and the sampler's own random state, so that samplers made with
    different seeds propose differently. One made without a seed uses the former alone, and is replayable too. A
    quasi-random sampler keeps its scramble; one without a seed gets the study's.
    """
    pristine = copy.deepcopy(sampler)
    for asked in within(pristine):
        if isinstance(asked, optuna.samplers.QMCSampler) and asked._seed > LARGEST_GIVEN_SEED:
            asked._seed = ask_seed(study_seed, SCRAMBLE)

    def make(seed: int) -> BaseSampler:
        made = copy.deepcopy(pristine)
        for asked in within(made):
            for state in vars(asked).values():
                if isinstance(state, LazyRandomState):
                    own = state._rng  # before `rng` is looked at, which makes one where there is none
                    state.rng.seed(_mixed(seed, own))
        return made

    return make


def _mixed(seed: int, own: np.random.RandomState | None) -> int:
    if own is None:
        return seed
    words: np.ndarray[Any, Any] = own.get_state(legacy=False)["state"]["key"]
    return int(digest([seed, hashlib.sha256(words.tobytes()).hexdigest()])[:8], 16)
