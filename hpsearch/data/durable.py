"""Bytes that are on the disk before anyone relies on them."""

import contextlib
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def synced_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; when the block ends well its content has been forced to disk."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to disk, so that a rename in it outlives a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def partial_path(target: Path) -> Path:
    """Return a new name beside `target`, to write it under before it is renamed.

    The name says which process is writing, so that what a killed one of this host left of `target` is removed here.
    """
    prefix = f".{target.name}.{socket.gethostname()}."
    for entry in target.parent.glob(f"{glob.escape(prefix)}*.partial"):
        process = entry.name.removeprefix(prefix).split(".")[0]
        if os.name == "posix" and process.isdigit() and not _is_alive(int(process)):
            _remove(entry)
    return target.with_name(f"{prefix}{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def replaced_file(target: Path) -> Iterator[BinaryIO]:
    """Open what shall take the place of `target`, whole or not at all: temporary name, fsync, rename."""
    partial = partial_path(target)
    try:
        with synced_file(partial) as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(target.parent)


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
