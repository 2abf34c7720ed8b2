"""How many different configurations a space has, as they are trained: two shares of the layers may be one number."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hpsearch.plan.plan import Plan
from hpsearch.records import digest
from hpsearch.space.grid import extended
from hpsearch.space.layer_shares import FREEZE_LAYERS
from hpsearch.space.ranges import Float

MOST_POINTS = 5000
"""Points of a space that are looked at, at most; a larger space is not counted."""

_ENDLESS = "\0"
"""Stands for the values of a range that has no end of them."""


def distinct_configs(plan: Plan, most: int) -> int | None:
    """Return how many different configurations the space has; None where they are more than `most` or not counted.

    The rows are prepared: how many layers a share stands for depends on the model.
    """
    configs: set[str] = set()
    for number, point in enumerate(islice(_points(plan), MOST_POINTS + 1)):
        if number == MOST_POINTS or _ENDLESS in point.values():
            return None
        configs.add(digest(plan.complete({**point, **plan.space.fixed})))
        if len(configs) > most:
            return None
    return len(configs)


def repetition(plan: Plan, trials: int | None) -> str | None:
    """Return a warning where more trials are asked for than the space has configurations, or None."""
    count = None if trials is None else distinct_configs(plan, trials - 1)
    if trials is None or count is None:
        return None
    return (
        f"The space has {count} different configurations and {trials} trials are asked for, so {trials - count} or "
        f"more repeat an earlier one and find nothing new. Ask for trials={count}, take sampler='grid', which tries "
        "each once, or widen the space."
    )


def _points(plan: Plan) -> Iterator[dict[str, Any]]:
    space = plan.space
    points: Iterator[dict[str, Any]] = iter([{}])
    for name, parameter in space.parameters.items():
        values = parameter.all_values()
        if values is None and name == FREEZE_LAYERS and isinstance(parameter, Float):
            values = _shares(plan, parameter)
        points = extended(points, name, (_ENDLESS,) if values is None else values, space.is_active)
    return points


def _shares(plan: Plan, parameter: Float) -> Sequence[float]:
    """Return shares that stand for every number of layers of every model."""
    layers = {model.layers for model in plan.layered_models(plan.rows) if model.layers}
    shares = {whole / count for count in layers for whole in range(count + 1)}
    return sorted({parameter.low, *(share for share in shares if parameter.contains(share))})
