"""Settings that can be trained with, and are hardly meant: each is said, and the study runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpsearch.data.wording import counted
from hpsearch.plan.lengths import numbers_of, run_steps
from hpsearch.space import Space


def doubtful_settings(space: Space, unnamed: Mapping[str, Any], training_rows: Sequence[int]) -> Iterator[str]:
    """Yield what the values of a space make of its runs, in sentences.

    Args:
        space: The search space.
        unnamed: The value of each hyperparameter that it does not name.
        training_rows: Training rows by fold.
    """
    lengths = run_steps(space, unnamed, training_rows)
    if lengths is None:
        return
    batches, fewest = numbers_of(space, unnamed, "batch_size"), min(training_rows)
    shortest, longest = lengths
    given = numbers_of(space, unnamed, "warmup_steps")
    ratios = [] if given and "warmup_ratio" not in space.parameters else numbers_of(space, unnamed, "warmup_ratio")
    warmups = [(f"warmup_steps={value:g}", int(value), int(value)) for value in given]
    warmups += [
        (f"warmup_ratio={value:g}", math.ceil(value * shortest), math.ceil(value * longest)) for value in ratios
    ]
    endless = [(name, short, long) for name, short, long in warmups if short >= shortest]
    if endless:
        name, short, long = endless[-1]
        always = long >= longest
        steps, warmup = (longest, long) if always else (shortest, short)
        yield (
            f"{name}, and the {'longest run of the space has' if always else 'shortest runs of the space have'} "
            f"{counted(steps, 'step')}: {'every run ends' if always else 'they end'} in its warmup, and the learning "
            f"rate rises to {(steps - 1) / warmup:.2g} of learning_rate at most. Shorten the warmup, or train longer."
        )
    if max(batches) > fewest:
        yield (
            f"batch_size={max(batches):g}, and a fold trains on {fewest} rows: larger batches are all the same, one "
            "step an epoch. Give smaller ones."
        )
