"""What a study is given, checked before anything is read: each error names the argument, its value and what to do."""

import pickle
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpsearch.errors import MetricError, TaskError, UsageError, printable
from hpsearch.metrics.direction import Direction

if TYPE_CHECKING:
    from hpsearch.policy.early_stopping import EarlyStopping
    from hpsearch.tasks import Task

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

LONGEST_NAME = 200
"""Bytes of a study's name: file systems take 255, and some of its files are called by more than its name."""


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
    """Raise UsageError unless these are a list, and each can be called."""
    check_listed("callbacks", callbacks)
    wrong = [callback for callback in callbacks if not callable(callback)]
    if wrong:
        raise UsageError(
            f"callbacks=[...] has {wrong[0]!r}, a {type(wrong[0]).__name__}: give functions f(study, trial), which are "
            "called with each trial that has ended."
        )


def check_settings(precision: Any, deterministic: Any, checkpoint_every: Any) -> None:
    """Raise UsageError where a setting that is needed only later is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision={precision!r} is unknown: give 'auto', 'fp32', 'bf16' or 'fp16'.")
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


def check_name(name: str) -> None:
    """Raise UsageError unless a folder can be called so."""
    safe = isinstance(name, str) and name and not name.startswith(".") and not set(name) & set('/\\:*?"<>|\t\n')
    safe = safe and printable(name) == name
    if not safe:
        raise UsageError(f"{name!r} cannot name a study and its folder. Use letters, digits, - and _.")
    if len(name.encode()) > LONGEST_NAME:
        raise UsageError(
            f"The study's name {name[:20]!r}... has {len(name)} characters, and its folder's name can have at most "
            f"{LONGEST_NAME} bytes. Use a shorter one."
        )


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise UsageError unless this is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}={value!r} must be a whole number of at least {least}.")


def direction_of(value: Any) -> Direction | None:
    """Return the direction that a study was given, or None where it follows from the metric.

    Raises:
        UsageError: It is none.
    """
    if value is None:
        return None
    if isinstance(value, str) and value in list(Direction):
        return Direction(value)
    raise UsageError(
        f"direction={value!r} is unknown: give 'minimize', 'maximize', or None, which follows from the metric."
    )


def early_stopping_of(value: "float | EarlyStopping | str | None", task: "Task") -> "EarlyStopping | None":
    """Return the early-stopping rule that a study was given: its patience in epochs, the rule itself, or None.

    "auto" is as the task has it.
    """
    from hpsearch.policy.early_stopping import EarlyStopping

    value = task.patience if value == "auto" else value
    if value is None or isinstance(value, EarlyStopping):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(
            f"early_stopping={value!r} must be a number of epochs without improvement, an EarlyStopping, or None."
        )
    return EarlyStopping(float(value))


def points_of(value: int | None, task: "Task") -> int:
    """Return how many evaluation points an epoch has: as a study says, else as its task has it."""
    return task.evaluations_per_epoch if value is None else value


def named(value: Any) -> str:
    """Return the name of a sampler, pruner or splitter, or what an object says of itself."""
    if value is None:
        return "none"
    if type(value).__repr__ is object.__repr__:
        return f"<{type(value).__name__}>"  # an address in memory would say nothing
    if isinstance(value, str):
        return value
    text = repr(value)
    return text if set(text) & set("<(") else f"<{text}>"  # or it would be taken for a name


def split_of(cv: Any, task: "Task") -> Any:
    """Return how a study splits its rows: as it says, else by the task's validation rows, else by the task's default.

    Raises:
        UsageError: It says how, and the task has validation rows.
    """
    from hpsearch.data.folds import Folds, GivenValidation

    if not task.has_validation:
        return task.default_cv if cv is None else cv
    if cv is None or isinstance(cv, Folds | GivenValidation):  # of a study that is loaded
        return GivenValidation() if cv is None else cv
    raise UsageError(
        f"cv={cv!r} is given, and the task has validation=: every trial is evaluated on those rows. Leave cv out, or "
        "put all rows into train= to have them split."
    )
