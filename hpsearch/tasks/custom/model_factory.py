"""The factory of a custom model: a function or class of the user's, whose arguments become hyperparameters."""

import copy
import inspect
import math
import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from hpsearch.data.example_reading import USER_ERRORS
from hpsearch.errors import TaskError
from hpsearch.provenance.modules import is_installed_file
from hpsearch.tasks.user_code import UserCode
from hpsearch.training.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameter

if TYPE_CHECKING:
    from torch import nn

DROPOUT = "dropout"
"""The one training hyperparameter that a factory may take over, to place dropout itself."""


@dataclass(frozen=True)
class ArgumentCheck:
    """A check for values of the type of an argument's default.

    Attributes:
        name: The argument.
        kind: bool, int, float or str; None allows any of them, where the default has no type.
        optional: Whether None is allowed.
    """

    name: str
    kind: type | None
    optional: bool

    def __call__(self, value: Any) -> Any:
        if value is None and self.optional:
            return None
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        is_whole = is_number and (isinstance(value, Integral) or float(value).is_integer())
        if self.kind is float and is_number:
            return float(value)
        if self.kind is int and is_whole:
            return int(value)
        if self.kind in (bool, str) and isinstance(value, self.kind):
            return value
        if self.kind is None and (is_number or isinstance(value, bool | str)):
            return value
        words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
        allowed = words.get(self.kind or object, "a number, a text, True or False")
        none = " or None" if self.optional else ""
        raise TaskError(f"The model's argument {self.name}={value!r} is not {allowed}{none}, as its default is.")


@dataclass(frozen=True)
class ModelFactory:
    """What makes a model: a user's function or class."""

    code: UserCode

    @cached_property
    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Arguments that a config may set: those with a default that is a number, a text, True, False or None.

        Raises:
            TaskError: An argument has no default, or the name of a training hyperparameter.
        """
        settings = {}
        for parameter in self._parameters():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.default is parameter.empty:
                raise TaskError(
                    f"{self.code.name}, which makes the model, has the argument {parameter.name!r} without a default, "
                    "and would be called without it. Give it a default, or bind it: "
                    f"functools.partial({self.code.name}, {parameter.name}=...)."
                )
            if parameter.name in TRAINING_HYPERPARAMETERS and parameter.name != DROPOUT:
                raise TaskError(
                    f"{self.code.name}, which makes the model, has an argument {parameter.name!r}, and training has a "
                    f"hyperparameter of that name. Rename the argument, for instance model_{parameter.name}."
                )
            is_plain = isinstance(parameter.default, bool | int | float | str | None)
            if is_plain and parameter.kind is not parameter.POSITIONAL_ONLY:
                settings[parameter.name] = _hyperparameter(parameter, self.code.name)
        return settings

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that a config makes the model with, defaults filled in."""
        return {
            name: setting.check(config.get(name, setting.default)) for name, setting in self.hyperparameters.items()
        }

    def original(self, arguments: Mapping[str, Any]) -> "nn.Module":
        """Return what the factory returns, to be read only: the user may hold it, or layers in it.

        Raises:
            TaskError: The factory fails or returns something else.
        """
        from torch import nn

        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        try:
            model = self.code.value(**arguments)
        except USER_ERRORS as error:
            raise TaskError(
                f"the model cannot be made: {self.code.name}({shown}) raises {failure(error)} Fix it, or leave "
                "these arguments out of the space."
            ) from error
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"{self.code.name}({shown}) returns a {type(model).__name__} and not a torch.nn.Module. Have it return "
                "the model."
            )
        return model

    def copied(self, model: "nn.Module") -> "nn.Module":
        """Return a copy of a model, which shares no weight with it; `TaskError` where it cannot be copied."""
        try:
            return copy.deepcopy(model)
        except (*USER_ERRORS, pickle.PickleError) as error:
            raise TaskError(
                f"{type(model).__name__} cannot be copied, and each run trains a copy of what {self.code.name} "
                f"returns: {failure(error)} Let it hold layers, weights and plain values only; what it computes from "
                "weights belongs into its forward, not into an attribute."
            ) from error

    def _parameters(self) -> list[inspect.Parameter]:
        try:
            return list(inspect.signature(self.code.value).parameters.values())
        except (ValueError, TypeError) as error:
            raise TaskError(
                f"the arguments of {self.code.name} cannot be told ({error}). Give a function or a class that is "
                "written in Python."
            ) from error


def _hyperparameter(parameter: inspect.Parameter, owner: str) -> Hyperparameter:
    text = f"Argument of {owner}, which makes the model."
    if parameter.name == DROPOUT:
        return Hyperparameter(parameter.default, TRAINING_HYPERPARAMETERS[DROPOUT].check, text)
    annotation = "" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation)
    kind: type | None = None if parameter.default is None else type(parameter.default)
    if kind is None:
        named = {"float": float, "int": int, "bool": bool, "str": str}
        kind = next((named_kind for name, named_kind in named.items() if name in annotation), None)
    elif kind is int and "float" in annotation:
        kind = float
    optional = parameter.default is None or "None" in annotation or "Optional" in annotation
    check = ArgumentCheck(parameter.name, kind, optional)
    return Hyperparameter(check(parameter.default), check, text)


def failure(error: BaseException) -> str:
    """Return an error of a user's code as a sentence: its type, its first line, and where in their code it arose."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_installed_file(frame.filename) and _HERE not in frame.filename]
    where = f" (line {own[-1].lineno} in {own[-1].name})" if own else ""
    return f"{type(error).__name__}: {(lines or ['no message'])[0].rstrip('.')}{where}."


_HERE = __file__.rpartition("tasks")[0]
