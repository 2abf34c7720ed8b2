"""Samplers and pruners by name, and checks of them that need no data and, for a name, no Optuna."""

from collections.abc import Mapping

from hpsearch.errors import UsageError, nearest
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.racing import Racing
from hpsearch.policy.successive_halving import SuccessiveHalving
from hpsearch.space import Grid, Space

SAMPLERS: dict[str, str] = {
    "bayesian": "hpsearch.policy.samplers:bayesian",
    "tpe": "hpsearch.policy.samplers:bayesian",
    "random": "hpsearch.policy.samplers:uniform",
    "grid": "hpsearch.policy.samplers:whole_grid",
    "gp": "hpsearch.policy.samplers:gaussian_process",
    "qmc": "hpsearch.policy.samplers:quasi_random",
}
"""A sampler's name to the import path of what makes it from (space, objective, seed). See `Sampler` in samplers.py."""

PRUNERS: dict[str, str] = {
    "racing": "hpsearch.policy.pruners:racing",
    "asha": "hpsearch.policy.pruners:asha",
    "hyperband": "hpsearch.policy.pruners:hyperband",
    "median": "hpsearch.policy.pruners:median",
    "wilcoxon": "hpsearch.policy.pruners:FoldWilcoxon",
    "none": "hpsearch.policy.pruners:no_pruning",
}
"""A pruner's name to the import path of what makes it from (space, objective). See `Pruner` in pruner.py."""

FORMER_SAMPLERS = ("cmaes",)
"""Samplers of earlier versions: their studies can be read, but continue only with another sampler."""

LEAST_FOLDS = 4
"""Below these, a signed-rank test never reaches the threshold of 0.1: its smallest p is 2^-n for n folds."""

_KINDS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "sampler": (SAMPLERS, "nor hp.Grid(points=...) or a sampler object of Optuna's"),
    "pruner": (
        PRUNERS,
        "nor hp.Racing(...), hp.SuccessiveHalving(...), a pruner of your own derived from hp.Pruner, or a pruner "
        "object of Optuna's",
    ),
}


def check_sampler(sampler: object, space: Space) -> None:
    """Check that a sampler is one, and that a grid is finite.

    A loaded study may have the name of a former sampler, or a text in place of an object that was not stored. That is
    enough to read it; `hpsearch.policy.samplers.resolve_sampler` refuses to run it.

    Raises:
        UsageError: It is no sampler.
        SpaceError: A grid over a continuous range without points.
    """
    if isinstance(sampler, str):
        if sampler not in (*SAMPLERS, *FORMER_SAMPLERS) and not describes_object(sampler):
            raise unknown("sampler", sampler)
    elif not isinstance(sampler, Grid):
        from optuna.samplers import BaseSampler

        if not isinstance(sampler, BaseSampler):
            raise unknown("sampler", sampler)
    if sampler == "grid" or isinstance(sampler, Grid):
        space.grid(sampler.points if isinstance(sampler, Grid) else None)


def check_pruner(pruner: object) -> None:
    """Raise UsageError for what is no pruner; a loaded study may have a text in place of an object."""
    if isinstance(pruner, str):
        if pruner not in PRUNERS and not describes_object(pruner):
            raise unknown("pruner", pruner)
    elif pruner is not None and not isinstance(pruner, Pruner | Racing | SuccessiveHalving):
        from optuna.pruners import BasePruner

        if not isinstance(pruner, BasePruner):
            raise unknown("pruner", pruner)


def check_runs(pruner: object, runs: int) -> None:
    """Raise UsageError where a pruner could never save anything with so few runs a trial (folds times repeats)."""
    if pruner == "wilcoxon" and runs <= LEAST_FOLDS:
        raise UsageError(
            f"pruner='wilcoxon' can save nothing with {runs} folds: its smallest p value from n folds is 2^-n, and "
            f"{LEAST_FOLDS} folds are needed to fall below 0.1. Use cv={LEAST_FOLDS + 1} or more (or repeats=), or "
            "another pruner such as 'asha' or 'median'."
        )


def describes_object(text: str) -> bool:
    """Return whether a text stands for an object in a study's description."""
    return bool(set(text) & set("<("))


def unknown(kind: str, given: object) -> UsageError:
    """Return the error for a sampler or pruner (`kind`) that cannot be used.

    `given` is what the user gave, or the text in a study's description for an object that was not stored.
    """
    if isinstance(given, str) and describes_object(given):
        return UsageError(
            f"The {kind} of this study was an object, {given}, which is not stored with it. Give it again, "
            f"hp.load(..., {kind}=...), or run the script that made it."
        )
    if kind == "sampler" and given in FORMER_SAMPLERS:
        return UsageError(
            f"sampler={given!r} was removed: it found no better configurations than random search. Use sampler='gp' "
            "instead. A study that was made with it can be read as before, and continues with "
            "hp.load(..., sampler='gp').run(...)."
        )
    names, objects = _KINDS[kind]
    hint = nearest(given, names) if isinstance(given, str) else ""
    return UsageError(f"{kind}={given!r} is not one of {', '.join(map(repr, names))}, {objects}.{hint}")
