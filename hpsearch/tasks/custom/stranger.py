"""An exported custom model in the hands of a stranger who has its code: made, given its weights, and asked."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from hpsearch.errors import TaskError
from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.custom.learner import CustomLearner
from hpsearch.tasks.pretrained import first_line
from hpsearch.tasks.stranger import ALONE, FAILURES, Answers, mixed
from hpsearch.training.prediction import gathered
from hpsearch.training.random_states import isolated
from hpsearch.training.to_device import batch_to_device


def loaded_answers(
    learner: CustomLearner, judge: AnswerJudge, weights: Path, rows: np.ndarray, device: torch.device
) -> Iterator[Answers]:
    """Ask a model that its factory has made and that has read `weights`: one by one, and in batches.

    The judge, the learner's, is that of the model.

    Raises:
        TaskError: The model does not take these weights, or does not take a row.
    """

    @torch.no_grad()
    def answered(together: Sequence[np.ndarray], way: str) -> Answers:
        parts = []
        for positions in together:
            batch = batch_to_device(learner.batch(rows[positions], 1), device)
            parts.append(learner.keep(learner.outputs(model, batch), batch, rows[positions], model))
        kept = learner.own_units(gathered(parts, np.concatenate(together)))
        return Answers(way, judge, judge.predictions(kept))

    batches = mixed(learner.lengths[rows])
    size = max(len(positions) for positions in batches)
    with isolated(0, device):
        try:
            model = learner.load_model()
            model.load_state_dict(load_file(weights))
            model.to(device).eval()
            alone = answered([np.array([position]) for position in range(len(rows))], ALONE)
            together = answered(batches, f"in batches of {size}")
        except FAILURES as error:
            raise TaskError(f"it cannot be loaded and asked: {first_line(error)}") from error
    yield alone
    yield together
