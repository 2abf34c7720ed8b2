"""Every key of a stored description, removed and given another type, in study.json and in the database."""

import contextlib
import copy
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.cli.listing import list_rows, show_text
from hpsearch.errors import HpsearchError, SpaceError, StoreError
from hpsearch.plan.stored_keys import stored_key
from hpsearch.study_loading import read

WRONG: list[Any] = [None, True, 7, 0.5, "text", [], [7], {}, {"key": 7}]
"""A value of each type."""

FREE = ("arguments", "fixed", "default", "rows", "test", "definitions", "callables", "state", "directions", "numerics")
"""Objects whose own keys are names: of arguments, hyperparameters, metrics, packages."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was run."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        toy_study(folder / "runs", early_stopping=1.0, sampler="random").run(trials=1, devices="inline", progress=False)
    return folder / "runs" / "toy"


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key of an object, and of the objects in it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            if key not in FREE:
                yield from paths(item, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], (*path, 0))


def changed(description: dict[str, Any], path: tuple[Any, ...], *value: Any) -> dict[str, Any]:
    """Return a description with a key removed, or with another value."""
    description = copy.deepcopy(description)
    inner: Any = description
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    if value:
        inner[path[-1]] = value[0]
    return description


def value_at(description: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        description = description[key]
    return description


@contextlib.contextmanager
def stored(study: Path, place: str, description: dict[str, Any]) -> Iterator[str]:
    """Store a description in the file or the database for a while; yields how messages call that."""
    path = study / ("study.json" if place == "file" else "study.db")
    before = path.read_bytes()
    if place == "file":
        path.write_text(json.dumps(description))
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("update hpsearch_studies set description = ?", [json.dumps(description)])
            connection.commit()
    try:
        yield str(path)
    finally:
        path.write_bytes(before)


def readings(study: Path) -> Iterator[Exception]:
    """Read a study in all ways, and yield what is raised."""
    ways = (
        lambda: read(study),
        lambda: show_text(str(study), study.parent, None),
        lambda: hp.load(study).result.table(),
    )
    for way in ways:
        try:
            way()
        except Exception as error:  # noqa: BLE001 - which ones may come is what is tested
            yield error


def check(study: Path, place: str, description: dict[str, Any], path: tuple[Any, ...], must_fail: bool) -> None:
    with stored(study, place, description) as where:
        errors = list(readings(study))
    assert errors or not must_fail, path
    for error in errors:
        assert isinstance(error, HpsearchError), f"{path}: {error!r}"
        assert where in str(error) and repr(path[0])[1:-1] in str(error), f"{path}: {error}"


@pytest.mark.parametrize("place", ["file", pytest.param("database", marks=pytest.mark.extended)])
def test_a_key_that_is_missing_is_named_with_its_place(study: Path, place: str) -> None:
    description = json.loads((study / "study.json").read_text())
    optional = {
        "numerics", "goal", "test", "models", "feature_cache_bytes", "direction", "rows", "directions", "warnings",
        "remarks", "state", "pos_label", "task_definition", "ended_by", "fits", "reproducible",
    }  # fmt: skip
    for key in description:
        check(study, place, changed(description, (key,)), (key,), must_fail=key not in optional)


@pytest.mark.parametrize(
    "place", ["file", "database"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["task", "metrics", "seed"])
def test_a_key_of_another_type_is_named_with_its_place(study: Path, place: str, key: str) -> None:
    description = json.loads((study / "study.json").read_text())
    check(study, place, changed(description, (key,), None), (key,), must_fail=True)
    with stored(study, place, changed(description, ("task",), {"task": "toy_task:ToyTask"})) as where:
        with pytest.raises(StoreError, match=r"its key 'task\.arguments' is missing") as caught:
            read(study)
        assert where in str(caught.value)


@pytest.mark.extended
@pytest.mark.parametrize("place", ["file", "database"])
def test_every_key_missing_or_of_any_other_type_is_named_with_its_place(study: Path, place: str) -> None:
    description = json.loads((study / "study.json").read_text())
    for path in paths(description):
        check(study, place, changed(description, path), path, must_fail=False)
        for value in WRONG:
            if type(value) is type(value_at(description, path)):
                continue
            check(study, place, changed(description, path, value), path, must_fail=False)


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"text"', "{", "\x00"])
def test_a_description_that_is_none_names_its_place(study: Path, text: str) -> None:
    path = study / "study.json"
    before = path.read_text()
    path.write_text(text)
    try:
        with pytest.raises(StoreError, match=r"study\.json"):
            read(study)
        assert [row[-1] for row in list_rows(study.parent, None) if "study.json" in row[-1]]
    finally:
        path.write_text(before)
    database = study / "study.db"
    content = database.read_bytes()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("update hpsearch_studies set description = ?", [text])
        connection.commit()
    try:
        with pytest.raises(StoreError, match=r"study\.db: the description of study 'toy' is damaged"):
            read(study)
    finally:
        database.write_bytes(content)


def test_an_error_inside_a_key_keeps_its_kind() -> None:
    with pytest.raises(SpaceError, match=r"file: its key 'space' cannot be used\. low"), stored_key("space", "file"):
        raise SpaceError("low")
