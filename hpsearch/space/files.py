"""Search spaces in TOML files: hpsearch's own, drawn from the literature, and the user's.

    title = "BERT fine-tuning"
    task = "text"                                       # what it is for: "text", "image" or "chat"
    source = "Devlin et al. 2019, appendix A.3"         # where the space as a whole comes from

    [default]                                           # the literature's values, inside the space: the first trial
    learning_rate = 2e-5
    epochs = 3

    [parameters]
    warmup_ratio = 0.1                                  # a plain value is fixed

    [parameters.learning_rate]
    type = "float"                                      # float, int or categorical
    low = 1e-5
    high = 1e-3
    log = true
    source = "Turc et al. 2019"                         # where these numbers come from
    checked = true                                      # all of them were compared with the source; false: from memory

    [parameters.epochs]
    type = "int"
    low = 2
    high = 20
    step = 1                                            # distance between values; not with log = true
    grid = [2, 3, 4]                                    # what a grid takes of it

    [parameters.max_grad_norm]
    value = 1.0                                         # a fixed value with a source
    source = "Zhang et al. 2021, section 3"

    [parameters.decay_ratio]
    type = "categorical"
    choices = [0.1, 0.2]
    when = { lr_scheduler_type = "warmup_stable_decay" }    # exists only there; a list means any of its values

Only `[parameters]` is needed, and of a parameter its type, with its ends or its choices. TOML has no null: leave out
what is to be None.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hpsearch.errors import SpaceError, nearest
from hpsearch.space.conditions import Scalar
from hpsearch.space.ranges import Parameter
from hpsearch.space.tables import read_parameter

_KEYS = ("title", "task", "source", "default", "parameters")
_NOTES = ("source", "checked")
"""Keys of a parameter that are for its reader, not for the search."""

KINDS = ("text", "image", "chat")
"""What a space may be for, as its file says it."""


SEVERAL_RANGES = (
    "a hyperparameter has one range. For models of different depth, give a share of the layers: freeze_layers from 0.0 "
    "to 1.0. For other ranges that belong to one model, make a study for each and compare them with hp.compare."
)
"""What to do instead of several ranges under one name."""


@dataclass(frozen=True)
class Notes:
    """What is written beside a search space; it is no part of the search.

    Attributes:
        title: What the space is, in a line.
        task: What it is for: "text", "image", "chat", or an empty string.
        source: Literature that the space as a whole is taken from.
        sources: Name of a hyperparameter to the literature that its numbers are taken from.
        checked: Name of a hyperparameter to whether all of its numbers were compared with the texts and code that its
            source names; False where one of them is from memory. A name that is missing says nothing either way.
    """

    title: str = ""
    task: str = ""
    source: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    checked: Mapping[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is said as plain values; what is not said is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Notes":
        """Return the notes that `to_json` wrote; other keys are passed over."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


@dataclass(frozen=True)
class SpaceFile:
    """What a TOML file says of a space.

    Attributes:
        where: What the file is called in messages.
        parameters: Name to parameter, or to fixed value.
        default: The literature's values, or None.
        notes: What it says to its reader.
        is_shipped: Whether it is one of hpsearch's own.
    """

    where: str
    parameters: Mapping[str, Parameter | Scalar]
    default: Mapping[str, Any] | None
    notes: Notes
    is_shipped: bool


def read_file(source: str | Path) -> SpaceFile:
    """Return what a TOML file says: one of hpsearch's own by its name, or any by its path, which ends in `.toml`.

    Raises:
        SpaceError: There is no such file, or a table in it is wrong; the message names the file and the key.
    """
    if not isinstance(source, str | Path):
        raise SpaceError(
            f"The space {source!r} is a {type(source).__name__}: give hp.Space(learning_rate=hp.Float(...), ...), the "
            "name of a shipped space such as 'bert', or the path of a TOML file."
        )
    if isinstance(source, Path) or source.endswith(".toml"):
        return _parse(Path(source), str(source), is_shipped=False)
    shipped = shipped_files()
    if source not in shipped:
        raise SpaceError(
            f"There is no search space {source!r}.{nearest(source, shipped)} hpsearch has "
            f"{', '.join(sorted(shipped))}; a file of your own is named by its path, which ends in .toml."
        )
    return _parse(shipped[source], f"search_spaces/{source}.toml", is_shipped=True)


def shipped_files() -> Mapping[str, Traversable]:
    """Return name to file: inside the package in a wheel, beside it in a checkout, an sdist and an editable install."""
    folders: tuple[Traversable, ...] = (
        files("hpsearch").joinpath("search_spaces"),
        Path(__file__).parents[2] / "search_spaces",
    )
    for folder in folders:
        if folder.is_dir():
            tables = [file for file in folder.iterdir() if file.name.endswith(".toml")]
            if tables:
                return {file.name.removesuffix(".toml"): file for file in tables}
    raise SpaceError("hpsearch's own search spaces are missing from this installation; install hpsearch again.")


def _parse(file: Traversable, where: str, *, is_shipped: bool) -> SpaceFile:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpaceError(f"{where} cannot be read: {error.strerror or error}. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpaceError(f"{where} is not a TOML file: {error}. Fix that line.") from None
    for key in document:
        if key not in _KEYS:
            raise SpaceError(f"{where}: there is no key {key!r}.{nearest(key, _KEYS)} The keys are {', '.join(_KEYS)}.")
    tables = _table(document.get("parameters"), where, "parameters")
    default = _table(document["default"], where, "default") if "default" in document else None
    parameters = {name: _parameter(table, f"{where}: parameters.{name}") for name, table in tables.items()}
    return SpaceFile(where, parameters, default, _notes(document, file.name, where), is_shipped)


def _parameter(table: Any, where: str) -> Parameter | Scalar:
    if isinstance(table, list) and table and all(isinstance(item, Mapping) for item in table):
        raise SpaceError(f"{where} has {len(table)} tables in double brackets, and {SEVERAL_RANGES}")
    if not isinstance(table, Mapping):
        fixed: Scalar = table  # Space checks it, as it checks any fixed value
        return fixed
    try:
        return read_parameter({key: value for key, value in table.items() if key not in _NOTES})
    except SpaceError as error:
        raise SpaceError(f"{where}: {error}") from None


def _notes(document: Mapping[str, Any], file_name: str, where: str) -> Notes:
    tables = {name: table for name, table in document["parameters"].items() if isinstance(table, Mapping)}
    return Notes(
        title=_text(document.get("title", file_name.removesuffix(".toml")), f"{where}: title"),
        task=_kind(document.get("task"), where),
        source=_text(document.get("source", ""), f"{where}: source"),
        sources={
            name: _text(table["source"], f"{where}: parameters.{name}.source")
            for name, table in tables.items()
            if table.get("source", "") != ""
        },
        checked={
            name: _truth(table["checked"], f"{where}: parameters.{name}.checked")
            for name, table in tables.items()
            if "checked" in table
        },
    )


def _table(value: Any, where: str, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SpaceError(f"{where}: {key} = {value!r} is not a table; write [{key}] above its values.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SpaceError(f"{where} = {value!r} is not a text; put it in quotes.")
    return value


def _truth(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise SpaceError(f"{where} = {value!r} is neither true nor false: say whether its numbers were checked.")
    return value


def _kind(value: Any, where: str) -> str:
    if value is None:
        return ""
    text = _text(value, f"{where}: task")
    if text not in KINDS:
        raise SpaceError(f"{where}: task = {value!r} is not one of {', '.join(KINDS)}.{nearest(text, KINDS)}")
    return text
