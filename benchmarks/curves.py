"""Samplers under the median pruner, replayed on recorded fine-tunes: how far from the best after how much.

The table has real fine-tunes, each trained on every fold to its end (`benchmarks.curves_recording` says which). A
replay is a study with one worker: the real samplers, pruner, policy and History, but a proposal becomes the nearest
recorded configuration that has not been tried, and training is looking up. Regret is the best value in the table less
the best complete value so far; compute is counted in epochs of a fold. Each is measured with two objectives: macro F1,
whose best configurations differ by less than its noise, and the log loss, which tells them apart.

    python -m benchmarks curves [--seeds 30] [--gp-seeds 30] [--trials 25] [--samplers random gp ...]

"gp without imputation" is an ablation: it sees complete and running trials alone, as plain Optuna's GPSampler does.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import hpsearch as hp
from benchmarks.curves_recording import RECORDED
from benchmarks.measurements import machine, write_measurements
from hpsearch.metrics.direction import Objective
from hpsearch.policy.optuna_sampler import OptunaSampler
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.samplers import Sampler, resolve_sampler
from hpsearch.records import Evaluation, History, Origin, Run, Trial, TrialState
from hpsearch.records.objective_values import best_common_point

WITHOUT_IMPUTATION = "gp without imputation"
SAMPLERS = ("random", "qmc", "bayesian", "gp", WITHOUT_IMPUTATION)
OBJECTIVES = ("f1_macro", "neg_log_loss")
DEFAULT = {"learning_rate": 1.25e-4, "batch_size": 64, "epochs": 30, "weight_decay": 0.001, "freeze_layers": 0}
"""What the task recommends, the first trial of every study (see search_spaces/image-transfer.toml)."""

BUDGETS = (250, 500, 1000, 1500, 2000)
"""Epochs of a fold after which regret is read; training one configuration on every fold takes 15 to 90."""


@dataclass(frozen=True)
class Table:
    """The recorded fine-tunes.

    Attributes:
        space: What they were drawn from.
        objective: What their values are of.
        params: The parameters of each.
        curves: Of each and each fold, the objective after every epoch.
        losses: Likewise the validation loss.
        values: The cross-validated value of each.
    """

    space: hp.Space
    objective: str
    params: Sequence[Mapping[str, Any]]
    curves: Sequence[Sequence[Sequence[float]]]
    losses: Sequence[Sequence[Sequence[float]]]
    values: Sequence[float]

    @property
    def aim(self) -> Objective:
        return Objective(self.objective)

    @classmethod
    def read(cls, path: Path, objective: str = "f1_macro") -> "Table":
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found["trials"]
        losses = [[fold["loss"] for fold in row["folds"]] for row in rows]
        if objective == "neg_log_loss":
            curves = [[[-loss for loss in fold] for fold in folds] for folds in losses]
        else:
            curves = [[fold[objective] for fold in row["folds"]] for row in rows]
        values = [best_common_point(folds, None)[1] for folds in curves]
        return cls(
            hp.Space.from_json(found["space"]), objective, [row["params"] for row in rows], curves, losses, values
        )

    def nearest(self, proposal: Mapping[str, Any], tried: set[int]) -> int:
        """Return the index of the nearest configuration that has not been tried: ranges count from 0 to 1, by equal
        ratios where they are searched so, and another choice is as far as a whole range."""
        point = self._point(proposal)
        distances = {
            index: sum((one - other) ** 2 for one, other in zip(point, self._point(params), strict=True))
            for index, params in enumerate(self.params)
            if index not in tried
        }
        return min(distances, key=lambda index: (distances[index], index))

    def _point(self, params: Mapping[str, Any]) -> list[float]:
        found: list[float] = []
        for name, parameter in self.space.parameters.items():
            if isinstance(parameter, hp.Categorical):
                found += [math.sqrt(0.5) * (choice == params[name]) for choice in parameter.choices]
                continue
            low, high, value = parameter.low, parameter.high, params[name]
            if parameter.log:
                low, high, value = math.log(low), math.log(high), math.log(value)
            found.append((value - low) / (high - low))
        return found


class Replay:
    """One study over a table.

    Attributes:
        best: Best complete value after each trial.
        spent: Epochs of a fold trained after each trial.
    """

    def __init__(self, table: Table, sampler: Sampler, pruner: str) -> None:
        self._table = table
        self._sampler = sampler
        self._policy = Policy(table.aim, 1, None, resolve_pruner(pruner, table.space, table.aim))
        self._history = History()
        self._tried: set[int] = set()
        self.best: list[float] = []
        self.spent: list[int] = []

    def run(self, trials: int) -> "Replay":
        for number in range(trials):
            proposal = self._sampler.propose(self._history) if number else DEFAULT
            assert proposal is not None
            self._try(number, self._table.nearest(proposal, self._tried))
            complete = [trial.value for trial in self._history.finished(TrialState.COMPLETE)]
            self.best.append(max((value for value in complete if value is not None), default=-math.inf))
            self.spent.append(sum(map(len, self._history.evaluations.values())))
        return self

    def _try(self, number: int, index: int) -> None:
        """Train a configuration as one worker would: fold after fold, each evaluation decided on."""
        self._tried.add(index)
        config = self._table.space.config(self._table.params[index])
        curves, losses = self._table.curves[index], self._table.losses[index]
        runs = tuple(Run(f"{index}-{fold}", config, fold, 0, int(config["epochs"])) for fold in range(len(curves)))
        origin = Origin.SAMPLER if number else Origin.DEFAULT
        params = self._table.params[index]
        self._history = self._history.with_trial(Trial(number, config, params, TrialState.RUNNING, origin, runs))
        for run, scores, fold_losses in zip(runs, curves, losses, strict=True):
            for point, (score, loss) in enumerate(zip(scores, fold_losses, strict=True), 1):
                metrics = {self._table.objective: score, "loss": loss}
                found = Evaluation(run.key, point, float(point), 0.0, metrics, 0.0, point)
                self._history = self._history.with_evaluation(found)
                if self._decided(number):
                    return

    def _decided(self, number: int) -> bool:
        """Apply what the policy decides, until it has nothing more to say; return whether the trial has ended."""
        while True:
            before = self._history.trials[number]
            self._history = self._history.with_decision(self._policy.decide(self._history, number))
            after = self._history.trials[number]
            if after.state.is_finished or after == before:
                return after.state.is_finished


def made(name: str, table: Table, seed: int) -> Sampler:
    """Return a sampler by the name it has in the results."""
    if name == WITHOUT_IMPUTATION:

        def make(ask: int) -> optuna.samplers.BaseSampler:
            return optuna.samplers.GPSampler(seed=ask, warn_independent_sampling=False)

        return OptunaSampler(table.space, table.aim, seed, make)
    return resolve_sampler(name, table.space, table.aim, seed)


def at_budget(replay: Replay, budget: int) -> float:
    """Return the best complete value that a compute budget has bought, minus infinity before the first."""
    return max(
        (best for best, spent in zip(replay.best, replay.spent, strict=True) if spent <= budget), default=-math.inf
    )


def summary(regrets: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, and a 95% interval of the median by the bootstrap."""
    drawn = np.random.default_rng(0).choice(regrets, size=(2000, len(regrets)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    lower, upper = np.quantile(regrets, [0.25, 0.75])
    found = {"median": statistics.median(regrets), "mean": statistics.mean(regrets), "lower quartile": lower,
             "upper quartile": upper, "median from": low, "median to": high}  # fmt: skip
    return {name: round(float(value), 5) for name, value in found.items()}


def against(regrets: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return in how many seeds the first has less regret, as much, and more, and Wilcoxon's signed-rank p.

    A seed is a pair: a Gaussian process and Optuna's TPE draw their first ten trials as random does.
    """
    from scipy.stats import wilcoxon

    gains = [other - regret for regret, other in zip(regrets, others, strict=False)]
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    p = float(wilcoxon(gains).pvalue) if better + worse else 1.0
    mean = round(statistics.mean(gains), 5)
    return {"better": better, "equal": len(gains) - better - worse, "worse": worse, "mean gain": mean, "p": round(p, 6)}


def measured(replays: Sequence[Replay], table: Table, marks: Mapping[str, Callable[[Replay], float]]) -> dict[str, Any]:
    top = max(table.values)
    return {mark: [top - value_at(replay) for replay in replays] for mark, value_at in marks.items()}


def results(table: Table, replays: Mapping[str, Sequence[Replay]], trials: int) -> dict[str, Any]:
    """Return the measurements: by sampler and mark, regret over the seeds, and against random."""
    at_trials = [count for count in (10, 15, 20, 25, 30, 40, 60, 80) if count <= trials]
    marks: dict[str, Callable[[Replay], float]] = {
        f"{count} trials": lambda replay, count=count: replay.best[count - 1] for count in at_trials
    }
    least = min(replay.spent[-1] for each in replays.values() for replay in each)
    marks |= {
        f"{budget} epochs": lambda replay, budget=budget: at_budget(replay, budget)
        for budget in BUDGETS
        if budget <= least
    }
    found: dict[str, Any] = {}
    regrets = {name: measured(each, table, marks) for name, each in replays.items()}
    for name, each in replays.items():
        found[name] = {
            "seeds": len(each),
            "median epochs of a fold": statistics.median(replay.spent[-1] for replay in each),
            "regret": {mark: summary(regrets[name][mark]) for mark in marks},
        }
        if name != "random" and "random" in regrets:
            found[name]["against random"] = {
                mark: against(regrets[name][mark], regrets["random"][mark]) for mark in marks
            }
    return {"best": max(table.values), "median": statistics.median(table.values), "samplers": found}


def show(found: Mapping[str, Any]) -> None:
    """Print the median regret, with quartiles."""
    marks = list(next(iter(found.values()))["regret"])
    print(f"{'median regret [quartiles]':<24}{'seeds':>6}" + "".join(f"{mark:>25}" for mark in marks))
    for name, row in found.items():
        cells = (row["regret"][mark] for mark in marks)
        texts = (f"{c['median']:.4f} [{c['lower quartile']:.4f}, {c['upper quartile']:.4f}]" for c in cells)
        print(f"{name:<24}{row['seeds']:>6}" + "".join(f"{text:>25}" for text in texts))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks curves", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument(
        "--gp-seeds", type=int, default=30, help="seeds of the two slow ones, a third of a second a proposal"
    )
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--pruner", default="median")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--timeout", type=float, default=math.inf, help="seconds after which no further seed is begun")
    parser.add_argument("--table", type=Path, default=RECORDED)
    given = parser.parse_args(arguments)
    tables = [Table.read(given.table, objective) for objective in OBJECTIVES]
    replays: dict[str, dict[str, list[Replay]]] = {each: {name: [] for name in given.samplers} for each in OBJECTIVES}
    began, written = time.monotonic(), {}
    for seed in range(given.seeds):
        if seed and time.monotonic() - began > given.timeout:
            break
        for table, name in itertools.product(tables, given.samplers):
            if not name.startswith("gp") or seed < given.gp_seeds:
                replay = Replay(table, made(name, table, seed), given.pruner).run(given.trials)
                replays[table.objective][name].append(replay)
        written = {
            "machine": machine(),
            "table": given.table.name,
            "configurations": len(tables[0].values),
            "pruner": given.pruner,
            "trials": given.trials,
            "objectives": {table.objective: results(table, replays[table.objective], given.trials) for table in tables},
        }
        write_measurements("curves", written)  # after each seed: what is stopped has measured as far as it came
    for objective, found in written["objectives"].items():
        print(f"\n{objective}, best in the table {found['best']:.4f}, median {found['median']:.4f}")
        show(found["samplers"])
    return written


if __name__ == "__main__":
    main()
