"""What compiled code names: globals, attributes, and modules that it imports when it is called."""

import dis
import importlib
import importlib.util
import types
from collections.abc import Iterator

from hpsearch.provenance.modules import is_installed, is_installed_file
from hpsearch.provenance.values import LIBRARY_ERRORS

_IMPORT = dis.opmap["IMPORT_NAME"]


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names in a piece of code and in the functions and classes in it."""
    for inner in _all_code(code):
        yield from inner.co_names


def imported_within(function: types.FunctionType) -> list[tuple[str, types.ModuleType]]:
    """Return the user's own modules that a function imports when it is called, by name."""
    modules: dict[str, types.ModuleType] = {}
    for name in _import_names(function):
        if name in modules or is_installed(name) or _is_found_installed(name.partition(".")[0]):
            continue
        try:
            modules[name] = importlib.import_module(name)
        except (*LIBRARY_ERRORS, SyntaxError, NameError, AssertionError):  # the call will say so, if it comes there
            continue
    return sorted(modules.items())


def _import_names(function: types.FunctionType) -> Iterator[str]:
    package = str(function.__globals__.get("__package__") or "")
    for code in _all_code(function.__code__):
        if _IMPORT not in code.co_code[::2]:
            continue
        instructions = list(dis.get_instructions(code))
        for index, instruction in enumerate(instructions):
            if instruction.opname != "IMPORT_NAME":
                continue
            level = instructions[index - 2].argval  # the two before it load its level and its list of names
            name = str(instruction.argval)
            try:
                yield importlib.util.resolve_name("." * level + name, package) if level else name
            except (ImportError, TypeError):
                continue


def _is_found_installed(top: str) -> bool:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is None or (spec.origin is not None and is_installed_file(spec.origin))


def _all_code(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_code(constant)
