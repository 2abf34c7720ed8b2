"""How long the runs of a space are: the ends of what its epochs, its steps and its batch sizes allow."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.records.run_length import whole_up
from hpsearch.space import Space


def numbers_of(space: Space, unnamed: Mapping[str, Any], name: str) -> list[float]:
    """Return the numbers that a hyperparameter may be, of a range both ends, in rising order."""
    searched = space.parameters.get(name)
    values = (space.fixed.get(name, unnamed.get(name)),) if searched is None else searched.edges()
    return sorted(float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool))


def run_steps(space: Space, unnamed: Mapping[str, Any], training_rows: Sequence[int]) -> tuple[int, int] | None:
    """Return the optimizer steps of the shortest and of the longest run of a space; None where they cannot be told.

    Args:
        space: The search space.
        unnamed: The value of each hyperparameter that it does not name.
        training_rows: Training rows by fold.
    """
    batches, epochs, steps = _lengths(space, unnamed)
    if not (batches and training_rows and (epochs or steps)):
        return None
    shortest = [whole_up(epochs[0] * math.ceil(min(training_rows) / batches[-1]))] if epochs else []
    longest = [whole_up(epochs[-1] * math.ceil(max(training_rows) / batches[0]))] if epochs else []
    return int(min([*shortest, *steps])), int(max([*longest, *steps]))


def run_epochs(space: Space, unnamed: Mapping[str, Any], training_rows: Sequence[int]) -> tuple[float, float]:
    """Return the epochs of the shortest and of the longest run of a space, one where they cannot be told."""
    batches, epochs, steps = _lengths(space, unnamed)
    epochs = list(epochs)
    if steps and batches and training_rows:
        an_epoch = [math.ceil(training_rows[0] / batch) for batch in (batches[0], batches[-1])]
        epochs += [steps[0] / max(an_epoch), steps[-1] / min(an_epoch)]
    return (min(epochs), max(epochs)) if epochs else (1.0, 1.0)


def _lengths(space: Space, unnamed: Mapping[str, Any]) -> tuple[list[float], list[float], list[float]]:
    """Return the numbers that the batch size, the epochs and the steps of a run may be; epochs only if they count."""
    batches, epochs, steps = (numbers_of(space, unnamed, name) for name in ("batch_size", "epochs", "max_steps"))
    named = "epochs" in space.parameters or space.fixed.get("epochs") is not None
    searched = space.parameters.get("max_steps")
    if "max_steps" not in unnamed:
        steps = []  # whatever it is to this task, a length it is not
    may_be_none = searched is not None and (bool(searched.conditions) or None in searched.edges())
    if "max_steps" not in space.parameters and "max_steps" not in space.fixed and named:
        steps = []  # of those that the task recommends
    return batches, [] if steps and not (named or may_be_none) else epochs, steps
