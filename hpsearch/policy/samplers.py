"""What to try next: proposals as pure functions of History."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import optuna

from hpsearch.errors import UsageError, nearest
from hpsearch.policy.alternatives_sampler import AlternativesSampler
from hpsearch.policy.projection import Projection
from hpsearch.records import History, ask_seed
from hpsearch.space import Alternatives, Categorical, Float, Grid, Int, Space


class Sampler(Protocol):
    """The seam of the samplers."""

    @property
    def is_finite(self) -> bool:
        """Whether the sampler comes to an end by itself."""

    def propose(self, history: History) -> Mapping[str, Any] | None:
        """Return the searched parameters of the next trial, or None when there is nothing left to try."""


class GridSampler:
    """Every point of the grid once, also in parallel and after a resume.

    The next point is the first that no trial in History has: nothing is counted, so nothing can be lost or doubled.
    A default or enqueued configuration that lies on the grid takes the place of its point.
    """

    is_finite = True

    def __init__(self, space: Space, points: int | None = None) -> None:
        self._space = space
        self._points = [dict(point) for point in space.grid(points)]
        self._keys = [_key(point) for point in self._points]

    def __len__(self) -> int:
        return len(self._points)

    def propose(self, history: History) -> Mapping[str, Any] | None:
        tried = {_key(trial.params) for trial in history.trials.values()}
        for key, point in zip(self._keys, self._points, strict=True):
            if key not in tried:
                return point
        return None


class OptunaSampler:
    """One of Optuna's samplers, made anew for every proposal and seeded by (study seed, trial number).

    Args:
        space: What is searched.
        objective: Name of the objective among the metrics.
        seed: The study's seed.
        make: Makes the sampler from a seed. A sampler object of the user's own is handed back as it is, and then
            its proposals after a resume are its own affair: its random state is not ours to restore.
    """

    is_finite = False

    def __init__(
        self, space: Space, objective: str, seed: int, make: Callable[[int], optuna.samplers.BaseSampler]
    ) -> None:
        self._space = space
        self._seed = seed
        self._make = make
        self._projection = Projection(space, objective)

    def propose(self, history: History) -> Mapping[str, Any] | None:
        number = 1 + max(history.trials, default=-1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = self._projection.study(history, self._make(ask_seed(self._seed, number)))
            return suggest(study.ask(), self._space)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Draw the active parameters in order: parents first, so that a condition is known before what hangs on it."""
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


def _refuse_lost_state(sampler: optuna.samplers.BaseSampler) -> None:
    """Refuse Optuna's samplers that need more than a study made from History alone."""
    for refused, why, instead in _REFUSED:
        if isinstance(sampler, refused):
            raise UsageError(f"Optuna's {type(sampler).__name__} {why}, so it cannot be used here. Use {instead}.")
    for inner in ("_base_sampler", "_independent_sampler"):
        if isinstance(getattr(sampler, inner, None), optuna.samplers.BaseSampler):
            _refuse_lost_state(getattr(sampler, inner))


_BAYESIAN = "sampler='bayesian' or optuna.samplers.GPSampler(seed=...), which learn from the values alone"
_GRID = "sampler='grid' or hp.Grid(points=...), which try every point once and then end"

_REFUSED: tuple[tuple[type[optuna.samplers.BaseSampler], str, str], ...] = (
    (optuna.samplers.CmaEsSampler, "pickles its optimizer into the trials, and no pickle is read here", _BAYESIAN),
    (optuna.samplers.NSGAIISampler, "marks the trials with their generation, which only its own study has", _BAYESIAN),
    (optuna.samplers.NSGAIIISampler, "marks the trials with their generation, which only its own study has", _BAYESIAN),
    (optuna.samplers.GridSampler, "marks the trials with their point, which only its own study has", _GRID),
    (optuna.samplers.BruteForceSampler, "says only to Optuna's own loop when every point has been tried", _GRID),
)
"""Sampler, why it is refused, and what to use instead."""


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def _random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": _random,
    "bayesian": _tpe,
    "tpe": _tpe,
}
"""Names of Optuna's samplers to what makes them from a seed; "grid" is our own."""


def resolve_sampler(
    sampler: str | Grid | optuna.samplers.BaseSampler, space: Space, objective: str, seed: int
) -> Sampler:
    """Return the sampler that a study was asked for.

    Raises:
        UsageError: The name is unknown, or a sampler object keeps what it has learnt where it cannot be restored from.
        SpaceError: A grid over a continuous range without points.
    """
    if any(isinstance(searched, Alternatives) for searched in space.parameters.values()):
        return AlternativesSampler(space, lambda separate: resolve_sampler(sampler, separate, objective, seed))
    if isinstance(sampler, optuna.samplers.BaseSampler):
        _refuse_lost_state(sampler)
        return OptunaSampler(space, objective, seed, lambda _: sampler)
    if isinstance(sampler, Grid):
        return GridSampler(space, sampler.points)
    if sampler == "grid":
        return GridSampler(space)
    if sampler not in SAMPLERS:
        known = ["grid", *SAMPLERS]
        raise UsageError(
            f"There is no sampler {sampler!r}.{nearest(str(sampler), known)} The samplers are {', '.join(known)}, "
            "hp.Grid(points=...), or any sampler object of Optuna's."
        )
    return OptunaSampler(space, objective, seed, SAMPLERS[sampler])
