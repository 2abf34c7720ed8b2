"""What code changes when it is called is its state, and no part of its definition; all else still is."""

# ruff: noqa: E501  # a table, a line a kind

import logging
from typing import Any

import pytest
from code_values import loaded

from hpsearch.provenance.definitions import code_definition, definition_of, is_same, observed

DEF = "def metric(y, p):\n    "
STATES = {
    "list": (f"CALLS = []\n{DEF}CALLS.append(len(y))\n    return AT", {"CALLS"}),
    "list of a value that is read": (f"BEST = []\nTABLE = [1]\n{DEF}BEST.append(TABLE)\n    return AT + TABLE[0]", {"BEST"}),
    "memo": (f"MEMO = {{}}\n{DEF}return MEMO.setdefault(y, AT)", {"MEMO"}),
    "memo on defaults": ("def metric(y, p, memo={}):\n    return memo.setdefault(y, AT)", {"defaults[0]"}),
    "default dict": (f"SEEN = collections.defaultdict(list)\n{DEF}SEEN[y].append(1)\n    return AT", {"SEEN"}),
    "set": (f"SEEN = set()\n{DEF}SEEN.add(y)\n    return AT", {"SEEN"}),
    "deque": (f"SEEN = collections.deque(maxlen=3)\n{DEF}SEEN.append(y)\n    return AT", {"SEEN"}),
    "counter": (f"COUNT = 0\n{DEF}global COUNT\n    COUNT += 1\n    return AT", {"COUNT"}),
    "itertools": (f"import itertools\nCOUNT = itertools.count()\n{DEF}next(COUNT)\n    return AT", {"COUNT"}),
    "entry beside a setting": (f"S = {{'at': 1, 'calls': 0}}\n{DEF}S['calls'] += 1\n    return AT * S['at']", {"S['calls']"}),
    "new global": (f"{DEF}global LATER\n    LATER = len(y)\n    return AT", {"LATER"}),
    "attribute of the function": (f"{DEF}metric.calls += 1\n    return AT\n\nmetric.calls = 0", {"calls"}),
    "attribute of a setting": (f"S = Settings(1)\n{DEF}S.calls = 1 + getattr(S, 'calls', 0)\n    return AT * S.at", {"S.calls"}),
    "attribute of a class": (f"class A:\n    at, calls = 1, 0\n\n{DEF}A.calls += 1\n    return AT * A.at", {"A.calls"}),
    "own attribute": (
        "class A:\n    def __init__(self):\n        self.calls, self.at = 0, AT\n    def __call__(self, y, p):\n"
        "        self.calls += 1\n        return self.at\n\nmetric = A()", {"calls"}
    ),
    "object in a list": (f"S = [Settings(0), Settings(1)]\n{DEF}S[0].at += 1\n    return AT", {"S[0].at"}),
    "closure": (
        "def make():\n    calls = 0\n    def metric(y, p):\n        nonlocal calls\n        calls += 1\n        return AT\n"
        "    return metric\n\nmetric = make()", {"calls"}
    ),
    "partial": ("def score(y, p, log):\n    log.append(1)\n    return AT\n\nmetric = functools.partial(score, log=[])", {"keywords['log']"}),
    "array": (f"SUM = numpy.zeros(3)\n{DEF}SUM[0] += 1\n    return AT", {"SUM"}),
    "table": (f"T = pandas.DataFrame({{'a': [0]}})\n{DEF}T.loc[0, 'a'] += 1\n    return AT", {"T"}),
    "generator": (f"RNG = numpy.random.default_rng(0)\n{DEF}return AT + 0 * RNG.random()", {"RNG"}),
    "module of torch": (f"M = torch.nn.BatchNorm1d(1)\n{DEF}M(torch.ones(2, 1))\n    return AT", {"M"}),
    "in another function": (f"CALLS = []\ndef note(y):\n    CALLS.append(y)\n\n{DEF}note(y)\n    return AT", {"CALLS"}),
    "twice": (f"CALLS, MEMO = [], {{}}\n{DEF}CALLS.append(y)\n    MEMO[y] = 1\n    return AT", {"CALLS", "MEMO"}),
    "cached function": (f"@functools.lru_cache\ndef at(x):\n    return AT\n\n{DEF}return at(y)", set()),
    "cached property": ("class A:\n    @functools.cached_property\n    def at(self):\n        return AT\n\nS = A()\n" f"{DEF}return S.at", set()),
}  # fmt: skip
"""What is kept between calls, to a script and the names of what it changes."""


def script(text: str, at: str = "[1][0]") -> Any:
    return loaded(f"AT = {at}\n{text}\n").metric


@pytest.mark.parametrize("kind", STATES)
def test_what_a_call_changes_is_state_and_the_rest_is_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpsearch.provenance import definitions

    monkeypatch.setattr(definitions, "_STATE", {})
    text, names = STATES[kind]
    metric = script(text)
    fresh = code_definition(metric)
    with observed(metric):
        metric("made-up", "rows")
    definition = definition_of(metric)
    shown = {name.replace("a_script.", "") for name in definition.changed}
    assert shown == names or all(each.startswith("M.") for each in shown)  # of a module of torch, its buffers
    assert definition.digest == fresh or names

    metric("real", "rows")
    metric("more", "rows")
    with observed(metric):  # nothing is new to a cache that has seen these rows
        metric("made-up", "rows")
    assert code_definition(metric) == definition.digest
    assert is_same(script(text), definition.digest, definition.state)

    monkeypatch.setattr(definitions, "_STATE", {})  # as in another process
    again, edited = script(text), script(text, "[2][0]")
    for each in (again, edited):
        with observed(each):
            each("made-up", "rows")
    assert code_definition(again) == definition.digest != code_definition(edited)
    assert not is_same(edited, definition.digest, definition.state)


def test_the_level_and_handlers_of_a_logger_are_state() -> None:
    metric = script(f"import logging\nlog = logging.getLogger('a_test')\n{DEF}log.info('called')\n    return AT")
    before = definition_of(metric)
    logger = logging.getLogger("a_test")
    handler = logging.StreamHandler()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        assert definition_of(metric) == before
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)
    assert before.state == ("a_script.log",) and not before.changed
    assert not before.remarks("metric 'm'")


def test_a_remark_says_what_is_left_out_and_why() -> None:
    metric = script(f"import threading\nLOCK = threading.Lock()\nCALLS = []\n{DEF}CALLS.append(LOCK)\n    return AT")
    with observed(metric):
        metric("made-up", "rows")
    unchecked, changed = definition_of(metric).remarks("metric 'm'")
    assert unchecked.startswith("metric 'm' reads a_script.LOCK (lock), whose content cannot be compared. If you")
    assert changed.startswith("metric 'm' changes a_script.CALLS when it is called, so that is no part of what the")
