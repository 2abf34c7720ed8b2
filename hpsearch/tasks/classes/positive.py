"""The positive class: which of two classes a metric such as F1, precision or recall is of."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.errors import TaskError
from hpsearch.metrics.known import is_scorer, scikit_learn_name

_POSITIVE = {"1", "1.0", "+1", "true", "t", "yes", "y", "positive", "pos", "+", "on", "present"}
_NEGATIVE = {"0", "0.0", "-1", "-1.0", "false", "f", "no", "n", "negative", "neg", "-", "off", "absent"}


def clear_positive(classes: Sequence[Any]) -> int | None:
    """Return the code of the class that is positive by its name, beside one that is negative by its; else None.

    1 and 2, or "spam" and "ham", do not tell.
    """
    names = [str(label).strip().lower() for label in classes]
    if len(names) != 2:
        return None
    return next((code for code in (0, 1) if names[code] in _POSITIVE and names[1 - code] in _NEGATIVE), None)


def plain_label(value: Any) -> Any:
    """Return `pos_label` as plain text, whole number or boolean, or None; `TaskError` where it can be no label."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and not isinstance(value, str | bool | int):
        raise TaskError(
            f"pos_label={value!r} is a {type(value).__name__}: give the label of the positive class, one of the two."
        )
    return value


def positive_code(label: Any, classes: Sequence[Any]) -> int:
    """Return the code of one of two classes; it is found by its text, as labels are, so that 1 is "1".

    Raises:
        TaskError: There is no such class, or there are not two.
    """
    if len(classes) != 2:
        raise TaskError(
            f"pos_label={label!r}: only one of two classes is the positive one, and there are {len(classes)}. Leave "
            "pos_label out."
        )
    found = [code for code, name in enumerate(classes) if name == label or str(name) == str(label)]
    if not found:
        raise TaskError(
            f"pos_label={label!r} is no class: the two are {classes[0]!r} and {classes[1]!r}. Give one of them."
        )
    return found[0]


def lacks_positive(metric: Any) -> bool:
    """Return whether a function or scorer reads a `pos_label` that nobody has set.

    The default of scikit-learn's functions, 1, is nobody's choice; that of a function of the user's is theirs.
    """
    function, settings, parameters = _parts(metric)
    if "pos_label" not in parameters or "pos_label" in settings:
        return False
    return bool(scikit_learn_name(function)) or parameters["pos_label"].default is inspect.Parameter.empty


def with_positive(metric: Callable[..., Any], label: Any) -> Any:
    """Return a function or scorer that lacks its `pos_label`, with it; one that averages over classes with None."""
    _, settings, parameters = _parts(metric)
    may_average = "average" in parameters and parameters["average"].default == "binary"
    chosen = None if may_average and settings.get("average", "binary") != "binary" else label
    if not is_scorer(metric):
        return functools.partial(metric, pos_label=chosen)
    from sklearn.metrics import make_scorer

    scorer: Any = metric
    return make_scorer(
        scorer._score_func,
        response_method=scorer._response_method,
        greater_is_better=scorer._sign > 0,
        **scorer._kwargs,
        pos_label=chosen,
    )


def _parts(metric: Any) -> tuple[Any, Mapping[str, Any], Mapping[str, inspect.Parameter]]:
    """Return the function that a function, partial or scorer is made of, the arguments set, and all that it has."""
    function: Any = metric
    settings: dict[str, Any] = {}
    if is_scorer(metric):
        function, settings = metric._score_func, dict(metric._kwargs)
    while isinstance(function, functools.partial):
        function, settings = function.func, {**function.keywords, **settings}
    try:
        return function, settings, inspect.signature(function).parameters
    except (ValueError, TypeError):  # a builtin without a signature
        return function, settings, {}
