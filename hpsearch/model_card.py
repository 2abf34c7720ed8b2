"""The model card: what was trained on what, how well it does, and how to use it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import __version__
from hpsearch.description import Description
from hpsearch.records import Trial

if TYPE_CHECKING:
    from hpsearch.result import Result
    from hpsearch.runtime.refit import Refit

PIPELINES = {"TextClassification": "text-classification", "ImageClassification": "image-classification"}


def write_card(folder: Path, result: "Result", trial: Trial, refit: "Refit", test: Mapping[str, float] | None) -> None:
    """Write README.md, which model hubs show, and hpsearch.json, which programs read, into a saved model's folder."""
    facts = _facts(result, trial, refit, test)
    (folder / "hpsearch.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_page(result, trial, facts), encoding="utf-8")


def _facts(result: "Result", trial: Trial, refit: "Refit", test: Mapping[str, float] | None) -> dict[str, Any]:
    description = Description.from_json(result.study.store().description)
    summary = result.summary(trial.number)
    return {
        "hpsearch": __version__,
        "study": result.study.name,
        "trial": trial.number,
        "config": dict(refit.config),
        "epochs_trained": refit.epochs,
        "cross_validation": {
            "objective": description.metric,
            "value": summary.value,
            "interval": summary.interval,
            "folds": list(summary.folds),
            "metrics": dict(summary.metrics),
        },
        "test": None if test is None else {"rows": description.facts["test_rows"], "metrics": dict(test)},
        "data": {"train": description.data, "test": description.test_data, "folds": description.folds},
        "classes": description.facts["classes"],
        "pretrained_model": description.model,
        "numerics": description.numerics,
    }


def _page(result: "Result", trial: Trial, facts: Mapping[str, Any]) -> str:
    task = type(result.study.task).__name__
    pipeline = PIPELINES.get(task)
    base = Path(str(result.study.task.model)).name
    validated = facts["cross_validation"]
    searched = [*result.study.space.parameters, *result.study.space.fixed]
    config = "\n".join(f"| {name} | {facts['config'][name]} |" for name in searched if name in trial.config)
    head = ["---", "library_name: transformers", *([f"pipeline_tag: {pipeline}"] if pipeline else []), "---"]
    use = f'\n```python\nfrom transformers import pipeline\n\nclassify = pipeline("{pipeline}", model="path/to/this/folder")\n```\n'
    return "\n".join(
        [
            *head,
            f"\n# {result.study.name}\n",
            f"{base}, fine-tuned for classification among {len(facts['classes'])} classes: "
            f"{', '.join(str(name) for name in facts['classes'])}. Found by a search of "
            f"{len(result.history.trials)} trials with hpsearch {facts['hpsearch']}, then trained on all "
            f"training rows for {facts['epochs_trained']:g} epochs.",
            use if pipeline else "",
            "## Scores\n",
            _scores(facts),
            "",
            f"Cross-validated over {len(validated['folds'])} run(s){_interval(validated)}. The cross-validated score "
            "of the winner of a search leans upwards, because it was chosen by it; the test score does not.\n",
            "## Configuration\n",
            "| hyperparameter | value |\n|---|---|",
            config,
            "",
            "## Data and numerics\n",
            f"- training data `{facts['data']['train']}`, folds `{facts['data']['folds']}`"
            + (f", test data `{facts['data']['test']}`" if facts["data"]["test"] else ""),
            f"- pretrained model `{facts['pretrained_model']}`",
            f"- {_numerics(facts['numerics'] or {})}",
            "",
        ]
    )


def _scores(facts: Mapping[str, Any]) -> str:
    validated, test = facts["cross_validation"]["metrics"], facts["test"]
    heading = "| metric | cross-validated |" + (f" test ({test['rows']} rows) |" if test else "")
    lines = [heading, "|---|---|" + ("---|" if test else "")]
    for name, value in validated.items():
        lines.append(f"| {name} | {value:.4f} |" + (f" {test['metrics'][name]:.4f} |" if test else ""))
    return "\n".join(lines)


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
