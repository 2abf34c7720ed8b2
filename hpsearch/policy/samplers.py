"""Which sampler proposes: by name, a grid, or an object of Optuna's. Proposals are pure functions of History."""

from collections.abc import Mapping
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from hpsearch.errors import UsageError, nearest
from hpsearch.metrics.direction import Objective
from hpsearch.policy.grid_sampler import GridSampler
from hpsearch.policy.optuna_sampler import (
    OptunaSampler,
    QuasiRandomSampler,
    is_replayable,
    learns_from_values,
    reseeding,
    within,
)
from hpsearch.policy.rule_names import SAMPLERS, unknown
from hpsearch.provenance.modules import imported
from hpsearch.records import History
from hpsearch.space import Grid, Space


class Sampler(Protocol):
    """Proposes what the next trial tries."""

    @property
    def is_finite(self) -> bool:
        """Whether the sampler comes to an end by itself."""

    def propose(self, history: History) -> Mapping[str, Any] | None:
        """Return the searched parameters of the next trial, or None when there is nothing left to try."""


def resolve_sampler(sampler: str | Grid | BaseSampler, space: Space, objective: Objective, seed: int) -> Sampler:
    """Return the sampler that a study asks for.

    Each proposal asks a copy of an Optuna object, reseeded by (study seed, trial number), so that a resumed study asks
    what it would have asked. An object of another class is asked itself, because it may remember things; a resumed
    study lacks those (see `what_is_not_kept`).

    Raises:
        UsageError: It is no sampler, or an object keeps what it has learnt where it cannot be restored from.
        SpaceError: A grid over a continuous range without points.
    """
    if isinstance(sampler, BaseSampler):
        for asked in within(sampler):
            _refuse_lost_state(asked)
            if isinstance(asked, optuna.samplers.PartialFixedSampler):
                _check_fixed(asked._fixed_params, space)
        make = reseeding(sampler, seed) if is_replayable(sampler) else lambda _: sampler
        is_blind = type(sampler) is RandomSampler
        return OptunaSampler(space, objective, seed, make, imputes=learns_from_values(sampler), is_blind=is_blind)
    if isinstance(sampler, Grid):
        return GridSampler(space, sampler.points, seed)
    if not isinstance(sampler, str) or sampler not in SAMPLERS:
        raise unknown("sampler", sampler)
    made: Sampler = imported(SAMPLERS[sampler])(space, objective, seed)
    return made


def is_blind(sampler: Sampler) -> bool:
    """Return whether a sampler proposes the same whatever came of earlier trials; one from outside need not say so."""
    return bool(getattr(sampler, "is_blind", False))


# What makes the samplers that rule_names.py lists.


def bayesian(space: Space, objective: Objective, seed: int) -> Sampler:
    return OptunaSampler(space, objective, seed, lambda ask: TPESampler(seed=ask), imputes=True)


def gaussian_process(space: Space, objective: Objective, seed: int) -> Sampler:
    def make(ask: int) -> BaseSampler:
        return GPSampler(seed=ask, warn_independent_sampling=False)

    return OptunaSampler(space, objective, seed, make, imputes=True)


def uniform(space: Space, objective: Objective, seed: int) -> Sampler:
    return OptunaSampler(space, objective, seed, lambda ask: RandomSampler(seed=ask), is_blind=True)


def whole_grid(space: Space, _objective: Objective, seed: int) -> Sampler:
    return GridSampler(space, None, seed)


def quasi_random(space: Space, _objective: Objective, seed: int) -> Sampler:
    return QuasiRandomSampler(space, seed)


# A user's sampler objects.


def what_is_not_kept(sampler: str | Grid | BaseSampler) -> str | None:
    """Return in words what a resumed study lacks of a sampler object; None where it continues as if never stopped."""
    if not isinstance(sampler, BaseSampler) or is_replayable(sampler):
        return None
    return (
        f"The sampler {type(sampler).__name__} is not one of Optuna's own, so its random state and what it remembers "
        "are not kept with the study: with it, a resumed study may try other configurations than one that was never "
        "stopped. Every trial that is recorded stays as it is."
    )


def _check_fixed(fixed: Mapping[str, Any], space: Space) -> None:
    for name, value in fixed.items():
        if name not in space.parameters:
            raise UsageError(
                f"PartialFixedSampler fixes {name!r}, which is not searched.{nearest(name, space.parameters)} The "
                f"space searches {', '.join(space.parameters)}."
            )
        if not space.parameters[name].contains(value):
            raise UsageError(
                f"PartialFixedSampler fixes {name} at {value!r}, which is not in {space.parameters[name]!r}. Fix it at "
                "a value of the space, or widen the space."
            )


def _refuse_lost_state(sampler: BaseSampler) -> None:
    """Refuse Optuna's samplers that need more than a study made from History alone."""
    for refused, why, instead in _REFUSED:
        if isinstance(sampler, refused):
            raise UsageError(f"Optuna's {type(sampler).__name__} {why}, so it cannot be used here. Use {instead}.")
    if getattr(sampler, "_constraints_func", None) is not None:
        raise UsageError(
            f"Optuna's {type(sampler).__name__} was given constraints_func, which only Optuna's own loop calls, so it "
            "cannot be used here. Leave it out, and let the metric be bad where a constraint is broken."
        )


_BAYESIAN = "sampler='bayesian' or sampler='gp', which learn from the values alone"
_GRID = "sampler='grid' or hp.Grid(points=...), which try every point once and then end"

_REFUSED: tuple[tuple[type[BaseSampler], str, str], ...] = (
    (optuna.samplers.CmaEsSampler, "pickles its optimizer into the trials, and no pickle is read here", _BAYESIAN),
    (optuna.samplers.NSGAIISampler, "marks the trials with their generation, which only its own study has", _BAYESIAN),
    (optuna.samplers.NSGAIIISampler, "marks the trials with their generation, which only its own study has", _BAYESIAN),
    (optuna.samplers.GridSampler, "marks the trials with their point, which only its own study has", _GRID),
    (optuna.samplers.BruteForceSampler, "says only to Optuna's own loop when every point has been tried", _GRID),
)
"""Sampler, why it is refused, and what to use instead."""
