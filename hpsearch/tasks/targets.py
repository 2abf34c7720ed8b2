"""What targets may be, by name: each kind with its judge, and with the tasks over texts and images that predict it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpsearch.errors import TaskError, nearest
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.image import ImageClassification, ImageTask
from hpsearch.tasks.judge import Judge
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
        score: What an estimator of scikit-learn's own scores itself by.
    """

    judge: type[Judge]
    text: type[TextTask]
    image: type[ImageTask]
    estimator_type: Literal["classifier", "regressor"]
    score: str


TARGETS: Mapping[str, Targets] = {
    "classes": Targets(ClassJudge, TextClassification, ImageClassification, "classifier", "accuracy"),
    "numbers": Targets(NumberJudge, TextRegression, ImageRegression, "regressor", "r2"),
}


def targets_called(name: Any) -> Targets:
    """Return the targets of this name; `TaskError` where there are none."""
    if name not in TARGETS:
        raise TaskError(
            f"targets={name!r}:{nearest(str(name), TARGETS)} Targets are {' or '.join(map(repr, TARGETS))}."
        )
    return TARGETS[name]
