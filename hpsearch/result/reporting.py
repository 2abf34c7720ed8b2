"""What figures and the report show of a study, put together from its plan, its record and what was judged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.repeatability import decided
from hpsearch.plan.description import Description
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.records import History

if TYPE_CHECKING:
    import numpy as np

    from hpsearch.analysis.significance import Evidence
    from hpsearch.report import Content


def report_content(
    plan: Plan,
    record: Record,
    history: History,
    *,
    evidence: "Evidence | None",
    test_scores: Mapping[str, Mapping[str, float]] | None,
    test_is_to_come: bool,
    not_done: str | None,
    out_of_fold: "np.ndarray | None",
    disturbances: Sequence[str],
) -> "Content":
    """Return all that figures and the report show.

    Args:
        plan: What was searched.
        record: What is kept of it.
        history: Everything so far.
        evidence: Whether the winner beats the default, where that can be told.
        test_scores: The winner's and the default's scores on the test rows, by what they are called.
        test_is_to_come: Whether there will be such scores once the study has ended.
        not_done: What could not be done on the test rows, and why, in words; or None.
        out_of_fold: The winner's out-of-fold predictions, as `Result.out_of_fold` returns them; None without a winner.
        disturbances: What another run of the same script may lack.
    """
    from hpsearch.report import Content

    description = record.description
    return Content(
        name=plan.name,
        task=_task_text(plan, description),
        facts={**_facts(plan, description), "decided": decided_by(record)},
        history=history,
        objective=plan.objective.name,
        metrics=tuple(metric.name for metric in plan.measured),
        directions=plan.directions,
        space=plan.space.to_json(),
        test_shares=plan.test_shares,
        evidence=evidence,
        test_scores=test_scores,
        test_is_to_come=test_is_to_come,
        not_done=not_done,
        numerics=_numerics(plan, description),
        fingerprints=_fingerprints(description),
        logs=_logs(plan.folder),
        ends=record.store.results(),
        decisions=record.store.decisions(),
        outputs={} if out_of_fold is None else _outputs(plan, out_of_fold),
        disturbances=disturbances,
    )


def decided_by(record: Record) -> str:
    """Return in what order a study is decided, and what follows from it, in words that follow "decided"."""
    description = record.description
    limits = (description.goal or {}).get("budget") or {}
    return decided(record.store.entries, description.sampler, description.pruner, limits)


def _task_text(plan: Plan, description: Description) -> str:
    task, choices = description.task_name, plan.choices
    if choices is not None and len(choices.sources) > 1:
        return f"{task} of one of {len(choices.sources)} pretrained models"
    return f"{task} of {Path(plan.model_of()).name}"


def _numerics(plan: Plan, description: Description) -> Mapping[str, Any]:
    """Return the study's numerics, with the attention of each of its models where they differ in it."""
    numerics = description.numerics or {}
    attention = {choice: rows.attention for choice, rows in plan.rows_by_choice.items()}
    if not numerics or len(set(attention.values())) < 2:
        return numerics
    return {**numerics, "attention": ", ".join(f"{kernel} ({choice})" for choice, kernel in attention.items())}


def _facts(plan: Plan, description: Description) -> Mapping[str, Any]:
    facts = description.facts
    return {
        "training rows": facts["rows"],
        "test rows": facts["test_rows"],
        **plan.rows.judge.facts(),
        **signatures(plan),
        **({} if description.pos_label is None else {"positive class": description.pos_label}),
        **({"evaluated on": description.split_text} if facts.get("validation_rows") else {"folds": facts["folds"]}),
        "repeats": description.repeats,
        "sampler": description.sampler,
        "pruner": description.pruner,
        "seed": description.seed,
        "warnings": " ".join(description.every_warning or plan.warnings) or "none",
    }


def signatures(plan: Plan) -> dict[str, str]:
    """Return what another needs to compute the same metrics, name to text, of those that have words for it."""
    return {f"metric {metric.name}": metric.signature for metric in plan.measured if metric.signature}


def _outputs(plan: Plan, out_of_fold: "np.ndarray") -> Mapping[str, Any]:
    """Return what figures show of the winner's out-of-fold predictions, by the figure's name."""
    from hpsearch.data.dataset import open_dataset
    from hpsearch.data.ragged import rows_of

    return plan.rows.judge.figures(rows_of(open_dataset(plan.rows.folder).arrays, "targets"), out_of_fold)


def _logs(folder: Path) -> Mapping[int, str]:
    """Return the log file of each failed trial, by its number, relative to the study's folder."""
    logs: dict[int, str] = {}
    for path in sorted((folder / "logs").glob("trial-*.log")):
        logs.setdefault(int(path.name.split("-")[1]), f"logs/{path.name}")
    return logs


def _fingerprints(description: Description) -> dict[str, str]:
    """Return what was hashed to its digest; of several pretrained models, each with the rows as it sees them."""
    if description.models is None:
        single = {"data": description.data, "test data": description.test_data or "none", "model": description.model}
        return {**single, "folds": description.folds}
    digests: dict[str, str] = {}
    for choice, of_choice in description.models.items():
        digests |= {f"model {choice}": str(of_choice["model"]), f"data for {choice}": str(of_choice["data"])}
        if of_choice["test_data"] is not None:
            digests[f"test data for {choice}"] = str(of_choice["test_data"])
    return {**digests, "folds": description.folds}
