import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from records_samples import python_process

from hpsearch.errors import StoreError
from hpsearch.records.file_lock import FileLock

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork")

HOLD = """
import sys
from pathlib import Path
from hpsearch.records.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire("the other process"), flush=True)
sys.stdin.read()
"""


def wait_until_free(path: Path) -> bool:
    """Whether the lock can be had within half a minute: the kernel drops it a moment after its holder's death."""
    lock = FileLock(path)
    deadline = time.monotonic() + 30
    while not lock.acquire("me"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    lock.release()
    return True


def test_one_holds_it_and_is_named_until_it_lets_go(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.acquire("first")
    assert not other.acquire("second")
    assert (one.held, other.held, other.content()) == (True, False, "first")
    one.release()
    assert other.content() == ""
    assert other.acquire("second, with a longer name")
    other.release()
    other.release()


@posix
def test_it_is_held_while_the_process_is_stopped_and_free_once_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with python_process(HOLD, str(path)) as process:
        assert process.stdout and process.stdout.readline() == "True\n"
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            assert not FileLock(path).acquire("me")
            assert FileLock(path).content() == "the other process"
            process.send_signal(sign)
        process.kill()
        process.wait()
        assert wait_until_free(path)


@posix
def test_neither_a_forked_nor_a_started_child_keeps_it_alive(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = HOLD.replace(
        "sys.stdin.read()",
        "import os, subprocess, time\n"
        "started = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "forked = os.fork()\n"
        "if forked == 0: time.sleep(60)\n"
        "print(forked, started.pid, flush=True)\n"
        "sys.stdin.read()",
    )
    with python_process(code, str(path)) as process:
        assert process.stdout and process.stdout.readline() == "True\n"
        children = [int(pid) for pid in process.stdout.readline().split()]
        try:
            assert not FileLock(path).acquire("me")
            process.kill()
            process.wait()
            assert wait_until_free(path)
            for child in children:
                os.kill(child, 0)  # they live, and do not hold it
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)


def test_a_place_without_a_folder_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lock cannot be made"):
        FileLock(tmp_path / "missing" / "lock").acquire("me")


@posix
@pytest.mark.parametrize("kind", ["symbolic", "hard"])
@pytest.mark.parametrize("there", [True, False], ids=["target", "no target"])
def test_a_link_in_a_strangers_folder_is_not_followed(tmp_path: Path, kind: str, there: bool) -> None:
    """In a folder that others may write to, a lock's name may stand for any file of ours."""
    mine, shared = tmp_path / "mine", tmp_path / "shared"
    mine.mkdir()
    shared.mkdir()
    shared.chmod(0o777)
    if there or kind == "hard":
        (mine / "thesis.tex").write_text("years")
    if kind == "symbolic":
        (shared / "lock").symlink_to(mine / "thesis.tex")
    else:
        (shared / "lock").hardlink_to(mine / "thesis.tex")
    lock = FileLock(shared / "lock")
    with pytest.raises(StoreError, match=r"lock cannot be made .*link"):
        lock.acquire("me")
    assert not lock.held
    lock.release()
    if there or kind == "hard":
        assert (mine / "thesis.tex").read_text() == "years"
    assert not list(mine.glob("lock*"))
    (shared / "lock").unlink()
    assert lock.acquire("me")
    lock.release()


@posix
def test_a_second_name_in_a_folder_of_our_own_is_ours(tmp_path: Path) -> None:
    """Copies of a study that share its files (`cp -al`, some backups) do not keep it from running."""
    (tmp_path / "lock").touch()
    (tmp_path / "copy").hardlink_to(tmp_path / "lock")
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire("me")
    lock.release()


def test_importing_it_needs_no_third_party(tmp_path: Path) -> None:
    code = "import sys, hpsearch.records.file_lock; assert not {'sqlalchemy', 'optuna'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
