"""Modules: where code can be imported from, and whether it is the user's own or an installed package's."""

import functools
import importlib
import sys
import sysconfig
from pathlib import Path
from typing import Any

SCRIPTS = ("__main__", "__hpsearch__")
"""Names of modules that nobody can import later: a script, a notebook, a file given to `hpsearch run`."""

_INSTALLED = {Path(path) for name, path in sysconfig.get_paths().items() if name.endswith("lib")}


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


@functools.cache
def is_installed_file(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    path = Path(file)
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        path.is_relative_to(folder) for folder in _INSTALLED
    )
