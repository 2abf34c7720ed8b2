"""A recorded grid as a policy meets it: every configuration, what it measured at every point, and how it is proposed.

A searched range becomes the place of a value on its grid, a whole number from 0; a choice stays a choice. So random
search is uniform over the grid, and a model-based sampler has the order that the values have. A proposal whose
configuration has been tried becomes the nearest one that has not: places count from 0 to 1 along each range, another
choice is as far as a whole range, and among equally near ones a shuffle by the replay's seed decides. All parties are
served so: ours, Optuna's, Syne Tune's.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import hpsearch as hp
from benchmarks.policy_tables import FOLDER
from hpsearch.records import LOSS
from hpsearch.records.objective_values import best_common_point
from hpsearch.space import Parameter


@dataclass(frozen=True)
class Point:
    """What was recorded at an evaluation point of a run.

    Attributes:
        metrics: Metric name to value, `"loss"` among them.
        seconds: Of training and evaluation since the point before.
        rows_seen: Training rows seen by then.
        train_loss: Mean training loss since the point before.
    """

    metrics: Mapping[str, float]
    seconds: float
    rows_seen: int
    train_loss: float


@dataclass(frozen=True)
class GridTable:
    """A recorded grid.

    Attributes:
        name: The table's name.
        recorded: The space that was recorded, every range with its grid.
        objective: The metric that configurations are judged by.
        evaluations_per_epoch: Evaluation points an epoch.
        params: The searched hyperparameters of each configuration, in numbers of the recorded space.
        points: By configuration, fold and evaluation point, what was measured.
        tested: Of each configuration, metric to score on the test rows after a refit; empty where none was made.
    """

    name: str
    recorded: hp.Space
    objective: str
    evaluations_per_epoch: int
    params: Sequence[Mapping[str, Any]]
    points: Sequence[Sequence[Sequence[Point]]]
    tested: Sequence[Mapping[str, float]]

    @classmethod
    def read(cls, name: str, folder: Path | None = None) -> "GridTable":
        """Read a table that `benchmarks.policy_tables` wrote."""
        folder = folder or FOLDER
        about = json.loads((folder / f"policy-{name}-about.json").read_text(encoding="utf-8"))
        curves = pandas.read_parquet(folder / f"policy-{name}-curves.parquet")
        rows = pandas.read_parquet(folder / f"policy-{name}-configurations.parquet").sort_values("configuration")
        recorded = hp.Space.from_json(about["space"])
        return cls(
            name=name,
            recorded=recorded,
            objective=about["objective"],
            evaluations_per_epoch=about["evaluations_per_epoch"],
            params=[recorded.validate({n: row[n] for n in recorded.parameters}, name) for row in _plain(rows)],
            points=_points(curves, list(rows["configuration"]), about["folds"]),
            tested=[
                {key.removeprefix("test_"): value for key, value in row.items() if key.startswith("test_")}
                for row in _plain(rows)
            ],
        )

    @property
    def folds(self) -> int:
        return len(self.points[0])

    @property
    def rows(self) -> int:
        """Training rows of a fold, of the one that has least."""
        return min(points[self.evaluations_per_epoch - 1].rows_seen for points in self.points[0])

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Of each configuration, its value over all folds: what a complete trial of it is told."""
        return tuple(best_common_point(self.curves(index), None)[1] for index in range(len(self.params)))

    def curves(self, configuration: int) -> list[list[float]]:
        """Return the objective by fold and evaluation point."""
        return [[point.metrics[self.objective] for point in fold] for fold in self.points[configuration]]

    @cached_property
    def best(self) -> float:
        return max(self.values)

    @cached_property
    def exhaustive(self) -> float:
        """Epochs of a fold that all configurations on all folds take."""
        return sum(len(fold) for folds in self.points for fold in folds) / self.evaluations_per_epoch

    def top(self, count: int) -> frozenset[int]:
        """Return the best configurations, and whichever are as good as the last of them."""
        least = sorted(self.values, reverse=True)[count - 1]
        return frozenset(index for index, value in enumerate(self.values) if value >= least)

    # How it is searched

    @cached_property
    def space(self) -> hp.Space:
        """The space that is searched: ranges as places on their grids."""
        searched = {name: _places(parameter) for name, parameter in _parameters(self.recorded).items()}
        default = None if self.default is None else self.proposal(self.default)
        return hp.Space(default=default, **searched, **self.recorded.fixed)

    @cached_property
    def default(self) -> int | None:
        """The configuration that is the literature default; None where the recorded space has none."""
        return None if self.recorded.default is None else self.index(self.recorded.default)

    def proposal(self, configuration: int) -> dict[str, Any]:
        """Return a configuration as it is proposed: places and choices."""
        params = self.params[configuration]
        return {
            name: params[name] if isinstance(parameter, hp.Categorical) else parameter.grid_values().index(params[name])
            for name, parameter in _parameters(self.recorded).items()
        }

    def config(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is trained where the places and choices of a grid configuration are proposed."""
        return {**self.recorded.fixed, **self.params[self.proposed(proposal)]}

    def index(self, config: Mapping[str, Any]) -> int:
        """Return the configuration with these recorded hyperparameters; others may be named too."""
        return self._indices[tuple([config[name] for name in self.recorded.parameters])]

    def proposed(self, proposal: Mapping[str, Any]) -> int:
        """Return the configuration at these places and choices; others may be named too."""
        return self._proposals[tuple([proposal[name] for name in self.recorded.parameters])]

    @cached_property
    def _indices(self) -> Mapping[tuple[Any, ...], int]:
        return {tuple(params[n] for n in self.recorded.parameters): index for index, params in enumerate(self.params)}

    @cached_property
    def _proposals(self) -> Mapping[tuple[Any, ...], int]:
        return {tuple(self.proposal(index).values()): index for index in range(len(self.params))}

    @cached_property
    def positions(self) -> np.ndarray:
        """Of each configuration, where it lies: float64, shape (configurations, coordinates)."""
        return np.array([self.position(self.proposal(index)) for index in range(len(self.params))])

    def position(self, proposal: Mapping[str, Any]) -> list[float]:
        found: list[float] = []
        for name, parameter in _parameters(self.recorded).items():
            if isinstance(parameter, hp.Categorical):
                found += [math.sqrt(0.5) * (choice == proposal[name]) for choice in parameter.choices]
            else:
                found.append(proposal[name] / max(len(parameter.grid_values()) - 1, 1))
        return found


class Untried:
    """Turns proposals into configurations of a table that have not been tried.

    Args:
        table: The table.
        seed: The replay's seed: which of several equally near ones is taken.
    """

    def __init__(self, table: GridTable, seed: int) -> None:
        self._table = table
        self._rank = np.random.default_rng([seed, len(table.params)]).permutation(len(table.params))

    def nearest(self, proposal: Mapping[str, Any], tried: Collection[int]) -> int | None:
        """Return the nearest configuration that has not been tried, None where all have been."""
        if len(tried) >= len(self._table.params):
            return None
        distances = np.square(self._table.positions - self._table.position(proposal)).sum(axis=1).round(9)
        distances[list(tried)] = math.inf
        return int(np.lexsort((self._rank, distances))[0])


def _parameters(space: hp.Space) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in space.parameters.items() if isinstance(parameter, Parameter)}


def _places(parameter: Parameter) -> Parameter:
    if isinstance(parameter, hp.Categorical):
        return parameter
    return hp.Int(0, len(parameter.grid_values()) - 1)


def _plain(rows: pandas.DataFrame) -> list[dict[str, Any]]:
    return [
        {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()}
        for row in rows.drop(columns="outputs", errors="ignore").to_dict("records")
    ]


def _points(curves: pandas.DataFrame, numbers: Sequence[int], folds: int) -> list[list[list[Point]]]:
    place = {number: index for index, number in enumerate(numbers)}
    found: list[list[list[Point]]] = [[[] for _ in range(folds)] for _ in numbers]
    about = ("configuration", "fold", "point", "rows_seen", "train_loss", "seconds")
    metrics = [name for name in curves.columns if name not in about]
    for row in _plain(curves.sort_values(["configuration", "fold", "point"])):
        measured = {name: float(row[name]) for name in metrics}
        points = found[place[row["configuration"]]][row["fold"]]
        points.append(Point(measured, row["seconds"], row["rows_seen"], row["train_loss"]))
        if LOSS not in measured or row["point"] != len(points):
            raise ValueError(f"configuration {row['configuration']}, fold {row['fold']}: point {row['point']}")
    return found
