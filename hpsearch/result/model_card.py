"""The model card: what was trained on what, how well it does, and how to use it."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.repeatability import disturbances
from hpsearch.errors import printable
from hpsearch.metrics.direction import Direction
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.provenance.packages import __version__
from hpsearch.result.export import FACTS_FILE
from hpsearch.result.reporting import decided_by, signatures
from hpsearch.tasks.adapters.export import facts_of, is_adapter_folder, loading_code
from hpsearch.tasks.classes.weights import NAME
from hpsearch.tasks.hub import named

if TYPE_CHECKING:
    from hpsearch.analysis.aggregates import TrialSummary
    from hpsearch.result.read_back import Check
    from hpsearch.runtime.refit import Refit
    from hpsearch.tasks.adapters.hyperparameters import AdapterSettings


def write_card(
    folder: Path,
    plan: Plan,
    record: Record,
    trial: "TrialSummary",
    refit: "Refit",
    test: Mapping[str, float] | None,
    check: "Check | None",
) -> None:
    """Write README.md, which model hubs show, and hpsearch.json, which programs read, into a saved model's folder."""
    facts = _facts(folder, plan, record, trial, refit, test, check)
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page = _page(plan, trial, facts, refit, check, folder=folder, trials=len(record.store.history.trials))
    (folder / "README.md").write_text(printable(page), encoding="utf-8")


def _facts(
    folder: Path,
    plan: Plan,
    record: Record,
    trial: "TrialSummary",
    refit: "Refit",
    test: Mapping[str, float] | None,
    check: "Check | None",
) -> dict[str, Any]:
    description = record.description
    is_stated = check is None or check.agrees
    validated: dict[str, Any] = {"objective": description.metric, "direction": description.direction}
    if is_stated:
        validated |= {
            "value": trial.value,
            "interval": trial.interval,
            "folds": list(trial.folds),
            "metrics": _numbers(trial.metrics),
        }
    tested = None
    if test is not None and is_stated:
        tested = {"rows": description.facts["test_rows"], "metrics": _numbers(test)}
    prepared = plan.prepared_for(trial.config)
    adapter = plan.task.adapter_of(trial.config)
    return {
        "hpsearch": __version__,
        "study": plan.name,
        "decided": decided_by(record),
        "disturbances": disturbances(record.store.entries, record.store.history),
        "trial": trial.number,
        "config": dict(refit.config),
        "epochs_trained": refit.epochs,
        "cross_validation": validated,
        "validation_rows": prepared.validation_rows,
        "test": tested,
        "check": None if check is None else check.to_json(),
        "data": {"train": prepared.data_digest, "test": prepared.test_digest, "folds": description.folds},
        "targets": prepared.judge.targets_text,
        "target_names": list(prepared.judge.target_names),
        "classes": description.facts["classes"],
        "pos_label": plan.pos_label,
        "adapter": None if adapter is None else _adapter_facts(folder, adapter),
        "pretrained_model": prepared.model_digest,
        "numerics": record.numerics_for(record.store.history.trials[trial.number]).to_dict(),
    }


def _adapter_facts(folder: Path, adapter: "AdapterSettings") -> dict[str, Any]:
    is_merged = not is_adapter_folder(folder)
    return {"text": adapter.text, "merged": is_merged, **({} if is_merged else facts_of(folder))}


def _numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON has them: those that are undefined are null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _page(
    plan: Plan,
    trial: "TrialSummary",
    facts: Mapping[str, Any],
    refit: "Refit",
    check: "Check | None",
    *,
    folder: Path,
    trials: int,
) -> str:
    model = plan.model_of(trial.config)
    base, on_hub = (Path(model).name, False) if Path(model).exists() else (model, True)
    pipeline = plan.task.pipeline
    code = plan.task.how_to_load(facts["config"])
    use = _use(plan, trial, code, refit)
    is_apart = facts["adapter"] is not None and not facts["adapter"]["merged"]
    if is_apart:
        use = loading_code(folder, use)
    values = {**trial.config, **facts["config"]}  # a completed config leaves some defaults out
    is_drawn, own = values.get("pretrained") is False, plan.task.trains_itself
    made = "trained from scratch" if is_drawn else "trained" if code else "fine-tuned"
    on_hub = on_hub and not code and not is_drawn and not own  # a name in the user's code, or nothing of its weights
    head = [] if own else [f"library_name: {'pytorch' if code else 'peft' if is_apart else 'transformers'}"]
    head += [f"pipeline_tag: {pipeline}"] if pipeline else []
    head += [f"base_model: {named(model)[0]}"] if on_hub else []
    searched = [*plan.space.parameters, *plan.space.fixed]
    config = [f"| {name} | {values[name]} |" for name in searched if name in trial.config]
    weighs = NAME in facts["config"] and NAME not in searched
    config += [f"| {NAME} | {facts['config'][NAME]} |"] if weighs else []
    data = facts["data"]
    test_data = f", test data `{data['test']}`" if data["test"] else ""
    trained = plan.prepared.trained_rows
    rows = f"all {trained:,} training rows" if trained else "the rows that it reads"
    what = f"{base}, {made} {plan.prepared.judge.purpose}. {_adapter(facts)}Found"
    if own:
        what = f"What {base} saved after its last report. Its settings were found"
    parts = [
        "\n".join(["---", *head, "---"]) if head else "",
        f"# {plan.name}",
        f"{what} by a search of {trials} trials with hpsearch {facts['hpsearch']}, then trained on {rows} "
        f"for {facts['epochs_trained']:.3g} epochs.{_untrained(facts)}",
        f"```python\n{use}\n```" if use else "",
        "## Scores",
        *_scores(facts, plan.directions, check),
        _of_class(plan),
        "## Configuration",
        "\n".join(["| hyperparameter | value |", "|---|---|", *config]),
        "## Data and numerics",
        f"- training data `{data['train']}`, folds `{data['folds']}`{test_data}\n"
        f"- pretrained model `{facts['pretrained_model']}`\n"
        f"- {_numerics(facts['numerics'] or {})}\n"
        f"- the search was decided {facts['decided']}"
        + "".join(f"\n- {name}: {text}" for name, text in signatures(plan).items())
        + "".join(f"\n- not repeatable from the seed alone: {each}" for each in facts["disturbances"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _untrained(facts: Mapping[str, Any]) -> str:
    """Return what is to be said of validation rows that were given, with a space before it."""
    rows = facts["validation_rows"]
    return f" It was not trained on the {rows:,} validation rows, by which it was chosen." if rows else ""


def _adapter(facts: Mapping[str, Any]) -> str:
    """Return what was trained and what of it is here, where that is an adapter, as sentences before another."""
    adapter = facts["adapter"]
    if adapter is None:
        return ""
    trained = f"Trained was {adapter['text']}; all else is as pretrained. "
    if adapter["merged"]:
        return f"{trained}It is merged into the weights. "
    revision = f", revision `{adapter['revision']}`" if adapter["revision"] else ""
    return f"{trained}This folder holds it alone: it belongs on `{adapter['base_model_name_or_path']}`{revision}. "


def _use(plan: Plan, trial: "TrialSummary", code: str, refit: "Refit") -> str:
    """Return Python that predicts with the exported model, or an empty text; `code` loads one not of transformers."""
    if not code:
        return plan.task.how_to_call(replace(plan.prepared_for(trial.config), judge=refit.judge))
    lacking = refit.judge.unsettled()
    return f"{code}\n\noutputs = model(inputs)\n{lacking}" if lacking else code


def _scores(facts: Mapping[str, Any], directions: Mapping[str, Direction], check: "Check | None") -> list[str]:
    checked = [] if check is None else [check.text()]
    if check is not None and not check.agrees:
        return checked
    validated = facts["cross_validation"]
    if facts["validation_rows"]:
        given = f"the {facts['validation_rows']:,} validation rows that were given"
        seen = (
            f"Validated on {given}, over {len(validated['folds'])} run(s){_interval(validated)}: by trials of this "
            "configuration, not by this model. The validation score of a search's winner is optimistic, because the "
            "winner was chosen by it; the test score is not."
        )
        return [_score_table(facts, directions), seen, *checked]
    optimism = (
        f"Cross-validated over {len(validated['folds'])} run(s){_interval(validated)}. The cross-validated score of "
        "a search's winner is optimistic, because the winner was chosen by it; the test score is not."
    )
    return [_score_table(facts, directions), optimism, *checked]


def _score_table(facts: Mapping[str, Any], directions: Mapping[str, Direction]) -> str:
    validated, test = facts["cross_validation"]["metrics"], facts["test"]
    how = "validation" if facts["validation_rows"] else "cross-validated"
    heading = f"| metric | {how} |" + (f" test ({test['rows']} rows) |" if test else "")
    lines = [heading, "|---|---|" + ("---|" if test else "")]
    tested = test["metrics"] if test else {}
    for name in dict.fromkeys([*validated, *tested]):
        remark = " (lower is better)" if directions.get(name) is Direction.MINIMIZE else ""
        score = _score(validated[name]) if name in validated else ""
        lines.append(f"| {name}{remark} | {score} |" + (f" {_score(tested[name])} |" if test else ""))
    return "\n".join(lines)


def _score(value: float | None) -> str:
    return "undefined" if value is None or math.isnan(value) else f"{value:.4f}"


def _of_class(plan: Plan) -> str:
    """Return which class the metrics of one class are of, or an empty text."""
    names = ", ".join(metric.name for metric in plan.measured if metric.of_class is not None)
    return f"Positive class: {plan.pos_label} ({names})." if names else ""


def _interval(validated: Mapping[str, Any]) -> str:
    if not validated["interval"]:
        return ""
    low, high = validated["interval"]
    return f"; 95% interval of {validated['objective']} {low:.4f} to {high:.4f} (corrected, Nadeau and Bengio 2003)"


def _numerics(numerics: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in numerics.items() if not isinstance(value, dict)}
    versions = numerics.get("versions") or {}
    parts = [f"{name} {value}" for name, value in {**shown, **versions}.items()]
    return ", ".join(parts)
