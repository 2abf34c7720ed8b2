"""What the estimator checks before a search and after it: targets, groups, the seed, and how the search has ended."""

import logging
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.unicode import check_texts_are_unicode
from hpsearch.errors import UsageError
from hpsearch.policy.budget import COMPUTE, Budget
from hpsearch.records import TrialState
from hpsearch.study import Study
from hpsearch.tasks.targets import Targets

if TYPE_CHECKING:
    from hpsearch.result.result import Result

logger = logging.getLogger("hpsearch")


def targets_of(y: Any, rows: int, targets: Targets) -> np.ndarray:
    """Return y as an array, the first axis the rows.

    Raises:
        ValueError: (UsageError is one.) There are none, too few, or nothing can be learned from them.
    """
    if y is None:
        raise UsageError("FineTuneSearchCV requires y to be passed, but the target y is None.")
    _check_names(y, "y")
    array = targets.judge.estimator_targets(y)
    if rows != len(array):
        raise UsageError(f"X has {rows} rows and y has {len(array)}: give one target per row.")
    return array


def _check_names(values: Any, what: str) -> None:
    """Raise DataError where a name is no text; NumPy would drop a NUL at its end."""
    if isinstance(values, list | tuple) or getattr(getattr(values, "dtype", None), "kind", None) in ("O", "U"):
        check_texts_are_unicode(values, what, "train", are_names=True)


def groups_of(groups: Any, rows: int) -> np.ndarray | None:
    """Return groups of shape (rows,), if any.

    Raises:
        UsageError: They have another shape.
    """
    if groups is None:
        return None
    _check_names(groups, "groups")
    array = np.asarray(groups)
    if array.shape != (rows,):
        raise UsageError(
            f"groups has shape {array.shape}, and X has {rows} rows: give one group a row, shape ({rows},)."
        )
    return array


def seed_of(random_state: Any) -> int:
    """Return the seed that `random_state` is, 0 for None; from a `RandomState` it is drawn.

    Raises:
        UsageError: It is none of these.
    """
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, bool) or not isinstance(random_state, numbers.Integral) or int(random_state) < 0:
        raise UsageError(
            f"random_state={random_state!r}: give a whole number of at least 0, a numpy.random.RandomState, or None."
        )
    return int(random_state)


def check_how_it_ended(result: "Result", budget: Budget) -> None:
    """Raise where a search has no winner to be had, and warn where a limit on compute ended it before its trials did.

    Args:
        result: The result of the study that was run.
        budget: What it was given.

    Raises:
        UsageError: The limit was reached before a trial was complete.
    """
    history, ending = result.history, result.ended_by
    if ending is None or ending.limit not in COMPUTE:
        return
    given, is_time = budget.given[ending.limit], ending.limit == "timeout"
    limit = f"timeout={given!r} was up" if is_time else f"Budget({ending.limit}={given!r}) was spent"
    states = [trial.state for trial in history.trials.values()]
    done = states.count(TrialState.COMPLETE)
    if not done:
        raise UsageError(
            f"{limit} before a trial was complete ({len(states)} started), so there is no winner. Give it more "
            f"{'time' if is_time else 'of it'}, fewer folds (cv=) or fewer epochs."
        )
    asked = "" if budget.trials is None else f" of {budget.trials}"
    ended = len(states) - len(history.unfinished())
    logger.warning("%s after %d%s trials, %d of them complete.", limit, ended, asked, done)


def interrupted(study: "Study", error: KeyboardInterrupt) -> KeyboardInterrupt:
    """Return what `fit` raises where a signal has paused its study: whatever comes after must not run."""
    done = len(study.store().history.finished(TrialState.COMPLETE))
    next_step = "nothing is stored, because folder= is None" if study.plan.is_temporary else "fit again to continue"
    return type(error)(f"FineTuneSearchCV was interrupted with {done} trials complete; {next_step}.")
