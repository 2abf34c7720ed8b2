"""Turns: processes of one user on one machine that each run a study take its devices in turn, a segment at a time.

A device is a file lock, a CPU one for each of its cores. The system frees the lock of a process that was killed. Who
finds no device free waits in line: a file for each waiting process, locked as well, whose names sort by their time.
"""

import contextlib
import itertools
import logging
import math
import os
import re
import stat
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hpsearch.errors import StoreError
from hpsearch.records import Slot
from hpsearch.records.file_lock import FileLock

logger = logging.getLogger("hpsearch")

LOCK, TICKET = ".lock", ".turn"
"""Suffixes of the files of devices, and of those that wait."""

AWAY_SECONDS = 10.0
"""Who waits asks many times a second. One that has not asked for so long is passed over until it does: its process is
busy with something else, such as a callback."""

_NO_TURNS = "The study takes no turns with other processes on this machine, which may train on its devices at once."

_taking = threading.RLock()
_tickets = itertools.count()


@dataclass
class _Process:
    """What this process holds, whichever of its pools uses it: it does not wait for itself."""

    pid: int = field(default_factory=os.getpid)
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    locks: dict[Path, tuple[FileLock, "Counter[Turns]"]] = field(default_factory=dict)


_process = _Process()


def _this_process() -> _Process:
    global _process  # noqa: PLW0603 (a forked child holds nothing)
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


def turns_folder() -> Path:
    """Return where this user's processes on this machine meet: in the folder for temporary files."""
    user = f"-{os.getuid()}" if os.name == "posix" else ""
    return Path(tempfile.gettempdir()) / f"hpsearch{user}"


def device_names(slot: Slot, inherited: Mapping[str, str], cores: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the devices of which a slot needs one, as every process of this machine calls them.

    Device numbers count what this process sees: under CUDA_VISIBLE_DEVICES=2,5 the device cuda:1 is the machine's
    number 5.
    """
    kind, _, number = slot.devices[0].partition(":")
    if kind == "cpu":
        return tuple(f"cpu-{core}" for core in cores)
    if kind != "cuda":
        return (kind,)
    visible = [name.strip() for name in inherited.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (f"cuda-{visible[int(number or 0)] if visible else number or '0'}",)


class Turns:
    """The devices that a pool's slots hold.

    Args:
        holder: What this process is called where others wait for it: "process", its number, and what it trains.

    Attributes:
        waits_for: In words, who holds what this process waits for; None where it waits for nothing.
    """

    def __init__(self, holder: str, folder: Path | None = None) -> None:
        self._cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        )
        self._holder = holder
        self._held: dict[int, Path] = {}
        self._line: dict[tuple[str, ...], FileLock] = {}
        self.waits_for: str | None = None
        self._folder = _checked_folder(folder)

    @property
    def is_waiting(self) -> bool:
        return bool(self._line)

    def take(self, idle: Sequence[Slot], slots: Sequence[Slot], wants: Callable[[], bool]) -> Sequence[Slot]:
        """Return those of the idle slots whose device could be had, and wait in line for the others'.

        Args:
            slots: All slots of the pool. Several may share a device: a GPU's, or a core where there are more of them.
            wants: Whether the slots are wanted; asked only where a device could not be had.
        """
        taken: list[Slot] = []
        missed: set[tuple[str, ...]] = set()
        won: set[tuple[str, ...]] = set()
        on_cores = sum(slot.devices == ("cpu",) for slot in slots)
        for slot in idle:
            names = device_names(slot, os.environ, self._cores)
            sharing = math.ceil(on_cores / len(names)) if slot.devices == ("cpu",) else len(slots)
            if slot.index in self._held or self._takes(slot, names, sharing, is_turn=names in won):
                taken.append(slot)
                won.add(names)
            else:
                missed.add(names)
        if missed and not wants():
            missed.clear()
        for names in set(self._line) - missed:
            self._leave_line(names)
        with self._going_on_without():
            for names in missed:
                self._stand_in_line(names)
        self.waits_for = self._whom() if self._line else None
        return taken

    def keep(self, used: set[int]) -> Sequence[int]:
        """Give back the devices of all slots but those in use; return the slots whose devices others wait for."""
        wanted = []
        for index in set(self._held) - used:
            path = self._held.pop(index, None)
            if path is None:  # given back below: the system refuses
                continue
            with self._going_on_without():
                if self._folder is not None and self._others_before([path.stem]):
                    wanted.append(index)
            with _taking:
                lock, users = _this_process().locks[path]
                users[self] -= 1
                if not +users:
                    del _this_process().locks[path]
                    lock.release()
        return wanted

    def close(self) -> None:
        self.keep(set())
        for names in list(self._line):
            self._leave_line(names)
        self.waits_for = None

    # ---------------------------------------------------------------- devices

    def _takes(self, slot: Slot, names: tuple[str, ...], sharing: int, *, is_turn: bool) -> bool:
        """Take a device for a slot; `is_turn` where another slot of the pool has just had its turn on one of them."""
        with self._going_on_without():
            if self._folder is None:
                return True
            with _taking:
                is_first = not self._others_before(names)
                path = (self._free(names) if is_first else None) or self._shared(
                    names, sharing, is_turn=is_turn or is_first
                )
                if path is None:
                    return False
                _this_process().locks[path][1][self] += 1
                self._held[slot.index] = path
                self._leave_line(names)
        return True

    def _free(self, names: Sequence[str]) -> Path | None:
        """Lock a device that no process uses, if there is one; a stopped process uses none, whatever it holds."""
        assert self._folder is not None
        locks = _this_process().locks
        for path in (self._folder / f"{name}{LOCK}" for name in names):
            lock = FileLock(path)
            if path not in locks and (lock.acquire(self._holder) or _is_stopped(lock.content())):
                locks[path] = lock, Counter()
                return path
        return None

    def _shared(self, names: Sequence[str], sharing: int, *, is_turn: bool) -> Path | None:
        """Return a device that this process uses already and the slot may use too.

        Another pool's at once: this one may run inside a callback of that one, which waits for it. This pool's own
        only where several of its slots are to share a device and it is their turn.
        """
        assert self._folder is not None
        for path in (self._folder / f"{name}{LOCK}" for name in names):
            users = _this_process().locks.get(path, (None, Counter[Turns]()))[1]
            is_mine, others = users[self], +users - Counter({self: users[self]})
            if is_mine < sharing and (others or (is_mine and is_turn)):
                return path
        return None

    # ---------------------------------------------------------------- the line

    def _stand_in_line(self, names: tuple[str, ...]) -> None:
        if self._folder is None:
            return
        if names in self._line:
            os.utime(self._line[names].path)
            return
        name = f"{time.time_ns():020d}-{_this_process().token}-{next(_tickets)}{TICKET}"
        lock = FileLock(self._folder / name)
        waiting = f"process {os.getpid()} for {' '.join(names)}"
        if lock.acquire(waiting) and lock.path.exists():  # another may have taken it for a killed one's
            self._line[names] = lock

    def _leave_line(self, names: tuple[str, ...]) -> None:
        lock = self._line.pop(names, None)
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.path.unlink()
            lock.release()

    def _others_before(self, names: Sequence[str]) -> bool:
        """Return whether another process stands in line for one of these devices, before this one does."""
        assert self._folder is not None
        mine = self._line.get(tuple(names))
        for path in sorted(self._folder.glob(f"*{TICKET}")):
            if mine is not None and path.name >= mine.path.name:
                return False
            if _this_process().token in path.name:
                continue
            lock = FileLock(path)
            if lock.acquire(""):  # its process was killed
                with contextlib.suppress(OSError):
                    path.unlink()
                lock.release()
            elif not set((waiting := lock.content()).split()).isdisjoint(names) and not _is_away(path, waiting):
                return True
        return False

    def _whom(self) -> str:
        """Return who holds the devices that are waited for, else that others are first."""
        assert self._folder is not None
        names = {name for line in self._line for name in line}
        own = _this_process().locks
        paths = [path for name in sorted(names) if (path := self._folder / f"{name}{LOCK}") not in own]
        holders = [(content, path.stem) for path in paths if (content := FileLock(path).content())]
        if not holders:
            return "other processes that were first in line"
        devices = {content: ", ".join(name for other, name in holders if other == content) for content, _ in holders}
        return " and ".join(f"{content} on {names}" for content, names in devices.items())

    @contextlib.contextmanager
    def _going_on_without(self) -> Iterator[None]:
        """Take no turns any more where the system refuses: a study is worth more than order."""
        try:
            yield
        except (StoreError, OSError) as error:
            logger.warning("%s. %s", str(error).rstrip("."), _NO_TURNS)
            self._folder = None
            self.close()


def _is_stopped(holder: str) -> bool:
    """Return whether the process that a lock's file names is stopped (Ctrl-Z, a batch system that suspends)."""
    number = re.match(r"process (\d+) ", holder)
    with contextlib.suppress(psutil.Error):
        return number is not None and psutil.Process(int(number[1])).status() == psutil.STATUS_STOPPED
    return False


def _is_away(path: Path, waiting: str) -> bool:
    """Return whether a process in line would not take its turn now."""
    try:
        return _is_stopped(waiting) or time.time() - path.stat().st_mtime > AWAY_SECONDS
    except FileNotFoundError:  # it has had it
        return True


def _checked_folder(folder: Path | None) -> Path | None:
    """Return the folder, made where it is missing; None, with a warning, where it is not this user's alone."""
    try:
        folder = turns_folder() if folder is None else folder
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        logger.warning("The folder of those who take turns cannot be made: %s. %s", error, _NO_TURNS)
        return None
    is_ours = os.name != "posix" or (facts.st_uid == os.geteuid() and not facts.st_mode & 0o022)
    if stat.S_ISDIR(facts.st_mode) and is_ours:
        return folder
    logger.warning("%s is not a folder that only this user may write to; remove it. %s", folder, _NO_TURNS)
    return None
