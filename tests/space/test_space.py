import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from space_strategies import spaces, spaces_with_params

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Int, Space
from hpsearch.space.files import Notes

SPACE = Space(
    decay_ratio=Float(0.05, 0.5).when(lr_scheduler_type="warmup_stable_decay"),
    learning_rate=Float(1e-6, 1e-3, log=True),
    lr_scheduler_type=Categorical(["linear", "cosine", "warmup_stable_decay"]),
    epochs=Int(1, 4),
    warmup_ratio=0.1,
    default={"learning_rate": 2e-5, "lr_scheduler_type": "linear", "epochs": 3},
)


def test_parameters_are_ordered_parents_first() -> None:
    assert list(SPACE.parameters) == ["learning_rate", "lr_scheduler_type", "decay_ratio", "epochs"]


@given(spaces())
def test_parents_always_come_first(space: Space) -> None:
    seen = set(space.fixed)
    for name, parameter in space.parameters.items():
        assert {condition.name for condition in parameter.conditions} <= seen
        seen.add(name)


def test_fixed_values_and_the_default_are_kept() -> None:
    assert dict(SPACE.fixed) == {"warmup_ratio": 0.1}
    assert SPACE.default == {"learning_rate": 2e-5, "lr_scheduler_type": "linear", "epochs": 3}
    assert Space(epochs=Int(1, 2)).default is None


def test_a_space_cannot_be_changed() -> None:
    for mapping in (SPACE.parameters, SPACE.fixed, SPACE.default, SPACE.sources):
        with pytest.raises(TypeError):
            mapping["epochs"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning-rate": 1e-5}, "'learning-rate' cannot name a hyperparameter"),
        ({"batch_size": [8, 16]}, r"to search over these, write batch_size=hp.Categorical\(\[8, 16\]\)"),
        ({"batch_size": Categorical}, "batch_size: .* is a ABCMeta"),
        ({"warmup_ratio": float("nan")}, "warmup_ratio: nan cannot be written as JSON"),
        ({"a": Int(1, 2).when(a=1)}, "a parameter cannot depend on itself"),
        ({"a": Int(1, 2).when(optimiser="sgd"), "optimizer": "sgd"}, "has no 'optimiser'. Did you mean 'optimizer'?"),
        (
            {"a": Int(1, 2).when(b=3), "b": Int(1, 2)},
            "a exists only where b=3, which never holds: 3 is not a whole number",
        ),
        ({"a": Int(1, 2).when(b=1), "b": Int(1, 2).when(a=1)}, "The conditions of a, b run in a circle"),
        ({"epochs": Int(1, 2), "default": {"epochs": 3}}, "the default: epochs: 3 is not a whole number from 1 to 2"),
        ({"epochs": Int(1, 2), "default": {}}, "the default: epochs is missing"),
        ({"epochs": Int(1, 2), "default": {"epoch": 1}}, "'epoch' is not in the space. Did you mean 'epochs'?"),
        ({"epochs": Int(1, 2), "default": [1]}, r"the default: \[1\] is not a dict"),
    ],
)
def test_an_impossible_space_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space(**arguments)


def test_activity_follows_searched_and_fixed_parents_through_generations() -> None:
    space = Space(
        optimizer="sgd",
        nesterov=Categorical([True, False]).when(optimizer="sgd"),
        momentum=Float(0, 1).when(nesterov=True),
        adam_beta2=Float(0.9, 0.999).when(optimizer=("adam", "adamw")),
    )
    assert space.active({"nesterov": True}) == ("nesterov", "momentum")
    assert space.active({"nesterov": False}) == ("nesterov",)
    assert space.active({}) == ("nesterov",)
    assert space.is_active("optimizer", {})
    assert not space.is_active("adam_beta2", {"optimizer": "adamw"}), "what is fixed is fixed"
    assert not space.is_active("momentum", {"nesterov": 1}), "1 is not True"


def test_a_grandchild_dies_with_its_grandparent() -> None:
    space = Space(
        a=Categorical(["x", "y"]), b=Categorical([1, 2]).when(a="x"), c=Categorical([3, 4]).when(b=1), d=Int(1, 2)
    )
    assert space.active({"a": "y", "b": 1}) == ("a", "d")
    assert space.active({"a": "x", "b": 1}) == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learning_rat": 1e-5}, "the enqueued one: 'learning_rat' is not in the space. Did you mean 'learning_rate'?"),
        ({"epochs": 9}, "the enqueued one: epochs: 9 is not a whole number from 1 to 4"),
        ({"epochs": None}, "epochs: None is not a whole number"),
        ({"warmup_ratio": 0.2}, "warmup_ratio is 0.2, but the space fixes it at 0.1"),
        ({"decay_ratio": 0.1}, "decay_ratio exists only where lr_scheduler_type='warmup_stable_decay'; leave it out"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "decay_ratio is missing; give it a value of Float"),
    ],
)
def test_a_config_outside_the_space_is_refused(config: dict[str, Any], message: str) -> None:
    whole = {"learning_rate": 2e-5, "lr_scheduler_type": "linear", "epochs": 3, **config}
    with pytest.raises(SpaceError, match=message):
        SPACE.validate(whole, "the enqueued one")
    assert not SPACE.contains(whole)


def test_a_config_is_read_as_the_space_writes_it() -> None:
    config = {"epochs": 3.0, "warmup_ratio": 0.1, "lr_scheduler_type": "linear", "learning_rate": 1e-5}
    params = SPACE.validate(config, "the enqueued one")
    assert repr(params) == "{'learning_rate': 1e-05, 'lr_scheduler_type': 'linear', 'epochs': 3}"
    assert SPACE.config(params) == {**params, "warmup_ratio": 0.1}
    assert SPACE.contains(config)


def test_a_fixed_truth_is_not_a_fixed_one() -> None:
    space = Space(nesterov=True, epochs=Int(1, 2))
    assert space.contains({"nesterov": True, "epochs": 1})
    assert not space.contains({"nesterov": 1, "epochs": 1})


@given(spaces_with_params())
def test_params_and_configs_belong_to_their_space(drawn: tuple[Space, dict[str, Any]]) -> None:
    space, params = drawn
    config = space.config(params)
    assert space.contains(params)
    assert repr(space.validate(config, "config")) == repr(params)
    assert set(config) == set(space.active(params)) | set(space.fixed)


@given(spaces_with_params(), st.data())
def test_a_missing_and_a_surplus_value_are_both_found(drawn: tuple[Space, dict[str, Any]], data: st.DataObject) -> None:
    space, params = drawn
    inactive = [name for name in space.parameters if name not in params]
    assume(params or inactive)
    name = data.draw(st.sampled_from([*params, *inactive]))
    if name in params:
        changed = {key: value for key, value in params.items() if key != name}
    else:
        changed = {**params, name: space.parameters[name].edges()[0]}
    assert not space.contains(changed)


@given(spaces_with_params())
def test_json_keeps_everything(drawn: tuple[Space, dict[str, Any]]) -> None:
    plain, params = drawn
    space = Space(default=params, **plain.parameters, **plain.fixed)  # type: ignore[arg-type]
    twin = Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False, sort_keys=True)))
    assert twin == space
    assert (twin.digest, hash(twin)) == (space.digest, hash(space))
    assert repr(twin.parameters) == repr(space.parameters)
    assert twin.default == space.default
    assert space.difference(twin) is None
    assert (plain == space) is False


@given(spaces())
def test_copies_are_equal(space: Space) -> None:
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space
    assert space != "space"


def test_the_digest_is_the_same_on_every_machine() -> None:
    assert SPACE.digest == "93e256fe1745b00696d809baff666df4"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": Int(1, 8)}, "epochs was Int(1, 4) and is now Int(1, 8)"),
        ({"epochs": 3}, "epochs was Int(1, 4) and is now fixed at 3"),
        ({"warmup_ratio": 0.2}, "warmup_ratio was fixed at 0.1 and is now fixed at 0.2"),
        ({"warmup_ratio": True}, "warmup_ratio was fixed at 0.1 and is now fixed at True"),
        ({"dropout": 0.1}, "dropout was not in the space and is now fixed at 0.1"),
        (
            {"learning_rate": Float(1e-6, 1e-3, log=True, grid=[1e-5])},
            "learning_rate was Float(1e-06, 0.001, log=True) and is now Float(1e-06, 0.001, log=True, grid=[1e-05])",
        ),
        (
            {"learning_rate": Float(1e-6, 1e-3, log=True).when(epochs=1)},
            "learning_rate was Float(1e-06, 0.001, log=True) and is now Float(1e-06, 0.001, log=True).when(epochs=1)",
        ),
    ],
)
def test_the_difference_names_what_changed(changed: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"learning_rate": Float(1e-6, 1e-3, log=True), "epochs": Int(1, 4), "warmup_ratio": 0.1}
    one, other = Space(**arguments), Space(**{**arguments, **changed})
    assert one.difference(other) == words
    assert one != other
    back = other.difference(one)
    assert back is not None
    assert back.endswith(words.split(" was ")[1].split(" and is now ", maxsplit=1)[0])


def test_the_difference_names_everything_at_once() -> None:
    one = Space(a=Int(1, 2), b=Int(1, 2), default={"a": 1, "b": 1})
    other = Space(a=Int(1, 3), b=Int(1, 2), default={"a": 2, "b": 1})
    assert one.difference(other) == (
        "a was Int(1, 2) and is now Int(1, 3); the default was {'a': 1, 'b': 1} and is now {'a': 2, 'b': 1}"
    )


def test_the_order_of_the_parameters_counts_and_that_of_fixed_values_does_not() -> None:
    one, other = Space(a=Int(1, 2), b=Int(1, 2), c=1, d=2), Space(d=2, b=Int(1, 2), c=1, a=Int(1, 2))
    assert one.difference(other) == "the order of the parameters was a, b and is now b, a"
    assert one != other
    assert Space(c=1, d=2) == Space(d=2, c=1)


@given(spaces(), spaces())
def test_a_difference_is_found_exactly_where_spaces_differ(one: Space, other: Space) -> None:
    assert (one.difference(other) is None) == (one == other)


def test_documentation_does_not_count_and_is_kept() -> None:
    notes = Notes("Title", "text", "A paper", {"epochs": "its section 3"}, {"epochs": True})
    documented = SPACE.documented(notes)
    assert documented == SPACE
    assert documented.digest == SPACE.digest
    twin = Space.from_json(json.loads(json.dumps(documented.to_json())))
    assert twin.notes == notes
    assert (twin.title, twin.source, dict(twin.sources)) == ("Title", "A paper", {"epochs": "its section 3"})


def test_a_space_that_was_stored_before_there_were_checks_is_read() -> None:
    stored = {**SPACE.to_json(), "title": "Title", "source": "A paper", "sources": {"epochs": "its section 3"}}
    assert Space.from_json(stored).notes == Notes("Title", "", "A paper", {"epochs": "its section 3"})


def test_repr_is_the_call_that_makes_it() -> None:
    names = {"Space": Space, "Float": Float, "Int": Int, "Categorical": Categorical}
    assert eval(repr(SPACE), names) == SPACE
    titled = Space(a=Int(1, 2)).documented(Notes("Its title"))
    assert repr(titled) == "Space(  # Its title\n    a=Int(1, 2),\n)"
    assert eval(repr(titled), names) == titled
    assert repr(Space(a=Int(1, 2))) == "Space(a=Int(1, 2))"


def test_what_may_exist_beside_some_values() -> None:
    space = Space(
        kind=Categorical(["plain", "deep"]),
        model=Categorical(["small", "large", "other"]),
        depth=Int(1, 9).when(kind="deep"),
        x=Int(0, 1).when(depth=3),
        freeze_layers=Int(0, 12).when(model=["small", "large"]),
        head="new",
        y=Int(0, 1).when(head="old"),
    )
    assert [space.may_exist("freeze_layers", {"model": model}) for model in ("large", "other")] == [True, False]
    assert space.may_exist("freeze_layers", {})
    assert [space.may_exist("x", {"kind": kind}) for kind in ("plain", "deep")] == [False, True]
    assert not space.may_exist("y", {})


ROUNDED = {"learning_rate": np.float32(1e-3), "share": 0.1 + 0.2, "layers": 0.1 * 30, "dropout": np.float16(0.1)}
OWN = {"learning_rate": 1e-3, "share": 0.3, "layers": 3, "dropout": 0.1}
SNAPPING = Space(
    learning_rate=Float(1e-5, np.float32(1e-3), log=True, grid=[1e-4, float(np.float32(1e-3))]),  # type: ignore[arg-type]
    share=Float(0, 0.3, step=0.1, grid=[0.1 + 0.2]),
    layers=Int(1, 3),
    dropout=Categorical([0.1, None, "0.1"]),
    decay_ratio=Float(0.0, 1.0).when(share=0.1 + 0.2, weight_decay=np.float32(0.01)),
    weight_decay=0.01,
    default={**ROUNDED, "decay_ratio": Decimal("0.5")},
)


def test_values_within_rounding_are_the_spaces_own_wherever_they_come_in(tmp_path: Path) -> None:
    wanted = {**OWN, "decay_ratio": 0.5}
    assert repr(dict(SNAPPING.default or {})) == repr(wanted)
    given = SNAPPING.validate({**ROUNDED, "decay_ratio": 0.5, "weight_decay": np.float32(0.01)}, "the enqueued")
    assert repr(given) == repr(wanted)
    assert SNAPPING.config({**ROUNDED, "decay_ratio": 0.5}) == {**wanted, "weight_decay": 0.01}
    assert {point["share"] for point in SNAPPING.grid(2)} == {0.3}
    assert {point["learning_rate"] for point in SNAPPING.grid(2)} == {1e-4, 1e-3}
    assert all("decay_ratio" in point for point in SNAPPING.grid(2))
    assert Space.from_json(json.loads(json.dumps(SNAPPING.to_json()))) == SNAPPING
    file = tmp_path / "space.toml"
    file.write_text(
        "[default]\nshare = 0.30000000000000004\ndepth = 1\n[parameters.share]\ntype = 'float'\nlow = 0\n"
        "high = 0.30000000000000004\nstep = 0.1\n[parameters.depth]\ntype = 'int'\nlow = 1\nhigh = 3\n"
        "when = { share = 0.30000000000000004 }\n"
    )
    read = Space.load(file)
    assert read.default == {"share": 0.3, "depth": 1}
    assert read.validate({"share": 0.3, "depth": 2}, "") == {"share": 0.3, "depth": 2}


def test_snapped_conditions_change_no_space_that_was_right() -> None:
    before = Space(layers=Int(1, 3), x=Int(0, 1).when(layers=3.0))
    assert before.to_json()["parameters"][1]["when"] == {"layers": [3.0]}
