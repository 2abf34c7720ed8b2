"""A metric is tried on made-up rows, before any training: does it work, take weights, and which way is it better?"""

import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from hpsearch.errors import MetricError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import is_negated_score, known_direction, measures
from hpsearch.metrics.metric import Metric, metric_name
from hpsearch.provenance.definitions import observed

MANY_ROWS = 1000
"""How many made-up rows a metric is tried on that says nothing of a few."""

_ROUNDING = 1e-12
"""What is known is doubted for greater differences only: the deviance of numbers near 1e9 is all rounding."""

AnyMetric = TypeVar("AnyMetric", bound=Metric)


@dataclass(frozen=True)
class MadeUp:
    """Made-up rows and predictions of them, as a judge's metrics take them.

    Attributes:
        ordinary: Targets, and predictions as a model makes them: some right, some wrong, nothing degenerate.
        targets: Those of all that follows.
        right: Predictions that are right of every row.
        nearly_right: Predictions that are not far off; for metrics without a finite value of the right ones.
        wrong: Gives predictions that are wrong in as many different ways as there are: all wrong, wrong to one side
            and to the other, always the same.
        precision: Values that differ by less than this share of the greatest are the same, for rounding.
        more: Returns the same of a thousand rows, for a metric that says nothing of a few; None where there are none.
    """

    ordinary: tuple[Any, Any]
    targets: Any
    right: Any
    nearly_right: Any
    wrong: Callable[[], Iterable[Any]]
    precision: float = 1e-9
    more: "Callable[[], MadeUp] | None" = None


@dataclass(frozen=True)
class _Measured:
    """What a metric gives to right and to wrong predictions: the direction that follows, or None, and it in words."""

    direction: Direction | None
    text: str
    is_constant: bool = False


def resolve(metric: AnyMetric, made_up: MadeUp, direction: Direction | None, *, is_objective: bool) -> AnyMetric:
    """Return the metric as it can be used: it works, its direction is found, and whether it takes weights.

    Args:
        metric: The metric of a name, scorer or function.
        made_up: What it is tried on.
        direction: What the user says, or None.
        is_objective: Whether a search is to follow it.

    Raises:
        MetricError: It fails on made-up rows, or its direction is unknown or contradicts itself.
    """
    with observed(*filter(None, [metric.function])):
        tried, made_up = _tried(metric, made_up)
        return replace(tried, direction=_direction(tried, made_up, direction, is_objective=is_objective))


def check_name(
    name: str,
    names: Collection[str],
    refusal: Callable[[str], str | None],
    *,
    measured: str,
    targets: str,
    fitting: Callable[[], tuple[str, ...]],
) -> None:
    """Raise MetricError unless there is a metric of this name, and it suits the targets.

    Args:
        name: What the user gives.
        names: Those of metrics of such targets, whether they suit these or not.
        refusal: Returns why the metric of a name does not suit, as a sentence, or None.
        measured: What these metrics measure, as `measures` says it.
        targets: The targets, after "cannot be used on".
        fitting: Returns the names that do suit.
    """
    reason = refusal(name) if name in names else None
    if name in names and reason is None:
        return
    suited, elsewhere = fitting(), None if name in names else measures(name)
    better = [
        *(f"{name}_{ending}" for ending in ("macro", "ovr", "weighted")),
        f"{name.removesuffix('_samples')}_macro",
    ]
    preferred = [each for each in better if each in suited]
    hint = f" Did you mean {preferred[0]!r}?" if preferred else ""
    wrong = f"there is no metric called {name!r}.{hint or nearest(name.lower(), suited)}"
    if elsewhere is not None:
        wrong = f"metric {name!r} cannot be used on {targets}: it measures {elsewhere}, not {measured}."
    elif reason is not None:
        wrong = f"metric {name!r} cannot be used on {targets}: {reason}{hint}"
    raise MetricError(f"{wrong} Those that fit: {', '.join(suited)}.")


def _tried(metric: AnyMetric, made_up: MadeUp) -> tuple[AnyMetric, MadeUp]:
    """Return the metric, knowing whether it takes sample weights, and the made-up rows on which it works."""
    targets, predictions = made_up.ordinary
    try:
        metric(targets, predictions)
    except MetricError as error:
        if made_up.more is not None:
            try:
                return _tried(metric, made_up.more())
            except MetricError as of_many:
                if repr(of_many.__cause__) != repr(error.__cause__):  # the number of rows is not all that is wrong
                    raise
        raise MetricError(f"{error} (It was tried on made-up rows, before any training.)") from error.__cause__
    if not metric.may_take_weights():
        return replace(metric, weighted=False), made_up
    try:
        metric(targets, predictions, np.linspace(0.5, 1.5, len(targets)))
    except MetricError:  # one-versus-one ROC AUC has the argument, and refuses it
        return replace(metric, weighted=False), made_up
    return metric, made_up


def _direction(metric: Metric, made_up: MadeUp, given: Direction | None, *, is_objective: bool) -> Direction:
    """Return a metric's direction; `MetricError` where what is given, known and measured contradict each other."""
    name, known = metric.name, known_direction(metric.function or metric.name)
    if is_negated_score(metric.function) and given is not Direction.MINIMIZE:
        scored = metric_name(metric.function._score_func)  # type: ignore[union-attr]  # it is a scorer
        raise MetricError(
            f"metric {name!r} contradicts itself: more of {scored} is better, and the scorer is made with "
            "greater_is_better=False. Leave that out"
            + (", or say direction='minimize'." if is_objective and given is None else ".")
        )
    if metric.function is None and known is not None:
        measured = _Measured(known, "")
    else:
        measured = _measure(metric, made_up, 0.0 if known is None else _ROUNDING)
        if measured.is_constant and made_up.more is not None:
            measured = _measure(metric, made_up.more(), 0.0 if known is None else _ROUNDING)
    better = f"{'less' if known is Direction.MINIMIZE else 'more'} of it is better"
    if known is not None and measured.direction not in (None, known):
        raise MetricError(
            f"metric {name!r} contradicts itself: {better}, as scikit-learn has it, but {measured.text}. Check its "
            "arguments, or measure something else."
        )
    if known is not None and measured.is_constant:
        raise MetricError(
            f"metric {name!r} says nothing of such targets: {measured.text}. Choose another, or check its arguments."
        )
    found = known or measured.direction
    if given is not None and found not in (None, given):
        remedy = "Leave direction= out." if known or found is Direction.MAXIMIZE else f"Give direction={str(found)!r}."
        raise MetricError(
            f"direction={str(given)!r} contradicts metric {name!r}: {better if known else measured.text}. {remedy}"
        )
    if given is None and is_objective and known is None and found is not Direction.MAXIMIZE:
        raise MetricError(
            f'metric {name!r} does not tell which way it is better: {measured.text}. Say it: direction="maximize" or '
            'direction="minimize".'
            if found is None
            else f"metric {name!r} is an error, not a score: {measured.text}. Say that less of it is better: "
            'direction="minimize".'
        )
    return given or found or Direction.MAXIMIZE


def _measure(metric: Metric, made_up: MadeUp, least: float) -> _Measured:
    """Compare what a metric gives to right predictions with what it gives to wrong ones, if they differ by `least`."""
    right, which = _value(metric, made_up.targets, made_up.right), "all right"
    if np.isnan(right):  # as of 1 / error
        right, which = _value(metric, made_up.targets, made_up.nearly_right), "nearly right"
    found = [_value(metric, made_up.targets, predictions) for predictions in made_up.wrong()]
    wrong = [value for value in found if not np.isnan(value)]
    if np.isnan(right) or not wrong:
        return _Measured(None, "it cannot be computed of made-up predictions that are all right or all wrong")
    scale = max((abs(value) for value in (right, *wrong) if np.isfinite(value)), default=0.0)
    others = [value for value in wrong if not _same(right, value, max(least, scale * made_up.precision))]
    given = f"of made-up predictions it gives {right:.4g} to those that are {which}, and"
    if not others:
        is_constant = all(value == right for value in wrong)
        return _Measured(None, f"{given} the same to wrong ones", is_constant)
    least, greatest = min(others), max(others)
    if least < right < greatest:
        return _Measured(None, f"{given} {greatest:.4g} to some wrong ones and {least:.4g} to others")
    direction = Direction.MAXIMIZE if greatest < right else Direction.MINIMIZE
    return _Measured(direction, f"{given} {others[0]:.4g} to wrong ones")


def _value(metric: Metric, targets: Any, predictions: Any) -> float:
    """Return the metric's value, which may be infinite; NaN where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a division by zero, which says nothing of the user's own rows
        try:
            return metric.value(targets, predictions)
        except MetricError:
            return float("nan")


def _same(one: float, other: float, tolerance: float) -> bool:
    if not (np.isfinite(one) and np.isfinite(other)):
        return one == other
    return abs(one - other) <= tolerance
