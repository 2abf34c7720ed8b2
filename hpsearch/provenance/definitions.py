"""Definitions: what a user's code computes, as a digest, and where it can be imported from.

Code that a study depends on (a metric, a model, a loss) is part of what the study is. Its digest follows the user's
own functions and classes as far as they are used, and stops at installed packages, whose versions are among the
numerics.
"""

import functools
import hashlib
import importlib
import json
import re
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCRIPTS = ("__main__", "__hpsearch__")
"""Names of modules that nobody can import later: a script, a notebook, a file given to `hpsearch run`."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ALWAYS_THERE = frozenset(("__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__annotations__"))
_VOLATILE = frozenset(("__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"))
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_INSTALLED = {Path(path) for name, path in sysconfig.get_paths().items() if name.endswith("lib")}


def code_definition(value: Any) -> str:
    """Return 32 hexadecimal digits of what a function, a class or a callable object computes.

    Its code counts, with default arguments, what it closes over, and the user's own functions, classes and constants
    that it names; of installed packages, only the names of what is used. Comments, docstrings, line breaks and its own
    name do not. Under another version of Python the same code has another digest.
    """
    text = json.dumps(_Walk().of(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def import_path(value: Any) -> str | None:
    """Return "module:name" of what can be imported, or None: notebooks, scripts, lambdas, objects."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name or module in SCRIPTS or "<" in name:
        return None
    named: Any = sys.modules.get(module)
    for part in name.split("."):
        named = getattr(named, part, None)
    return f"{module}:{name}" if named is value else None


def imported(path: str) -> Any:
    """Return what an import path names; ImportError without such a module, AttributeError without such a name."""
    module, _, name = path.partition(":")
    named: Any = importlib.import_module(module)
    for part in name.split("."):
        named = getattr(named, part)
    return named


def is_installed(module: str) -> bool:
    """Return whether a module is Python's own or an installed package's, and not one of the user's."""
    top = module.partition(".")[0]
    if top in SCRIPTS:
        return False
    if top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and is_installed_file(file)


def is_installed_file(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    path = Path(file)
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        path.is_relative_to(folder) for folder in _INSTALLED
    )


class _Walk:
    """One walk through a piece of code. What was met before is given its number in the order of meeting: cycles end."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is an object's own only while the object lives

    def of(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
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
        cells = [self.of(cell.cell_contents) if _is_filled(cell) else "empty" for cell in function.__closure__ or ()]
        defaults = [self.of(function.__defaults__ or ()), self.of(function.__kwdefaults__ or {})]
        return [self._code(function.__code__, function.__doc__), defaults, cells, self._used(function)]

    def _used(self, function: types.FunctionType) -> Any:
        """Return what the names in a function's code mean: of the user's own modules the parts that are named."""
        names = sorted(set(_names(function.__code__)))
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
            if name not in _ALWAYS_THERE | _VOLATILE and not name.startswith("_abc_")
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


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _as_array(value: Any) -> Any:
    """Return an array of numbers, NumPy's or torch's, as NumPy's, or None for anything else."""
    import numpy as np

    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        value = value.float().numpy() if "bfloat16" in str(value.dtype) else value.numpy()
    is_numeric = isinstance(value, np.ndarray) and not value.dtype.hasobject
    return np.ascontiguousarray(value) if is_numeric else None
