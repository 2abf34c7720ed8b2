"""The policy benchmark's plots and its rows in the README's table."""

from collections.abc import Mapping
from typing import Any

from benchmarks.plots import Line, lines
from benchmarks.readme_table import Row, readme_rows

OURS, BASELINE, RANDOM = "racing", "tpe", "random"
GOALS = {"tpe": 5.0, "peer": 2.0}
LARGEST = 0.1
"""Regret that a line is cut off at: before that, nothing useful has been found."""

LABELS = {
    "random": "random, full cross-validation",
    "tpe": "TPE, full cross-validation",
    "racing": "hpsearch, racing",
    "racing-random": "hpsearch, racing, random",
    "optuna-halving": "Optuna, successive halving",
    "optuna-hyperband": "Optuna, Hyperband",
    "optuna-median": "Optuna, median",
    "optuna-wilcoxon-folds": "Optuna, Wilcoxon over folds",
    "optuna-wilcoxon-points": "Optuna, Wilcoxon over points",
    "syne-tune-promotion": "Syne Tune, ASHA, promotion",
    "syne-tune-stopping": "Syne Tune, ASHA, stopping",
    "syne-tune-pasha": "Syne Tune, PASHA",
}


def peers_of(found: Mapping[str, Any]) -> list[str]:
    """Return the peers' policies in the results, the best first: who needs least compute, by what is reported of it."""
    named = [name for name in found["policies"] if name.startswith(("optuna", "syne-tune"))]
    return sorted(named, key=lambda name: _over_racing(found["policies"][name]))


def _over_racing(row: Mapping[str, Any]) -> float:
    ratio = row.get("compute over that of racing")
    value = row["compute"]["median"] if ratio is None else ratio["geometric mean of the ratios"]
    return float(value["value"])


def plot(found: Mapping[str, Any]) -> str:
    """Return regret over compute: the median over the seeds, and the quartiles."""
    optuna = [name for name in peers_of(found) if name.startswith("optuna")][:2]
    syne_tune = [name for name in peers_of(found) if name.startswith("syne-tune")][:1]
    shown = [name for name in (OURS, BASELINE, RANDOM, *optuna, *syne_tune) if name in found["policies"]]
    return lines(
        f"Regret over compute, {found['table']}: median of the seeds, and quartiles",
        "compute, epochs of a fold",
        f"best {found['objective']} of the table less the best found",
        [_line(name, found) for name in shown],
        log_x=True,
    )


def _line(name: str, found: Mapping[str, Any]) -> Line:
    band = found["policies"][name]["regret over compute"]
    return Line(
        LABELS.get(name, name),
        [share * found["exhaustive"] for share in band["share"]],
        *[[min(each, LARGEST) for each in band[part]] for part in ("median", "lower", "upper")],
        dashed=name in (BASELINE, RANDOM),
    )


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the README's table, none where racing or what it is compared with was not replayed."""
    if OURS not in found["policies"]:
        return []
    told: list[Row] = []
    others = {name: found["policies"][name].get("compute over that of racing") for name in found["policies"]}
    if others.get(BASELINE):
        told.append(_ratio("TPE with full cross-validation", others[BASELINE], GOALS["tpe"], found["table"]))
    for name in peers_of(found)[:1]:
        if others[name]:
            told += [_ratio(f"{LABELS[name]}, the best peer,", others[name], GOALS["peer"], found["table"])]
    for name in (BASELINE, *peers_of(found)[:1]):
        if name in found["policies"]:
            told.append(_top(found, "0.1", name))
    return readme_rows(told)


def _ratio(name: str, row: Mapping[str, Any], goal: float, table: str) -> Row:
    ratio = row["geometric mean of the ratios"]
    return Row(
        f"compute to within 1% of the best ({table}), {name} over racing",
        f"{ratio['value']:.1f} ({ratio['from']:.1f} to {ratio['to']:.1f})",
        f"{goal:g}",
        ratio["from"] >= goal,
    )


def _top(found: Mapping[str, Any], share: str, peer: str) -> Row:
    ours, theirs = (found["policies"][name]["at"][share]["in the top"]["value"] for name in (OURS, peer))
    return Row(
        f"winner among the true five best after {float(share):.0%} of the grid's compute, racing ({LABELS[peer]})",
        f"{ours:.0%} ({theirs:.0%})",
        "no loss",
        ours >= theirs,
    )
