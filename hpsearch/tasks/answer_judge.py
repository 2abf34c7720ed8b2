"""The seam of answers: what exported models and estimators of scikit-learn's ask, where a row has one answer."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.tasks.read_back_judge import ReadBackJudge


class AnswerJudge(ReadBackJudge):
    """The judge of tasks that answer each row with one class, some labels, or numbers.

    A kind of task without such answers has another judge: it is behind no estimator.
    """

    # ------------------------------------------------------------------ of an exported model

    def pipeline_settings(self) -> Mapping[str, Any]:
        return {"top_k": self.outputs}

    def from_answers(self, answers: Sequence[Any]) -> Any:
        """See `ReadBackJudge.from_answers`; an answer is a list of labels with their scores, in any order."""
        places = {name: place for place, name in self.model_config()["id2label"].items()}
        scores = np.full((len(answers), len(places)), np.nan)
        for row, answer in enumerate(answers):
            for part in answer:
                scores[row, places[part["label"]]] = part["score"]
        return self.from_pipeline(scores)

    @abstractmethod
    def from_pipeline(self, scores: np.ndarray) -> Any:
        """Return the predictions that a pipeline over the exported model gives.

        Args:
            scores: float64, shape (rows, outputs).
        """

    # ------------------------------------------------------------------ as an estimator of scikit-learn's has it

    @classmethod
    @abstractmethod
    def estimator_targets(cls, y: Any) -> np.ndarray:
        """Return the y of an estimator as `learn` takes it, checked in scikit-learn's way and words.

        Raises:
            ValueError: (UsageError is one.) Nothing can be learned from it.
        """

    @abstractmethod
    def placeholders(self, rows: int) -> Any:
        """Return targets that `encode` takes, for rows whose targets nobody knows or looks at."""

    def attributes(self, y: np.ndarray) -> Mapping[str, Any]:
        """Return what scikit-learn keeps beside the model of an estimator fitted to this y, name to value."""
        return {}

    @abstractmethod
    def answers(self, predictions: Any, like: np.ndarray) -> np.ndarray:
        """Return one answer a row as `predict` gives it (labels, or numbers), of the type and shape of rows of y.

        `like` is the y that was fitted, without its rows.
        """

    @abstractmethod
    def predicted_by(self, estimator: Any, rows: Any) -> Any:
        """Return the predictions of rows by a fitted estimator, as metrics take them."""
