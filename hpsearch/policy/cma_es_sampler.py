"""CMA-ES as a pure function of History: the optimizer is replayed from the trials, and nothing of it is kept.

Optuna's own CmaEsSampler pickles its optimizer into the trials. Here the trials are told again, block by block, to the
`cmaes` package's CMA-ES with margin (Hamano et al. 2022), which keeps whole and stepped numbers from freezing.
"""

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from cmaes import CMA, CMAwM
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.policy.imputation import imputed_values
from hpsearch.policy.optuna_sampler import suggest
from hpsearch.policy.projection import Projection
from hpsearch.records import History, Origin, TrialState, ask_seed, digest
from hpsearch.space import Float, Int, Space

Vector = np.ndarray[Any, np.dtype[np.float64]]

FIRST_SIGMA = 0.3
"""Standard deviation of the first samples, as a share of each range (Hansen 2016, "The CMA Evolution Strategy: A
Tutorial", appendix A: 0.3 (b - a) for a range from a to b)."""


class CmaEsSampler:
    """CMA-ES over the numeric parameters that always exist; categorical and conditional ones are drawn at random.

    Trials are taken in the order of their numbers, without those that failed, in blocks of the population size. The
    proposal is drawn, with the trial's own seed, from the optimizer after every whole block that lies before the first
    trial in flight. A default or an enqueued configuration is told like any other. Within a block only ranks count:
    pruned and waiting trials stand at their imputed value, imputed from trials up to their block so that what has been
    told stays told, and those that diverged come last.

    Args:
        space: What is searched.
        objective: Name of the objective among the metrics.
        seed: The study's seed.
    """

    is_finite = False

    def __init__(self, space: Space, objective: str, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._projection = Projection(space, objective)
        self._coordinates = tuple(
            _Coordinate(name, parameter)
            for name, parameter in space.parameters.items()
            if isinstance(parameter, Float | Int)
            and parameter.low < parameter.high
            and space.is_active(name, space.fixed)
        )
        self._optimizers = [self._first()] if self._coordinates else []
        self._told: list[FrozenTrial] = []

    def propose(self, history: History) -> Mapping[str, Any] | None:
        number = 1 + max(history.trials, default=-1)
        numeric: dict[str, Any] = {}
        if self._coordinates:
            self._tell(history)
            encoded, _ = _sample(self._optimizers[-1], ask_seed(self._seed, number))
            numeric = self._decoded(encoded)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Another stream than the optimizer's, or the choices would go with the numbers.
            random = optuna.samplers.RandomSampler(seed=int(digest(["random", self._seed, number])[:8], 16))
            sampler = optuna.samplers.PartialFixedSampler(numeric, random)
            return suggest(Projection(self._space, "").study(History(), sampler).ask(), self._space)

    def _first(self) -> CMAwM:
        steps = np.array([coordinate.step for coordinate in self._coordinates])
        bounds = np.tile([0.0, 1.0], (len(steps), 1))
        return CMAwM(mean=np.full(len(steps), 0.5), sigma=FIRST_SIGMA, bounds=bounds, steps=steps, seed=0)

    def _tell(self, history: History) -> None:
        """Bring the optimizers to where History stands: keep what was told of trials that have not changed since.

        The projection hands out one and the same object for a trial that can change no more.
        """
        size = self._optimizers[0].population_size
        ended = self._ended(history)
        same = 0
        while same < min(len(ended), len(self._told)) and ended[same] is self._told[same]:
            same += 1
        kept = same // size
        del self._optimizers[kept + 1 :]
        for end in range((kept + 1) * size, len(ended) + 1, size):
            solutions = self._solutions(history, ended[end - size : end], ended[:end])
            told = [(self._raw(solution), solution.cost) for solution in solutions]
            optimizer = _copied(self._optimizers[-1])
            optimizer.tell(told)
            self._optimizers.append(optimizer)
        self._told = ended

    def _ended(self, history: History) -> list[FrozenTrial]:
        """Return the trials before the first in flight, without those that failed."""
        ended: list[FrozenTrial] = []
        for frozen in self._projection.trials(history):
            if frozen.state is OptunaState.RUNNING:
                break
            if history.trials[frozen.number].state is not TrialState.FAIL and self._is_searched(frozen):
                ended.append(frozen)
        return ended

    def _is_searched(self, frozen: FrozenTrial) -> bool:
        return all(coordinate.name in frozen.params for coordinate in self._coordinates)

    def _solutions(
        self, history: History, block: Sequence[FrozenTrial], before: Sequence[FrozenTrial]
    ) -> list["_Solution"]:
        values = imputed_values(before)
        found = []
        for frozen in block:
            has_shown = frozen.value is not None or bool(frozen.intermediate_values)
            cost = -values[frozen.number] if has_shown else math.inf
            params = tuple(frozen.params[coordinate.name] for coordinate in self._coordinates)
            proposed = history.trials[frozen.number].origin is Origin.SAMPLER
            found.append(_Solution(frozen.number, params, cost, proposed))
        return found

    def _raw(self, solution: "_Solution") -> Vector:
        """Return the sample that a trial was made of, before it was rounded onto steps.

        It is found again by asking as it was asked: each optimizer since, the latest first, with the trial's seed. One
        that none of them proposes (a default, an enqueued configuration) is told as it is.
        """
        if solution.proposed:
            for optimizer in reversed(self._optimizers):
                encoded, raw = _sample(optimizer, ask_seed(self._seed, solution.number))
                if tuple(self._decoded(encoded).values()) == solution.params:
                    return raw
        pairs = zip(self._coordinates, solution.params, strict=True)
        return np.array([coordinate.encode(value) for coordinate, value in pairs])

    def _decoded(self, encoded: Vector) -> dict[str, Any]:
        pairs = zip(self._coordinates, encoded, strict=True)
        return {coordinate.name: coordinate.decode(float(value)) for coordinate, value in pairs}


@dataclass(frozen=True)
class _Solution:
    """What the optimizer is told of a trial: its numeric parameters, and a cost, of which only the rank counts."""

    number: int
    params: tuple[float, ...]
    cost: float
    proposed: bool


@dataclass(frozen=True)
class _Coordinate:
    """A parameter as a number from 0 to 1: its range evenly, or by equal ratios where `log=True`."""

    name: str
    parameter: Float | Int

    @property
    def step(self) -> float:
        """The distance between neighbours, 0 where there are none: whole numbers by equal ratios are rounded."""
        if self.parameter.log or self.parameter.step is None:
            return 0.0
        return 1.0 / self._last

    @property
    def _last(self) -> int:
        """The index of the last of the values on the steps."""
        assert self.parameter.step is not None
        return round((self.parameter.high - self.parameter.low) / self.parameter.step)

    def _ends(self) -> tuple[float, float]:
        low, high = float(self.parameter.low), float(self.parameter.high)
        if not self.parameter.log:
            return low, high
        half = 0.5 if isinstance(self.parameter, Int) else 0.0  # each whole number with the range that rounds to it
        return math.log(low - half), math.log(high + half)

    def encode(self, value: float) -> float:
        low, high = self._ends()
        return ((math.log(value) if self.parameter.log else value) - low) / (high - low)

    def decode(self, share: float) -> float:
        """Return the value at a share of the range; on a step it is the value that the space itself writes."""
        parameter = self.parameter
        if self.step:
            assert parameter.step is not None
            return parameter.read(min(parameter.low + round(share * self._last) * parameter.step, parameter.high))
        low, high = self._ends()
        value = low + share * (high - low)
        value = math.exp(value) if parameter.log else value
        value = min(max(value, parameter.low), parameter.high)
        return round(value) if isinstance(parameter, Int) else value


def _sample(optimizer: CMAwM, seed: int) -> tuple[Vector, Vector]:
    """Return a sample as it is evaluated and as it is told; the optimizer's own state is as before."""
    optimizer.reseed_rng(seed)
    encoded, raw = optimizer.ask()
    return encoded, raw


def _copied(optimizer: CMAwM) -> CMAwM:
    """Return an exact copy: the package's own way to copy folds the covariance into a triangle, which changes bits."""
    made = object.__new__(CMAwM)
    inner = object.__new__(CMA)
    vars(inner).update(copy.deepcopy(vars(optimizer._cma)))
    vars(made).update(copy.deepcopy({name: value for name, value in vars(optimizer).items() if name != "_cma"}))
    made._cma = inner
    return made
