"""One row through a model before the search starts: a model that does not fit its rows is found here, not in a "
"trial."""

import numpy as np
import torch
from torch import nn

from hpsearch.errors import TaskError
from hpsearch.tasks.learner import ClassificationLearner
from hpsearch.tasks.pretrained import first_line


def try_model(learner: ClassificationLearner, model: nn.Module) -> None:
    """Compute the outputs of the longest row.

    Raises:
        TaskError: The model does not take such rows, or has another number of outputs than the task has classes.
    """
    longest = int(np.argmax(learner.lengths))
    batch = learner.batch(np.array([longest]), 16)
    model.eval()
    try:
        with torch.no_grad():
            logits = learner.logits(model, batch)
    except (ValueError, RuntimeError, IndexError, TypeError, AttributeError) as error:
        raise TaskError(
            f"{type(model).__name__} in {learner.pretrained.source!r} does not take the rows as they are prepared "
            f"({', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in batch.items())}): {first_line(error)} "
            "Use the tokenizer or image processor that belongs to the model; for images of another size give "
            "image_size=."
        ) from error
    expected = (1, len(learner.pretrained.classes))
    if tuple(logits.shape) != expected:
        raise TaskError(
            f"{type(model).__name__} in {learner.pretrained.source!r} gives outputs of shape {tuple(logits.shape)} for "
            f"one row, and the task has {expected[1]} classes. Give a model for classification."
        )


def freezable_layers(learner: ClassificationLearner, model: nn.Module) -> int:
    """Return how many layers of a model can be kept as pretrained: 0 where nothing is, or no layers are found."""
    try:
        return len(learner.layers(model)) - 1
    except TaskError:
        return 0
