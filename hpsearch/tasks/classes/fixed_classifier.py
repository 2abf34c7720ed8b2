"""A stand-in for a fitted classifier, for scikit-learn's scorers."""

from typing import Any

import numpy as np

from hpsearch.tasks.classes.labels import TargetKind


class FixedClassifier:
    """What a scikit-learn scorer needs of a fitted classifier, answering with predictions that are already made.

    `codes` are the predicted ones.
    """

    def __init__(self, classes: np.ndarray, probabilities: np.ndarray, codes: np.ndarray, kind: TargetKind) -> None:
        self._labels = classes
        self._probabilities = probabilities
        self._codes = codes
        self._kind = kind
        # scikit-learn knows a multilabel classifier by a list of the two classes of each label.
        self.classes_ = [np.array([0, 1])] * len(classes) if kind == "multilabel" else classes

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True, multi_output=self._kind == "multilabel"),
            classifier_tags=ClassifierTags(multi_label=self._kind == "multilabel"),
        )

    def predict(self, _rows: Any) -> np.ndarray:
        return self._codes if self._kind == "multilabel" else np.asarray(self._labels[self._codes])

    def predict_proba(self, _rows: Any) -> np.ndarray:
        return self._probabilities

    def decision_function(self, _rows: Any) -> np.ndarray:
        """Return log-odds: one column for a binary task, else one for each class or label; the threshold is zero."""
        smallest = np.finfo(np.float64).tiny
        positive: np.ndarray = np.log(np.maximum(self._probabilities, smallest))
        if self._kind == "binary":
            return np.asarray(positive[:, 1] - positive[:, 0])
        if self._kind == "multiclass":
            return positive
        return np.asarray(positive - np.log(np.maximum(1.0 - self._probabilities, smallest)))
