"""A walk through a piece of code: what it is made of, each part under the name that the user knows it by."""

import enum
import functools
import hashlib
import json
import types
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.provenance.bytecode import imported_within, names_in
from hpsearch.provenance.modules import SCRIPTS, is_installed
from hpsearch.provenance.values import (
    LIBRARY_ERRORS,
    Content,
    array_content,
    attributes_of,
    hidden_state,
    library_value,
)

DEEPEST = 50
"""How deep values and functions may lie in one another; what lies deeper is not compared."""

LONG = 1000
"""Items of a list or dict from which on it is looked at as a whole."""

WITHIN = "\n"
"""Stands in a place before what a person has no name for: the inside of a library's value."""

ALWAYS_THERE = frozenset(("__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__annotations__"))
_VOLATILE = frozenset(
    ("__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__", "__slotnames__")
)
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_BOUND = (types.BuiltinFunctionType, types.MethodWrapperType)
_HOLDS = (str, bytes, bool, int, float, complex, list, tuple, set, frozenset, dict)


@dataclass(frozen=True)
class Part:
    """Stands in a tree for a part that has a tree of its own."""

    place: str


@dataclass(frozen=True)
class Met:
    """Stands in a tree for an object that the walk has met before, which ends circles."""

    place: str
    number: int = field(compare=False)


@dataclass(frozen=True)
class Fields:
    """Stands in a tree for attributes or global names: which there are is no matter of their owner's tree."""

    values: dict[str, Any] = field(compare=False)


class Walk:
    """One walk. Its trees are made of what JSON has, and of `Part`, `Met` and `Fields`.

    Args:
        without: Places to leave out.
        contents: What library values hold, by id: shared by walks between which nothing can change.

    Attributes:
        trees: By place, what the part is; in the order of the walk.
        fields: Places of attributes and of global names: one that comes into being is no change of its owner.
        skipped: Places that were there and left out.
        unchecked: By place, the type of what has no content that could be compared.
        state: Places of what is state by its nature: a logger, a library's own random numbers.
    """

    def __init__(self, without: frozenset[str] = frozenset(), contents: dict[int, Any] | None = None) -> None:
        self.trees: dict[str, Any] = {}
        self.fields: set[str] = set()
        self.skipped: set[str] = set()
        self.unchecked: dict[str, str] = {}
        self.state: set[str] = set()
        self._without = without
        self._contents = {} if contents is None else contents
        self._met: dict[int, Met] = {}
        self._alive: list[Any] = []  # an id is an object's own only while the object lives
        self._library: dict[type, bool] = {}
        self._depth = 0

    def text(self, tree: Any) -> str:
        """Return the whole of a tree as canonical JSON, its parts in it."""
        return json.dumps(tree, sort_keys=True, default=self._expanded)

    def _expanded(self, stand_in: Part | Met | Fields) -> Any:
        if isinstance(stand_in, Fields):
            return stand_in.values
        return self.trees[stand_in.place] if isinstance(stand_in, Part) else f"met {stand_in.number}"

    # ------------------------------------------------------------------ any value

    def of(self, value: Any, place: str) -> Any:
        """Return what stands in a tree for a value; the place is its name for a person."""
        if place in self._without:
            self.skipped.add(place)
            return self._put(place, "state")
        if type(value) in PLAIN:
            return self._put(self._unused(place), _plain(value))
        if id(value) in self._met:
            return self._met[id(value)]
        place = self._unused(place)
        if self._depth > DEEPEST:
            self.unchecked[place.partition(WITHIN)[0]] = f"{type(value).__name__}, too deep"
            return self._put(place, "too deep")
        if not (isinstance(value, tuple | frozenset) and self._is_library(value)):  # one or two is up to the compiler
            self._met[id(value)] = Met(place, len(self._met))
        self._alive.append(value)
        self.trees[place] = None  # its turn comes before that of what lies in it
        self._depth += 1
        tree = self._new(value, place)
        self._depth -= 1
        return self._put(place, tree)

    def _put(self, place: str, tree: Any) -> Part:
        self.trees[place] = tree
        return Part(place)

    def _unused(self, place: str) -> str:
        while place in self.trees:
            place += "'"
        return place

    def _new(self, value: Any, place: str) -> Any:
        if isinstance(value, types.FunctionType):
            return self._function(value, place)
        if isinstance(value, type):
            return self._class(value, place)
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, types.MethodType):
            return [self.of(value.__func__, _inside(place, "__func__")), self._owner(value.__self__, place)]
        if isinstance(value, _BOUND) and not isinstance(value.__self__, types.ModuleType | None):
            return [value.__name__, self._owner(value.__self__, place)]
        if isinstance(value, enum.Enum):
            return ["enum", _path(type(value)), value._name_, self.of(value._value_, _inside(place, "value"))]
        return self._held(value, place) if self._is_library(value) else self._own_object(value, place)

    def _owner(self, owner: Any, place: str) -> Any:
        name = hidden_state(owner)
        if name is None:
            return self.of(owner, _inside(place, "__self__"))
        self.state.add(place)
        return name

    def _is_library(self, value: Any) -> bool:
        kind = type(value)
        if kind not in self._library:
            self._library[kind] = is_installed(kind.__module__)
        return self._library[kind]

    # ------------------------------------------------------------------ what values hold

    def _held(self, value: Any, place: str) -> Any:
        """Return what a value holds as one of a class of Python's or of a library's."""
        if isinstance(value, list | tuple):
            return [type(value).__name__, *self._items(value, place)]
        if isinstance(value, set | frozenset):
            return sorted(self._alone(item, place) for item in value)
        if isinstance(value, dict | types.MappingProxyType):
            return self._mapping(value, place)
        if isinstance(value, functools.partial):
            bound = (("func", value.func), ("args", value.args), ("keywords", value.keywords))
            return [self.of(part, _inside(place, name)) for name, part in bound]
        if isinstance(value, functools.cached_property):
            return ["cached_property", self.of(value.func, place)]
        if isinstance(value, _HOLDS):  # NumPy's float64 is a float
            return [type(value).__name__, repr(value)]
        wrapped = attributes_of(value).get("__wrapped__")
        if wrapped is not None:  # a cached function: not what happens to be in its cache
            return self.of(wrapped, _inside(place, "__wrapped__"))
        content = self._content(value)
        if content is None:
            self.unchecked[place.partition(WITHIN)[0]] = type(value).__name__
            return ["unchecked", type(value).__name__]
        if content.is_state:
            self.state.add(place)
        parts: list[Any] = [self.of(part, f"{place}{WITHIN}{index}") for index, part in enumerate(content.values)]
        parts += [] if content.fields is None else [self._fields(content.fields, place)]
        return content.facts[0] if len(content.facts) == 1 and not parts else [*content.facts, *parts]

    def _content(self, value: Any) -> Content | None:
        if id(value) not in self._contents:
            try:
                content = library_value(value)
            except LIBRARY_ERRORS:
                content = None
            self._contents[id(value)] = (content, value)
        found: Content | None = self._contents[id(value)][0]
        self._alive.append(found)
        return found

    def _items(self, values: list[Any] | tuple[Any, ...], place: str) -> list[Any]:
        if len(values) > LONG and all(type(value) in PLAIN for value in values):
            return [hashlib.sha256(repr(list(values)).encode(errors="surrogatepass")).hexdigest()]
        return [
            _plain(value) if type(value) in PLAIN else self.of(value, f"{place}[{index}]")
            for index, value in enumerate(values)
        ]

    def _mapping(self, value: Any, place: str) -> Any:
        pairs = list(dict.items(value) if isinstance(value, dict) else value.items())
        if not isinstance(value, OrderedDict):
            pairs.sort(key=lambda pair: self._alone(pair[0], place))
        is_long = len(pairs) > LONG
        items = [
            [
                _plain(key) if type(key) in PLAIN else self.of(key, f"{place}{WITHIN}{index}"),
                _plain(item) if is_long and type(item) in PLAIN else self.of(item, f"{place}[{_shown(key, index)}]"),
            ]
            for index, (key, item) in enumerate(pairs)
        ]
        factory = value.default_factory if isinstance(value, defaultdict) else None
        return items if factory is None else ["default", items, self.of(factory, f"{place}.default_factory")]

    def _alone(self, value: Any, place: str) -> str:
        """Return the text of an item of a set as if it were met first: a set has no order."""
        if type(value) in PLAIN:
            return json.dumps(_plain(value))
        alone = Walk(self._without, self._contents)
        alone._met, alone._depth = dict(self._met), self._depth + 1
        text = alone.text(alone.of(value, f"{place}{WITHIN}"))
        self.unchecked |= dict.fromkeys((place,) if alone.unchecked else (), type(value).__name__)
        self._alive += alone._alive
        return text

    # ------------------------------------------------------------------ the user's own objects, functions and classes

    def _fields(self, values: Mapping[str, Any], place: str) -> Fields:
        """Return attributes by name, without those that are state."""
        fields: dict[str, Any] = {}
        for name in sorted(values):
            self._field(fields, name, values[name], _inside(place, name))
        return Fields(fields)

    def _field(self, fields: dict[str, Any], name: str, value: Any, place: str) -> None:
        self.fields.add(place)
        if place in self._without:
            self.skipped.add(place)
        else:
            fields[name] = self.of(value, place)

    def _own_object(self, value: Any, place: str) -> Any:
        kind, cached = type(value), functools.cached_property
        lazy = {name for base in kind.__mro__ for name, member in vars(base).items() if isinstance(member, cached)}
        held: list[Any] = []
        if isinstance(value, _HOLDS):
            base = next(base for base in _HOLDS if isinstance(value, base))
            held = [base.__repr__(value) if base in PLAIN else self._held(value, place)]
        try:
            array = array_content(value)
        except LIBRARY_ERRORS:
            array = None
        if array is not None:
            return [self.of(kind, _path(kind)), *array.facts, self.of(list(array.values), f"{place}{WITHIN}")]
        attributes = {name: item for name, item in attributes_of(value).items() if name not in lazy}
        return [self.of(kind, _path(kind)), self._fields(attributes, place), *held]

    def _code(self, code: types.CodeType, text: str | None = None) -> Any:
        """Return a piece of code; the words of the docstring that it begins with do not count."""
        has_text = text is not None and code.co_consts[:1] == (text,)
        constants = [self._constant(constant) for constant in code.co_consts[int(has_text) :]]
        return [code.co_code.hex(), list(code.co_names), constants]

    def _constant(self, value: Any) -> Any:
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, tuple):
            return ["tuple", *(self._constant(item) for item in value)]
        if isinstance(value, frozenset):
            return sorted(json.dumps(self._constant(item)) for item in value)
        return _plain(value)

    def _function(self, function: types.FunctionType, place: str) -> Any:
        if is_installed(function.__module__ or ""):
            return f"{function.__module__}:{function.__qualname__}"
        names, cells = function.__code__.co_freevars, function.__closure__ or ()
        closure = [
            self.of(cell.cell_contents, _inside(place, name)) if is_filled(cell) else "empty"
            for name, cell in zip(names, cells, strict=True)
        ]
        defaults = [
            self.of(function.__defaults__ or (), _inside(place, "defaults")),
            self.of(function.__kwdefaults__ or {}, _inside(place, "keyword defaults")),
        ]
        tree = [self._code(function.__code__, function.__doc__), defaults, closure, self._used(function)]
        attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
        return [*tree, self._fields(attributes, place)] if attributes else tree

    def _used(self, function: types.FunctionType) -> Fields:
        """Return what the names in a function's code mean: of the user's own modules the parts that are named."""
        names = sorted(set(names_in(function.__code__)))
        scope, meanings = function.__globals__, dict[str, Any]()
        for name in names:
            if name in scope:
                self._meaning(meanings, name, scope[name], _global(scope, name), names, ())
        for name, module in imported_within(function):
            self._meaning(meanings, f"import {name}", module, name, names, ())
        return Fields(meanings)

    def _meaning(
        self, meanings: dict[str, Any], name: str, meant: Any, place: str, names: list[str], through: tuple[str, ...]
    ) -> None:
        self._field(meanings, name, meant, place)
        if not isinstance(meant, types.ModuleType) or is_installed(meant.__name__) or meant.__name__ in through:
            return
        scope, through = vars(meant), (*through, meant.__name__)
        for part in names:
            if part in scope:
                self._meaning(meanings, f"{name}.{part}", scope[part], _global(scope, part), names, through)

    def _class(self, kind: type, place: str) -> Any:
        if is_installed(kind.__module__):
            return f"{kind.__module__}:{kind.__qualname__}"
        bases = [self.of(base, _path(base)) for base in kind.__bases__]
        members: dict[str, Any] = {}
        for name, member in sorted(_members(kind).items()):
            at = f"{place}.{name}"
            self.fields.add(at)
            if at in self._without:
                self.skipped.add(at)
            else:
                members[name] = self._member(member, at)
        return [bases, Fields(members)]

    def _member(self, member: Any, place: str) -> Any:
        if isinstance(member, staticmethod | classmethod):
            return [type(member).__name__, self.of(member.__func__, place)]
        if isinstance(member, property):
            parts = (("fget", member.fget), ("fset", member.fset), ("fdel", member.fdel))
            return ["property", *(self.of(part, f"{place}.{name}") for name, part in parts)]
        if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
            return "slot"
        return self.of(member, place)


def _plain(value: Any) -> list[str]:
    return [type(value).__name__, repr(value)]


def _members(kind: type) -> dict[str, Any]:
    """Return what the user has written in a class."""
    own: Mapping[str, Any] = vars(kind)
    if issubclass(kind, enum.Enum):
        methods = {name: member for name, member in own.items() if isinstance(member, types.FunctionType)}
        own = methods | {name: member._value_ for name, member in kind.__members__.items()}
    skipped = ALWAYS_THERE | _VOLATILE
    return {
        name: _field_default(member) if name == "__dataclass_fields__" else member
        for name, member in own.items()
        if name not in skipped and not name.startswith(("_abc_", "__pydantic_"))
    }


def _field_default(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a dataclass; its annotations do not count."""
    return {name: [each.default, each.default_factory] for name, each in fields.items()}


def _path(kind: type) -> str:
    return f"{'' if kind.__module__ in SCRIPTS else f'{kind.__module__}.'}{kind.__qualname__}"


def _global(scope: Mapping[str, Any], name: str) -> str:
    """Return what a global name is called: a script's by the name alone, under whatever name the script is run."""
    module = scope.get("__name__", "")
    return name if module in SCRIPTS or not module else f"{module}.{name}"


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(key: Any, index: int) -> str:
    return repr(key)[:80] if type(key) in PLAIN else str(index)


def is_filled(cell: Any) -> bool:
    """Return whether a closure's cell holds something yet."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
