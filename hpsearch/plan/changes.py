"""What changed between a study as it is stored and as it is run again; sampler and pruner may change."""

from collections.abc import Mapping
from typing import Any

from hpsearch.plan.description import Description, code_arguments
from hpsearch.space import Space

CONTRACT = {
    "metric": "the objective",
    "direction": "the direction of the objective",
    "metrics": "the metrics",
    "definitions": "what a metric computes (the code of a function)",
    "task_definition": "what the task computes (the code of its class)",
    "early_stopping": "early stopping",
    "evaluations_per_epoch": "evaluations_per_epoch",
    "repeats": "repeats",
    "seed": "the seed",
    "reproducible": "reproducible",
    "precision": "the precision",
    "deterministic": "deterministic",
    "model": "the pretrained model (its content differs)",
    "data": "the training data (its content, or how it is encoded: another image library encodes otherwise)",
    "test_data": "the test data (its content or its encoding differs)",
    "folds": "the folds (cv, the seed, or groups)",
}
"""What may not change under a study's name, and how to call it; sampler and pruner may."""

OF_A_CHOICE = ("model", "data", "test_data")
"""What is compared model by model where there are several."""

DIGESTS = ("model", "data", "test_data", "folds", "definitions", "task_definition")
"""Those of which only that they changed can be said."""


def difference(stored: Description, given: Description) -> str:
    """Return in words what has changed between two descriptions of a study, or an empty text."""
    space = Space.from_json(stored.space).difference(Space.from_json(given.space))
    code = _changed_code(stored.task, given.task)
    changes = ([f"the space: {space}"] if space else []) + code
    chooses = stored.models is not None or given.models is not None
    for name, words in CONTRACT.items():
        if (chooses and name in OF_A_CHOICE) or (code and name == "model"):  # the model's digest covers its code
            continue
        before, now = getattr(stored, name), getattr(given, name)
        if name == "reproducible" and before is None:  # of an earlier version, which it continues as
            continue
        if before != now:
            shown = "" if name in DIGESTS else f", which was {before!r} and is {now!r}"
            changes.append(words + shown)
    positive = stored.pos_label, given.pos_label
    if None not in positive and str(positive[0]) != str(positive[1]):
        changes.append("the positive class, which was {!r} and is {!r}".format(*positive))
    return "; ".join([*changes, *_changed_models(stored.models or {}, given.models or {})])


def _changed_models(stored: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what has changed of models that both studies choose among; other choices are another space."""
    both = [choice for choice in stored if choice in given]
    changes = []
    for name in OF_A_CHOICE:
        changed = [choice for choice in both if stored[choice][name] != given[choice][name]]
        if changed and name != "model" and len(changed) == len(both):  # the rows themselves, whoever encodes them
            changes.append(CONTRACT[name])
        elif changed:
            words = "the pretrained model" if name == "model" else "the encoding of rows for the model"
            changes += [f"{words} {choice!r} (its content differs)" for choice in changed]
    return changes


def _changed_code(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return which code that a task is made of computes something else now, each in words."""
    before, now = code_arguments(stored), code_arguments(given)
    changed = [
        name for name in sorted(before.keys() & now.keys()) if before[name]["definition"] != now[name]["definition"]
    ]
    return [f"what {name}={now[name]['name']} computes (its code)" for name in changed]
