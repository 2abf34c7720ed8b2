"""What a user's code computes, as a digest: what it is made of counts, and how it is written down does not."""

import functools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.provenance.definitions import code_definition
from hpsearch.provenance.modules import import_path, imported, is_installed

BASE = """
import functools
import numpy as np

SCALE = 2.0
TABLE = {"a": [1, 2]}


def helper(x):
    '''Scale.'''
    return x * SCALE


class Base:
    factor = 3

    def inner(self, x):
        return helper(x) * self.factor


class Model(Base):
    def __init__(self, width=4):
        super().__init__()
        self.width = width

    @property
    def double(self):
        return 2 * self.width

    @staticmethod
    def of(x):
        return [each + TABLE["a"][0] for each in x]

    def forward(self, x):
        return self.inner(x) + np.sum(x)


@functools.cache
def cached(x):
    return helper(x)


def metric(y_true, y_pred, *, share=0.5):
    if cached(1) > 0:
        return share * Model().forward(1)
    return metric(y_true, y_pred)


def unused():
    return 1
"""


def loaded(text: str, name: str = "some_module") -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(
    "before, after",
    [
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("return x * SCALE", "return x + SCALE"),
        ("factor = 3", "factor = 4"),
        ("width=4", "width=5"),
        ("2 * self.width", "3 * self.width"),
        ("TABLE[\"a\"][0]", "TABLE[\"a\"][1]"),
        ("[1, 2]", "[1, 3]"),
        ("np.sum(x)", "np.mean(x)"),
        ("share=0.5", "share=0.6"),
        ("class Model(Base)", "class Model(Base, dict)"),
        ("@staticmethod\n", "@classmethod\n"),
    ],
)  # fmt: skip
def test_all_that_is_used_counts(before: str, after: str) -> None:
    assert before in BASE
    assert code_definition(loaded(BASE).metric) != code_definition(loaded(BASE.replace(before, after)).metric)


@pytest.mark.parametrize(
    "before, after",
    [
        ("def helper(x):", "# a remark\ndef helper(x):  # another"),
        ("'''Scale.'''", "'''Say what it does.\n\n    At length.\n    '''"),
        ("    return x * SCALE", "\n    return (\n        x * SCALE\n    )"),
        ("return 1\n", "return 2\n"),
    ],
)
def test_how_it_is_written_down_does_not_count(before: str, after: str) -> None:
    other = BASE.replace(before, after)
    assert other != BASE
    assert code_definition(loaded(BASE).metric) == code_definition(loaded(other, "another_module").metric)


def test_a_cache_that_has_filled_is_the_same_code() -> None:
    module = loaded(BASE)
    before = code_definition(module.metric)
    module.cached(1)
    module.metric([1], [1])
    assert code_definition(module.metric) == before


def test_parts_of_a_local_module_count_where_they_are_named() -> None:
    nets = loaded(BASE, "nets_of_a_user")
    sys.modules["nets_of_a_user"] = nets
    try:
        script = "import nets_of_a_user as nets\n\ndef make():\n    return nets.helper(1)\n"
        before = code_definition(loaded(script).make)
        nets.unused = lambda: 3
        assert code_definition(loaded(script).make) == before
        nets.SCALE = 5.0
        assert code_definition(loaded(script).make) != before
    finally:
        del sys.modules["nets_of_a_user"]


def test_parts_of_packages_and_of_modules_that_a_call_imports_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").touch()
    (tmp_path / "own_package" / "settings.py").write_text("AT = 1\nOTHER = 1\n")
    (tmp_path / "own_module.py").write_text("AT = [1]\nOTHER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    scripts = (
        "import own_package.settings\n\ndef metric(y, p):\n    return own_package.settings.AT\n",
        "def metric(y, p):\n    from own_module import AT\n    return AT\n",
        "def metric(y, p):\n    import own_module as own\n    return own.AT\n",
    )
    metrics = [loaded(script).metric for script in scripts]
    before = [code_definition(metric) for metric in metrics]
    package, module = sys.modules["own_package.settings"], sys.modules["own_module"]
    try:
        package.OTHER = module.OTHER = 2  # type: ignore[attr-defined]
        assert [code_definition(metric) for metric in metrics] == before
        package.AT, module.AT = 2, [2]  # type: ignore[attr-defined]
        assert not set(map(code_definition, metrics)) & set(before)
    finally:
        for name in ("own_package", "own_package.settings", "own_module"):
            del sys.modules[name]


def test_arrays_partials_methods_and_objects_are_told_apart() -> None:
    def closing(value: Any) -> Callable[[], Any]:
        return lambda: value

    class Counter:
        def __init__(self, start: int) -> None:
            self.start = start

        def __call__(self) -> int:
            return self.start

    pairs = [
        (closing(np.arange(3)), closing(np.arange(3)), closing(np.arange(4))),
        (functools.partial(max, 1), functools.partial(max, 1), functools.partial(max, 2)),
        (Counter(1), Counter(1), Counter(2)),
        (Counter(1).__call__, Counter(1).__call__, Counter(2).__call__),
        (closing({"a": {1, 2, 3}}), closing({"a": {3, 2, 1}}), closing({"a": {1, 2}})),
        (closing(1), closing(1), closing(1.0)),
        (closing(object()), closing(object()), closing(None)),
    ]
    for one, same, other in pairs:
        assert code_definition(one) == code_definition(same)
        assert code_definition(one) != code_definition(other)


def test_code_that_contains_itself_has_an_end() -> None:
    def loop(n: int) -> Any:
        return loop(n - 1) if n else other(n)

    def other(n: int) -> Any:
        return loop(n)

    assert code_definition(loop) == code_definition(loop)


def test_installed_packages_are_known_by_name() -> None:
    assert all(is_installed(name) for name in ("numpy", "pytest", "json", "hpsearch.data", "builtins"))
    assert not any(is_installed(name) for name in ("__main__", "__hpsearch__", "nobody_knows", __name__))
    assert code_definition(np.mean) == code_definition(np.mean) != code_definition(np.sum)


def test_what_can_be_imported_has_a_path() -> None:
    assert import_path(functools.partial) == "functools:partial"
    assert imported("functools:partial") is functools.partial
    assert import_path(lambda: 1) is None
    assert import_path(loaded(BASE).metric) is None  # its module is not there to be imported
    with pytest.raises(ImportError):
        imported("no_such_module:name")
