import re
import tomllib
from pathlib import Path

import pytest

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Int, Space, list_spaces

SHIPPED = Path(__file__).parents[2] / "search_spaces"
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))

WHOLE = """
title = "A space"
task = "text"
source = "A paper"

[default]
learning_rate = 2e-5
optimizer = "sgd"
momentum = 0.9

[parameters]
warmup_ratio = 0.1

[parameters.learning_rate]
type = "float"
low = 1e-6
high = 1e-3
log = true
source = "Its section 3"
checked = true

[parameters.optimizer]
type = "categorical"
choices = ["adamw", "sgd"]

[parameters.momentum]
type = "float"
low = 0
high = 1
when = { optimizer = "sgd" }

[parameters.epochs]
value = 3
source = "Its section 4"
checked = false
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_the_space_it_describes(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    space = Space.load(path)
    assert space == Space(
        learning_rate=Float(1e-6, 1e-3, log=True),
        optimizer=Categorical(["adamw", "sgd"]),
        momentum=Float(0, 1).when(optimizer="sgd"),
        warmup_ratio=0.1,
        epochs=3,
        default={"learning_rate": 2e-5, "optimizer": "sgd", "momentum": 0.9},
    )
    assert (space.title, space.source) == ("A space", "A paper")
    assert space.sources == {"learning_rate": "Its section 3", "epochs": "Its section 4"}
    assert (space.notes.task, space.notes.checked) == ("text", {"learning_rate": True, "epochs": False})
    assert Space.load(str(path)) == space


def test_only_parameters_are_needed(tmp_path: Path) -> None:
    space = Space.load(written(tmp_path, "[parameters.epochs]\ntype='int'\nlow=1\nhigh=2\n"))
    assert space == Space(epochs=Int(1, 2))
    assert (space.title, space.source, dict(space.sources)) == ("own", "", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = [", "own.toml is not a TOML file: .*at end of document"),
        ("title = 'x'", r"own.toml: parameters = None is not a table; write \[parameters\]"),
        ("parameters = 3", "own.toml: parameters = 3 is not a table"),
        ("paramters = 3", "there is no key 'paramters'. Did you mean 'parameters'?"),
        ("default = 3\n[parameters]", "own.toml: default = 3 is not a table"),
        ("title = 3\n[parameters]", "own.toml: title = 3 is not a text"),
        ("source = 3\n[parameters]", "own.toml: source = 3 is not a text"),
        ("task = 'txt'\n[parameters]", "own.toml: task = 'txt' is not one of text, image, chat. Did you mean 'text'?"),
        ("[parameters.a]\nvalue = 1\nchecked = 1", "own.toml: parameters.a.checked = 1 is neither true nor false"),
        ("[parameters.a]\nvalue = 1\nsource = 3", "own.toml: parameters.a.source = 3 is not a text"),
        ("[parameters.a]\ntype = 'int'\nlow = 2\nhigh = 1", r"own.toml: parameters.a: Int\(2, 1\): low is above high"),
        ("[parameters.a]\ntype = 'int'\nlow = 2", "own.toml: parameters.a: type = 'int' needs the key 'high'"),
        ("[parameters.a]\nlow = 2", "own.toml: parameters.a: There is neither 'type'"),
        (
            "[[parameters.a]]\ntype = 'int'\nlow = 1\nhigh = 2\n[[parameters.a]]\ntype = 'int'\nlow = 1\nhigh = 3",
            "own.toml: parameters.a has 2 tables in double brackets, and a hyperparameter has one range. .*"
            "freeze_layers from 0.0 to 1.0.*a study for each and compare them with hp.compare",
        ),
        ("[parameters]\na = [1, 2]", r"own.toml: a=\[1, 2\] is not a fixed value.*hp.Categorical\(\[1, 2\]\)"),
        ("[parameters]\na = 2020-01-01", "own.toml: a: .*is a date"),
        ("[parameters]\na = nan", "own.toml: a: nan cannot be written"),
        ("[default]\na = 2\n[parameters]\na = 1", "own.toml: the default: a is 2, but the space fixes it at 1"),
        (
            "[parameters.a]\ntype = 'int'\nlow = 1\nhigh = 2\nwhen = { b = 1 }",
            "own.toml: a exists only where b=1, but the space has no 'b'",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        Space.load(written(tmp_path, text))
    assert str(tmp_path) in str(caught.value), "the path is the one that was given"


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"none.toml cannot be read: No such file or directory. Check the path"):
        Space.load(tmp_path / "none.toml")
    with pytest.raises(SpaceError, match="cannot be read: Is a directory"):
        Space.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"title = '\xe9'")
    with pytest.raises(SpaceError, match="is not a TOML file"):
        Space.load(tmp_path / "latin.toml")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"no search space 'brt'\. Did you mean 'bert'\? hpsearch has bert, "):
        Space.load("brt")


def test_the_shipped_spaces_are_listed() -> None:
    found = list_spaces()
    assert list(found) == NAMES
    assert {"bert", "roberta", "deberta", "electra", "distilbert", "causal-small", "lora"} <= set(NAMES)
    assert {"vit", "resnet-transfer", "image-transfer"} <= set(NAMES)
    assert all(space == Space.load(name) == Space.load(SHIPPED / f"{name}.toml") for name, space in found.items())


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_number_has_its_source(name: str) -> None:
    space = Space.load(name)
    assert set(space.sources) == {*space.parameters, *space.fixed}
    assert space.title
    for text in (space.source, *space.sources.values()):
        assert re.search(r"\b(19|20)\d\d\b", text), f"{text!r} names no paper"
        assert len(text) < 1200


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_number_says_whether_it_was_checked(name: str) -> None:
    """Where one was not, its source says which, in words."""
    space = Space.load(name)
    assert space.notes.task in ("text", "image", "chat")
    assert set(space.notes.checked) == {*space.parameters, *space.fixed}
    for key, checked in space.notes.checked.items():
        assert checked != ("unchecked" in space.sources[key].lower()), key


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_of_a_shipped_space_is_cited_or_called_ours(name: str) -> None:
    """The numbers themselves stand in the source, or the source says that the bounds are ours."""
    space = Space.load(name)
    for key, parameter in space.parameters.items():
        text = space.sources[key]
        cited = {float(word) for word in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?(?![\w])", text)}
        uncited = [edge for edge in parameter.edges() if isinstance(edge, (int, float)) and float(edge) not in cited]
        assert not uncited or "ours" in text.lower(), f"{key}: {uncited} are neither cited nor ours"


@pytest.mark.parametrize("name", NAMES)
def test_the_literature_default_of_a_shipped_space(name: str) -> None:
    space = Space.load(name)
    assert space.default is not None
    assert space.contains(space.config(space.default))
    assert 0 < sum(1 for _ in space.grid()) < 1000


def test_the_form_in_the_docstring_is_the_form_that_is_read(tmp_path: Path) -> None:
    from hpsearch.space import files

    documentation = files.__doc__ or ""
    example = "\n".join(line[4:] for line in documentation.splitlines() if line.startswith("    ") or not line)
    text = example.replace("[parameters]", '[parameters]\nlr_scheduler_type = "linear"', 1)
    space = Space.load(written(tmp_path, text))
    assert set(space.parameters) == {"learning_rate", "epochs", "decay_ratio"}
    assert space.fixed["max_grad_norm"] == tomllib.loads(example)["parameters"]["max_grad_norm"]["value"] == 1.0
