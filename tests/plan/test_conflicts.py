import pytest

import hpsearch as hp
from hpsearch.errors import SpaceError
from hpsearch.plan.conflicts import check_conflicts

KNOWN = hp.TextClassification("model", train="rows.csv").hyperparameters()
BOTH = hp.Categorical([True, False])


@pytest.mark.parametrize(
    "space",
    [
        hp.Space(pretrained=BOTH, freeze_layers=hp.Int(0, 2).when(pretrained=True)),
        hp.Space(pretrained=BOTH, freeze_layers=0, layerwise_lr_decay=1.0, gradual_unfreezing=None),
        hp.Space(pretrained=True, freeze_layers=hp.Int(0, 2), layerwise_lr_decay=hp.Float(0.5, 1.0)),
        hp.Space(freeze_layers=hp.Int(0, 2), gradual_unfreezing=1),
        hp.Space(pretrained=BOTH, layerwise_lr_decay=hp.Categorical([1.0])),
        hp.Space(max_steps=100),
        hp.Space(max_steps=None, epochs=0.5),
        hp.Space(max_steps=hp.Categorical([None, 100]), epochs=hp.Int(1, 3).when(max_steps=None)),
        hp.Space(epochs=hp.Categorical([None, 3]), max_steps=hp.Int(10, 100).when(epochs=None)),
    ],
)
def test_what_fits_together(space: hp.Space) -> None:
    check_conflicts(space, KNOWN)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (hp.Space(pretrained=BOTH, freeze_layers=hp.Int(0, 2)), r"freeze_layers=Int\(0, 2\)\.when\(pretrained=True\)"),
        (hp.Space(pretrained=False, freeze_layers="all"), "freeze_layers='all'"),
        (hp.Space(pretrained=BOTH, layerwise_lr_decay=0.9), "layerwise_lr_decay=0.9"),
        (hp.Space(pretrained=BOTH, gradual_unfreezing=hp.Categorical([None, 1])), "gradual_unfreezing=Categorical"),
        (hp.Space(pretrained=BOTH, freeze_layers=hp.Int(0, 2).when(pretrained=(True, False))), "of pretrained layers"),
    ],
)
def test_drawn_weights_and_pretrained_layers_are_refused(space: hp.Space, named: str) -> None:
    with pytest.raises(SpaceError, match=named):
        check_conflicts(space, KNOWN)


def test_a_warmup_in_steps_and_as_a_ratio_is_refused() -> None:
    with pytest.raises(SpaceError, match="both say how long the warmup is"):
        check_conflicts(hp.Space(warmup_steps=20, warmup_ratio=hp.Float(0.0, 0.2)), {})


def test_what_a_custom_models_factory_calls_pretrained_is_its_own() -> None:
    def make(pretrained: bool = True) -> object:
        raise AssertionError("nothing is made")

    own = hp.CustomTask(make, train=([[0.0]], [0]), head="head").hyperparameters()
    check_conflicts(hp.Space(pretrained=BOTH, freeze_layers=hp.Int(0, 2)), own)
