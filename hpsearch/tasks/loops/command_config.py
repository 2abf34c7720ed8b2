"""A config file of a command: read, its keys replaced, written again in its own format."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpsearch.errors import TaskError

SECTION = "__"
"""What stands between a section and its key in the name of a hyperparameter, as in scikit-learn's nested parameters."""

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A name in braces, within a command."""

_YAML = (".yaml", ".yml")


def read_config(path: Path) -> Any:
    """Return what a file holds; `TaskError` where it cannot be read, or is no mapping of keys."""
    if path.suffix not in (*_YAML, ".json"):
        raise TaskError(
            f"config={str(path)!r} ends in {path.suffix!r}: give a YAML or JSON file, or name each hyperparameter in "
            "the command, '--lr {lr}'."
        )
    try:
        text = path.read_text(encoding="utf-8")
        content = _yaml().safe_load(text) if path.suffix in _YAML else json.loads(text)
    except OSError as error:
        raise TaskError(f"config={str(path)!r} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise TaskError(f"config={str(path)!r} is no JSON: {error}.") from error
    except _yaml().YAMLError as error:
        raise TaskError(f"config={str(path)!r} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, Mapping):
        raise TaskError(f"config={str(path)!r} holds a {type(content).__name__}, and keys with values are needed.")
    return content


def unknown_keys(content: Any, names: Sequence[str]) -> str | None:
    """Return the first name that is no key of the content, `__` going into sections; None where all are."""
    for name in names:
        place = content
        for part in _path(content, name):
            if not isinstance(place, Mapping) or part not in place:
                return name
            place = place[part]
    return None


def _path(content: Any, name: str) -> list[str]:
    return [name] if name in content else name.split(SECTION)


def with_values(content: Any, values: Mapping[str, Any]) -> Any:
    """Return the content with the values of these keys replaced."""
    whole = copy.deepcopy(content)
    for name, value in values.items():
        *sections, key = _path(content, name)
        place = whole
        for section in sections:
            place = place[section]
        place[key] = value
    return whole


def write_config(path: Path, content: Any) -> None:
    """Write a config in the format that its name says."""
    is_yaml = path.suffix in _YAML
    text = _yaml().safe_dump(content, sort_keys=False, allow_unicode=True) if is_yaml else json.dumps(content, indent=2)
    path.write_text(text, encoding="utf-8")


def _yaml() -> Any:
    import yaml  # type: ignore[import-untyped]  # transformers needs it too

    return yaml
