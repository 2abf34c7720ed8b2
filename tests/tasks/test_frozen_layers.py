from typing import Any

import pytest

import hpsearch as hp
from hpsearch.errors import SpaceError
from hpsearch.tasks.frozen_layers import LayeredModel, check_frozen_layers, fitted_space

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
            r"Int\(0, 6\), which asks for 6 layers, and 'only' has 4 .* freeze_layers=hp\.Int\(0, 4\)\.",
        ),
        (5, ONLY, "freeze_layers=5, which asks for 5 layers"),
        (hp.Categorical([0, 6, "all"]), ONLY, "asks for 6 layers"),
        (hp.Categorical([0, "all"]), BARE, "of 'bare' no layer can be frozen.*Leave freeze_layers out"),
        ("all", BARE, "no layer can be frozen"),
    ],
)
def test_what_asks_for_too_many_is_refused(freeze_layers: Any, model: LayeredModel, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_frozen_layers(hp.Space(freeze_layers=freeze_layers), [model])


def test_a_range_for_all_models_must_fit_the_smallest() -> None:
    space = hp.Space(model=CHOICE, freeze_layers=hp.Int(0, 12))
    with pytest.raises(SpaceError, match=r"hp\.Int\(0, 2\)\.when\(model='small'\), one of a list"):
        check_frozen_layers(space, [LARGE, SMALL])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (hp.Int(0, 6), hp.Int(0, 4)),
        (hp.Int(0, 6, grid=[0, 3, 6]), hp.Int(0, 4, grid=[0, 3, 4])),
        (hp.Int(0, 6, step=3), hp.Int(0, 3, step=3)),
        (hp.Int(1, 6, log=True), hp.Int(1, 4, log=True)),
        (hp.Categorical([0, 6, "all"]), hp.Categorical([0, "all"])),
        (hp.Categorical([0, 6]), 0),
        (hp.Int(5, 6), 0),
    ],
)
def test_a_shipped_space_is_cut_to_the_model(before: Any, after: Any) -> None:
    space = hp.Space(learning_rate=hp.Float(0.1, 1.0), freeze_layers=before, batch_size=hp.Int(1, 2))
    cut = fitted_space(space, [ONLY])
    assert cut == hp.Space(learning_rate=hp.Float(0.1, 1.0), freeze_layers=after, batch_size=hp.Int(1, 2))
    check_frozen_layers(cut, [ONLY])
    assert fitted_space(cut, [ONLY]) is cut


def test_a_cut_space_keeps_its_default_and_its_sources() -> None:
    bert = hp.Space.load("bert")
    cut = fitted_space(bert, [ONLY])
    assert (cut.default, cut.sources, cut.title) == (bert.default, bert.sources, bert.title)
    scratch = fitted_space(bert, [BARE])
    assert scratch.fixed["freeze_layers"] == 0
    assert scratch.default is not None
    assert "freeze_layers" not in scratch.default
    deep = hp.Space(freeze_layers=hp.Int(0, 6), default={"freeze_layers": 6})
    assert fitted_space(deep, [ONLY]).default == {"freeze_layers": 4}


def test_each_alternative_is_cut_to_its_model() -> None:
    alternatives = [hp.Int(0, 6).when(model="small"), hp.Int(0, 6).when(model="large")]
    cut = fitted_space(hp.Space(model=CHOICE, freeze_layers=alternatives), [SMALL, LARGE])
    assert cut == hp.Space(model=CHOICE, freeze_layers=[hp.Int(0, 2).when(model="small"), alternatives[1]])
