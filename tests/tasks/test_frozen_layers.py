from pathlib import Path
from typing import Any

import pytest

import hpsearch as hp
from hpsearch.errors import SpaceError, TaskError
from hpsearch.space import list_spaces
from hpsearch.tasks import Prepared
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.frozen_layers import (
    LayeredModel,
    check_frozen_layers,
    check_layers,
    fitted_space,
    whole_layers,
    with_whole_layers,
)
from hpsearch.training.hyperparameters import TrainingSettings

CHOICE = hp.Categorical(["small", "large"])
SMALL, LARGE = LayeredModel("small", {"model": "small"}, 2), LayeredModel("large", {"model": "large"}, 12)
ONLY = LayeredModel("only", {}, 4)
BARE = LayeredModel("bare", {}, 0)


@pytest.mark.parametrize(
    ("space", "models"),
    [
        (hp.Space(freeze_layers=hp.Int(0, 4)), [ONLY]),
        (hp.Space(freeze_layers=hp.Categorical([0, 4, "all"])), [ONLY]),
        (hp.Space(freeze_layers="all"), [ONLY]),
        (hp.Space(freeze_layers=hp.Float(0.0, 1.0)), [ONLY, SMALL, LARGE]),
        (hp.Space(freeze_layers=0.5), [ONLY]),
        (hp.Space(freeze_layers=0), [BARE]),
        (hp.Space(learning_rate=hp.Float(0.1, 1.0)), [BARE]),
        (hp.Space(freeze_layers=hp.Int(0, 99)), [LayeredModel("unknown", {}, None)]),
        (hp.Space(model=CHOICE, freeze_layers=hp.Int(0, 12).when(model="large")), [SMALL, LARGE]),
    ],
)
def test_what_fits(space: hp.Space, models: list[LayeredModel]) -> None:
    check_frozen_layers(space, models)
    assert fitted_space(space, models) is space


@pytest.mark.parametrize(
    ("freeze_layers", "model", "message"),
    [
        (
            hp.Int(0, 6),
            ONLY,
            r"Int\(0, 6\), which asks for 6 layers, and 'only' has 4 .* freeze_layers=hp\.Int\(0, 4\), or give",
        ),
        (5, ONLY, "freeze_layers=5, which asks for 5 layers"),
        (hp.Categorical([0, 6, "all"]), ONLY, "asks for 6 layers"),
        (hp.Categorical([0, "all"]), BARE, "of 'bare' no layer can be frozen.*Leave freeze_layers out"),
        ("all", BARE, "no layer can be frozen"),
        (0.5, BARE, "no layer can be frozen"),
        (hp.Float(0.0, 0.5), BARE, "no layer can be frozen"),
    ],
)
def test_what_asks_for_too_many_is_refused(freeze_layers: Any, model: LayeredModel, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_frozen_layers(hp.Space(freeze_layers=freeze_layers), [model])


def test_a_range_for_all_models_must_fit_the_smallest() -> None:
    space = hp.Space(model=CHOICE, freeze_layers=hp.Int(0, 12))
    with pytest.raises(SpaceError, match=r"'small' has 2 .*hp\.Int\(0, 2\), or give a share.*hp\.Float\(0\.0, 1\.0\)"):
        check_frozen_layers(space, [LARGE, SMALL])


@pytest.mark.parametrize(
    "before", [hp.Float(0.0, 0.5), hp.Categorical([0, "all"]), hp.Int(0, 6), hp.Categorical([1.0])]
)
def test_a_shipped_space_freezes_nothing_of_a_model_without_layers(before: Any) -> None:
    space = hp.Space(learning_rate=hp.Float(0.1, 1.0), freeze_layers=before, batch_size=hp.Int(1, 2))
    fitted = fitted_space(space, [BARE])
    assert fitted == hp.Space(learning_rate=hp.Float(0.1, 1.0), freeze_layers=0, batch_size=hp.Int(1, 2))
    check_frozen_layers(fitted, [BARE])
    assert fitted_space(fitted, [BARE]) is fitted
    assert fitted_space(space, [ONLY]) is space


def test_a_fitted_space_keeps_its_default_and_its_sources() -> None:
    bert = hp.Space.load("bert")
    fitted = fitted_space(bert, [BARE])
    assert (fitted.sources, fitted.title) == (bert.sources, bert.title)
    assert bert.default is not None
    assert fitted.default == {name: value for name, value in bert.default.items() if name != "freeze_layers"}


@pytest.mark.parametrize("name", list_spaces())
def test_every_shipped_space_fits_models_of_any_depth(name: str) -> None:
    for layers in (1, 2, 6, 12, 24, 48):
        check_frozen_layers(hp.Space.load(name), [LayeredModel("model", {}, layers)])


@pytest.mark.parametrize(
    "searched", [{"layerwise_lr_decay": hp.Float(0.5, 1.0)}, {"gradual_unfreezing": hp.Categorical([None, 1])}]
)
def test_what_is_of_layers_is_refused_for_a_model_without(searched: dict[str, Any]) -> None:
    (name,) = searched
    space = hp.Space(model=hp.Categorical(["bare", "small"]), **searched)
    bare = LayeredModel("bare", {"model": "bare"}, 0)
    with pytest.raises(SpaceError, match=f"{name}=.*'bare' has no layers .*Leave {name} out"):
        check_layers(space, [SMALL, bare])
    check_layers(space, [SMALL, LayeredModel("unknown", {}, None)])
    elsewhere = {name: parameter.when(model="small") for name, parameter in searched.items()}
    check_layers(hp.Space(model=hp.Categorical(["bare", "small"]), **elsewhere), [SMALL, bare])
    check_layers(hp.Space(layerwise_lr_decay=1.0, gradual_unfreezing=None), [BARE])


# ---------------------------------------------------------------- shares


@pytest.mark.parametrize(
    ("share", "layers", "whole"),
    [
        (0.0, 12, 0),
        (0.5, 12, 6),
        (0.5, 7, 3),
        (1.0, 12, 12),
        (0.99, 12, 11),
        (0.05, 12, 0),
        (1 / 3, 6, 2),
        (0.29, 100, 29),
        (0.1 + 0.2, 10, 3),
        (0.875, 6, 5),
        (1.0, 0, 0),
    ],
)
def test_a_share_is_rounded_down_to_whole_layers(share: float, layers: int, whole: int) -> None:
    assert whole_layers(share, layers) == whole


def test_a_share_and_its_number_of_layers_are_one_completed_config() -> None:
    task = hp.TextClassification("model", train="rows.csv")
    prepared = Prepared(Path(), None, ClassJudge("binary", ("a", "b")), 1, 0, "", None, "", layers=12)

    def completed(value: Any) -> dict[str, Any]:
        return with_whole_layers(task.complete({"freeze_layers": value}), task, lambda _: prepared)

    assert repr(completed(0.5)) == repr(completed(6))
    assert repr(completed(1.0)) == repr(completed(12))
    assert repr(completed(0.0)) == repr(completed(0))
    assert completed(1)["freeze_layers"] == 1
    assert completed("all")["freeze_layers"] == "all"


def test_a_share_of_a_number_of_layers_that_nobody_knows_is_refused() -> None:
    task = hp.TextClassification("model", train="rows.csv")
    prepared = Prepared(Path(), None, ClassJudge("binary", ("a", "b")), 1, 0, "", None, "", layers=None)
    with pytest.raises(
        TaskError, match=r"TextClassification does not say how many layers its model has. Give a number"
    ):
        with_whole_layers({"freeze_layers": 0.5}, task, lambda _: prepared)


@pytest.mark.parametrize("value", [-1, -0.5, 1.5, True, None, "half", float("nan")])
def test_what_is_neither_a_number_of_layers_nor_a_share_is_refused(value: Any) -> None:
    with pytest.raises(
        TaskError, match=r"a number of layers \(0, 1, 2, ...\), a share of them \(from 0.0 to 1.0\), or 'all'"
    ):
        hp.TextClassification("model", train="rows.csv").complete({"freeze_layers": value})


def test_training_sees_whole_numbers_only() -> None:
    with pytest.raises(TaskError, match=r"freeze_layers=0.5 .* a number of layers here, not a share"):
        TrainingSettings.of({"freeze_layers": 0.5})
