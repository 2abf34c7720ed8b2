"""What is known of metrics beforehand: of names, and of scikit-learn's functions and scorers.

A name that is no scorer of scikit-learn's stands in `LOSSES` or `CORRELATIONS`, by what it measures. That gives it its
direction: a judge with metrics of its own adds a word there.
"""

import functools
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from hpsearch.metrics.direction import Direction

LOSSES: Mapping[str, tuple[str, ...]] = {
    "classes": ("brier_score_loss", "hamming_loss", "log_loss", "zero_one_loss"),
    "numbers": (
        "mae", "max_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_gamma_deviance",
        "mean_poisson_deviance", "mean_squared_error", "mean_squared_log_error", "median_absolute_error", "mse",
        "rmse", "root_mean_squared_error", "root_mean_squared_log_error",
    ),
    "texts": ("perplexity",),
}  # fmt: skip
"""Names of which less is better, and which are never below zero; shown as they are."""

OF_ONE_CLASS = (
    "average_precision", "f1", "jaccard", "neg_negative_likelihood_ratio", "positive_likelihood_ratio", "precision",
    "recall",
)  # fmt: skip
"""Names of scorers that are of one class where there are two: of the positive one."""

CORRELATIONS = ("pearson", "spearman")
"""Names of correlations of numbers."""

OF_TEXTS: Mapping[str, float] = {
    "bleu": 100.0,
    "chrf": 100.0,
    "exact_match": 1.0,
    "rouge_l": 1.0,
    "token_accuracy": 1.0,
}
"""Names of scores of texts, from 0 to this."""

MEAN_LOSS = "loss"
"""The mean loss of held-out rows, recorded under this name whatever else is measured."""

_SHARES = ("accuracy", "balanced_accuracy", "f1", "jaccard", "precision", "recall", "roc_auc", "average_precision")
_SHARES_OF_VARIANCE = ("d2_absolute_error_score", "explained_variance", "r2")
_AVERAGES = ("", "_macro", "_micro", "_samples", "_weighted", "_ovr", "_ovo", "_ovr_weighted", "_ovo_weighted")
_HOMES = {"sklearn.metrics._regression": "numbers", "sklearn.metrics.cluster": "clusterings"}


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the greatest value of the scorer, loss or correlation of this name; infinite if unknown."""
    if name in {share + average for share in _SHARES for average in _AVERAGES}:
        return 0.0, 1.0
    if name in CORRELATIONS:
        return -1.0, 1.0
    if name in OF_TEXTS:
        return 0.0, OF_TEXTS[name]
    greatest = 1.0 if name in _SHARES_OF_VARIANCE else 0.0 if name.startswith("neg_") else np.inf
    return 0.0 if any(name in losses for losses in LOSSES.values()) else -np.inf, greatest


def measures(name: str) -> str | None:
    """Return what the metric of this name measures: "classes", "numbers", "texts", "clusterings"; None if unknown."""
    for what, losses in LOSSES.items():
        if name in losses:
            return what
    if name in CORRELATIONS:
        return "numbers"
    if name in OF_TEXTS:
        return "texts"
    return _at_home(scorers()[name]._score_func) if name in scorers() else None


def function_measures(metric: Any) -> str | None:
    """Return the same of a function or scorer of scikit-learn's functions; None of any other."""
    function = metric._score_func if is_scorer(metric) else metric
    while isinstance(function, functools.partial):
        function = function.func
    return _at_home(function) if scikit_learn_name(function) else None


def _at_home(function: Any) -> str:
    module = str(function.__module__)
    return next((what for home, what in _HOMES.items() if module.startswith(home)), "classes")


def known_direction(metric: Any) -> Direction | None:
    """Return the direction of a name, or of a function or scorer of scikit-learn's; None where nothing is known.

    More is better of whatever scikit-learn has registered as a scorer. Of its functions the end of the name tells:
    _loss, _error and _deviance are minimised, _score is maximised. A scorer of `greater_is_better=False` gives the
    negative.
    """
    import sklearn.metrics

    if isinstance(metric, str):
        if metric == MEAN_LOSS or any(metric in losses for losses in LOSSES.values()):
            return Direction.MINIMIZE
        is_score = metric in CORRELATIONS or metric in OF_TEXTS or metric in scorers()
        return Direction.MAXIMIZE if is_score else known_direction(getattr(sklearn.metrics, metric, None))
    if is_scorer(metric):
        if is_registered(metric):
            return Direction.MAXIMIZE
        direction = known_direction(metric._score_func)
        return direction if direction is None or metric._sign > 0 else direction.opposite
    if isinstance(metric, functools.partial):
        return known_direction(metric.func)
    name = scikit_learn_name(metric)
    if name.endswith(("_loss", "_error", "_deviance")) or name == "davies_bouldin_score":
        return Direction.MINIMIZE
    return Direction.MAXIMIZE if name.endswith("_score") or name == "matthews_corrcoef" else None


def is_negated_score(metric: Any) -> bool:
    """Return whether a scorer gives the negative of a known score, by `greater_is_better=False`."""
    return is_scorer(metric) and metric._sign < 0 and known_direction(metric._score_func) is Direction.MAXIMIZE


def scikit_learn_name(function: Any) -> str:
    """Return the name of a function of `sklearn.metrics`, and "" of any other.

    A function that wraps one of them has its name and module, too, and may compute something else.
    """
    import sklearn.metrics

    name = str(getattr(function, "__name__", ""))
    return name if name and getattr(sklearn.metrics, name, None) is function else ""


def reads_scores(function: Any) -> bool:
    """Return whether a function of scikit-learn's reads probabilities or decisions, and not classes."""
    name = scikit_learn_name(function)
    if name in ("log_loss", "d2_log_loss_score"):  # which called them y_pred in earlier versions
        return True
    return bool(name) and _parameters(function)[1:2] in (["y_score"], ["y_proba"], ["pred_decision"])


def is_registered(metric: Any) -> bool:
    """Return whether a scorer object computes what one does that scikit-learn has a name for."""
    if not is_scorer(metric):
        return False
    same = [scorer for scorer in scorers().values() if scorer._score_func is metric._score_func]
    return any(_facts(metric) == _facts(scorer) for scorer in same)


def is_scorer(metric: Any) -> bool:
    """Return whether this is a scorer object of scikit-learn's, made of a function."""
    return all(hasattr(metric, name) for name in ("_score_func", "_sign", "_kwargs", "_response_method"))


def wants_estimator(metric: Any) -> bool:
    """Return whether this is called as f(estimator, X, y), and has no function of true and predicted values within."""
    return callable(metric) and not is_scorer(metric) and _parameters(metric)[:1] == ["estimator"]


def accepts(metric: Any, parameter: str) -> bool:
    """Return whether a scorer's function, or a plain function, has a parameter of this name."""
    return parameter in _parameters(metric._score_func if is_scorer(metric) else metric)


def named_scorer(name: str) -> Any:
    """Return scikit-learn's scorer of this name."""
    from sklearn.metrics import get_scorer

    return get_scorer(name)


@cache
def scorers() -> Mapping[str, Any]:
    """Return all scorers that scikit-learn has registered, by name."""
    from sklearn.metrics import get_scorer_names

    return {name: named_scorer(name) for name in get_scorer_names()}


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (ValueError, TypeError):  # a builtin without a signature
        return []


def _facts(scorer: Any) -> tuple[Any, ...]:
    """Return what a scorer computes, to be compared."""
    settings = sorted((key, repr(value)) for key, value in scorer._kwargs.items())
    return scorer._score_func, scorer._sign, scorer._response_method, settings
