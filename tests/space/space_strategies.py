"""Search spaces of every kind, small enough that their grids can be counted by brute force."""

from typing import Any

from hypothesis import strategies as st

from hpsearch.space import Categorical, Float, Int, Parameter, Space

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from([0.5, 2.5, 1e-5]), st.sampled_from("abc")
)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    """Any `Float`: with or without logarithm, step and grid."""
    low = draw(st.floats(1e-8, 1e3, allow_nan=False))
    high = low * draw(st.floats(1.0, 1e4))
    kind = draw(st.sampled_from(["plain", "log", "step", "grid"]))
    if kind == "step":
        start, step, count = draw(st.integers(-20, 20)), draw(st.integers(1, 30)), draw(st.integers(0, 6))
        return Float(start / 10, (start + step * count) / 10, step=step / 10)
    if kind == "grid":
        grid = draw(st.lists(st.floats(low, high), min_size=1, max_size=4, unique_by="{:.6g}".format))
        return Float(low, high, grid=grid, log=draw(st.booleans()))
    return Float(low, high, log=kind == "log")


@st.composite
def ints(draw: st.DrawFn) -> Int:
    """Any `Int` of few values."""
    low, count = draw(st.integers(1, 50)), draw(st.integers(0, 5))
    if draw(st.booleans()):
        return Int(low, low + count, log=draw(st.booleans()))
    step = draw(st.integers(1, 9))
    return Int(low, low + count * step, step=step)


@st.composite
def categoricals(draw: st.DrawFn) -> Categorical:
    """Any `Categorical` of few choices."""
    choices: list[Any] = []
    for choice in draw(st.lists(SCALARS, min_size=1, max_size=3)):
        if choice not in choices:
            choices.append(choice)
    return Categorical(choices)


PARAMETERS = st.one_of(floats(), ints(), categoricals())


@st.composite
def spaces(draw: st.DrawFn, most: int = 4) -> Space:
    """Any space: parameters in any order, each perhaps under conditions on others, searched or fixed."""
    fixed = {f"fixed_{index}": value for index, value in enumerate(draw(st.lists(SCALARS, max_size=2)))}
    searched: dict[str, Parameter] = {}
    for index in range(draw(st.integers(0, most))):
        parameter = draw(PARAMETERS)
        for parent in draw(st.lists(st.sampled_from([*searched, *fixed]), unique=True, max_size=2)) if searched else []:
            if parent in fixed:
                values = [draw(st.sampled_from([fixed[parent], "another value"]))]
            else:
                possible = searched[parent].grid_values(3)
                values = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=2))
            parameter = parameter.when(**{parent: values})
        searched[f"searched_{index}"] = parameter
    order = draw(st.permutations([*searched, *fixed]))
    return Space(**{name: searched.get(name, fixed.get(name)) for name in order})  # type: ignore[arg-type]


@st.composite
def spaces_with_params(draw: st.DrawFn) -> tuple[Space, dict[str, Any]]:
    """A space and the searched part of one of its configurations."""
    space = draw(spaces())
    params: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if space.is_active(name, params):
            params[name] = draw(st.sampled_from(parameter.grid_values(3)))
    return space, params
