"""A space with adapters, checked before anything is trained: against itself, and against the models of a study."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from hpsearch.errors import SpaceError, TaskError, nearest
from hpsearch.plan.conflicts import may_take
from hpsearch.space import Scalar, Space
from hpsearch.tasks.adapters.hyperparameters import ADAPTER_HYPERPARAMETERS, ALL_LINEAR, PREFIX, RANK, check_installed
from hpsearch.training.hyperparameters import ALL_LAYERS

_TARGETS = "lora_target_modules"

_FIGHTING: tuple[tuple[str, Callable[[Scalar], bool], str], ...] = (
    ("freeze_layers", lambda value: value == ALL_LAYERS, f"{ALL_LAYERS!r}: that trains the head alone"),
    ("pretrained", lambda value: value is False, "False: that draws every weight"),
)
"""What no configuration with adapters can have: the name, the values, and the same in words."""


def check_adapters(space: Space) -> None:
    """Check what a space says of adapters, which may be nothing.

    Raises:
        SpaceError: It names settings of adapters and no rank, or some of its configs would train the head alone.
        TaskError: peft is not installed.
    """
    names = [*space.parameters, *space.fixed]
    stray = [name for name in names if name in ADAPTER_HYPERPARAMETERS]
    if stray and RANK not in names:
        raise SpaceError(
            f"The space has {stray[0]}, a setting of adapters, and without {RANK} there are none. Give {RANK}, their "
            f"rank (8 for instance), or leave out everything that begins with {PREFIX!r}."
        )
    if all(value is None for value in _values(space, RANK)):
        return
    check_installed()
    for name, fights, words in _FIGHTING:
        if may_take(space, name, fights, {RANK: _a_rank(space)}) and may_take(space, RANK, _is_rank):
            raise SpaceError(
                f"The space has {RANK}, for adapters in the layers, and {name} that may be {words}. Leave one out, or "
                f"say when it may: .when({RANK}=None) behind the range of {name}."
            )


def check_targets(space: Space, models: Mapping[str, Sequence[str]]) -> None:
    """Check that a model has the modules that get adapters; a choice of models is checked as a whole.

    `models` has, by what the user calls it, the names of each model's modules that take one.

    Raises:
        TaskError: A name is that of no module of a model.
    """
    targets = [value for value in _values(space, _TARGETS) if isinstance(value, str)]
    for text in targets if any(value is not None for value in _values(space, RANK)) else ():
        for name in (each.strip() for each in text.split(",") if text != ALL_LINEAR):
            for model, names in models.items():
                if names and name.rpartition(".")[2] not in names:
                    raise TaskError(
                        f"{_TARGETS}={text!r}, and {model!r} has no module {name!r} that takes an adapter."
                        f"{nearest(name, names)} Give {ALL_LINEAR!r}, or of these names, between commas: "
                        f"{', '.join(names)}."
                    )


def _is_rank(value: Scalar) -> bool:
    return value is not None


def _a_rank(space: Space) -> Scalar:
    """Return a rank that a space may take."""
    return next(value for value in _values(space, RANK) if value is not None)


def _values(space: Space, name: str) -> Iterable[Scalar]:
    """Return the fixed value of a hyperparameter, or the choices or ends of its range."""
    if name in space.fixed:
        return (space.fixed[name],)
    return space.parameters[name].edges() if name in space.parameters else ()
