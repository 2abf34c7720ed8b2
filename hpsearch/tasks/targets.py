"""What targets may be, by name: each kind with its judge, and with the tasks over texts and images that predict it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpsearch.errors import TaskError, nearest
from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.image import ImageClassification, ImageTask
from hpsearch.tasks.numbers.image import ImageRegression
from hpsearch.tasks.numbers.judge import NumberJudge
from hpsearch.tasks.numbers.text import TextRegression
from hpsearch.tasks.text import TextClassification, TextTask


@dataclass(frozen=True)
class Targets:
    """One kind of targets.

    Attributes:
        judge: What becomes of them.
        text: The task over texts.
        image: The task over images.
        estimator_type: What scikit-learn calls an estimator of them.
        has_probabilities: Whether such an estimator predicts probabilities too.
        takes_several: Whether its y may have several targets a row.
        score: What an estimator of scikit-learn's own scores itself by.
    """

    judge: type[AnswerJudge]
    text: type[TextTask]
    image: type[ImageTask]
    estimator_type: Literal["classifier", "regressor"]
    has_probabilities: bool
    takes_several: bool
    score: str

    def tag(self, tags: Any) -> None:
        """Write into the tags of an estimator of scikit-learn's what follows from its targets."""
        from sklearn.utils import ClassifierTags, RegressorTags, TargetTags

        tags.estimator_type = self.estimator_type
        if self.estimator_type == "classifier":
            tags.classifier_tags = ClassifierTags()
        else:
            tags.regressor_tags = RegressorTags()
        tags.target_tags = TargetTags(required=True, multi_output=self.takes_several)


TARGETS: Mapping[str, Targets] = {
    "classes": Targets(ClassJudge, TextClassification, ImageClassification, "classifier", True, False, "accuracy"),
    "numbers": Targets(NumberJudge, TextRegression, ImageRegression, "regressor", False, True, "r2"),
}


def targets_called(name: Any) -> Targets:
    """Return the targets of this name; `TaskError` where there are none."""
    if not isinstance(name, str) or name not in TARGETS:
        raise TaskError(
            f"targets={name!r}:{nearest(str(name), TARGETS)} Targets are {' or '.join(map(repr, TARGETS))}."
        )
    return TARGETS[name]
