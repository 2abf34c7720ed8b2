"""Search spaces in TOML files: hpsearch's own, drawn from the literature, and the user's.

    title = "BERT fine-tuning"
    task = "text"                                       # what it is for: "text" or "image"
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
    grid = [2, 3, 4]                                    # what a grid takes of it

    [parameters.max_grad_norm]
    value = 1.0                                         # a fixed value with a source
    source = "Zhang et al. 2021, section 3"

    [parameters.decay_ratio]
    type = "categorical"
    choices = [0.1, 0.2]
    when = { lr_scheduler_type = "warmup_stable_decay" }    # exists only there; a list means any of its values

Only `[parameters]` is needed. The keys of a parameter are listed in `tables.py`. TOML has no null: leave out what is to
be None. Alternatives under one name are tables under `[[parameters.NAME]]`, in two square brackets, each with a `when`.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hpsearch.errors import SpaceError, nearest
from hpsearch.space.alternatives import Searched
from hpsearch.space.conditions import Scalar
from hpsearch.space.notes import Notes
from hpsearch.space.space import Space
from hpsearch.space.tables import read_parameter, read_searched

_KEYS = ("title", "task", "source", "default", "parameters")
_NOTES = ("source", "checked")
"""Keys of a parameter that are for its reader, not for the search."""

KINDS = ("text", "image")
"""What a space may be for, as its file says it."""


def list_spaces() -> dict[str, Space]:
    """Return hpsearch's own search spaces by name, in alphabetical order."""
    return {name: read_space(name) for name in sorted(_shipped())}


def read_space(source: str | Path) -> Space:
    """Return the space of a TOML file: one of hpsearch's own by its name, or any by its path, which ends in `.toml`.

    Raises:
        SpaceError: There is no such file, or it does not describe a space; the message names the file and the key.
    """
    if not isinstance(source, str | Path):
        raise SpaceError(
            f"The space {source!r} is a {type(source).__name__}: give hp.Space(learning_rate=hp.Float(...), ...), the "
            "name of a shipped space such as 'bert', or the path of a TOML file."
        )
    if isinstance(source, Path) or source.endswith(".toml"):
        return _parse(Path(source), str(source))
    shipped = _shipped()
    if source not in shipped:
        raise SpaceError(
            f"There is no search space {source!r}.{nearest(source, shipped)} hpsearch has "
            f"{', '.join(sorted(shipped))}; a file of your own is named by its path, which ends in .toml."
        )
    space = _parse(shipped[source], f"search_spaces/{source}.toml")
    space.is_shipped = True
    return space


def _shipped() -> Mapping[str, Traversable]:
    """Return name to file: inside the package in a wheel, beside it in a checkout, an sdist and an editable install."""
    folders: tuple[Traversable, ...] = (
        files("hpsearch").joinpath("search_spaces"),
        Path(__file__).parents[2] / "search_spaces",
    )
    for folder in folders:
        if folder.is_dir():
            found = [file for file in folder.iterdir() if file.name.endswith(".toml")]
            if found:
                return {file.name.removesuffix(".toml"): file for file in found}
    raise SpaceError("hpsearch's own search spaces are missing from this installation; install hpsearch again.")


def _parse(file: Traversable, where: str) -> Space:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpaceError(f"{where} cannot be read: {error.strerror or error}. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpaceError(f"{where} is not a TOML file: {error}. Mend that line.") from None
    for key in document:
        if key not in _KEYS:
            raise SpaceError(f"{where}: there is no key {key!r}.{nearest(key, _KEYS)} The keys are {', '.join(_KEYS)}.")
    tables = _table(document.get("parameters"), where, "parameters")
    default = _table(document["default"], where, "default") if "default" in document else None
    parameters = {name: _parameter(table, f"{where}: parameters.{name}") for name, table in tables.items()}
    notes = Notes(
        title=_text(document.get("title", file.name.removesuffix(".toml")), f"{where}: title"),
        task=_kind(document.get("task"), where),
        source=_text(document.get("source", ""), f"{where}: source"),
        sources={name: text for name, table in tables.items() if (text := _sources(name, table, where))},
        checked={name: all(found) for name, table in tables.items() if (found := _checked(name, table, where))},
    )
    try:
        space = Space(default=default, **parameters)
    except SpaceError as error:
        raise SpaceError(f"{where}: {error}") from None
    return space.documented(notes)


def _parameter(table: Any, where: str) -> Searched | Scalar:
    if _is_tables(table):
        try:
            return read_searched([{key: value for key, value in each.items() if key not in _NOTES} for each in table])
        except SpaceError as error:
            raise SpaceError(f"{where}: {error}") from None
    if not isinstance(table, Mapping):
        fixed: Scalar = table  # Space checks it, as it checks any fixed value
        return fixed
    try:
        return read_parameter({key: value for key, value in table.items() if key not in _NOTES})
    except SpaceError as error:
        raise SpaceError(f"{where}: {error}") from None


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _sources(name: str, table: Any, where: str) -> str:
    """Return where a table's numbers come from, or those of each of several alternatives."""
    tables = table if _is_tables(table) else [table]
    texts = [each["source"] for each in tables if isinstance(each, Mapping) and "source" in each]
    return " ".join(dict.fromkeys(_text(text, f"{where}: parameters.{name}.source") for text in texts))


def _checked(name: str, table: Any, where: str) -> list[bool]:
    """Return whether a table's numbers were checked, or those of each of several alternatives."""
    tables = table if _is_tables(table) else [table]
    found = [each["checked"] for each in tables if isinstance(each, Mapping) and "checked" in each]
    return [_truth(value, f"{where}: parameters.{name}.checked") for value in found]


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
