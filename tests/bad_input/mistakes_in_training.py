"""Mistakes in what is trained, by which optimizer, and for how long."""

from mistake import TEXT, Mistake
from tasks_samples import save_base

from hpsearch.errors import SpaceError, TaskError

RATE = "learning_rate=hp.Float(1e-4, 1e-2)"


def _fixed(what: str, code: str, *says: str, **more: object) -> Mistake:
    return Mistake(what, says, TaskError, space=f"hp.Space({RATE}, {code})", **more)  # type: ignore[arg-type]


def _space(what: str, code: str, *says: str, **more: object) -> Mistake:
    return Mistake(what, says, SpaceError, space=f"hp.Space({RATE}, {code})", **more)  # type: ignore[arg-type]


TRAINING = [
    _fixed("an optimizer that does not exist", 'optimizer="adam"', "optimizer='adam'", "'adamw', 'sgd'"),
    _fixed(
        "`momentum` for `sgd_momentum`",
        'optimizer="sgd", momentum=0.9',
        "does not know the hyperparameter 'momentum'",
        "Did you mean 'sgd_momentum'?",
    ),
    _fixed("a momentum of 1", 'optimizer="sgd", sgd_momentum=1.0', "sgd_momentum=1.0", "from 0 below 1"),
    _fixed("a decay from layer to layer above 1", "layerwise_lr_decay=1.2", "layerwise_lr_decay=1.2", "up to 1"),
    _space(
        "a decay from layer to layer that reaches 0",
        "layerwise_lr_decay=hp.Float(0.0, 1.0)",
        "layerwise_lr_decay reaches a value that no run can have",
        "above 0",
    ),
    _fixed("unfreezing after no epochs", "gradual_unfreezing=0", "gradual_unfreezing=0", "above 0 or None"),
    _space(
        "a decay from layer to layer of a model without layers",
        "epochs=1, layerwise_lr_decay=0.9",
        "layerwise_lr_decay=0.9",
        "has no layers",
        "Leave layerwise_lr_decay out",
        task='hp.ImageClassification("mobilenet", train="images", image_size=32, pretrained=False)',
        world=lambda place: save_base("mobilenet", place / "mobilenet"),
    ),
    _fixed(
        "drawn weights whose layers are kept as pretrained",
        "pretrained=False, freeze_layers=1",
        "freeze_layers=1 is of pretrained layers",
        "Leave one out",
        task=TEXT,
    ),
    _space(
        "drawn weights, in a space that freezes layers",
        "pretrained=hp.Categorical([True, False]), freeze_layers=hp.Float(0.0, 1.0)",
        "which is of pretrained layers",
        ".when(pretrained=True)",
        task=TEXT,
    ),
    _fixed(
        "pretrained weights that the task does not read",
        "pretrained=True",
        "the task has pretrained=False",
        "set pretrained=False in configs",
        task='hp.TextClassification("model", train="train.csv", pretrained=False)',
    ),
    _fixed(
        "a length in epochs and in steps",
        "epochs=3, max_steps=100",
        "max_steps=100 and epochs=3 both say how long a run is",
        "Give one of them",
    ),
    _space(
        "a search of epochs beside steps",
        "epochs=hp.Int(1, 3), max_steps=hp.Categorical([None, 100])",
        "both say how long a run is",
        ".when(max_steps=None)",
    ),
    _fixed("no steps: `max_steps=0`", "max_steps=0", "max_steps=0", "a whole number from 1 or None"),
    _fixed("half a step", "max_steps=10.5", "max_steps=10.5", "a whole number from 1 or None"),
    _fixed("no length at all", "epochs=None", "epochs=None, and max_steps gives no length", "Give one of them"),
    _fixed("a negative part of an epoch", "epochs=-0.5", "epochs=-0.5", "a number above 0"),
]

GROUPS = {"What is trained": TRAINING}
