"""A study checked against itself, its task and its model: what cannot be run is found before anything is written."""

from collections.abc import Iterable, Mapping
from typing import Any

from hpsearch.errors import MetricError, SpaceError, TaskError, UsageError
from hpsearch.plan.adapters import check_adapters, check_targets
from hpsearch.plan.arguments import check_travels
from hpsearch.plan.conflicts import check_conflicts
from hpsearch.plan.lengths import run_epochs
from hpsearch.plan.plan import Plan
from hpsearch.policy.rule_names import check_runs
from hpsearch.records.run_length import whole_up

KEPT_BYTES = 256 * 2**20
"""What an evaluation may keep of its outputs, at most: it becomes one value in the database.

SQLite takes values of a billion bytes and PostgreSQL a gigabyte, as text of twice the length on the way there. MySQL
takes what its `max_allowed_packet` allows: 64 MiB, unless it is raised.
"""

RUN_BYTES = 2 * 2**30
"""What a run may keep, at most: until its trial ends, outputs at every evaluation point, for any may be the best."""


def check_space(plan: Plan) -> None:
    """Find unknown hyperparameters and impossible fixed values before anything is read.

    Of a task that trains itself nothing is known of most names; each end of a range is tried in a whole config.
    """
    if plan.task.trains_itself:
        _check_rows(plan)
        for last in (0, -1):
            edges = {name: parameter.edges()[last] for name, parameter in plan.space.parameters.items()}
            plan.task.complete({**edges, **plan.space.fixed})
        return
    names = set(plan.space.parameters) | set(plan.space.fixed)
    hyperparameters = plan.task.hyperparameters()
    unknown = sorted(names - set(hyperparameters))
    if unknown:
        plan.task.complete({unknown[0]: None})
    plan.task.complete(dict(plan.space.fixed))
    check_conflicts(plan.space, hyperparameters)
    check_adapters(plan.space)
    for name, parameter in plan.space.parameters.items():
        for edge in parameter.edges():
            try:
                hyperparameters[name].check(edge)
            except UsageError as error:
                raise SpaceError(f"The space's {name} reaches a value that no run can have. {error}") from error


def _check_rows(plan: Plan) -> None:
    """Refuse to split rows that the study does not have."""
    from hpsearch.data.folds import Folds

    if not plan.task.has_rows and not isinstance(plan.cv, Folds):
        raise UsageError(
            f"cv={plan.cv!r} is given, and the user's code reads its own rows: there are none to split. Leave cv "
            "out, or give the task its rows with train=."
        )


def check_models(plan: Plan, enqueued: Iterable[Mapping[str, Any]]) -> None:
    """Find, with the models read and before anything is trained, what of the space does not fit them."""
    from hpsearch.tasks.frozen_layers import check_frozen_layers, check_layers

    models = plan.layered_models(plan.prepared)  # which fits a shipped space to them, so it comes first
    _ = plan.objective, plan.measured
    plan.check_direction()
    check_objective(plan)
    check_comparable(plan)
    check_runs(plan.pruner, len(plan.folds.pairs) * plan.repeats)
    held_out_rows = max(len(held_out) for _, held_out in plan.folds.pairs)
    check_kept_outputs(plan.prepared.judge.row_bytes, held_out_rows, _most_points(plan))
    check_dropout(plan)
    check_frozen_layers(plan.space, models)
    check_layers(plan.space, models)
    check_targets(plan.space, {model.name: model.adaptable for model in models})
    for config in enqueued:
        plan.space.validate(config, "the enqueued configuration")


def check_objective(plan: Plan) -> None:
    """Find an objective that is undefined on a fold, whatever is predicted: no trial could have a value."""
    from hpsearch.data.dataset import open_dataset

    name = plan.objective.name
    for fold, reasons in plan.gaps.folds.items():
        if name in reasons:
            groups = open_dataset(plan.prepared.folder).get("groups")
            remedy = plan.prepared.judge.remedy(plan.folds.pairs[fold][1], groups)
            raise MetricError(
                f"metric {name!r} is not defined on the held-out rows of fold {fold}: {reasons[name]}. {remedy}"
            )


def check_comparable(plan: Plan) -> None:
    """Find an objective that says nothing across models which read the rows as different tokens."""
    encodings = {prepared.data_digest for prepared in plan.prepared_choices.values()}
    refusal = plan.prepared.judge.incomparable(plan.objective) if len(encodings) > 1 else ""
    if refusal:
        raise MetricError(refusal)


def check_metrics_travel(plan: Plan) -> None:
    """Find a metric that cannot be sent to a worker process."""
    from hpsearch.metrics.metric import metric_name

    for metric in (plan.named_metric, *plan.metrics):
        check_travels(metric, metric_name(metric))


def check_kept_outputs(row_bytes: int, held_out_rows: int, points: int) -> None:
    """Find, before anything is trained, outputs too large to be kept.

    Args:
        row_bytes: Bytes kept of a row.
        held_out_rows: Rows of the largest fold.
        points: Evaluation points of the longest run.
    """
    evaluation = row_bytes * held_out_rows
    kept = f"{row_bytes:,} bytes of the outputs of each of {held_out_rows:,} held-out rows"
    fewer = "Hold out fewer rows (more folds, or cv=hp.Holdout with a smaller share)"
    if evaluation > KEPT_BYTES:
        raise TaskError(
            f"Each evaluation would keep {kept}, {evaluation / 2**20:,.0f} MiB in all, and the database takes "
            f"{KEPT_BYTES >> 20} MiB. {fewer}, or use a task that keeps less of each row."
        )
    if evaluation * points > RUN_BYTES:
        raise TaskError(
            f"A run of {points:,} evaluation points would keep {kept} at each, {evaluation * points / 2**30:,.1f} GiB "
            f"in all, and may keep {RUN_BYTES >> 30} GiB. {fewer}, evaluate less often (evaluations_per_epoch=), or "
            "use a task that keeps less of each row."
        )


def _most_points(plan: Plan) -> int:
    """Return how many evaluation points the longest run of a space has."""
    rows = [len(train) for train, _ in plan.folds.pairs]
    return whole_up(run_epochs(plan.space, plan.task.unnamed(), rows)[1] * plan.evaluations_per_epoch)


def check_dropout(plan: Plan) -> None:
    """Find, before anything is written, a dropout that a model does not have."""
    searched = plan.space.parameters.get("dropout")
    values = searched.edges() if searched is not None else (plan.space.fixed.get("dropout"),)
    numbers = [value for value in values if isinstance(value, int | float)]
    models = plan.prepared_choices.values() if plan.choices is not None else [plan.prepared]
    if numbers and not all(prepared.has_dropout for prepared in models):
        raise TaskError(
            f"The space has dropout up to {max(numbers)}, and the model has no dropout anywhere. Leave dropout "
            "out of the space."
        )
