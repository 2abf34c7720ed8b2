"""The samplers and pruners known by name, and what is said of others: here, for what makes them imports Optuna."""

from hpsearch.errors import UsageError, nearest

SAMPLERS = ("bayesian", "tpe", "random", "grid", "gp", "cmaes", "qmc")
"""The samplers known by name; `hpsearch.policy.samplers` makes them."""

PRUNERS = ("racing", "asha", "hyperband", "median", "wilcoxon", "none")
"""The pruners known by name; `hpsearch.policy.pruning` makes them."""

_KINDS = {
    "sampler": (SAMPLERS, "nor hp.Grid(points=...) or a sampler object of Optuna's"),
    "pruner": (PRUNERS, "nor hp.Racing(...), hp.SuccessiveHalving(...) or a pruner object of Optuna's"),
}


def is_said_of_an_object(text: str) -> bool:
    """Whether a text is what a study's description has in the place of a sampler or pruner that was an object."""
    return bool(set(text) & set("<("))


def unknown(kind: str, given: object) -> UsageError:
    """Return the error for a sampler or pruner that is none.

    Args:
        kind: "sampler" or "pruner".
        given: What was given; of an object that was not kept with its study, what the study says of it.
    """
    if isinstance(given, str) and is_said_of_an_object(given):
        return UsageError(
            f"The {kind} of this study was an object, {given}, which is not kept with it. Give it again, "
            f"hp.load(..., {kind}=...), or run the script that made it."
        )
    names, objects = _KINDS[kind]
    meant = nearest(given, names) if isinstance(given, str) else ""
    return UsageError(f"{kind}={given!r} is not one of {', '.join(map(repr, names))}, {objects}.{meant}")
