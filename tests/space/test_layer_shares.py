import json
from typing import Any

import pytest

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Int, Space


@pytest.mark.parametrize(
    ("freeze_layers", "given", "own"),
    [
        (Int(0, 6), 1.0, "1"),
        (Float(0, 1), 1, "1.0"),
        (Categorical([0, 0.5, 1.0]), 1, "1.0"),
        (Categorical([0, 1, "all"]), 1.0, "1"),
        (1, 1.0, "1"),
        (1.0, 1, "1.0"),
    ],
)
def test_one_layer_is_never_taken_for_all_layers(freeze_layers: Any, given: Any, own: str) -> None:
    with pytest.raises(SpaceError, match=f"mine: freeze_layers: {given} is not {own}: 1 is one layer.*Write {own},"):
        Space(freeze_layers=freeze_layers).validate({"freeze_layers": given}, "mine")


def test_equal_numbers_that_mean_the_same_are_taken() -> None:
    assert repr(Space(freeze_layers=Int(0, 6)).validate({"freeze_layers": 0.0}, "mine")["freeze_layers"]) == "0"
    assert repr(Space(freeze_layers=Float(0, 1)).validate({"freeze_layers": 0}, "mine")["freeze_layers"]) == "0.0"
    assert repr(Space(depth=Float(0, 1)).validate({"depth": 1}, "mine")["depth"]) == "1.0"  # another name: equal


@pytest.mark.parametrize("choices", [[1, 1.0], [0, 1, 0.5], [0.25, 1]])
def test_choices_that_cannot_be_told_apart_are_refused(choices: list[Any]) -> None:
    with pytest.raises(SpaceError, match=r"drop one of them|Give only shares, or only numbers of layers"):
        Space(freeze_layers=Categorical(choices))


def test_a_range_of_shares_ends_at_all_layers() -> None:
    with pytest.raises(
        SpaceError, match=r"from 0\.0 to 1\.0\. Give hp\.Float\(0\.0, 1\.0\) at most, or .* hp\.Int\(1, 6\)"
    ):
        Space(freeze_layers=Float(0.5, 6))
    assert Space(depth=Float(0.5, 6)).parameters["depth"].edges() == (0.5, 6.0)


@pytest.mark.parametrize("choices", [[0, 0.5, 1.0], [0, 1, "all"], [0, 6, 0.25], [0.0, 1]])
def test_choices_keep_their_kind_in_json(choices: list[Any]) -> None:
    space = Space(freeze_layers=Categorical(choices), default={"freeze_layers": choices[-1]})
    back = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert repr(back) == repr(space)
    assert back.digest == space.digest
    assert Space(freeze_layers=1).digest != Space(freeze_layers=1.0).digest


def test_a_default_and_a_condition_name_the_kind_too() -> None:
    with pytest.raises(SpaceError, match=r"the default: freeze_layers: 1 is not 1.0"):
        Space(freeze_layers=Float(0, 1), default={"freeze_layers": 1})
    with pytest.raises(SpaceError, match=r"exists only where freeze_layers=1.0, which never holds: 1.0 is not 1"):
        Space(freeze_layers=Int(0, 3), dropout=Float(0, 0.5).when(freeze_layers=1.0))


def test_several_ranges_under_one_name_are_refused() -> None:
    model = Categorical(["small", "large"])
    ranges = [Int(0, 6).when(model="small"), Int(0, 12).when(model="large")]
    with pytest.raises(
        SpaceError, match=r"freeze_layers=\[Int\(0, 6\).*has one range.*share of the layers.*hp.compare"
    ):
        Space(model=model, freeze_layers=ranges)  # type: ignore[arg-type]
    written = Space(model=model, freeze_layers=Int(0, 12)).to_json()
    written["parameters"][1]["alternatives"] = [
        {"type": "int", "low": 0, "high": 6},
        {"type": "int", "low": 0, "high": 12},
    ]
    with pytest.raises(SpaceError, match=r"'freeze_layers', which hpsearch 0.1.0 reads and later versions do not"):
        Space.from_json(written)
