"""The definitions that hpsearch 0.1 and 0.2.0 stored: a study of theirs is compared with these.

They told objects that are no functions by their `repr` or by the names of their attributes only, and counted what
code changes as it runs.
"""

import functools
import hashlib
import json
import re
import types
from collections.abc import Mapping
from typing import Any

from hpsearch.provenance.bytecode import names_in
from hpsearch.provenance.modules import is_installed
from hpsearch.provenance.walk import ALWAYS_THERE, PLAIN, is_filled

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_VOLATILE = frozenset(("__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"))


def earlier_definition(value: Any) -> str | None:
    """Return the digest that those versions had for a function, class or object; None where it has no end."""
    try:
        text = json.dumps(_Walk().of(value), sort_keys=True)
    except RecursionError:
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _Walk:
    """One walk through a piece of code. What was met before is given its number in the order of meeting: cycles end."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is an object's own only while the object lives

    def of(self, value: Any) -> Any:
        if isinstance(value, PLAIN):
            return [type(value).__name__, repr(value)]
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, tuple | frozenset):  # which of them are one object is up to the compiler
            return self._new(value)
        if id(value) in self._met:
            return f"met {self._met[id(value)]}"
        self._met[id(value)] = len(self._met)
        self._alive.append(value)
        return self._new(value)

    def _new(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [type(value).__name__, *(self.of(item) for item in value)]
        if isinstance(value, set | frozenset):
            return sorted(json.dumps(self.of(item), sort_keys=True) for item in value)
        if isinstance(value, Mapping):
            return [[self.of(key), self.of(item)] for key, item in value.items()]
        if isinstance(value, functools.partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, types.MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        return self._object(value)

    def _code(self, code: types.CodeType, text: str | None = None) -> Any:
        """Return a piece of code; the words of the docstring that it begins with do not count."""
        has_text = text is not None and code.co_consts[:1] == (text,)
        constants = [self.of(constant) for constant in code.co_consts[int(has_text) :]]
        return [code.co_code.hex(), list(code.co_names), constants]

    def _function(self, function: types.FunctionType) -> Any:
        if is_installed(function.__module__ or ""):
            return f"{function.__module__}:{function.__qualname__}"
        cells = [self.of(cell.cell_contents) if is_filled(cell) else "empty" for cell in function.__closure__ or ()]
        defaults = [self.of(function.__defaults__ or ()), self.of(function.__kwdefaults__ or {})]
        return [self._code(function.__code__, function.__doc__), defaults, cells, self._used(function)]

    def _used(self, function: types.FunctionType) -> Any:
        """Return what the names in a function's code mean: of the user's own modules the parts that are named."""
        names = sorted(set(names_in(function.__code__)))
        meanings = {}
        for name in names:
            if name not in function.__globals__:
                continue
            meant = function.__globals__[name]
            meanings[name] = self.of(meant)
            if isinstance(meant, types.ModuleType) and not is_installed(meant.__name__):
                parts = [part for part in names if hasattr(meant, part)]
                meanings |= {f"{name}.{part}": self.of(getattr(meant, part)) for part in parts}
        return meanings

    def _class(self, kind: type) -> Any:
        if is_installed(kind.__module__):
            return f"{kind.__module__}:{kind.__qualname__}"
        members = {
            name: self._member(member)
            for name, member in sorted(vars(kind).items())
            if name not in ALWAYS_THERE | _VOLATILE and not name.startswith("_abc_")
        }
        return [[self.of(base) for base in kind.__bases__], members]

    def _member(self, member: Any) -> Any:
        if isinstance(member, staticmethod | classmethod):
            return [type(member).__name__, self.of(member.__func__)]
        if isinstance(member, property):
            return ["property", *(self.of(part) for part in (member.fget, member.fset, member.fdel))]
        if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
            return "slot"
        return self.of(member)

    def _object(self, value: Any) -> Any:
        array = _as_array(value)
        if array is not None:
            return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        wrapped = getattr(value, "__wrapped__", None)  # a cached function: not what happens to be in its cache
        if wrapped is not None:
            return self.of(wrapped)
        if callable(value) and isinstance(getattr(value, "__dict__", None), dict):
            return [self._class_of(value), {name: self.of(item) for name, item in sorted(vars(value).items())}]
        if type(value).__repr__ is object.__repr__:
            return [self._class_of(value), sorted(getattr(value, "__dict__", {}))]
        return _ADDRESS.sub("", repr(value))

    def _class_of(self, value: Any) -> Any:
        return self.of(type(value))


def _as_array(value: Any) -> Any:
    """Return an array of numbers, NumPy's or torch's, as NumPy's, or None for anything else."""
    import numpy as np

    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        value = value.float().numpy() if "bfloat16" in str(value.dtype) else value.numpy()
    is_numeric = isinstance(value, np.ndarray) and not value.dtype.hasobject
    return np.ascontiguousarray(value) if is_numeric else None
