"""Bytes that are on the disk before anyone relies on them, and what is said where the disk refuses them."""

import contextlib
import errno
import os
import re
import shutil
import socket
import stat
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import psutil

from hpsearch.errors import StoreError, printable

_FULL = "The disk is full, or a limit on its use is reached. Make room, or choose a folder on another disk{where}."
_FORBIDDEN = "This process may not write there. Choose another folder{where}, or have its rights changed."
_TOO_MANY = (
    "Too many files are open, which the disk has nothing to do with. Raise the limit (`ulimit -n`) or close what else "
    "this process has open, then run it again."
)
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: "A part of this path is a file, where a folder is needed. Choose another folder{where}.",
    errno.EEXIST: "A part of this path is a file, where a folder is needed. Choose another folder{where}.",
    errno.EISDIR: "It is a folder, where a file is needed. Choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
    errno.ENOENT: "Its folder was deleted or renamed meanwhile. Put it back, or choose another folder{where}.",
    errno.ELOOP: "It is a link, which is not followed here. Remove the link, or choose another folder{where}.",
    errno.EIO: "It failed. Check the disk or the network drive, or choose a folder on another one{where}.",
    errno.ESTALE: "Check the network drive, or choose a folder on another one{where}.",
}
"""What to do about the refusals that a person can do something about; {where} names the setting."""


@contextmanager
def writing(path: str | Path, setting: str = "") -> Iterator[None]:
    """Turn what the system refuses while `path` is written into a StoreError that says what to do.

    Other OSErrors pass through: those without a number do not come from the system (a hub that is not reached), and
    those that name a file elsewhere are not about `path`. `setting` is the argument or variable that gives the place.
    """
    try:
        yield
    except OSError as error:
        if not _is_about(error, Path(path)):
            raise
        reason = error.strerror or str(error) or type(error).__name__
        raise StoreError(
            f"{path} cannot be written: {reason[0].lower()}{reason[1:]}. {remedy(error, setting)}"
        ) from error


def remedy(error: OSError, setting: str = "") -> str:
    """Return what a person can do about a refusal of the system, by its number alone."""
    where = f" ({setting})" if setting else ""
    return _REMEDIES.get(error.errno or 0, "Check the disk, or choose another folder{where}.").format(where=where)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the system refused something at `path`: on it, below it, beside it (a partial name), or above it."""
    if error.errno is None:
        return False
    if not isinstance(error.filename, str | os.PathLike):
        return True
    place, named = (Path(os.path.abspath(name)) for name in (path, error.filename))  # noqa: PTH100  (keeps links)
    return named.is_relative_to(place.parent) or place.is_relative_to(named)


def open_no_link(path: str | Path, flags: int) -> int:
    """Open a file for `open`'s `opener`, but no link: in a stranger's folder its target may be any file of ours."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        refuse_second_name(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def refuse_second_name(descriptor: int, path: str | Path) -> None:
    """Raise OSError where an open file is none, or is another name (a hard link) in a folder that others may write to.

    In a folder of our own such a name is ours: copies that share their content (`cp -al`) have it.
    """
    facts, folder = os.fstat(descriptor), Path(path).absolute().parent.stat()
    others_write = os.name == "posix" and (folder.st_uid != os.geteuid() or folder.st_mode & 0o022)
    if not stat.S_ISREG(facts.st_mode) or (facts.st_nlink > 1 and others_write):
        raise OSError(errno.ELOOP, "it is a link to another file", str(path))


def refuse_strangers_link(path: Path) -> None:
    """Raise OSError where `path` is a link that another user made: what lies behind it may be anything of ours.

    One's own links, to a larger disk for instance, are followed.
    """
    if os.name == "posix" and path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, "it is a link that another user made", str(path))


def append_text(path: Path, text: str) -> None:
    """Append to a log for people, made with its folder where it is missing; StoreError where the disk refuses."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", opener=open_no_link) as log:
            log.write(printable(text))


@contextmanager
def synced_file(path: Path) -> Iterator[BinaryIO]:
    """Make a new file for writing; when the block ends well its content has been forced to disk."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def reserve(file: BinaryIO, size: int) -> None:
    """Claim room for a file that will be memory-mapped, where a full disk would end the process with a signal.

    Raises OSError where there is none. Does nothing outside POSIX.
    """
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


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
    """Return a temporary name for `target`, beside it, which says which process writes; leftovers there are removed."""
    sweep_partials(target.parent)
    return target.with_name(f".{target.name}.{process_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")


def process_host() -> str:
    """Return this host and what its processes are numbered in: containers that share its name have their own."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def sweep_partials(folder: Path) -> None:
    """Remove what killed processes of this host were writing in `folder`, whatever it was to become."""
    of_this_host = re.compile(rf"\..+\.{re.escape(process_host())}\.([0-9]{{1,9}})\.[0-9a-f]+\.partial")
    for entry in folder.glob(".*.partial"):
        name = of_this_host.fullmatch(entry.name)
        if name is None or psutil.pid_exists(int(name[1])):
            continue
        with contextlib.suppress(OSError):  # another user's, in a folder for all
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
            else:
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def replaced_file(target: Path, setting: str = "") -> Iterator[BinaryIO]:
    """Open a file that replaces `target`, whole or not at all: temporary name, fsync, rename."""
    partial = partial_path(target)
    with writing(target, setting):
        try:
            with synced_file(partial) as file:
                yield file
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):  # there is none, nor a folder for it
                partial.unlink(missing_ok=True)
        sync_folder(target.parent)


class _Stream:
    """A file that NumPy does not recognize: it would write past Python, and a full disk would go unnoticed."""

    def __init__(self, file: BinaryIO) -> None:
        self._write, self.checksum = file.write, 0

    def write(self, content: bytes) -> int:
        self.checksum = zlib.crc32(content, self.checksum)
        return self._write(content)


def save_array(file: BinaryIO, array: np.ndarray) -> int:
    """Write an array as .npy, without pickle; return the checksum (CRC-32) of what was written.

    Raises OSError where not every byte could be written.
    """
    stream = _Stream(file)
    np.save(stream, np.asarray(array), allow_pickle=False)
    return stream.checksum
