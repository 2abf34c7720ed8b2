"""Models by name: which revision of one is meant, and whether the hub can be asked for it at all.

A token for models that need one is read from the environment (HF_TOKEN) by huggingface_hub itself. Nothing here reads,
passes on or stores it.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REVISION = "@"
"""What stands between the name of a model on the hub and its revision: "org/name@v1.0"."""

_SECONDS = 5.0
"""How long a connection to the hub may take."""

_REMEMBERED = 60.0
"""Seconds for which an answer holds: several files are asked for at once, and a connection may come back."""

_answers: dict[tuple[str, int], tuple[float, str]] = {}


def named(source: str) -> tuple[str, str | None]:
    """Return the name and the revision that a source means; the revision is None where it has none, or is a folder."""
    if REVISION not in source or Path(source).is_dir():
        return source, None
    name, _, revision = source.rpartition(REVISION)
    return name, revision


def hub_arguments(source: str) -> dict[str, Any]:
    """Return arguments of `from_pretrained` for a source: its first, and which revision of it.

    Where the hub cannot be reached, only the local cache is read: huggingface_hub would ask again and again for each
    file, for most of a minute.
    """
    name, revision = named(source)
    arguments: dict[str, Any] = {"pretrained_model_name_or_path": name}
    if revision is not None:
        arguments["revision"] = revision
    if not Path(name).is_dir() and unreachable():
        arguments["local_files_only"] = True
    return arguments


def commit_of(source: str) -> str | None:
    """Return the commit of a model that was read from the hub, of which a copy is in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    name, revision = named(source)
    if Path(name).is_dir():
        return None
    path = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(path).parent.name if isinstance(path, str) else revision


def unreachable() -> str:
    """Return why the hub cannot be reached, or an empty text; also where it is not to be asked (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return ""  # huggingface_hub does not ask then, and says so
    place = _place(constants.ENDPOINT)
    asked, answer = _answers.get(place, (-_REMEMBERED, ""))
    if time.monotonic() - asked > _REMEMBERED:
        answer = _tried(place)
        _answers[place] = time.monotonic(), answer
    return answer


def advice(source: str, message: str) -> str:
    """Return what to do where a source could not be read, as a sentence with a space before it, or an empty text."""
    if Path(source).is_dir():
        return ""
    reason = unreachable()
    if reason:
        return f" The hub cannot be reached ({reason}), and its files are not in the local cache."
    if "gated" in message or "401" in message or "403" in message:
        return (
            " It is open only to those who have accepted its terms: accept them on its page, and set HF_TOKEN to a "
            "token of yours in the environment (it is read from there, and never stored)."
        )
    return ""


def _place(endpoint: str) -> tuple[str, int]:
    """Return the host and port to connect to: those of a proxy, where the environment names one."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    parts = urlsplit(proxy if proxy and "//" in proxy else f"//{proxy}" if proxy else endpoint)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _tried(place: tuple[str, int]) -> str:
    try:
        socket.create_connection(place, timeout=_SECONDS).close()
    except OSError as error:
        return f"{place[0]}: {error.strerror or error}"
    return ""
