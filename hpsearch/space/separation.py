"""A space without alternatives that is searched like one with them: each alternative under a name of its own.

What explores a space name by name (a grid, a sampler of Optuna's) then needs to know nothing of alternatives: they are
conditional parameters, each learnt alone. Layers to freeze of a small model say little about those of a large one.
"""

from collections.abc import Mapping
from typing import Any

from hpsearch.space.alternatives import Alternatives
from hpsearch.space.conditions import Scalar
from hpsearch.space.parameters import Parameter
from hpsearch.space.space import Space


class Separation:
    """The way from a space with alternatives to one without, and back.

    Attributes:
        space: The space without alternatives; the alternatives of `x` are its `x__1`, `x__2`, ...
    """

    def __init__(self, space: Space) -> None:
        self._whole = space
        self._names: dict[str, str] = {}
        parameters: dict[str, Parameter] = {}
        taken = {*space.parameters, *space.fixed}
        for name, searched in space.parameters.items():
            if not isinstance(searched, Alternatives):
                parameters[name] = searched
                continue
            for index, parameter in enumerate(searched.alternatives, 1):
                own = _free(f"{name}__{index}", taken)
                self._names[own] = name
                parameters[own] = parameter
        self._own = {(name, repr(parameters[own])): own for own, name in self._names.items()}
        default = None if space.default is None else self.separated(space.default)
        self.space = Space(default=default, **parameters, **space.fixed)

    def separated(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return searched values under the separate names, in the same order."""
        found: dict[str, Any] = {}
        for name, value in params.items():
            searched = self._whole.parameters.get(name)
            parameter = self._whole.alternative(name, params) if isinstance(searched, Alternatives) else None
            found[name if parameter is None else self._own[name, repr(parameter)]] = value
        return found

    def joined(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return values under the separate names as those of the whole space."""
        return {self._names.get(own, own): value for own, value in params.items()}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
