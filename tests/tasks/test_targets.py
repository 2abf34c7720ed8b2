"""Targets are called by a name; whatever else is given is an error with the names."""

from typing import Any

import pytest

import hpsearch as hp
from hpsearch.errors import TaskError, UsageError
from hpsearch.tasks.targets import TARGETS, targets_called


@pytest.mark.parametrize("value", [["numbers"], {"numbers"}, {}, None, 3, "Numbers", float])
def test_what_is_no_name_of_targets_is_refused_with_the_names(value: Any) -> None:
    with pytest.raises(TaskError, match=r"^targets=.*Targets are 'classes' or 'numbers'") as error:
        targets_called(value)
    assert f"targets={value!r}" in str(error.value)
    with pytest.raises(UsageError, match="Targets are 'classes' or 'numbers'"):
        hp.FineTuneSearchCV(lambda: None, hp.Space(epochs=1), targets=value).fit([[1.0], [2.0]], [1.0, 2.0])


@pytest.mark.parametrize("name", TARGETS)
def test_each_kind_says_what_scikit_learn_asks_of_it(name: str) -> None:
    tags = hp.FineTuneSearchCV(lambda: None, hp.Space(epochs=1), targets=name).__sklearn_tags__()
    kind = targets_called(name)
    assert tags.estimator_type == kind.estimator_type
    assert (tags.classifier_tags is None) is (kind.estimator_type == "regressor")
    assert (tags.regressor_tags is None) is (kind.estimator_type == "classifier")
    assert tags.target_tags.required and tags.target_tags.multi_output is kind.takes_several
