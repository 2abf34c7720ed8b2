"""How often the system has killed a process because its memory was full."""

import re
from pathlib import Path


def memory_kills(root: Path = Path("/")) -> int | None:
    """Return the kernel's count: that of this process's control group, else of the machine; None where none is kept.

    `root` is where the files of the system are.
    """
    for path in (*_of_the_group(root), root / "proc/vmstat"):
        try:
            found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return None


def _of_the_group(root: Path) -> list[Path]:
    """Return where this process's control group counts, in version 2 and 1 of control groups."""
    mounted = root / "sys/fs/cgroup"
    try:
        groups = re.findall(r"^\d+:([^:]*):/(.*)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        return []
    return [
        mounted / "memory" / path / "memory.oom_control"
        if "memory" in kinds.split(",")
        else mounted / path / "memory.events"
        for kinds, path in groups
        if not kinds or "memory" in kinds.split(",")
    ]
