"""Values that a metric reads are told by their content: each kind, each edit, in each process."""

import json
import os
import pickle
import random
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cloudpickle
import numpy as np
import pytest
from code_values import CODES, VALUES, all_definitions, loaded, reading

from hpsearch.provenance.definitions import code_definition, definition_of

EDITS = {kind: (reading, before, after) for kind, (before, after) in VALUES.items()} | {
    kind: (loaded, text, text.replace(before, after)) for kind, (text, before, after) in CODES.items()
}
HERE = ("frozen distribution",)
"""Kinds that a worker gets with random numbers of their own."""


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_of_a_value_is_another_definition(kind: str) -> None:
    made, before, after = EDITS[kind]
    assert before != after
    definition = definition_of(made(before).metric)
    assert definition == definition_of(made(before).metric) and not definition.unchecked
    assert definition.digest != code_definition(made(after).metric)
    try:
        travelled = cloudpickle.loads(cloudpickle.dumps(made(before).metric))
    except (TypeError, pickle.PicklingError):  # what cloudpickle cannot send, check_travels refuses
        return
    if kind not in HERE:
        assert code_definition(travelled) == definition.digest


def test_a_definition_is_the_same_in_every_process() -> None:
    script = Path(__file__).with_name("code_values.py")
    done = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONHASHSEED": "5"}, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == all_definitions()


def metric_of(value: Any) -> Any:
    return lambda y_true, y_pred: value


class Anything:
    """Has every attribute that it is asked for."""

    def __getattr__(self, name: str) -> "Anything":
        return Anything()


def test_the_order_of_a_dict_and_of_sparse_entries_does_not_count() -> None:
    from scipy import sparse

    assert code_definition(metric_of({"a": 1, "b": 2})) == code_definition(metric_of({"b": 2, "a": 1}))
    matrix = sparse.csr_matrix([[0, 1], [2, 0]])
    before = code_definition(metric_of(matrix))
    assert matrix.has_canonical_format  # which is looked up, and kept with the matrix
    assert before == code_definition(metric_of(matrix)) == code_definition(metric_of(matrix.tocsc()))


def test_what_has_no_content_is_named_and_read_no_further(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        things = {
            "lock": threading.Lock(),
            "file": file,
            "generator": (each for each in range(3)),
            "environment": os.environ,
            "view": memoryview(b"a"),
            "reference": weakref.ref(file),
        }
        for name, thing in things.items():
            definition = definition_of(metric_of({"thing": thing}))
            assert definition.unchecked == (f"value['thing'] ({type(thing).__name__})",), name
            assert definition == definition_of(metric_of({"thing": thing}))


def test_values_that_contain_themselves_or_go_on_for_ever_have_an_end() -> None:
    circle: list[Any] = [1]
    circle.append({"again": circle})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep, Anything(), MagicMock()):
        assert code_definition(metric_of(value)) == code_definition(metric_of(value))
    assert definition_of(metric_of(deep)).unchecked
    assert not definition_of(metric_of(circle)).unchecked
    while deep:  # freed from without: an interpreter's own stack has an end, too
        deep = deep[0]


def test_what_everybody_draws_from_is_no_content() -> None:
    metric = metric_of({"python": random.choice, "numpy": np.random.rand})
    before = definition_of(metric)
    _ = random.random(), np.random.rand()
    assert definition_of(metric) == before
    assert before.passing == ("value['numpy']", "value['python']")


def test_an_array_is_read_once_and_no_code_of_the_values_is_called() -> None:
    class Loud:
        def __init__(self) -> None:
            self.at = 1

        def __repr__(self) -> str:
            raise AssertionError("called")

        __reduce__ = __getstate__ = __eq__ = __hash__ = __iter__ = __len__ = __repr__  # type: ignore[assignment]

        def __getattribute__(self, name: str) -> Any:
            if name == "at":
                raise AssertionError("called")
            return object.__getattribute__(self, name)

    one, other = Loud(), Loud()
    vars(other)["at"] = 2
    assert code_definition(metric_of(one)) != code_definition(metric_of(other))
