import json
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import SpaceError
from hpsearch.space import Alternatives, Categorical, Float, Int, Space

MODEL = Categorical(["small", "large", "other"])
SMALL, LARGE = Int(0, 6, step=3).when(model="small"), Int(0, 12, step=6).when(model="large")
SPACE = Space(model=MODEL, freeze_layers=[SMALL, LARGE], rate=Float(0.1, 1.0, grid=[0.1]))


def test_at_most_one_alternative_exists() -> None:
    assert [SPACE.alternative("freeze_layers", {"model": name}) for name in MODEL.choices] == [SMALL, LARGE, None]
    assert SPACE.active({"model": "small"}) == ("model", "freeze_layers", "rate")
    assert SPACE.active({"model": "other"}) == ("model", "rate")
    assert SPACE.contains({"model": "large", "freeze_layers": 12, "rate": 0.5})
    assert SPACE.contains({"model": "other", "rate": 0.5})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "small", "freeze_layers": 12}, "freeze_layers: 12 is not a whole number from 0 to 6"),
        ({"model": "other", "freeze_layers": 0}, "exists only where model='small', or model='large'; leave it out"),
        ({"model": "large"}, r"freeze_layers is missing; give it a value of Int\(0, 12, step=6\)"),
    ],
)
def test_a_value_is_that_of_the_alternative_that_exists(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SPACE.validate({**config, "rate": 0.5}, "mine")


def test_all_that_is_asked_of_a_parameter_is_answered_for_all_alternatives() -> None:
    both = SPACE.parameters["freeze_layers"]
    assert isinstance(both, Alternatives)
    assert both.edges() == (0, 6, 12)
    assert [both.contains(value) for value in (3, 12, 4, "all")] == [True, True, False, False]
    assert both.read(12.0) == 12
    assert repr(both) == f"[{SMALL!r}, {LARGE!r}]"
    with pytest.raises(SpaceError, match="4 is none of"):
        both.read(4)
    assert both.kept(LARGE) is LARGE
    choices = Alternatives([Categorical([0, "all"]).when(model="small"), Categorical([0, 6]).when(model="large")])
    assert choices.kept(choices.alternatives[1]) == Categorical([0, "all", 6])


@pytest.mark.parametrize(
    ("alternatives", "message"),
    [
        ([Int(0, 6), LARGE], "exists always; say with .when"),
        ([SMALL, Int(0, 9).when(model=["large", "small"])], "could both exist at once"),
        ([SMALL, Int(0, 9).when(rate=0.5)], "could both exist at once"),
        ([SMALL, Float(0, 9).when(model="large")], "cannot be alternatives under one name"),
        ([Int(1, 6).when(model="small"), Int(1, 9, log=True).when(model="large")], "cannot be alternatives"),
        ([SMALL, 3], "3 is no alternative; give a list of parameters"),
        ([SMALL, Int(0, 9).when(model="huge")], "which never is: 'huge' is not one of"),
        ([SMALL, Int(0, 9).when(mode="large")], "the space has no 'mode'"),
        ([SMALL, Int(0, 9).when(freeze_layers=3, model="large")], "a parameter cannot depend on itself"),
    ],
)
def test_what_cannot_be_alternatives(alternatives: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=f"freeze_layers.*{message}"):
        Space(model=MODEL, rate=Categorical([0.5, 1.0]), freeze_layers=alternatives)


def test_nothing_depends_on_alternatives() -> None:
    with pytest.raises(SpaceError, match="freeze_layers is one of several alternatives, which nothing can depend on"):
        Space(model=MODEL, freeze_layers=[SMALL, LARGE], dropout=Float(0, 1).when(freeze_layers=0))


def test_one_alternative_alone_is_a_parameter() -> None:
    assert Space(model=MODEL, freeze_layers=[SMALL]) == Space(model=MODEL, freeze_layers=SMALL)


def test_alternatives_are_written_and_read() -> None:
    space = Space(model=MODEL, freeze_layers=[SMALL, LARGE], default={"model": "large", "freeze_layers": 6})
    written = json.loads(json.dumps(space.to_json()))
    assert Space.from_json(written) == space
    assert Space.from_json(written).default == {"model": "large", "freeze_layers": 6}
    table = written["parameters"][1]
    assert (table["type"], table["low"], table["high"], len(table["alternatives"])) == ("int", 0, 12, 2)
    other = Space(model=MODEL, freeze_layers=[SMALL, Int(0, 12).when(model="large")], default=space.default)
    assert other.digest != space.digest
    assert other.difference(space) == (
        f"freeze_layers was [{SMALL!r}, Int(0, 12).when(model='large')] and is now [{SMALL!r}, {LARGE!r}]"
    )
    choices = [Categorical(["a"]).when(model="small"), Categorical(["b", "a"]).when(model="large")]
    assert Space(model=MODEL, x=choices).to_json()["parameters"][1]["choices"] == ["a", "b"]


def test_alternatives_in_a_file(tmp_path: Path) -> None:
    text = """
        [parameters.model]
        type = "categorical"
        choices = ["small", "large", "other"]
        [[parameters.freeze_layers]]
        type = "int"
        low = 0
        high = 6
        step = 3
        when = { model = "small" }
        source = "One 2019."
        [[parameters.freeze_layers]]
        type = "int"
        low = 0
        high = 12
        step = 6
        when = { model = "large" }
        source = "Other 2020."
        """
    (tmp_path / "own.toml").write_text(text)
    space = Space.load(tmp_path / "own.toml")
    assert space == Space(model=MODEL, freeze_layers=[SMALL, LARGE])
    assert space.sources["freeze_layers"] == "One 2019. Other 2020."
    (tmp_path / "own.toml").write_text(text.replace('when = { model = "large" }', ""))
    with pytest.raises(SpaceError, match=r"own\.toml: parameters\.freeze_layers: .*exists always"):
        Space.load(tmp_path / "own.toml")
    (tmp_path / "own.toml").write_text(text + "\n[[parameters.freeze_layers]]\nvalue = 3\n")
    with pytest.raises(SpaceError, match=r"own\.toml: parameters\.freeze_layers: One of the alternatives is a fixed"):
        Space.load(tmp_path / "own.toml")


def test_the_grid_takes_each_alternative_where_it_exists() -> None:
    points = list(SPACE.grid())
    assert [(point["model"], point.get("freeze_layers")) for point in points] == [
        ("small", 0), ("small", 3), ("small", 6), ("large", 0), ("large", 6), ("large", 12), ("other", None),
    ]  # fmt: skip
    assert all(SPACE.contains(point) for point in points)
    with pytest.raises(SpaceError, match="is continuous"):
        Space(model=MODEL, x=[Float(0, 1).when(model="small"), Float(0, 2).when(model="large")]).grid()


def test_what_is_reachable_beside_a_value() -> None:
    space = Space(
        kind=Categorical(["plain", "deep"]),
        model=MODEL,
        depth=Int(1, 9).when(kind="deep"),
        x=Int(0, 1).when(depth=3),
        freeze_layers=[SMALL, LARGE],
        head="new",
        y=Int(0, 1).when(head="old"),
    )
    assert space.reachable("freeze_layers", {"model": "large"}) == (LARGE,)
    assert space.reachable("freeze_layers", {"model": "other"}) == ()
    assert space.reachable("freeze_layers", {}) == (SMALL, LARGE)
    assert [bool(space.reachable("x", {"kind": kind})) for kind in ("plain", "deep")] == [False, True]
    assert space.reachable("y", {}) == ()


def test_a_choice_may_be_a_path() -> None:
    assert Categorical([Path("models") / "bert"]).choices == (str(Path("models") / "bert"),)
