"""The kernel's count of processes killed for want of memory, as it writes it in several places."""

from pathlib import Path

import pytest

from hpsearch.runtime.memory_kills import memory_kills

VMSTAT = "pgmajfault 7\noom_kill 9\n"
GROUPS = {
    "version 2": (
        "0::/user.slice/one.scope\n",
        "sys/fs/cgroup/user.slice/one.scope/memory.events",
        "oom 5\noom_kill 3\n",
    ),
    "version 1": ("5:cpu:/\n4:cpu,memory:/job\n0::/\n", "sys/fs/cgroup/memory/job/memory.oom_control", "oom_kill 2\n"),
    "in a container": ("0::/\n", "sys/fs/cgroup/memory.events", "oom_kill 1\noom_group_kill 0\n"),
}


def write(root: Path, **files: str) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize("kind", GROUPS)
def test_the_count_of_the_own_control_group_is_read(kind: str, tmp_path: Path) -> None:
    groups, path, content = GROUPS[kind]
    write(tmp_path, **{"proc/self/cgroup": groups, "proc/vmstat": VMSTAT, path: content})
    assert memory_kills(tmp_path) == int(content.split("oom_kill ")[1].split()[0])


def test_else_that_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/\n", "proc/vmstat": VMSTAT})
    assert memory_kills(tmp_path) == 9
    (tmp_path / "proc/self/cgroup").unlink()
    assert memory_kills(tmp_path) == 9


def test_where_nothing_counts_it_is_not_known(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) is None
