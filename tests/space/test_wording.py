from hpsearch.space import Categorical, Float, Int, Space
from hpsearch.space.files import Notes
from hpsearch.space.shipped import list_text
from hpsearch.space.wording import WIDTH, spelled

SPACE = Space(
    learning_rate=Float(1e-5, 1e-3, log=True, grid=[1e-4, 1e-5]),
    optimizer=Categorical(["adamw", "sgd"]),
    momentum=Float(0, 1, step=0.5).when(optimizer="sgd"),
    epochs=3,
    default={"learning_rate": 2e-5, "optimizer": "adamw"},
).documented(
    Notes(
        "A title",
        "text",
        "A paper",
        {"learning_rate": "Its section 3.", "epochs": "Its section 4."},
        {"learning_rate": True, "epochs": False},
    )
)


def test_a_space_is_read_as_text() -> None:
    lines = str(SPACE).splitlines()
    assert lines[:3] == ["A title", "A paper", "for text: 3 searched, 1 fixed, a grid of 8"]
    assert lines[4] == "learning_rate: 1e-05 to 0.001, logarithmic; grid 1e-05, 0.0001; default 2e-05"
    assert lines[5] == "    [checked] Its section 3."
    assert lines[6] == "optimizer: one of 'adamw', 'sgd'; default 'adamw'"
    assert lines[7] == "momentum: 0.0 to 1.0, steps of 0.5; only where optimizer='sgd'"
    assert lines[8:10] == ["epochs: fixed at 3", "    [from memory, in part or all] Its section 4."]
    assert lines[11].startswith("[checked]: every number was compared")


def test_a_space_without_notes_has_none_of_their_lines() -> None:
    assert str(Space(a=Int(1, 3), b=True)).splitlines() == [
        "1 searched, 1 fixed, a grid of 3",
        "",
        "a: 1 to 3",
        "b: fixed at True",
    ]


def test_a_list_has_title_size_and_default_of_each() -> None:
    text = list_text({"one": SPACE, "another": Space(rate=Float(0, 1))})
    assert text.splitlines() == [
        "one      A title",
        "         for text: 3 searched, 1 fixed, a grid of 8; default learning_rate=2e-05, optimizer='adamw'",
        "another  ",
        "         1 searched, 0 fixed, no grid without hp.Grid(points=...)",
    ]
    assert max(map(len, text.splitlines())) <= WIDTH
    assert list_text({}) == ""


def test_what_cannot_be_a_grid_is_said_to_be_none() -> None:
    assert Space(rate=Float(0, 1)).summary() == "1 searched, 0 fixed, no grid without hp.Grid(points=...)"


def test_values_of_different_kinds_never_look_alike() -> None:
    values = [None, "none", "None", 1, "1", 1.0, "1.0", True, "True", "", "nan", "linear", 1.5, "1.5"]
    texts = [spelled(value) for value in values]
    assert len(set(texts)) == len(values)
    assert texts[:5] == ["none", "'none'", "'None'", "1", "'1'"]
    assert [spelled(value, digits=3) for value in (0.0012345, 1.0, 1, "linear")] == ["0.00123", "1.0", "1", "linear"]
