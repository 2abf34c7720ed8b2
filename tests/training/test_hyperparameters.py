import cloudpickle
import numpy as np
import pytest

from hpsearch.errors import TaskError
from hpsearch.training.hyperparameters import (
    TRAINING_HYPERPARAMETERS,
    ChoiceCheck,
    IntegerCheck,
    RealCheck,
    TrainingSettings,
)


def check(name: str, value: object) -> object:
    return TRAINING_HYPERPARAMETERS[name].check(value)


def test_every_default_passes_its_own_check_unchanged() -> None:
    for name, known in TRAINING_HYPERPARAMETERS.items():
        value = known.check(known.default)
        assert value == known.default, name
        assert type(value) is type(known.default), name
        assert known.description.endswith("."), name


_LAYERS = "a number of layers (0, 1, 2, ...), a share of them (from 0.0 to 1.0), or 'all'"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("learning_rate", "1e-5", "a number above 0"),
        ("learning_rate", True, "a number above 0"),
        ("learning_rate", None, "a number above 0"),
        ("weight_decay", -0.1, "a number from 0"),
        ("weight_decay", float("inf"), "a number from 0"),
        ("warmup_ratio", 1.01, "a number from 0 up to 1"),
        ("decay_ratio", -0.01, "a number from 0 up to 1"),
        ("label_smoothing_factor", 1.0, "a number from 0 below 1"),
        ("adam_beta1", 1, "a number from 0 below 1"),
        ("adam_beta2", 1.5, "a number from 0 below 1"),
        ("adam_epsilon", 0.0, "a number above 0"),
        ("max_grad_norm", -1, "a number from 0 or None"),
        ("dropout", 1.0, "a number from 0 below 1 or None"),
        ("batch_size", 0, "a whole number from 1"),
        ("batch_size", 2.5, "a whole number from 1"),
        ("batch_size", True, "a whole number from 1"),
        ("epochs", 0, "a number above 0 or None"),
        ("epochs", "3", "a number above 0 or None"),
        ("epochs", float("inf"), "a number above 0 or None"),
        ("max_steps", 0, "a whole number from 1 or None"),
        ("max_steps", 1.5, "a whole number from 1 or None"),
        ("optimizer", "adam", "one of 'adamw', 'sgd', 'adafactor', 'lion', 'schedule_free_adamw'"),
        ("sgd_momentum", 1.0, "a number from 0 below 1"),
        ("layerwise_lr_decay", 0.0, "a number above 0 up to 1"),
        ("layerwise_lr_decay", 1.1, "a number above 0 up to 1"),
        ("gradual_unfreezing", 0, "a number above 0 or None"),
        ("freeze_layers", -1, _LAYERS),
        ("freeze_layers", "head", _LAYERS),
        ("freeze_layers", 1.5, _LAYERS),
        ("freeze_layers", True, _LAYERS),
        ("freeze_layers", None, _LAYERS),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    with pytest.raises(TaskError) as caught:
        check(name, value)
    assert str(caught.value).startswith(f"The hyperparameter {name}={value!r} ")
    assert str(caught.value).endswith(f"it must be {allowed}.")


def test_an_unknown_schedule_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TaskError, match=r"lr_scheduler_type='cosin' .* Did you mean 'cosine'\?"):
        check("lr_scheduler_type", "cosin")
    with pytest.raises(TaskError, match="lr_scheduler_type=None"):
        check("lr_scheduler_type", None)


@pytest.mark.parametrize(
    ("name", "value", "spelled"),
    [
        ("weight_decay", 0, 0.0),
        ("weight_decay", np.float64(0.25), 0.25),
        ("batch_size", 16.0, 16),
        ("epochs", np.int64(3), 3),
        ("epochs", 3.0, 3),
        ("epochs", 0.25, 0.25),
        ("epochs", None, None),
        ("max_steps", 100.0, 100),
        ("gradual_unfreezing", 1, 1.0),
        ("freeze_layers", 2.0, 2),
        ("freeze_layers", 1, 1),
        ("freeze_layers", 1.0, 1.0),
        ("freeze_layers", 0.5, 0.5),
        ("freeze_layers", "all", "all"),
        ("max_grad_norm", None, None),
        ("max_grad_norm", 0, 0.0),
        ("warmup_ratio", 1, 1.0),
        ("lr_scheduler_type", "constant_with_warmup", "constant"),
    ],
)
def test_equal_values_get_one_spelling(name: str, value: object, spelled: object) -> None:
    found = check(name, value)
    assert found == spelled
    assert type(found) is type(spelled)


def test_transformers_own_scheduler_type_is_understood() -> None:
    from transformers import SchedulerType

    assert check("lr_scheduler_type", SchedulerType.COSINE) == "cosine"
    assert check("lr_scheduler_type", SchedulerType.CONSTANT_WITH_WARMUP) == "constant"
    assert check("lr_scheduler_type", SchedulerType.WARMUP_STABLE_DECAY) == "warmup_stable_decay"


def test_settings_have_defaults_and_ignore_what_is_not_theirs() -> None:
    settings = TrainingSettings.of({"learning_rate": 1, "image_size": 64})
    assert settings.learning_rate == 1.0
    assert settings.batch_size == 32
    assert set(settings.__dataclass_fields__) == set(TRAINING_HYPERPARAMETERS)
    with pytest.raises(TaskError, match="dropout=2"):
        TrainingSettings.of({"dropout": 2})


def test_checks_can_be_made_for_a_tasks_own_hyperparameters() -> None:
    choice = ChoiceCheck("c", ("mean", 1, None))
    known = {"a": RealCheck("a", low=1.0, high=2.0), "b": IntegerCheck("b", 8), "c": choice}
    sent = cloudpickle.loads(cloudpickle.dumps(known))
    assert (sent["a"](1), sent["b"](8), sent["c"](None), sent["c"]("mean")) == (1.0, 8, None, "mean")
    for name, value in (("a", 2.1), ("b", 7), ("c", True), ("c", 1.0), ("c", "max")):
        with pytest.raises(TaskError, match=f"hyperparameter {name}={value!r}"):
            sent[name](value)
