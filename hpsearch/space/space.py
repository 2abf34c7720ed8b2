"""What may be searched: named parameters, fixed values, and where the literature would start."""

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpsearch.errors import SpaceError, nearest
from hpsearch.space.conditions import Condition, Scalar, same, scalar, snapped
from hpsearch.space.files import SEVERAL_RANGES, Notes, read_file
from hpsearch.space.grid import enumerate_grid
from hpsearch.space.layer_shares import FREEZE_LAYERS, check_same_kind, check_told_apart, read_value
from hpsearch.space.ranges import Parameter
from hpsearch.space.tables import read_parameter, write_parameter
from hpsearch.space.wording import LEGEND, WIDTH, range_text, source_lines

LONGEST_LINE = 100
"""Characters that `repr` puts on one line."""


class Space:
    """A search space. It is immutable; two are equal if they are searched in the same way.

    `Space(learning_rate=Float(1e-6, 1e-3, log=True), epochs=Int(1, 4), warmup_ratio=0.1)`: a plain value is fixed.

    Args:
        default: Values of the searched parameters that the literature would take: the first trial of a study, and
            what its winner is compared with. It must lie in the space.
        parameters: Name of the hyperparameter to a `Float`, `Int` or `Categorical`, or to a fixed value.

    Attributes:
        parameters: The searched ones by name, in the order given, but parents before what depends on them.
        fixed: The fixed ones by name.
        default: The searched part of the default, or None.
        notes: What the file that the space was read from says to its reader; `str` of a space shows it.
        title: Title of that file, or an empty string.
        source: Literature that the space as a whole is taken from, or an empty string.
        sources: The literature that the numbers of each hyperparameter are taken from, by name.

    Raises:
        SpaceError: A name or value is impossible, a condition names an unknown parameter or a value that it cannot
            have, conditions run in a circle, or the default lies outside the space.
    """

    is_shipped = False
    """Whether it is one of hpsearch's own, which is fitted to the model it is used with."""

    def __init__(
        self,
        /,
        *,
        default: Mapping[str, Any] | None = None,
        **parameters: Parameter | Scalar,
    ) -> None:
        self._fixed: dict[str, Scalar] = {}
        searched: dict[str, Parameter] = {}
        for name, value in parameters.items():
            if not name.isidentifier():
                raise SpaceError(f"{name!r} cannot name a hyperparameter; use letters, digits and underscores.")
            if isinstance(value, Parameter):
                check_told_apart(name, value)
                searched[name] = value
            else:
                self._fixed[name] = _fixed(name, value)
        _check_conditions(searched, self._fixed)
        searched = {name: _snapped_conditions(each, searched, self._fixed) for name, each in searched.items()}
        self._parameters = _parents_first(searched, self._fixed)
        self._default = None if default is None else self.validate(default, "the default")
        self.notes = Notes()

    @classmethod
    def load(cls, source: str | Path) -> "Space":
        """Return the space of a TOML file: one of hpsearch's own by name (see `list_spaces`), or any by its path."""
        file = read_file(source)
        try:
            space = cls(default=file.default, **file.parameters)
        except SpaceError as error:
            raise SpaceError(f"{file.where}: {error}") from None
        space.notes, space.is_shipped = file.notes, file.is_shipped
        return space

    def documented(self, notes: Notes) -> "Space":
        """Return the same space with notes for its reader; they are no part of equality and digest."""
        space = Space(default=self._default, **self._parameters, **self._fixed)
        space.notes = notes
        return space

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return MappingProxyType(self._parameters)

    @property
    def fixed(self) -> Mapping[str, Scalar]:
        return MappingProxyType(self._fixed)

    @property
    def default(self) -> Mapping[str, Scalar] | None:
        return None if self._default is None else MappingProxyType(self._default)

    @property
    def title(self) -> str:
        return self.notes.title

    @property
    def source(self) -> str:
        return self.notes.source

    @property
    def sources(self) -> Mapping[str, str]:
        return MappingProxyType(dict(self.notes.sources))

    def is_active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether a hyperparameter exists where the searched parameters have `values`; fixed ones always do.

        `values` may lack parameters that come after `name`, and may name fixed ones.
        """
        if name in self._fixed:
            return True
        return all(self._holds(condition, values) for condition in self._parameters[name].conditions)

    def _holds(self, condition: Condition, values: Mapping[str, Any]) -> bool:
        if condition.name in self._fixed:
            return condition.holds(self._fixed[condition.name])
        exists = condition.name in values and self.is_active(condition.name, values)
        return exists and condition.holds(values[condition.name])

    def may_exist(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether a searched hyperparameter can exist where some others have `values`."""
        return all(self._may_hold(condition, values) for condition in self._parameters[name].conditions)

    def _may_hold(self, condition: Condition, values: Mapping[str, Any]) -> bool:
        given = {**self._fixed, **values}
        if condition.name in given:
            return condition.holds(given[condition.name])
        return self.may_exist(condition.name, values)

    def active(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the searched parameters that exist where they have `values`, parents first."""
        return tuple(name for name in self._parameters if self.is_active(name, values))

    def validate(self, config: Mapping[str, Any], source: str) -> dict[str, Scalar]:
        """Return the searched part of `config`, each value as its parameter writes it, in the space's order.

        Args:
            config: A value for every searched parameter that exists beside the others. Fixed ones may be named too.
            source: Where it comes from, for the message.

        Raises:
            SpaceError: A hyperparameter is unknown, missing, out of range, inactive, or not at its fixed value.
        """
        if not isinstance(config, Mapping):
            raise SpaceError(f"{source}: {config!r} is not a dict of hyperparameters.")
        for name, value in config.items():
            if name not in self._parameters and name not in self._fixed:
                names = (*self._parameters, *self._fixed)
                raise SpaceError(
                    f"{source}: {name!r} is not in the space.{nearest(str(name), names)} It has {', '.join(names)}."
                )
            if name in self._fixed:
                self._check_fixed(name, value, source)
        params: dict[str, Scalar] = {}
        for name, parameter in self._parameters.items():
            exists = self.is_active(name, params)
            if exists and name not in config:
                raise SpaceError(f"{source}: {name} is missing; give it a value of {parameter!r}.")
            if not exists and name in config:
                where = " and ".join(map(str, parameter.conditions))
                raise SpaceError(f"{source}: {name} exists only where {where}; leave it out.")
            if exists:
                try:
                    params[name] = read_value(name, parameter, config[name])
                except SpaceError as error:
                    raise SpaceError(f"{source}: {name}: {error}") from None
        return params

    def _check_fixed(self, name: str, value: Any, source: str) -> None:
        if not same(snapped(_fixed(name, value), [self._fixed[name]]), self._fixed[name]):
            raise SpaceError(
                f"{source}: {name} is {value!r}, but the space fixes it at {self._fixed[name]!r}; "
                "leave it out, or search over both."
            )
        if name == FREEZE_LAYERS:
            try:
                check_same_kind(value, self._fixed[name])
            except SpaceError as error:
                raise SpaceError(f"{source}: {name}: {error}") from None

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Return whether `config` is a configuration of this space; see `validate`."""
        try:
            self.validate(config, "")
        except SpaceError:
            return False
        return True

    def config(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return the whole configuration: the searched parameters that exist, and the fixed ones."""
        return {**self.validate(params, "the parameters"), **self._fixed}

    def grid(self, points: int | None = None) -> Iterator[dict[str, Scalar]]:
        """Return the searched part of every point of the grid, each once, always in the same order.

        A conditional parameter multiplies only the points that it exists in. `points`: see `Grid`.

        Raises:
            SpaceError: At once, not while iterating: a `Float` has neither `grid` nor `step` and `points` is None, or
                the grid is absurdly large.
        """
        return enumerate_grid(self._parameters, self.is_active, points)

    def to_json(self) -> dict[str, Any]:
        """Return the space as plain values that `from_json` reads; parameters in a list, for their order counts."""
        searched = [{"name": name} | write_parameter(parameter) for name, parameter in self._parameters.items()]
        default = None if self._default is None else dict(self._default)
        written: dict[str, Any] = {"parameters": searched, "fixed": dict(self._fixed), "default": default}
        return written | self.notes.to_json()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Space":
        """Return the space that `to_json` wrote.

        Raises:
            SpaceError: It has several ranges under one name, as hpsearch 0.1.0 could write them.
        """
        for table in value["parameters"]:
            if "alternatives" in table:
                raise SpaceError(
                    f"The stored space has several ranges under the name {table['name']!r}, which hpsearch 0.1.0 reads "
                    "and later versions do not. Install hpsearch 0.1.0 to read the study, or start a new one."
                )
        searched = {
            table["name"]: read_parameter({key: item for key, item in table.items() if key != "name"})
            for table in value["parameters"]
        }
        space = cls(default=value["default"], **searched, **value["fixed"])
        return space.documented(Notes.from_json(value))

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of the SHA-256 of what is searched, as canonical JSON."""
        value = {key: item for key, item in self.to_json().items() if key in ("parameters", "fixed", "default")}
        return hashlib.sha256(_canonical(value).encode("ascii")).hexdigest()[:32]

    def difference(self, other: "Space") -> str | None:
        """Return in words what `other` searches otherwise than this space, or None where they are equal."""
        names = dict.fromkeys((*self._parameters, *self._fixed, *other._parameters, *other._fixed))
        changes = [
            f"{name} was {self._described(name)} and is now {other._described(name)}"
            for name in names
            if self._written(name) != other._written(name)
        ]
        if not changes and list(self._parameters) != list(other._parameters):
            order, now = ", ".join(self._parameters), ", ".join(other._parameters)
            changes.append(f"the order of the parameters was {order} and is now {now}")
        if _canonical(self._default) != _canonical(other._default):
            changes.append(f"the default was {self._default} and is now {other._default}")
        return "; ".join(changes) or None

    def _described(self, name: str) -> str:
        if name in self._fixed:
            return f"fixed at {self._fixed[name]!r}"
        return repr(self._parameters[name]) if name in self._parameters else "not in the space"

    def _written(self, name: str) -> str:
        """Return text that is equal where two spaces treat the name alike."""
        if name in self._parameters:
            return _canonical(write_parameter(self._parameters[name]))
        return _canonical([self._fixed[name]] if name in self._fixed else None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        """Return the call that makes the space: on one line if it is short, else a line for each argument."""
        arguments = [f"{name}={value!r}" for name, value in {**self._parameters, **self._fixed}.items()]
        if self._default is not None:
            arguments.append(f"default={self._default!r}")
        line = f"Space({', '.join(arguments)})"
        if len(line) <= LONGEST_LINE and not self.title:
            return line
        title = f"  # {self.title}" if self.title else ""
        return "\n".join([f"Space({title}", *(f"    {argument}," for argument in arguments), ")"])

    def __str__(self) -> str:
        """Return the space as a person reads it: what is searched, the default, and where each number is from."""
        lines = [self.title, *textwrap.wrap(self.source, WIDTH, break_on_hyphens=False)] if self.title else []
        lines += [self.summary(), ""]
        default = self._default or {}
        for name, parameter in self._parameters.items():
            at = f"; default {default[name]!r}" if name in default else ""
            lines += [f"{name}: {range_text(parameter)}{at}", *source_lines(self.notes, name)]
        for name, value in self._fixed.items():
            lines += [f"{name}: fixed at {value!r}", *source_lines(self.notes, name)]
        if any(self.notes.checked.values()):
            lines += ["", *textwrap.wrap(LEGEND, WIDTH)]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return how much is searched, in a line."""
        task = f"for {self.notes.task}: " if self.notes.task else ""
        try:
            size = f"a grid of {sum(1 for _ in self.grid()):,}"
        except SpaceError:
            size = "no grid without hp.Grid(points=...)"
        return f"{task}{len(self._parameters)} searched, {len(self._fixed)} fixed, {size}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _fixed(name: str, value: Any) -> Scalar:
    if isinstance(value, (list, tuple, range, set, frozenset)):
        if any(isinstance(item, Parameter) for item in value):
            raise SpaceError(f"{name}={value!r}: {SEVERAL_RANGES}")
        raise SpaceError(
            f"{name}={value!r} is not a fixed value, which is one value; to search over these, write "
            f"{name}=hp.Categorical({list(value)!r})."
        )
    try:
        return scalar(value)
    except SpaceError as error:
        raise SpaceError(f"{name}: {error}") from None


def _check_conditions(searched: Mapping[str, Parameter], fixed: Mapping[str, Scalar]) -> None:
    for name, parameter in searched.items():
        for condition in parameter.conditions:
            if condition.name == name:
                raise SpaceError(f"{name} exists only where {condition}: a parameter cannot depend on itself.")
            if condition.name not in searched and condition.name not in fixed:
                guess = nearest(condition.name, [other for other in (*searched, *fixed) if other != name])
                raise SpaceError(
                    f"{name} exists only where {condition}, but the space has no {condition.name!r}.{guess} "
                    "Add it, searched or fixed."
                )
            if condition.name in searched:
                for value in condition.values:
                    try:
                        read_value(condition.name, searched[condition.name], value)
                    except SpaceError as error:
                        raise SpaceError(f"{name} exists only where {condition}, which never holds: {error}") from None


def _snapped_conditions(
    parameter: Parameter, searched: Mapping[str, Parameter], fixed: Mapping[str, Scalar]
) -> Parameter:
    """Return a parameter whose conditions name values as the others have them: 0.3, where one says 0.1 + 0.2."""
    conditions = []
    for condition in parameter.conditions:
        values = []
        for value in condition.values:
            own = fixed[condition.name] if condition.name in fixed else searched[condition.name].read(value)
            values.append(value if same(value, own) else snapped(value, [own]))
        conditions.append(Condition(condition.name, values))
    return replace(parameter, conditions=tuple(conditions)) if conditions else parameter


def _parents_first(searched: Mapping[str, Parameter], fixed: Mapping[str, Scalar]) -> dict[str, Parameter]:
    """Return the parameters in the order given, but each after all that its conditions name."""
    ordered: dict[str, Parameter] = {}
    waiting = dict(searched)
    while waiting:
        for name, parameter in waiting.items():
            if all(condition.name in ordered or condition.name in fixed for condition in parameter.conditions):
                ordered[name] = waiting.pop(name)
                break
        else:
            circle = ", ".join(waiting)
            raise SpaceError(
                f"The conditions of {circle} run in a circle, so none could ever be chosen first; break it."
            )
    return ordered
