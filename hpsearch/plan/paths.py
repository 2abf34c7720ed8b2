"""Where things are kept: a study's files in its folder, this machine's caches."""

import os
from pathlib import Path

from hpsearch.errors import StudyNotFoundError

DATABASE_FILE, DESCRIPTION_FILE, FOLDS_FILE, TARGETS_FOLDER = "study.db", "study.json", "folds.npz", "targets"
"""Where a study keeps its trials, its description (a copy, for people), folds and targets, in its folder."""


def cache_folder() -> Path:
    """Return the folder of this machine's caches: HPSEARCH_CACHE, else hpsearch in the user's cache folder."""
    chosen = os.environ.get("HPSEARCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpsearch"


def shown_folder(folder: Path) -> Path:
    """Return a folder as people are shown it: relative to the working folder, if it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def lost_database(name: str, folder: Path, storage: str | None) -> StudyNotFoundError:
    """Return the error for a study's folder without its database."""
    where = f"in {storage_shown(storage)}" if storage is not None else f"in {folder / DATABASE_FILE}"
    return StudyNotFoundError(
        f"The study {name!r} is described in {folder / DESCRIPTION_FILE}, but its database is not there ({where}): "
        "it is kept elsewhere, or lost. Give its URL with storage= (--storage), put the database back, or move that "
        "folder away and start again."
    )


def storage_shown(storage: str) -> str:
    """Return a database's URL without what may be a secret."""
    from hpsearch.records.urls import parse_url, shown

    return shown(parse_url(storage))
