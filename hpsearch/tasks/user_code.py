"""Code as an argument of a task: a user's function or class, identified by what it computes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.provenance.definitions import Definition, definition_of, is_same
from hpsearch.provenance.modules import import_path, imported

SMOOTHING = "label_smoothing"
"""An argument of this name, where a loss has one, gets the label smoothing."""


@dataclass(frozen=True, eq=False)
class UserCode:
    """A callable that the user has written.

    It goes to workers by its import path where it has one, and is compared there; otherwise by value.

    Attributes:
        value: The function, class or object.
    """

    value: Callable[..., Any]

    @classmethod
    def of(cls, value: Any, argument: str) -> "UserCode":
        """Return code given as an argument; `TaskError` where it cannot be called."""
        if isinstance(value, UserCode):
            return value
        if argument == "make_model" and hasattr(value, "parameters") and not isinstance(value, type):
            raise TaskError(
                f"make_model is a model already, a {type(value).__name__}, and each run needs one of its own. Give "
                f"what makes it: its class, or a function that returns it (lambda: {type(value).__name__}(...))."
            )
        if not callable(value):
            raise TaskError(f"{argument}={value!r} is a {type(value).__name__}: give a function or a class.")
        return cls(value)

    @property
    def name(self) -> str:
        """What it is called: a function's or class's name, an object's class."""
        inner = getattr(self.value, "func", self.value)
        return str(getattr(inner, "__name__", None) or type(inner).__name__)

    @property
    def path(self) -> str | None:
        """ "module:name" of what can be imported, or None: notebooks, scripts, lambdas, objects."""
        return import_path(self.value)

    @property
    def definition(self) -> Definition:
        """What it computes, as it is now."""
        return definition_of(self.value)

    def is_described_by(self, description: Any) -> bool:
        """Return whether a description is of code that computes the same, by whichever version of hpsearch."""
        is_code = isinstance(description, Mapping) and "definition" in description
        return is_code and is_same(self.value, description["definition"], description.get("state", ()))

    def describe(self) -> dict[str, Any]:
        definition = self.definition
        state = {"state": list(definition.state)} if definition.state else {}
        return {"code": self.path, "name": self.name, "definition": definition.digest, **state}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "UserCode":
        """Return the described code as it is now; `TaskError` where it cannot be imported (a notebook or script)."""
        path, name = description["code"], description["name"]
        if path is None:
            raise TaskError(
                f"{name!r}, of which the study's task was made, was defined in a notebook or script and cannot be "
                "imported. Run that script again, which continues the study, or give the task: hp.load(name, task=...)."
            )
        return cls.of(found_by(path), path)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is None:
            return UserCode, (self.value,)
        definition = self.definition
        return _met_again, (self.path, definition.digest, definition.state)


def found_by(path: str) -> Any:
    """Return what an import path names; `TaskError` where it is not found."""
    try:
        return imported(path)
    except (ImportError, AttributeError) as error:
        module = path.partition(":")[0]
        raise TaskError(
            f"{path!r}, of which the study's task was made, cannot be imported: {error}. Run from the folder that "
            f"{module.partition('.')[0]!r} lies in (or put it on PYTHONPATH), or give the task: "
            "hp.load(name, task=...)."
        ) from error


def _met_again(path: str, definition: str, state: tuple[str, ...]) -> UserCode:
    """Return code in another process; `TaskError` if its file was edited in between."""
    code = UserCode.of(found_by(path), path)
    if not is_same(code.value, definition, state):
        raise TaskError(
            f"the code of {path!r} is not what the study was started with: its file was edited while the study ran. "
            "Stop the study and start it again: under a new name, or with the code as it was."
        )
    return code


def accepts(function: Any, argument: str) -> bool:
    """Return whether a function, or a module of torch, has an argument of this name."""
    try:
        return argument in inspect.signature(getattr(function, "forward", function)).parameters
    except (ValueError, TypeError):  # a builtin without a signature
        return False
