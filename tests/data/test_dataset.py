"""A dataset is whole or absent, whatever kills its writer, and opens without being read."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.atomic_write import process_host
from hpsearch.data.dataset import RaggedRows, open_dataset, write_dataset
from hpsearch.errors import DataError, PreparedDataError

ARRAYS = {"targets": np.array([1, 0, 1]), "weights": np.array([0.5, 1, 2], dtype=np.float32), "none": np.empty((0, 4))}


@given(
    st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=12).flatmap(
        lambda rows: st.tuples(
            st.just(rows), st.lists(st.sampled_from(range(len(rows))), max_size=20) if rows else st.just([])
        )
    )
)
def test_ragged_rows_give_back_what_they_were_made_of(drawn):
    rows, chosen = drawn
    ragged = RaggedRows.from_rows(rows, np.int32)
    assert [row.tolist() for row in ragged] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert len(ragged) == len(rows)
    taken = ragged.take(chosen)
    assert [row.tolist() for row in taken] == [rows[row] for row in chosen]
    assert taken.values.dtype == np.int32


def test_ragged_rows_check_themselves():
    with pytest.raises(ValueError, match="offsets run from 0 to 2 over 3"):
        RaggedRows(np.arange(3), np.array([0, 2]))
    with pytest.raises(ValueError, match="shapes"):
        RaggedRows(np.zeros((2, 2)), np.array([0, 2]))
    rows = RaggedRows.from_rows([[1, 2, 3], []], np.int64)
    assert rows[-1].tolist() == []
    with pytest.raises(IndexError):
        rows[2]


def test_a_dataset_is_mapped_not_read(tmp_path):
    ragged = RaggedRows.from_rows([[1, 2], [], [3]], np.int32)
    written = write_dataset(tmp_path / "deep" / "set", {**ARRAYS, **ragged.to_arrays("tokens")}, {"model": "m", "n": 3})
    for dataset in (written, open_dataset(str(tmp_path / "deep" / "set"))):
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(dataset[name], array)
            assert dataset[name].dtype == array.dtype
        assert isinstance(dataset["targets"], np.memmap)
        assert not dataset["targets"].flags.writeable
        assert dataset.facts == {"model": "m", "n": 3}
        assert [row.tolist() for row in dataset.ragged("tokens")] == [[1, 2], [], [3]]
        assert "targets" in dataset
        assert dataset.get("groups") is None
    travelled = pickle.loads(pickle.dumps(written))
    assert isinstance(travelled["targets"], np.memmap)
    assert len(pickle.dumps(written)) < 1000
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["set"]


def test_a_dataset_that_is_there_is_used_as_it_is(tmp_path):
    write_dataset(tmp_path / "set", {"a": np.array([1])}, {})
    assert write_dataset(tmp_path / "set", {"a": np.array([2])}, {})["a"].tolist() == [1]


def test_what_needs_pickle_is_refused_before_anything_is_written(tmp_path):
    for arrays in ({"a": np.array([{}])}, {"../a": np.array([1])}):
        with pytest.raises(ValueError, match="cannot be kept"):
            write_dataset(tmp_path / "set", arrays, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_dataset(tmp_path / "set", ARRAYS, {"bad": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_absent_or_damaged_dataset_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no whole prepared dataset.*facts.json is missing.*It is made anew"):
        open_dataset(tmp_path / "set")
    write_dataset(tmp_path / "set", ARRAYS, {})
    whole = (tmp_path / "set" / "targets.npy").read_bytes()
    for damage in (whole[:-3], b"", whole[:20]):
        (tmp_path / "set" / "targets.npy").write_bytes(damage)
        with pytest.raises(DataError, match="damaged"):
            open_dataset(tmp_path / "set")
    np.save(tmp_path / "set" / "targets.npy", np.arange(9))
    with pytest.raises(DataError, match=r"targets.npy has shape \(9,\), and \(3,\) was written"):
        open_dataset(tmp_path / "set")
    (tmp_path / "set" / "targets.npy").unlink()
    with pytest.raises(DataError, match=r"targets\.npy is missing"):
        open_dataset(tmp_path / "set")
    (tmp_path / "set" / "facts.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="damaged"):
        open_dataset(tmp_path / "set")


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "targets.npy"),
        lambda folder: flip(folder / "targets.npy", 20),
        lambda folder: flip(folder / "facts.json", -6),
        lambda folder: (folder / "targets.npy").write_bytes((folder / "targets.npy").read_bytes()[:-1]),
        lambda folder: (folder / "targets.npy").write_bytes(b""),
        lambda folder: (folder / "targets.npy").unlink(),
        lambda folder: (folder / "checksums.json").write_text("{"),
        lambda folder: (folder / "other.npy").replace(folder / "targets.npy"),
        lambda folder: (shutil.rmtree(folder), shutil.copytree(folder.with_name("another"), folder)),
    ],
    ids=["value", "header", "facts", "cut off", "empty", "gone", "checksums", "another file", "another folder"],
)
def test_whatever_is_damaged_is_noticed_in_the_same_process_and_made_anew_with_a_warning(tmp_path, damage, caplog):
    def write(name, targets):
        return write_dataset(tmp_path / name, {"targets": targets, "other": targets + 1}, {"max_length": 12})

    write("another", np.array([9, 9, 9]))
    write("set", np.array([1, 0, 1]))
    held = open_dataset(tmp_path / "set")["other"]
    damage(tmp_path / "set")
    with pytest.raises(PreparedDataError, match=r"set'.*made anew"):
        open_dataset(tmp_path / "set")
    assert not caplog.text
    assert write("set", np.array([1, 0, 1]))["targets"].tolist() == [1, 0, 1]
    assert "set" in caplog.text
    assert held.tolist() == [2, 1, 2]  # who has it open keeps it
    assert open_dataset(tmp_path / "set").facts == {"max_length": 12}
    assert {path.name for path in tmp_path.iterdir()} == {"set", "another"}


def test_a_file_is_compared_once_for_each_process_and_change(tmp_path, monkeypatch):
    from hpsearch.data import dataset as module

    read = []
    monkeypatch.setattr(module, "_checksum", lambda path, real=module._checksum: read.append(path.name) or real(path))
    write_dataset(tmp_path / "set", {"a": np.arange(3)}, {})
    open_dataset(tmp_path / "set")
    assert sorted(read) == ["a.npy", "facts.json"]
    os.utime(tmp_path / "set" / "a.npy", (1, 1))
    open_dataset(tmp_path / "set")
    assert sorted(read) == ["a.npy", "a.npy", "facts.json"]


def test_what_an_earlier_version_wrote_has_no_checksums_and_is_used(tmp_path):
    write_dataset(tmp_path / "set", {"a": np.arange(3)}, {})
    (tmp_path / "set" / "checksums.json").unlink()
    assert open_dataset(tmp_path / "set")["a"].tolist() == [0, 1, 2]


def killed(tmp_path, moment):
    """Write a dataset in a process that kills itself at `moment`: just before a call whose name starts so."""
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        import numpy as np
        from hpsearch.data.dataset import write_dataset

        def kill(event, arguments):
            names = [str(argument) for argument in arguments]
            if event == {moment[0]!r} and any({moment[1]!r} in name for name in names):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        write_dataset({str(tmp_path / "set")!r}, {{"a": np.arange(1000), "b": np.arange(9)}}, {{"n": 1}})
        """
    )
    return subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(Path.cwd())}, check=False
    )


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
@pytest.mark.parametrize(
    "moment",
    [("open", "a.npy"), ("open", "b.npy"), ("open", "facts.json"), ("open", "checksums.json"), ("os.rename", "set")],
)
def test_a_killed_writer_leaves_no_half_dataset_and_its_remains_are_swept(tmp_path, moment):
    assert killed(tmp_path, moment).returncode == -signal.SIGKILL
    left = [entry.name for entry in tmp_path.iterdir()]
    assert "set" not in left
    assert len(left) == 1
    assert left[0].endswith(".partial")
    dataset = write_dataset(tmp_path / "set", {"a": np.arange(3)}, {})
    assert dataset["a"].tolist() == [0, 1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
def test_the_work_of_a_living_writer_is_not_swept(tmp_path):
    name = f".set.{process_host()}.{os.getpid()}.abcd.partial"
    (tmp_path / name).mkdir()
    (tmp_path / ".set.another-host.1.abcd.partial").mkdir()
    write_dataset(tmp_path / "set", ARRAYS, {})
    assert {entry.name for entry in tmp_path.iterdir()} == {"set", name, ".set.another-host.1.abcd.partial"}


def test_the_first_of_two_writers_counts(tmp_path, monkeypatch):
    from hpsearch.data import dataset as module

    def write_then_be_late(*given, write=module._write_files):
        write(*given)
        monkeypatch.setattr(module, "_write_files", write)
        write_dataset(tmp_path / "set", {"a": np.array([1])}, {})

    monkeypatch.setattr(module, "_write_files", write_then_be_late)
    assert write_dataset(tmp_path / "set", {"a": np.array([2])}, {})["a"].tolist() == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]
