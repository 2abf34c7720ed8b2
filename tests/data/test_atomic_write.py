import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.atomic_write import (
    append_text,
    partial_path,
    process_host,
    replaced_file,
    reserve,
    save_array,
    writing,
)
from hpsearch.data.folds import Folds
from hpsearch.errors import StoreError


def dead_process() -> int:
    """Return the id of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    host, dead = process_host(), dead_process()
    target = tmp_path / "set[1].npz"
    abandoned = [f".set[1].npz.{host}.{dead}.abcd.partial", f".set2.npz.{host}.{dead}.0123.partial"]
    others = [
        f".set[1].npz.{host}.{os.getpid()}.abcd.partial",
        f".set[1].npz.another-host.{dead}.abcd.partial",
        f".set2.npz.{host}.{dead}.partial",
        f".set2.npz.{host}.2147483648.abcd.partial",
        f"set2.npz.{host}.{dead}.abcd.partial",
        f".set2.npz.{host}.{dead}.abcd.partial-replaced",
        "set[1].npz",
    ]
    for name in (abandoned[0], *others):
        (tmp_path / name).touch()
    (tmp_path / abandoned[1]).mkdir()
    (tmp_path / abandoned[1] / "file").touch()
    path = partial_path(target)
    assert {entry.name for entry in tmp_path.iterdir()} == set(others)
    assert path.parent == tmp_path
    assert path.name.startswith(f".set[1].npz.{host}.{os.getpid()}.")
    assert not path.exists()
    assert partial_path(target) != path


AS_A_STRANGER = """
import os, sys
from pathlib import Path
from hpsearch.data.atomic_write import replaced_file
os.chdir(sys.argv[1])  # the folders above are closed to others
os.setgroups([]), os.setgid(65534), os.setuid(65534)
with replaced_file(Path("report.html")) as file:
    file.write(b"new")
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_folder", [False, True])
def test_what_another_user_left_in_a_folder_for_all_hinders_nobody(tmp_path, is_folder):
    tmp_path.chmod(0o1777)
    left = tmp_path / f".report.html.{process_host()}.{dead_process()}.abcd.partial"
    left.mkdir(mode=0o700) if is_folder else left.touch()
    subprocess.run([sys.executable, "-c", AS_A_STRANGER, str(tmp_path)], check=True)
    assert {entry.name for entry in tmp_path.iterdir()} == {"report.html", left.name}


AS_A_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]


def test_what_a_container_of_the_same_name_writes_is_left_alone(tmp_path):
    """It numbers its processes by itself: those of this host are unknown there."""
    if not shutil.which("unshare") or subprocess.run([*AS_A_CONTAINER, "true"], check=False).returncode:
        pytest.skip("processes cannot be numbered anew here")
    write = "import sys; from hpsearch.data.atomic_write import *; partial_path(Path(sys.argv[1]))"
    with replaced_file(tmp_path / "one") as file:
        subprocess.run([*AS_A_CONTAINER, sys.executable, "-c", write, str(tmp_path / "two")], check=True)
        file.write(b"new")
    assert (tmp_path / "one").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_a_link_to_where_one_may_not_look_hinders_nobody(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    place = tmp_path / "for-all"
    place.mkdir()
    place.chmod(0o1777)
    left = place / f".report.html.{process_host()}.{dead_process()}.abcd.partial"
    left.symlink_to(tmp_path / "closed" / "folder")
    subprocess.run([sys.executable, "-c", AS_A_STRANGER, str(place)], check=True)
    assert (place / "report.html").exists()


def test_folds_written_again_leave_one_file(tmp_path):
    left = tmp_path / f".folds.npz.{process_host()}.{dead_process()}.abcd.partial"
    left.touch()
    Folds((([0, 1], [2]), ([2], [0, 1]))).write(tmp_path / "folds.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folds.npz"]


def break_off(target):
    with replaced_file(target) as file:
        file.write(b"ne")
        raise RuntimeError("half way")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "scores.json"
    with replaced_file(target) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError, match="half way"):
        break_off(target)
    assert target.read_bytes() == b"old"
    with replaced_file(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.json"]


@contextlib.contextmanager
def small_disk(size):
    """Let no file of this process grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("count", [200, 100_000])
def test_an_array_that_the_disk_has_no_room_for_is_an_error_and_not_a_shorter_file(tmp_path, count):
    """`numpy.save` to an open file leaves the first half without a word where the whole fits its buffer."""
    array = np.arange(count)
    with small_disk(1000), pytest.raises(StoreError, match=r"array.npy cannot be written: .* Make room"):
        write(tmp_path / "array.npy", array)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "array.npy", array)
    assert np.array_equal(np.load(tmp_path / "array.npy", allow_pickle=False), array)


def write(target, array):
    with replaced_file(target) as file:
        save_array(file, array)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.array(5.0), np.arange(12).reshape(3, 4).T, np.array(["a", "bc"])]
)
def test_an_array_comes_back_as_it_was(tmp_path, array):
    write(tmp_path / "array.npy", array)
    found = np.load(tmp_path / "array.npy", allow_pickle=False)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_room_is_claimed_before_a_file_is_mapped(tmp_path):
    with (tmp_path / "pixels").open("wb") as file:
        reserve(file, 0)
        reserve(file, 5000)
        assert os.fstat(file.fileno()).st_size == 5000
        with small_disk(6000), pytest.raises(OSError, match="large"):
            reserve(file, 10_000)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EROFS, "may not write there"),
        (errno.EACCES, "may not write there"),
        (errno.ENOTDIR, "is a file"),
        (errno.EIO, "Check the disk"),
        (errno.ENOENT, "deleted or renamed meanwhile"),
    ],
)
def test_a_refusal_says_what_to_do(number, remedy):
    with (
        pytest.raises(StoreError, match=rf"^here cannot be written: .*{remedy}.*\(folder=\)") as caught,
        writing("here", "folder="),
    ):
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_too_many_open_files_are_no_full_disk(tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(StoreError, match=r"too many open files.*ulimit -n") as caught:
            append_text(tmp_path / "logs" / "a.log", "x")
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "room" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_log_is_appended_to_no_link(tmp_path):
    (tmp_path / "profile").write_text("mine\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").chmod(0o777)
    for name, link in (("a.log", Path.symlink_to), ("b.log", Path.hardlink_to)):
        link(tmp_path / "logs" / name, tmp_path / "profile")
        with pytest.raises(StoreError, match=r"is a link|Remove the link"):
            append_text(tmp_path / "logs" / name, "theirs")
    os.mkfifo(tmp_path / "logs" / "c.log")
    with pytest.raises(StoreError):  # and no wait for whom reads it
        append_text(tmp_path / "logs" / "c.log", "theirs")
    assert (tmp_path / "profile").read_text() == "mine\n"
    append_text(tmp_path / "logs" / "d.log", "one\n")
    append_text(tmp_path / "logs" / "d.log", "two\n")
    assert (tmp_path / "logs" / "d.log").read_text() == "one\ntwo\n"


def test_other_errors_are_left_alone():
    with pytest.raises(ValueError, match=r"^mine$"), writing("here"):
        raise ValueError("mine")


def test_an_error_that_is_not_the_disks_goes_on_as_it_is(tmp_path):
    """A hub that is not reached raises OSError too: nobody should check the disk for it."""
    with pytest.raises(OSError, match=r"^couldn't connect$"), replaced_file(tmp_path / "model"):
        raise OSError("couldn't connect")
    elsewhere = tmp_path / "cache" / "config.json"
    with pytest.raises(FileNotFoundError, match="cache"), writing(tmp_path / "models" / "best"):
        elsewhere.read_text()
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_above_or_beside_the_path_is_about_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"models/best cannot be written: .* is a file"), writing("file/models/best"):
        Path("file").mkdir()
    with pytest.raises(StoreError, match="cannot be written"), writing(tmp_path / "best"):
        (tmp_path / ".best.partial" / "weights").write_bytes(b"")
