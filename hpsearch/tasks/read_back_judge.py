"""The seam of exported models: what is asked of a judge where a folder is read back as a stranger would."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.tasks.judge import Judge


class ReadBackJudge(Judge):
    """The judge of a task whose exported models answer again what they were scored on.

    A task with a plain `Judge` exports models that nobody asks.
    """

    def pipeline_settings(self) -> Mapping[str, Any]:
        """Return arguments of a call of transformers' pipeline with which `from_answers` reads its answers."""
        return {}

    @abstractmethod
    def from_answers(self, answers: Sequence[Any]) -> Any:
        """Return the predictions that a pipeline over the exported model gives.

        Args:
            answers: What the pipeline answers, one item a row: a list of labels with scores, of entities, of texts.
        """

    @abstractmethod
    def differing(self, scored: Any, answered: Any) -> np.ndarray:
        """Return which rows a model predicts otherwise than it did when it was scored, as a mask of shape (rows,).

        What rounding does is no difference. The judge is that of the model.
        """

    @abstractmethod
    def prediction_text(self, predictions: Any, row: int) -> str:
        """Return what is predicted for a row in a few words: "positive (0.8123)"."""
