"""What of a configuration decides how much memory it needs, and how it is trained so that it fits."""

import json
from typing import Any

import pytest

from hpsearch.records import Fit, shape_of


def test_the_shape_is_what_decides_the_size_of_a_step():
    config = {
        "model": "a",
        "batch_size": 8,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "epochs": 2,
        "optimizer": "adamw",
    }
    assert shape_of(config) == shape_of({**config, "learning_rate": 3e-5, "epochs": 4, "weight_decay": 0.1})
    for name, other in (("model", "b"), ("batch_size", 16), ("optimizer", "sgd"), ("freeze_layers", 2)):
        assert shape_of(config) != shape_of({**config, name: other})
    assert shape_of(dict(reversed(config.items()))) == shape_of(config)


@pytest.mark.parametrize("fit", [Fit(), Fit(4), Fit(None, True), Fit(1, True)], ids=str)
def test_a_fit_is_the_same_after_json(fit: Fit) -> None:
    assert Fit.from_dict(json.loads(json.dumps(fit.to_dict()))) == fit


@pytest.mark.parametrize("values", [{"micro_batch": 0}, {"micro_batch": True}, {"gradient_checkpointing": 1}], ids=str)
def test_a_fit_is_a_number_of_rows_and_yes_or_no(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Fit.from_dict(values)
