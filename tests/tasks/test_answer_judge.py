"""Whether rows have one answer each is told by the type of a judge, and so is what such a judge must have."""

import pytest

from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.targets import TARGETS

OF_MODELS = {"from_pipeline", "differing", "prediction_text"}
OF_ESTIMATORS = {"estimator_targets", "placeholders", "answers", "predicted_by"}


def test_a_plain_judge_has_none_of_it() -> None:
    assert AnswerJudge.__abstractmethods__ - Judge.__abstractmethods__ == OF_MODELS | OF_ESTIMATORS
    assert not any(hasattr(Judge, name) for name in OF_MODELS | OF_ESTIMATORS)


def test_a_judge_of_answers_that_lacks_one_of_the_methods_is_not_made() -> None:
    class NoWords(TARGETS["classes"].judge):  # type: ignore[misc]
        prediction_text = AnswerJudge.prediction_text

    with pytest.raises(TypeError, match="prediction_text"):
        NoWords.learn(["a", "b"])


@pytest.mark.parametrize("kind", TARGETS)
def test_every_judge_behind_an_estimator_is_one(kind: str) -> None:
    assert issubclass(TARGETS[kind].judge, AnswerJudge)
    assert not TARGETS[kind].judge.__abstractmethods__
