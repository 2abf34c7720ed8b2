import os
import subprocess
import sys

import pytest

from hpsearch.data import Folds
from hpsearch.data.durable import partial_path, replaced_file


def dead_process() -> int:
    """Return the id of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    host, dead = os.uname().nodename, dead_process()
    target = tmp_path / "set[1].npz"
    abandoned = [f".set[1].npz.{host}.{dead}.abcd.partial", f".set[1].npz.{host}.{dead}.folder.partial"]
    others = [
        f".set[1].npz.{host}.{os.getpid()}.abcd.partial",
        f".set[1].npz.another-host.{dead}.abcd.partial",
        f".set2.npz.{host}.{dead}.abcd.partial",
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


def test_folds_written_again_leave_one_file(tmp_path):
    left = tmp_path / f".folds.npz.{os.uname().nodename}.{dead_process()}.abcd.partial"
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
