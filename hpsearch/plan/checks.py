"""A study checked against itself, its task and its model: what cannot be run is found before anything is written."""

from typing import TYPE_CHECKING

from hpsearch.errors import SpaceError, TaskError, UsageError
from hpsearch.plan.arguments import check_travels
from hpsearch.policy.names import PRUNERS, SAMPLERS, is_said_of_an_object, unknown
from hpsearch.space import Grid, Space, alternatives_of

if TYPE_CHECKING:
    from hpsearch.records import Slot
    from hpsearch.runtime.devices import Devices
    from hpsearch.study import Study


def check_space(study: "Study") -> None:
    """Find unknown hyperparameters and impossible fixed values before anything is read."""
    names = set(study.space.parameters) | set(study.space.fixed)
    known = study.task.hyperparameters()
    unknown = sorted(names - set(known))
    if unknown:
        study.task.complete({unknown[0]: None})
    study.task.complete(dict(study.space.fixed))
    _check_warmup(study.space)
    for name, parameter in study.space.parameters.items():
        for edge in parameter.edges():
            try:
                known[name].check(edge)
            except UsageError as error:
                raise SpaceError(f"The space's {name} reaches a value that no run can have. {error}") from error


def _check_warmup(space: Space) -> None:
    """Refuse a space whose configs may say in steps and as a ratio how long the warmup is."""
    steps, ratio = space.parameters.get("warmup_steps"), space.parameters.get("warmup_ratio")
    in_steps = steps is not None or space.fixed.get("warmup_steps") is not None
    if ratio is None:
        both = in_steps and bool(space.fixed.get("warmup_ratio"))
    else:
        apart = all(
            any(condition.name == "warmup_steps" and set(condition.values) == {None} for condition in each.conditions)
            for each in alternatives_of(ratio)
        )
        both = in_steps and not apart
    if both:
        raise SpaceError(
            f"The space has warmup_steps, {steps or space.fixed.get('warmup_steps')!r}, and warmup_ratio, "
            f"{ratio or space.fixed.get('warmup_ratio')!r}, and both say how long the warmup is. Leave one out, or "
            "say where the ratio is the one: warmup_ratio=hp.Float(0.0, 0.2).when(warmup_steps=None)."
        )


def check_models(study: "Study") -> None:
    """Find, with the models read and before anything is trained, what of the space does not fit them."""
    from hpsearch.tasks.frozen_layers import check_frozen_layers

    models = study.layered_models(study.prepared)  # which fits a shipped space to them, so it comes first
    check_frozen_layers(study.space, models)
    for config in study.enqueued:
        study.space.validate(config, "the enqueued configuration")


def check_rules_and_devices(study: "Study", devices: "Devices") -> "tuple[Slot, ...]":
    """Find a sampler, a pruner or a device that is none, and a metric that no worker can have, before all else.

    Returns:
        A slot for each worker that there will be; none where this process trains.
    """
    from hpsearch.metrics.metric import metric_name
    from hpsearch.policy.pruning import resolve_pruner
    from hpsearch.policy.samplers import resolve_sampler
    from hpsearch.runtime.devices import INLINE, inventory, slots

    found = slots(devices, inventory())
    objective = metric_name(study.metric)
    resolve_sampler(study.sampler, study.space, objective, study.seed)
    resolve_pruner(study.pruner, study.space, objective, None)
    if devices == INLINE:
        return ()
    for metric in (study.metric, *study.metrics):
        check_travels(metric, metric_name(metric))
    return found


def check_dropout(study: "Study") -> None:
    """Find, before anything is written, a dropout that a model does not have."""
    searched = study.space.parameters.get("dropout")
    values = searched.edges() if searched is not None else (study.space.fixed.get("dropout"),)
    numbers = [value for value in values if isinstance(value, int | float)]
    models = study.prepared_choices.values() if study.choices is not None else [study.prepared]
    if numbers and not all(prepared.has_dropout for prepared in models):
        raise TaskError(
            f"The space has dropout up to {max(numbers)}, and the model has no dropout anywhere. Leave dropout "
            "out of the space."
        )


def check_sampler(study: "Study") -> None:
    """Find what is no sampler, or a grid without end, before anything is read; Optuna's objects when it is run.

    A study that was loaded has in the place of an object what it said of itself.
    """
    if isinstance(study.sampler, str):
        if study.sampler not in SAMPLERS and not is_said_of_an_object(study.sampler):
            raise unknown("sampler", study.sampler)
    elif not isinstance(study.sampler, Grid):
        from optuna.samplers import BaseSampler

        if not isinstance(study.sampler, BaseSampler):
            raise unknown("sampler", study.sampler)
    if study.sampler == "grid" or isinstance(study.sampler, Grid):
        study.space.grid(study.sampler.points if isinstance(study.sampler, Grid) else None)


def check_pruner(study: "Study") -> None:
    """Find what is no pruner before anything is read; objects are looked at when the study is run.

    A study that was loaded has in the place of an object what it said of itself.
    """
    if isinstance(study.pruner, str):
        if study.pruner not in PRUNERS and not is_said_of_an_object(study.pruner):
            raise unknown("pruner", study.pruner)
    elif study.pruner is not None:
        from optuna.pruners import BasePruner

        from hpsearch.policy.racing import Racing
        from hpsearch.policy.successive_halving import SuccessiveHalving

        if not isinstance(study.pruner, BasePruner | Racing | SuccessiveHalving):
            raise unknown("pruner", study.pruner)
