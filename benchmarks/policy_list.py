"""The policies that are compared: full cross-validation, the peers as tuned, ours, and ours without each part."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import hpsearch as hp
from benchmarks import measurements
from benchmarks.policy_peers import Halving, Hyperband, Median, OptunaPeer, Wilcoxon
from benchmarks.policy_replay import Ours, Policy
from benchmarks.policy_syne_tune import SyneTune, is_installed
from benchmarks.policy_walk import Axis

TUNED = "policy_tuning.json"
"""What `python -m benchmarks.policy_tuning` has chosen for the peers."""

ETAS = (2, 3, 4)
AXES: tuple[tuple[Axis, tuple[int, ...]], ...] = (("points", (1, 2, 4, 8)), ("quarters", (1, 2, 4)))
"""The axes that a peer may have, and the first rungs on each."""

SHORTEST_AXIS = 12
"""Steps of the shorter axis, that of quarters, on tables of three folds."""

_RUNGS = [(eta, first, axis) for axis, firsts in AXES for first, eta in itertools.product(firsts, ETAS)]

CANDIDATES: Mapping[str, Sequence[Policy]] = {
    "optuna-halving": [OptunaPeer(Halving(eta, first, axis)) for eta, first, axis in _RUNGS],
    "optuna-hyperband": [OptunaPeer(Hyperband(eta, first, axis)) for eta, first, axis in _RUNGS],
    "optuna-median": [OptunaPeer(Median(warmup, axis)) for axis, _ in AXES for warmup in (0, 1, 3, 7)],
    "optuna-wilcoxon-folds": [OptunaPeer(Wilcoxon(p)) for p in (0.1, 0.15, 0.3)],
    "optuna-wilcoxon-points": [OptunaPeer(Wilcoxon(p, 4, axis)) for axis, _ in AXES for p in (0.05, 0.1, 0.2)],
    "syne-tune-promotion": [SyneTune("promotion", eta, first, axis) for eta, first, axis in _RUNGS],
    "syne-tune-stopping": [SyneTune("stopping", eta, first, axis) for eta, first, axis in _RUNGS],
    "syne-tune-pasha": [
        SyneTune("pasha", eta, first, axis)
        for eta, first, axis in _RUNGS
        if first * eta < SHORTEST_AXIS  # it needs two rungs below the end
    ],
}
"""Peer to the settings that it is tuned over; three folds leave the Wilcoxon test a smallest p of 0.125."""


def peers() -> dict[str, Policy]:
    """Return the peers that can be run here, with the settings that were chosen for them."""
    path = measurements.FOLDER / TUNED
    chosen = json.loads(path.read_text(encoding="utf-8"))["chosen"] if path.exists() else {}
    found = {}
    for name, candidates in CANDIDATES.items():
        if not name.startswith("syne-tune") or is_installed():
            found[name] = next((each for each in candidates if repr(each) == chosen.get(name)), candidates[0])
    return found


WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "margin": {"margin": None},
    "partial": {"partial": False},
    "spread": {"spread": False},
}
"""Part of racing to the settings of `hp.Racing` that leave it out; "racing-random" and "asha" leave out the rest."""


def ours() -> dict[str, Policy]:
    """Return ours: racing with both samplers, racing without each of its parts, and plain successive halving."""
    found: dict[str, Policy] = {"asha": Ours("bayesian", "asha"), "asha-random": Ours("random", "asha")}
    if hasattr(hp, "Racing"):
        found["racing"] = Ours("bayesian", hp.Racing())
        found["racing-random"] = Ours("random", hp.Racing())
        found["racing-gp"] = Ours("gp", hp.Racing())
        found["racing-forgiving"] = Ours("bayesian", hp.Racing(forgiving=True))
        found["racing-synchronous"] = Ours("bayesian", hp.Racing(synchronous=True))
        for part, settings in WITHOUT.items():
            found[f"racing-without-{part}"] = Ours("bayesian", hp.Racing(**settings))
        found["racing-without-imputation"] = Ours("bayesian", hp.Racing(), imputes=False)
    return found


def policies() -> dict[str, Policy]:
    """Return all of them by name."""
    whole: dict[str, Policy] = {"random": Ours("random", "none"), "tpe": Ours("bayesian", "none", imputes=False)}
    return whole | peers() | ours()
