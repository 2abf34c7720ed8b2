"""Where a study begins: the literature default, and the configuration that workers warm up with."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hpsearch.plan.plan import Plan

logger = logging.getLogger("hpsearch")


def literature_default(plan: Plan) -> Mapping[str, Any] | None:
    """Return the space's own default, else the task's recommendation, or None where that does not lie in the space."""
    space, choices = plan.space, plan.choices
    if space.default is not None:
        return {**space.default, **space.fixed}
    chosen: dict[str, Any] = {}
    if choices is not None and choices.name in space.parameters:
        chosen = {choices.name: choices.default}
    if plan.task.trains_itself and not set(space.parameters) <= set(plan.task.recommended()):
        return None
    recommended = plan.task.complete({**_recommended(plan), **space.fixed, **chosen})
    whole = {**plan.task.unnamed(), **recommended}  # a completed config leaves some defaults out
    params = {name: whole[name] for name in space.parameters}
    params = {name: params[name] for name in space.active(params)}
    if space.contains(params):
        return space.config(params)
    logger.warning(
        "The literature default of this task, %s, does not lie in the space, so no trial will show whether the "
        "winner beats it. Widen the space, or give a starting point of yours: hp.Space(default={...}, ...).",
        ", ".join(f"{name}={value}" for name, value in params.items()),
    )
    return None


def _recommended(plan: Plan) -> Mapping[str, Any]:
    """Return what the literature recommends for the task, or for it with the default choice of a model.

    Where the space counts the warmup in steps, a warmup that is recommended as a share of the steps is left out; so are
    epochs where it counts the length of runs in steps.
    """
    task, choices = plan.task, plan.choices
    recommended = (task if choices is None else task.choosing(choices.sources[choices.default])).recommended()
    given = {**recommended, **plan.space.fixed}
    others = {"warmup_steps": "warmup_ratio", "max_steps": "epochs"}
    left_out = {other for name, other in others.items() if given.get(name) is not None}
    return {name: value for name, value in recommended.items() if name not in left_out}


def example_config(plan: Plan, given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return a training config of the space, of the default choice of a model: what workers warm up with.

    `given` are values that it is to have.
    """
    values: dict[str, Any] = {}
    for name, parameter in plan.space.parameters.items():
        if name in given:
            values[name] = given[name]
        elif plan.choices is not None and plan.choices.name == name:
            values[name] = plan.choices.default
        elif plan.space.is_active(name, values):
            values[name] = parameter.edges()[0]
    return plan.complete({**values, **plan.space.fixed})
