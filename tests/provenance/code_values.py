"""Scripts with a metric that reads a value: kinds of values, each with an edit. Run, this prints every definition."""

# ruff: noqa: E501  # a table, a line a kind

import functools
import json
import sys
import types

from hpsearch.provenance.definitions import code_definition

FRAME = "pandas.DataFrame({{'a': [1, {0}], 'b': ['x', 'y']}})"
POINTS = "numpy.arange(40.0).reshape(20, 2)"
LONG = "a" * 300
WITHIN = "def metric(y, p):\n    return VALUE"
"""A metric, where the edit is in the global VALUE."""

VALUES = {
    "whole number": ("1", "2"),
    "number by type": ("1", "1.0"),
    "bool by type": ("1", "True"),
    "float's last bit": ("0.3", "0.1 + 0.2"),
    "text": ("'a'", "'b'"),
    "text by type": ("'a'", "b'a'"),
    "None": ("None", "0"),
    "complex": ("1j", "2j"),
    "Decimal": ("decimal.Decimal('0.1')", "decimal.Decimal('0.2')"),
    "Fraction": ("fractions.Fraction(1, 3)", "fractions.Fraction(2, 3)"),
    "date": ("datetime.date(2020, 1, 1)", "datetime.date(2020, 1, 2)"),
    "uuid": ("uuid.UUID(int=1)", "uuid.UUID(int=2)"),
    "path": ("pathlib.Path('a')", "pathlib.Path('b')"),
    "pattern": (f"re.compile('{LONG}b')", f"re.compile('{LONG}c')"),
    "pattern's flags": ("re.compile('a')", "re.compile('a', re.I)"),
    "range": ("range(3)", "range(4)"),
    "list": ("[1, [2]]", "[1, [3]]"),
    "long list": ("list(range(5000))", "[*range(4999), 0]"),
    "tuple": ("(1, [2])", "(1, [3])"),
    "dict": ("{'a': {'b': 1}}", "{'a': {'b': 2}}"),
    "dict's key": ("{'a': 1}", "{'b': 1}"),
    "dict's key by type": ("{1: 1}", "{'1': 1}"),
    "long dict": ("{i: i for i in range(3000)}", "{i: i + (i == 2999) for i in range(3000)}"),
    "ordered dict": ("collections.OrderedDict(a=1, b=2)", "collections.OrderedDict(b=2, a=1)"),
    "default dict": ("collections.defaultdict(int)", "collections.defaultdict(float)"),
    "counter": ("collections.Counter('aab')", "collections.Counter('abb')"),
    "deque": ("collections.deque([1])", "collections.deque([2])"),
    "mapping proxy": ("types.MappingProxyType({'a': 1})", "types.MappingProxyType({'a': 2})"),
    "chain map": ("collections.ChainMap({'a': 1})", "collections.ChainMap({'a': 2})"),
    "set": ("{'a', 'b', 'c'}", "{'a', 'b', 'd'}"),
    "set of tuples": ("{('a', 1), ('b', 2)}", "{('a', 1), ('b', 3)}"),
    "set of objects": ("{Frozen(1), Frozen(2)}", "{Frozen(1), Frozen(3)}"),
    "dict of objects": ("{Frozen('a'): 1, Frozen('b'): 2}", "{Frozen('a'): 1, Frozen('c'): 2}"),
    "namespace": ("types.SimpleNamespace(a=1)", "types.SimpleNamespace(a=2)"),
    "settings object": ("Settings(1)", "Settings(2)"),
    "settings in settings": ("Settings([Settings(1)])", "Settings([Settings(2)])"),
    "slots": ("Slotted(1)", "Slotted(2)"),
    "dataclass": ("Data(1)", "Data(2)"),
    "dataclass of a set": ("Data({'a', 'b'})", "Data({'a', 'c'})"),
    "named tuple": ("Pair(1, 2)", "Pair(1, 3)"),
    "enum": ("Colour.RED", "Colour.BLUE"),
    "enum of text": ("Word.ONE", "Word.TWO"),
    "own dict": ("OwnDict(a=1)", "OwnDict(a=2)"),
    "own list": ("OwnList([1])", "OwnList([2])"),
    "own text": ("OwnText('a')", "OwnText('b')"),
    "own array": ("numpy.arange(3).view(OwnArray)", "numpy.arange(4).view(OwnArray)"),
    "own table": ("OwnFrame({'a': [1]})", "OwnFrame({'a': [2]})"),
    "NumPy number": ("numpy.float32(1)", "numpy.float32(2)"),
    "NumPy's float64": ("numpy.float64(1)", "numpy.float64(2)"),
    "array": ("numpy.arange(3)", "numpy.array([0, 1, 3])"),
    "array by type": ("numpy.arange(3)", "numpy.arange(3.0)"),
    "array by shape": ("numpy.arange(4)", "numpy.arange(4).reshape(2, 2)"),
    "array without rows": ("numpy.zeros((0, 2))", "numpy.zeros((0, 3))"),
    "array of texts": ("numpy.array(['a', 'b'])", "numpy.array(['a', 'c'])"),
    "array of dates": ("numpy.array(['2020'], 'datetime64[D]')", "numpy.array(['2021'], 'datetime64[D]')"),
    "object array": ("numpy.array(['a', None, {1}], object)", "numpy.array(['a', None, {2}], object)"),
    "object array of texts": ("numpy.array(['a', 'b'], object)", "numpy.array(['a', 'c'], object)"),
    "records": ("numpy.array([(1, 2.)], 'i4,f8')", "numpy.array([(1, 3.)], 'i4,f8')"),
    "masked array": ("numpy.ma.array([1, 2], mask=[0, 1])", "numpy.ma.array([1, 2], mask=[1, 0])"),
    "polynomial": ("numpy.poly1d([1, 2])", "numpy.poly1d([1, 3])"),
    "ufunc": ("numpy.add", "numpy.subtract"),
    "vectorized function": ("numpy.vectorize(lambda x: x + 1)", "numpy.vectorize(lambda x: x + 2)"),
    "random generator": ("numpy.random.default_rng(1)", "numpy.random.default_rng(2)"),
    "random state": ("numpy.random.RandomState(1)", "numpy.random.RandomState(2)"),
    "Python's random": ("random.Random(1)", "random.Random(2)"),
    "table": (FRAME.format(2), FRAME.format(3)),
    "table's index": ("pandas.DataFrame({'a': [1]}, [0])", "pandas.DataFrame({'a': [1]}, [1])"),
    "table's column": ("pandas.DataFrame({'a': [1]})", "pandas.DataFrame({'b': [1]})"),
    "table of objects": ("pandas.DataFrame({'a': [[1], None]})", "pandas.DataFrame({'a': [[2], None]})"),
    "series": ("pandas.Series([1.0, 2.0])", "pandas.Series([1.0, 3.0])"),
    "series' name": ("pandas.Series([1], name='a')", "pandas.Series([1], name='b')"),
    "series of texts": ("pandas.Series(['a', 'b'])", "pandas.Series(['a', 'c'])"),
    "categories": ("pandas.Series(['a', 'b'], dtype='category')", "pandas.Series(['a', 'a'], dtype='category')"),
    "nullable numbers": ("pandas.Series([1, None], dtype='Int64')", "pandas.Series([2, None], dtype='Int64')"),
    "dates": ("pandas.to_datetime(['2020-01-01'], utc=True)", "pandas.to_datetime(['2020-01-02'], utc=True)"),
    "several levels": ("pandas.MultiIndex.from_tuples([(1, 'a')])", "pandas.MultiIndex.from_tuples([(1, 'b')])"),
    "timestamp": ("pandas.Timestamp('2020-01-01')", "pandas.Timestamp('2020-01-02')"),
    "sparse matrix": ("sparse.csr_matrix([[0, 1]])", "sparse.csr_matrix([[0, 2]])"),
    "sparse array": ("sparse.csc_array([[0, 1]])", "sparse.csc_array([[1, 0]])"),
    "frozen distribution": ("stats.norm(0, 1)", "stats.norm(0, 2)"),
    "fitted estimator": (f"Ridge().fit({POINTS}, range(20))", f"Ridge().fit({POINTS}, range(1, 21))"),
    "estimator": ("Ridge(alpha=1.0)", "Ridge(alpha=2.0)"),
    "fitted tree": (f"Tree(random_state=0).fit({POINTS}, [0, 1] * 10)", f"Tree(random_state=0).fit({POINTS}, [1, 0] * 10)"),
    "pipeline": (f"make_pipeline(Scaler(), Ridge()).fit({POINTS}, range(20))", f"make_pipeline(Scaler(), Ridge()).fit({POINTS}, range(3, 23))"),
    "scorer": ("make_scorer(fbeta_score, beta=1)", "make_scorer(fbeta_score, beta=2)"),
    "tensor": ("torch.arange(3)", "torch.tensor([0, 1, 3])"),
    "half a tensor": ("torch.ones(2, dtype=torch.bfloat16)", "torch.zeros(2, dtype=torch.bfloat16)"),
    "module": ("linear(1.0)", "linear(2.0)"),
    "own module": ("OwnModule(1.0)", "OwnModule(2.0)"),
    "torch generator": ("torch.Generator().manual_seed(1)", "torch.Generator().manual_seed(2)"),
    "torch type": ("torch.float32", "torch.float64"),
    "function": ("lambda x: x + 1", "lambda x: x + 2"),
    "partial": ("functools.partial(max, 1)", "functools.partial(max, 2)"),
    "bound method": ("Settings(1).read", "Settings(2).read"),
    "bound method of a dict": ("{'a': 1}.get", "{'a': 2}.get"),
    "item getter": ("operator.itemgetter(1)", "operator.itemgetter(2)"),
    "callable": ("Called(1)", "Called(2)"),
    "callable of a settings object": ("Called(Settings(1))", "Called(Settings(2))"),
    "buffer": ("io.BytesIO(b'a')", "io.BytesIO(b'b')"),
}  # fmt: skip
"""Kind of value to two expressions."""

CODES = {
    "default": ("def metric(y, p, at=[1]):\n    return at", "[1]", "[2]"),
    "keyword default": ("def metric(y, p, *, at=[1]):\n    return at", "[1]", "[2]"),
    "closure": ("def make(at):\n    return lambda y, p: at\n\nmetric = make([1])", "[1]", "[2]"),
    "closure in a closure": (
        "def make(at):\n    inner = lambda: at\n    return lambda y, p: inner()\n\nmetric = make([1])", "[1]", "[2]"
    ),
    "function's attribute": ("def metric(y, p):\n    return metric.at\n\nmetric.at = 1", "at = 1", "at = 2"),
    "helper's global": ("AT = 1\ndef helper():\n    return AT\n\ndef metric(y, p):\n    return helper()", "AT = 1", "AT = 2"),
    "class attribute": ("class Config:\n    at = [1]\n\ndef metric(y, p):\n    return Config.at", "[1]", "[2]"),
    "property": ("class A:\n    @property\n    def at(self):\n        return 1\n\ndef metric(y, p):\n    return A().at", "1", "2"),
    "cached property": (
        "class A:\n    @functools.cached_property\n    def at(self):\n        return 1\n\ndef metric(y, p):\n    return A().at", "1", "2"
    ),
    "cached function": ("@functools.lru_cache\ndef at():\n    return 1\n\ndef metric(y, p):\n    return at()", "1", "2"),
    "single dispatch": (
        "@functools.singledispatch\ndef at(x):\n    return 1\n\n@at.register\ndef _(x: int):\n    return 2\n\n"
        "def metric(y, p):\n    return at(1)", "return 2", "return 3"
    ),
    "partial method": (
        "class A:\n    def get(self, x):\n        return x\n    at = functools.partialmethod(get, 1)\n\n"
        "def metric(y, p):\n    return A().at()", "1)", "2)"
    ),
    "dataclass default": (
        "@dataclasses.dataclass\nclass A:\n    at: int = 1\n\ndef metric(y, p):\n    return A().at", "= 1", "= 2"
    ),
    "dataclass factory": (
        "@dataclasses.dataclass\nclass A:\n    at: list = dataclasses.field(default_factory=lambda: [1])\n\n"
        "def metric(y, p):\n    return A().at", "[1]", "[2]"
    ),
    "member of an enum": (
        "class A(enum.Enum):\n    ONE = 1\n\ndef metric(y, p):\n    return A.ONE.value", "= 1", "= 2"
    ),
    "named tuple's default": (
        "class A(typing.NamedTuple):\n    at: int = 1\n\ndef metric(y, p):\n    return A().at", "= 1", "= 2"
    ),
    "metric that is an object": (
        "class A:\n    def __init__(self, at):\n        self.at = at\n    def __call__(self, y, p):\n        return self.at\n\n"
        "metric = A([1])", "[1]", "[2]"
    ),
    "metric that is a method": (
        "class A:\n    def __init__(self, at):\n        self.at = at\n    def score(self, y, p):\n        return self.at\n\n"
        "metric = A([1]).score", "[1]", "[2]"
    ),
    "metric that is a partial": ("def score(y, p, at):\n    return at\n\nmetric = functools.partial(score, at=[1])", "[1]", "[2]"),
}  # fmt: skip
"""Where a value stands to a script, and an edit of it."""

HEAD = """
import collections, dataclasses, datetime, decimal, enum, fractions, functools, io, operator, pathlib, random, re, types
import typing, uuid
import numpy, pandas, torch
from scipy import sparse, stats
from sklearn.linear_model import Ridge
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler as Scaler
from sklearn.tree import DecisionTreeClassifier as Tree

class Settings:
    def __init__(self, at):
        self.at = at
    def read(self):
        return self.at

class Called(Settings):
    def __call__(self):
        return self.at

class Slotted:
    __slots__ = ("at",)
    def __init__(self, at):
        self.at = at

@dataclasses.dataclass
class Data:
    at: object

@dataclasses.dataclass(frozen=True)
class Frozen:
    at: object

Pair = collections.namedtuple("Pair", "one two")
Colour = enum.Enum("Colour", "RED BLUE")
class Word(str, enum.Enum):
    ONE = "one"
    TWO = "two"

class OwnDict(dict): pass
class OwnList(list): pass
class OwnText(str): pass
class OwnArray(numpy.ndarray): pass
class OwnFrame(pandas.DataFrame): pass

def linear(at):
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(at)
    return module

class OwnModule(torch.nn.Module):
    def __init__(self, at):
        super().__init__()
        self.inner = linear(at)

"""


@functools.cache
def _head() -> types.ModuleType:
    module = types.ModuleType("a_script")
    exec(compile(HEAD, "a_script.py", "exec"), module.__dict__)
    return module


def loaded(text: str) -> types.ModuleType:
    """Return a module of this text, under the same first lines for all."""
    module = types.ModuleType("a_script")
    module.__dict__.update(vars(_head()))
    exec(compile(text, "a_script.py", "exec"), module.__dict__)
    return module


def reading(expression: str) -> types.ModuleType:
    """Return a script whose metric reads a value."""
    return loaded(f"VALUE = {expression}\n\n{WITHIN}\n")


def all_definitions() -> dict[str, str]:
    values = {kind: code_definition(reading(before).metric) for kind, (before, _) in VALUES.items()}
    return values | {kind: code_definition(loaded(text).metric) for kind, (text, _, _) in CODES.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(all_definitions()))
