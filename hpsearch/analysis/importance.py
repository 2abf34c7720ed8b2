"""Which hyperparameters set the top trials apart: PED-ANOVA, compared with what chance alone would give."""

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.metrics.direction import Direction
from hpsearch.records import TrialState

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LEAST_TRIALS = 20
"""Fewest judged trials for which importance is stated: a handful of top trials looks like a pattern by chance."""

LEAST_RANKED = 10
"""Fewest judged trials that are complete or lasted a whole fold; the top ones are chosen from these."""

TOP_TRIALS = 5
"""Fewest top trials to estimate a density from; Optuna advises the same."""

TOP_SHARE = 0.1
"""Share of the trials that counts as the top, unless that is fewer than `TOP_TRIALS` (Watanabe et al. 2023)."""

SHUFFLES = 60
"""Random orders of the values; chance is the 95th percentile of importance over them."""


@dataclass(frozen=True)
class Importance:
    """How well each hyperparameter tells top trials from the others.

    Attributes:
        shares: Name to its share, the most important first; they add up to one, or are all zero.
        chance: Name to the share that shuffled values exceed once in twenty times.
        present: Name to how many judged trials have it: fewer than `trials` for a conditional one.
        trials: How many trials were judged.
        why_not: Why nothing is stated, in words; None where there are shares.
    """

    shares: Mapping[str, float]
    chance: Mapping[str, float]
    present: Mapping[str, int]
    trials: int
    why_not: str | None = None

    def stands_out(self, name: str) -> bool:
        """Whether a hyperparameter's share exceeds what chance gives nineteen times out of twenty."""
        return self.shares[name] > self.chance[name]


def importance(
    summaries: Sequence[TrialSummary],
    parameters: Mapping[str, Mapping[str, Any]],
    direction: Direction = Direction.MAXIMIZE,
) -> Importance:
    """Return the importance of the searched hyperparameters over the trials that were judged.

    PED-ANOVA (Watanabe, Bansal, Hutter 2023, IJCAI) compares the density of a hyperparameter among the top trials
    with that among all. In Optuna's conditional form, a hyperparameter that only some trials have counts by how often
    the top trials have it. Values shuffled among the trials show what chance gives.

    Complete and pruned trials are judged. Without the pruned ones, what a pruner notices at once (a learning rate that
    cannot work) would look unimportant, because every complete trial has it right.

    The top trials are the complete ones with the best values. A halving pruner leaves few of these, so trials pruned
    after a whole fold rank below them: by the number of folds they finished, then by their partial value. So no partial
    mean is compared with a mean over more folds, and a trial that lasted longer was better where the others ended. A
    trial that diverged, or was pruned in its first fold, is never among the top.

    Args:
        summaries: The trials, in any state.
        parameters: Name to what the space's JSON says of it (`type`, `low`, `high`, `log`, `choices`).
        direction: Whether more or less of the objective is better.
    """
    scored = [_scored(summary, direction) for summary in summaries]
    judged = [summary for summary in scored if summary.state is TrialState.PRUNED or _is_complete(summary)]
    names = [name for name in parameters if len({repr(s.config[name]) for s in judged if name in s.config}) > 1]
    present = {name: sum(name in summary.config for summary in judged) for name in names}
    why_not = _why_not(judged, names)
    if why_not is not None:
        return Importance({}, {}, present, len(judged), why_not)
    observed, shuffled = _divergences(judged, names, parameters)
    total = math.fsum(observed.values())
    scale = 1 / total if total > 0 else 0.0
    ranked = sorted(names, key=lambda name: (-observed[name], names.index(name)))
    chance = {name: scale * float(np.quantile([divergence[name] for divergence in shuffled], 0.95)) for name in ranked}
    return Importance({name: scale * observed[name] for name in ranked}, chance, present, len(judged))


def _scored(summary: TrialSummary, direction: Direction) -> TrialSummary:
    """Return a trial with its score in place of its value."""
    return summary if summary.value is None else replace(summary, value=direction.score(summary.value))


def _is_complete(summary: TrialSummary) -> bool:
    return summary.state is TrialState.COMPLETE and summary.value is not None and math.isfinite(summary.value)


def _is_ranked(summary: TrialSummary) -> bool:
    """Whether a trial can be one of the top: complete, or pruned with a value after a whole fold."""
    lasted = summary.state is TrialState.PRUNED and summary.ended_runs > 0
    return _is_complete(summary) or (lasted and summary.value is not None and math.isfinite(summary.value))


def _standing(summary: TrialSummary) -> tuple[bool, int, float]:
    """Return the key that orders ranked trials, the best highest."""
    complete = _is_complete(summary)
    return complete, 0 if complete else summary.ended_runs, summary.value or 0.0


def _why_not(judged: Sequence[TrialSummary], names: Sequence[str]) -> str | None:
    """Return why no importance can be stated, in words, or None."""
    few = "too few trials to tell importance from noise"
    if len(judged) < LEAST_TRIALS:
        return f"{few}: {len(judged)} complete or pruned, and {LEAST_TRIALS} are needed"
    ranked = [summary for summary in judged if _is_ranked(summary)]
    if len(ranked) < LEAST_RANKED:
        return (
            f"{few}: {len(ranked)} of {len(judged)} lasted a whole fold, the others were pruned before, and "
            f"{LEAST_RANKED} are needed: run more trials"
        )
    if not names:
        return "no hyperparameter differs between the trials"
    if len({_standing(summary) for summary in ranked}) == 1:
        return "all trials that lasted have the same value"
    return None


def _divergences(
    judged: Sequence[TrialSummary],
    names: Sequence[str],
    parameters: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Return PED-ANOVA's numbers for the values as they are, and for each shuffle."""
    from optuna.importance import PedAnovaImportanceEvaluator

    top = min(max(TOP_SHARE * len(judged), TOP_TRIALS), sum(map(_is_ranked, judged)) / 2)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top / len(judged))
    values = _values(judged)
    study = _optuna_study(judged, values.tolist(), names, parameters)
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns of a `target`, and of conditions that one trial fulfils
        observed = evaluator.evaluate(study, params=list(names))
        shuffled = []
        for _ in range(SHUFFLES):
            target = functools.partial(_value_of, -generator.permutation(values))  # Optuna minimizes a target
            shuffled.append(evaluator.evaluate(study, params=list(names), target=target))
    return observed, shuffled


def _values(judged: Sequence[TrialSummary]) -> np.ndarray:
    """Return a number for each trial that orders them by standing; PED-ANOVA uses the order alone."""
    lasted = sorted({_standing(s) for s in judged if _is_ranked(s) and not _is_complete(s)}, reverse=True)
    lowest = min((float(s.value or 0.0) for s in judged if _is_complete(s)), default=0.0)
    below = {standing: lowest - 1.0 - place for place, standing in enumerate(lasted)}
    none = lowest - 1.0 - len(lasted)
    return np.array([s.value if _is_complete(s) else below.get(_standing(s), none) for s in judged])


def _value_of(values: np.ndarray, trial: "FrozenTrial") -> float:
    return float(values[trial.number])


def _optuna_study(
    judged: Sequence[TrialSummary],
    values: Sequence[float],
    names: Sequence[str],
    parameters: Mapping[str, Mapping[str, Any]],
) -> "optuna.Study":
    """Return an in-memory Optuna study of the judged trials, numbered in their order."""
    import optuna

    distributions = {
        name: _distribution(parameters[name], [summary.config[name] for summary in judged if name in summary.config])
        for name in names
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    for summary, value in zip(judged, values, strict=True):
        has = [name for name in names if name in summary.config]
        study.add_trial(
            optuna.trial.create_trial(
                value=value,
                params={name: _plain(distributions[name], summary.config[name]) for name in has},
                distributions={name: distributions[name] for name in has},
            )
        )
    return study


class _Alone:
    """A distribution that is equal to itself alone, and never copied.

    PED-ANOVA sorts the trials by their distributions for each parameter of each shuffle. There is one of each name, and
    comparing two by what they hold takes most of the time: half of what a report of 2,000 trials took.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __deepcopy__(self, _: Any) -> "_Alone":
        return self


@functools.cache
def _alone(kind: type) -> type:
    """Return Optuna's kind of distribution as one that is equal to itself alone."""
    return type(kind.__name__, (_Alone, kind), {})


def _distribution(parameter: Mapping[str, Any], observed: Sequence[Any]) -> "BaseDistribution":
    """Return an Optuna distribution that holds all observed values, even those outside the space's bounds."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in observed)
    if "choices" in parameter or not numbers:
        distinct = {_named(value): None for value in (*parameter.get("choices", ()), *observed)}
        return _alone(CategoricalDistribution)(tuple(distinct))
    bounds = [*observed, *(parameter[bound] for bound in ("low", "high") if bound in parameter)]
    low, high = min(bounds), max(bounds)
    log = bool(parameter.get("log")) and low > 0
    if all(float(value).is_integer() for value in observed) and parameter.get("type") != "float":
        return _alone(IntDistribution)(math.floor(low), math.ceil(high), log=log)
    return _alone(FloatDistribution)(float(low), float(high), log=log)


def _plain(distribution: "BaseDistribution", value: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return _named(value)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _named(value: Any) -> str:
    """Return a choice as text, because 1 and True are two choices but equal numbers."""
    return f"{type(value).__name__} {value!r}"
