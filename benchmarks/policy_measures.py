"""What is measured of replays: compute to a quality, regret, how often the winner is one of the true best."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.grid_table import GridTable
from benchmarks.policy_replay import Replayed, Until
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN

TOLERANCE = 0.01
"""A configuration counts as found when its value over all folds is so near the table's best, relative to that."""

BUDGETS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Fixed computes, as shares of the whole grid on every fold."""

TOP = 5
DRAWS = 5000
GRID = 60
"""Computes at which the curves of the plot are read, from 1/200 of the whole grid on."""


def target(table: GridTable) -> float:
    return table.best - TOLERANCE * abs(table.best)


def until(table: GridTable) -> Until:
    """Return when a replay has shown all that is measured: it is capped at the whole grid on every fold."""
    return Until(table.exhaustive, target(table), BUDGETS[-1] * table.exhaustive)


def computes(replays: Sequence[Replayed], table: GridTable) -> list[float]:
    """Return of each replay the compute until the quality was reached; the whole grid's where it never was."""
    found = [replay.compute_to(target(table)) for replay in replays]
    return [table.exhaustive if each is None else min(each, table.exhaustive) for each in found]


def clairvoyant(replay: Replayed, table: GridTable) -> float | None:
    """Return what a replay with every fold would have taken with a pruner that knows the table.

    It trains the literature default and the configuration that reaches the quality on every fold, and of every other
    that was tried before a quarter of the first fold, the least that anything can be judged by. No pruner of these
    proposals and this first rung takes less. None where the quality was not reached.
    """
    taken = 0.0
    for each in replay.complete:
        points = [len(fold) for fold in table.points[each.configuration]]
        reached = each.value >= target(table)
        whole = reached or each.configuration == table.default
        taken += (sum(points) if whole else math.ceil(points[0] / RUNGS_PER_RUN)) / table.evaluations_per_epoch
        if reached:
            return taken
    return None


def limit(replays: Sequence[Replayed], table: GridTable) -> dict[str, Any]:
    """Return how far below the compute of these replays, with every fold, any pruner of theirs could come."""
    least = {replay.seed: clairvoyant(replay, table) for replay in replays}
    reached = [replay for replay in replays if least[replay.seed] is not None]
    bound = [found for replay in reached if (found := least[replay.seed]) is not None]
    return {
        "seeds": len(reached),
        "compute": interval(median, bound),
        "geometric mean of the ratios": interval(mean_ratio, computes(reached, table), bound),
    }


def regrets(replays: Sequence[Replayed], table: GridTable, compute: float = math.inf) -> list[float]:
    """Return the table's best less the best found; before the first complete trial that is the table's worst."""
    found = [replay.incumbent(compute) for replay in replays]
    return [table.best - (min(table.values) if each is None else each.value) for each in found]


def in_top(replays: Sequence[Replayed], table: GridTable, compute: float = math.inf) -> list[bool]:
    """Return whether the incumbent is one of the table's best."""
    top = table.top(TOP)
    found = [replay.incumbent(compute) for replay in replays]
    return [each is not None and each.configuration in top for each in found]


def scores_on_test(replays: Sequence[Replayed], table: GridTable, compute: float = math.inf) -> list[float]:
    """Return the incumbents' scores on the test rows, of the replays that have one, where the table knows them."""
    found = [replay.incumbent(compute) for replay in replays]
    tested = [table.tested[each.configuration] for each in found if each is not None]
    return [scores[table.objective] for scores in tested if table.objective in scores]


def interval(
    statistic: Callable[[np.ndarray], np.ndarray], *samples: Sequence[float], draws: int = DRAWS
) -> dict[str, float]:
    """Return a statistic and its 95% interval by the bootstrap over seeds.

    Args:
        statistic: Of arrays of shape (draws, seeds), along the last axis; of several samples, of each in turn.
        samples: One value a seed each; of several, the same seeds are drawn.
        draws: How many.
    """
    values = [np.asarray(sample, dtype=np.float64) for sample in samples]
    drawn = np.random.default_rng(0).integers(len(values[0]), size=(draws, len(values[0])))
    whole = float(statistic(*(each[None, :] for each in values))[0])
    low, high = np.quantile(statistic(*(each[drawn] for each in values)), [0.025, 0.975])
    return {"value": _short(whole), "from": _short(float(low)), "to": _short(float(high))}


def median(sample: np.ndarray) -> np.ndarray:
    return np.median(sample, axis=-1)


def mean(sample: np.ndarray) -> np.ndarray:
    return np.mean(sample, axis=-1)


def ratio_of_medians(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.median(one, axis=-1) / np.median(other, axis=-1)


def mean_ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the geometric mean of the ratios seed by seed."""
    return np.exp(np.mean(np.log(one) - np.log(other), axis=-1))


def against(replays: Sequence[Replayed], others: Sequence[Replayed], table: GridTable) -> dict[str, Any]:
    """Return how many times the compute of `replays` the others need, seed by seed and in the median."""
    ours, theirs = {r.seed: r for r in replays}, {r.seed: r for r in others}
    seeds = sorted(ours.keys() & theirs.keys())
    one, other = computes([theirs[s] for s in seeds], table), computes([ours[s] for s in seeds], table)
    return {
        "seeds": len(seeds),
        "geometric mean of the ratios": interval(mean_ratio, one, other),
        "ratio of the medians": interval(ratio_of_medians, one, other),
        "less compute in": sum(b < a for a, b in zip(one, other, strict=True)),
    }


def figures(replays: Sequence[Replayed], table: GridTable) -> dict[str, Any]:
    """Return all measures of one policy's replays that ran until the quality was reached."""
    spent = computes(replays, table)
    reached = [replay.compute_to(target(table)) is not None for replay in replays]
    return {
        "seeds": len(replays),
        "never reached": len(replays) - sum(reached),
        "compute": {
            "median": interval(median, spent),
            "mean": interval(mean, spent),
            "quartiles": [_short(float(each)) for each in np.quantile(spent, [0.25, 0.75])],
        },
        "at": {f"{share:g}": at(replays, table, share * table.exhaustive) for share in BUDGETS},
    }


def at(replays: Sequence[Replayed], table: GridTable, compute: float = math.inf) -> dict[str, Any]:
    """Return the measures of the incumbents at a fixed compute, or at the end."""
    found = regrets(replays, table, compute)
    tested = scores_on_test(replays, table, compute)
    return {
        "regret": interval(median, found),
        "mean regret": interval(mean, found),
        "in the top": interval(mean, [float(each) for each in in_top(replays, table, compute)]),
        **({"test score": interval(mean, tested)} if tested else {}),
    }


def at_end(replays: Sequence[Replayed], table: GridTable) -> dict[str, Any]:
    """Return the measures of studies of a fixed number of trials at their end."""
    return {
        "trials": max(replay.trials for replay in replays),
        "compute": interval(median, [replay.compute for replay in replays]),
        "complete trials": statistics.mean(len(replay.complete) for replay in replays),
        **at(replays, table),
    }


def bands(replays: Sequence[Replayed], table: GridTable) -> Mapping[str, list[float]]:
    """Return the quartiles of regret over compute, for the plot; compute in shares of the whole grid."""
    shares = np.geomspace(0.005, BUDGETS[-1], GRID)
    rows = np.array([regrets(replays, table, share * table.exhaustive) for share in shares])
    lower, middle, upper = np.quantile(rows, [0.25, 0.5, 0.75], axis=1)
    found = {"share": shares, "lower": lower, "median": middle, "upper": upper}
    return {name: [_short(float(each)) for each in values] for name, values in found.items()}


def _short(value: float) -> float:
    return float(f"{value:.5g}")
