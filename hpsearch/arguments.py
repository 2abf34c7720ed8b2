"""What a study is given, checked before anything is read: each error names the argument, its value and what to do."""

import pickle
from collections.abc import Iterable
from typing import Any

from hpsearch.errors import MetricError, TaskError, UsageError

PRECISIONS = ("auto", "fp32", "bf16")


def check_task(task: Any) -> None:
    """Raise TaskError unless this is a task: not its class, nor the data."""
    if isinstance(task, type):
        raise TaskError(f"task={task.__name__} is a class: make a task of it, such as {task.__name__}(...).")
    if not hasattr(task, "hyperparameters"):
        raise TaskError(
            f"task={task!r} is a {type(task).__name__}: give a task, such as "
            "hp.TextClassification(model, train='train.csv', text='text', label='label')."
        )


def check_listed(name: str, value: Any) -> None:
    """Raise UsageError where one thing was given in place of a list of them: a text is a list of letters too."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        shown = getattr(value, "__name__", None) or repr(value)
        raise UsageError(f"{name}={value!r} is not a list: write {name}=[{shown}].")


def check_no_class(**arguments: Any) -> None:
    """Raise UsageError where a class was given in place of an object of it: a sampler, a pruner, a splitter."""
    for name, value in arguments.items():
        if isinstance(value, type):
            shown = value.__name__
            raise UsageError(f"{name}={shown} is a class: make an object of it, such as {name}={shown}(...).")


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Raise UsageError unless each can be called."""
    wrong = [callback for callback in callbacks if not callable(callback)]
    if wrong:
        raise UsageError(
            f"callbacks=[...] has {wrong[0]!r}, a {type(wrong[0]).__name__}: give functions f(study, trial), which are "
            "called with each trial that has ended."
        )


def check_settings(precision: Any, deterministic: Any, checkpoint_every: Any) -> None:
    """Raise UsageError where a setting that is needed only later is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision={precision!r} is unknown: give 'auto', 'fp32' or 'bf16'.")
    if not isinstance(deterministic, bool):
        raise UsageError(f"deterministic={deterministic!r}: give True or False.")
    is_number = isinstance(checkpoint_every, int | float) and not isinstance(checkpoint_every, bool)
    if not is_number or not checkpoint_every >= 0:
        raise UsageError(f"checkpoint_every={checkpoint_every!r}: give the seconds of training that a crash may cost.")


def check_travels(metric: Any, name: str) -> None:
    """Raise MetricError where a function cannot be sent to a worker process."""
    if isinstance(metric, str):
        return
    import cloudpickle

    try:
        cloudpickle.dumps(metric)
    except (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError) as error:
        raise MetricError(
            f"metric {name!r} cannot be sent to a worker process: {type(error).__name__}: "
            f"{' '.join(str(error).split())}. It uses what lives in one process only (a lock, an open file, a "
            "connection): make that inside the function, or run with devices='inline'."
        ) from error
