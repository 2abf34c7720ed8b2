"""The contents of a page's tables, as plain values; the templates lay them out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.analysis.timeline import compute
from hpsearch.metrics.direction import Direction
from hpsearch.records import LOSS
from hpsearch.report.content import Content
from hpsearch.report.wording import brief, duration, is_number, setting, whole


@dataclass(frozen=True)
class Setting:
    """The value of a hyperparameter: in brief, and in whole for the pointer."""

    brief: str
    whole: str


@dataclass(frozen=True)
class SettingRow:
    """One hyperparameter in several configurations; None where a configuration does not use it."""

    name: str
    values: tuple[Setting | None, ...]
    differs: bool


def setting_rows(configs: Sequence[Mapping[str, Any]]) -> list[SettingRow]:
    """Return the hyperparameters of some configurations side by side, in the order in which they first appear."""
    rows = []
    for name in dict.fromkeys(name for config in configs for name in config):
        values = tuple(Setting(brief(c[name]), whole(c[name])) if name in c else None for c in configs)
        rows.append(SettingRow(name, values, differs=len(set(values)) > 1))
    return rows


def score_rows(content: Content, trials: Iterable[TrialSummary]) -> list[tuple[str, list[float | None]]]:
    """Return metrics with their mean over folds in each trial, then their test scores; leave out those without any."""
    sources = [trial.metrics for trial in trials] + list((content.test_scores or {}).values())
    names = dict.fromkeys([*content.all_metrics, *(name for scores in sources for name in scores)])
    rows = [(name, [scores.get(name) for scores in sources]) for name in names]
    return [(name, values) for name, values in rows if any(value is not None for value in values)]


@dataclass(frozen=True)
class Head:
    """The head of a column that a click sorts.

    Attributes:
        first: What the first click puts on top: of numbers the "high" or the "low" ones, the better ones where one
            side is better; words start with "a".
    """

    text: str
    is_number: bool = True
    first: str = "high"


def _measured(content: Content, text: str, metric: str) -> Head:
    return Head(text, first="low" if content.direction(metric) is Direction.MINIMIZE else "high")


def epoch_heads(content: Content) -> list[Head]:
    """Return the columns that page.js fills with what was measured by epoch; all are numbers."""
    metrics = [_measured(content, name, name) for name in content.all_metrics if name != LOSS]
    loss = [Head("validation loss", first="low")] if LOSS in content.all_metrics else []
    ahead = [Head("epoch", first="low"), Head("training loss", first="low")]
    return [*ahead, *loss, *metrics, Head("learning rate"), Head("time of a run")]


def trial_heads(content: Content) -> list[Head]:
    """Return the columns of the table of trials."""
    objective = content.objective
    settings = [
        Head(name, all(is_number(trial.config.get(name, 0)) for trial in content.summaries))
        for name in content.parameters
    ]
    measured = [_measured(content, text, objective) for text in (objective, "95% interval")]
    numbers = [*measured, Head("folds"), Head("epoch")]
    return [Head("#", first="low"), Head("state", False), *numbers, *settings, Head("time"), Head("reason", False)]


def study_facts(content: Content) -> list[tuple[str, Any]]:
    """Return the facts of data and search, and what training took."""
    facts = dict(content.facts)
    trials, repeats = len(content.history.trials), content.history.repeats()
    if repeats:
        facts["different configurations"] = f"{trials - repeats} in {trials} trials"
    if trials:
        taken = compute(content.history, content.ends)
        facts |= {"epochs of one fold": f"{taken.epochs:.4g}", "training time": duration(taken.seconds)}
        facts |= {} if taken.elapsed is None else {"elapsed time": duration(taken.elapsed)}
    return flat(facts)


def details(content: Content) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return what is needed to compute the same again, under headings."""
    fixed = content.space.get("fixed") or {}
    blocks = {"Numerics": content.numerics, "Fingerprints": content.fingerprints, "Fixed hyperparameters": fixed}
    return [(title, flat(values)) for title, values in blocks.items() if values]


def flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return names and values, with one level of nesting spelled out."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        inner = [(f"{name}: {key}", text) for key, text in value.items()] if isinstance(value, Mapping) else None
        pairs += [(name, value)] if inner is None else inner
    return pairs


def search_range(parameter: Mapping[str, Any]) -> str:
    """Return in words what the space says of a hyperparameter."""
    if "choices" in parameter:
        text = ", ".join(setting(choice) for choice in parameter["choices"])
    elif "low" in parameter:
        text = f"{setting(parameter['low'])} to {setting(parameter.get('high'))}"
        text += ", logarithmic" if parameter.get("log") else ""
    else:
        text = ", ".join(f"{name}: {value}" for name, value in parameter.items() if name not in ("name", "when"))
    for name, values in (parameter.get("when") or {}).items():
        text += f", when {name} is {' or '.join(setting(value) for value in values)}"
    return text
