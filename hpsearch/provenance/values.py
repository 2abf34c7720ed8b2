"""What a value of Python's or of a library's holds, for a definition: arrays, tables, estimators, ..."""

import copyreg
import hashlib
import json
import logging
import os
import pickle
import re
import sys
import types
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIBRARY_ERRORS = (
    TypeError, ValueError, LookupError, AttributeError, RuntimeError, ImportError, OSError, pickle.PickleError,
)  # fmt: skip
"""What a library raises where it cannot say what an object of its own holds."""

_WRITTEN_OUT = frozenset(("pathlib", "decimal", "fractions", "datetime", "uuid"))
"""Modules whose values are told by their `repr`."""

_WRITTEN_OUT_TYPES = (
    range, slice, bytearray, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.ClassMethodDescriptorType, types.GenericAlias, types.UnionType, type(NotImplemented), type(Ellipsis),
)  # fmt: skip

_VERSIONS = frozenset(("_sklearn_version",))
"""Entries of an object's state that name the library's version, which is part of the numerics."""


@dataclass(frozen=True)
class Content:
    """What a value holds.

    Attributes:
        facts: What of it JSON can hold.
        values: Other values that it holds, to be looked into.
        fields: Its attributes, to be looked into.
        is_state: Whether it changes without changing what is computed.
    """

    facts: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()
    fields: Mapping[str, Any] | None = None
    is_state: bool = False


def library_value(value: Any) -> Content | None:
    """Return what a value of Python's or a library's holds, or None where nobody can say.

    Raises:
        One of LIBRARY_ERRORS: Nobody can say, either.
    """
    if value is os.environ:  # other in every shell
        return None
    name = hidden_state(value)
    if name is not None:
        return Content((name,), is_state=True)
    if isinstance(value, logging.Logger):  # its level and its handlers change no number
        return Content(("logger", value.name), is_state=True)
    if isinstance(value, re.Pattern):
        return Content(("pattern", value.flags), (value.pattern,))
    array = array_content(value)
    if array is not None:
        return array
    if type(value).__module__ in _WRITTEN_OUT or isinstance(value, _WRITTEN_OUT_TYPES):
        return Content((repr(value),))
    return _pickled(value)


def hidden_state(value: Any) -> str | None:
    """Return the name of random numbers that a library draws for everybody, or None for anything else."""
    shared = {"random": "_inst", "numpy.random.mtrand": "_rand", "torch": "default_generator"}
    for module, name in shared.items():
        if value is not None and value is getattr(sys.modules.get(module), name, None):
            return f"random numbers of {module.partition('.')[0]}"
    return None


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's attributes, also those in slots; no code of its class is called."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    found = {name: item for name, item in own.items() if isinstance(name, str)} if isinstance(own, dict) else {}
    for base in type(value).__mro__:
        if "__slots__" not in vars(base):
            continue
        for name, member in vars(base).items():
            if isinstance(member, types.MemberDescriptorType):
                try:
                    found[name] = member.__get__(value)
                except AttributeError:  # not set
                    continue
    return found


# ---------------------------------------------------------------------- arrays and tables


def array_content(value: Any) -> Content | None:
    """Return what an array or table holds, of NumPy, pandas, SciPy or torch; None for anything else."""
    numpy, pandas, sparse = (sys.modules.get(name) for name in ("numpy", "pandas", "scipy.sparse"))
    if numpy is not None and isinstance(value, numpy.generic | numpy.dtype | numpy.ufunc):
        return Content((repr(value),))
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _array(value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        dense = value.detach().cpu()
        return _array(dense.float().numpy() if dense.dtype is torch.bfloat16 else dense.numpy())
    if torch is not None and isinstance(value, torch.Generator):
        return _array(value.get_state().numpy())
    if pandas is not None and isinstance(value, pandas.DataFrame):
        columns = [_column(value.iloc[:, index].array) for index in range(value.shape[1])]
        return Content(("table",), (value.index, value.columns, columns))
    if pandas is not None and isinstance(value, pandas.Series):
        return Content(("column",), (value.name, value.index, *_column(value.array)))
    if pandas is not None and isinstance(value, pandas.MultiIndex):
        return Content(("index",), (list(value.names), value.to_list()))
    if pandas is not None and isinstance(value, pandas.Index):
        return Content(("index",), (value.name, *_column(value.array)))
    if sparse is not None and numpy is not None and sparse.issparse(value):
        entries = value.tocoo(copy=True)
        entries.sum_duplicates()
        arrays = (numpy.ascontiguousarray(array) for array in (*entries.coords, entries.data))
        return Content(("sparse", list(entries.shape)), tuple(arrays))
    return None


def _column(values: Any) -> tuple[Any, ...]:
    """Return the type and the values of a column of pandas', as text and arrays."""
    pandas = sys.modules["pandas"]
    if isinstance(values, pandas.Categorical):
        return "categories", values.codes, values.categories, bool(values.ordered)
    kind = str(values.dtype)
    if hasattr(values, "asi8"):
        return kind, values.asi8
    return kind, values.to_numpy() if isinstance(values, pandas.arrays.NumpyExtensionArray) else values.to_numpy(object)


def _array(array: Any) -> Content:
    numpy = sys.modules["numpy"]
    if isinstance(array, numpy.ma.MaskedArray):
        return Content(("masked",), (numpy.asarray(array.data), numpy.ma.getmaskarray(array)))
    shape = list(array.shape)
    if not array.dtype.hasobject:
        bytes_of = memoryview(numpy.ascontiguousarray(array)).cast("B") if array.size and _is_buffer(array) else None
        content = array.tobytes() if bytes_of is None else bytes_of
        return Content((str(array.dtype), shape, hashlib.sha256(content).hexdigest()))
    items = array.ravel().tolist()
    if all(type(item) is str for item in items):
        return Content((str(array.dtype), shape, hashlib.sha256(json.dumps(items).encode()).hexdigest()))
    return Content((str(array.dtype), shape), (items,))


def _is_buffer(array: Any) -> bool:
    """Return whether the array's bytes can be read where they lie: not those of dates, nor of records."""
    return array.dtype.kind in "biufc"


# ---------------------------------------------------------------------- what pickle would write


def _pickled(value: Any) -> Content | None:
    kind = type(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a library no longer likes to see pickled
        reduce = copyreg.dispatch_table.get(kind)
        reduced: Any = value.__reduce_ex__(4) if reduce is None else reduce(value)
    if isinstance(reduced, str):
        return Content((kind.__module__, reduced))
    if kind not in copyreg.dispatch_table and _is_plain(kind):
        return Content((), (kind,), attributes_of(value))
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    values = (make, arguments, None if items is None else list(items), None if pairs is None else dict(pairs))
    if isinstance(state, dict):
        named = {name: part for name, part in state.items() if name not in _VERSIONS}
        return Content(("object",), values, named)
    return Content(("object",), (*values, state))


def _is_plain(kind: type) -> bool:
    """Return whether what objects of a class hold is in their attributes."""
    names = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
    return all(getattr(kind, name, None) is getattr(object, name, None) for name in names)
