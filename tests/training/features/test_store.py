"""Features on disk: filled by several processes, ended by kills, evicted, damaged."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hpsearch.training.features import NotKeptError
from hpsearch.training.features.store import CHECKSUM_BYTES, DONE, VALUES, FeatureEntry, FeatureStore

COUNTS = np.array([3, 1, 4, 1, 5, 2], dtype=np.int64)
BLOCKS = [np.array([4, 2]), np.array([0, 5]), np.array([1, 3])]
VECTOR_BYTES = 8
"""Two float32."""

ENTRY_BYTES = int(COUNTS.sum()) * VECTOR_BYTES + len(BLOCKS) * (1 + CHECKSUM_BYTES)


def opened(store: FeatureStore, digest: str = "entry") -> FeatureEntry:
    return store.entry(digest, COUNTS, VECTOR_BYTES, BLOCKS)


def vectors(block: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Return what is written of a block: the vectors of row r have the number r."""
    numbers = VECTOR_BYTES // dtype.itemsize
    return [torch.full((int(COUNTS[row]), numbers), float(row), dtype=dtype) for row in BLOCKS[block]]


def filled(store: FeatureStore, digest: str = "entry", dtype: torch.dtype = torch.float32) -> FeatureEntry:
    entry = opened(store, digest)
    for block in entry.missing():
        entry.write(block, vectors(block, dtype))
    return entry


def numbers_of(
    entry: FeatureEntry, rows: list[int], width: int, dtype: torch.dtype = torch.float32
) -> list[list[float]]:
    """Return the first number of each vector."""
    values: list[list[float]] = entry.read(np.array(rows), width).view(dtype)[:, :, 0].tolist()
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_written(tmp_path: Path, dtype: torch.dtype) -> None:
    entry = filled(FeatureStore(tmp_path, 10**6), dtype=dtype)
    assert entry.read(np.array([5, 2, 2]), 6).shape == (3, 6, VECTOR_BYTES)
    assert numbers_of(entry, [5, 2, 2], 6, dtype) == [[5, 5, 0, 0, 0, 0], [2, 2, 2, 2, 0, 0], [2, 2, 2, 2, 0, 0]]
    assert numbers_of(entry, [0], 3, dtype) == [[0, 0, 0]]


def test_an_entry_is_found_again_and_what_is_done_is_not_done_twice(tmp_path: Path) -> None:
    entry = opened(FeatureStore(tmp_path, 10**6))
    entry.write(next(entry.missing()), vectors(0))
    again = opened(FeatureStore(tmp_path, 10**6))
    assert list(itertools.islice(again.missing(), 2)) == [1, 2]
    assert numbers_of(again, [4], 5) == [[4, 4, 4, 4, 4]]


def test_two_that_fill_at_once_share_the_blocks(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 10**6)
    one, other = opened(store), opened(store)
    mine, theirs = one.missing(), other.missing()
    assert [next(mine), next(theirs), next(mine)] == [0, 1, 2]
    for block in (0, 2):
        one.write(block, vectors(block))
    # The other's is begun and not done: it may have been killed, so the first does it too when nothing else is left.
    assert next(mine) == 1
    other.write(1, vectors(1))
    assert list(mine) == [] and list(theirs) == []


def test_what_does_not_fit_is_not_made(tmp_path: Path) -> None:
    for budget in (0, ENTRY_BYTES - 1):
        with pytest.raises(NotKeptError, match=r"they need 0\.0 MiB, and feature_cache_bytes allows 0\.0"):
            opened(FeatureStore(tmp_path, budget))
        assert not list(tmp_path.iterdir())
    assert list(opened(FeatureStore(tmp_path, ENTRY_BYTES)).missing()) == [0, 1, 2, 0, 1, 2]


def test_those_unused_for_longest_make_room_and_one_in_use_keeps_working(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2 * ENTRY_BYTES)
    first, second = filled(store, "first"), filled(store, "second")
    used(store, "first", "second")
    half = opened(store, "third")
    assert list(store.entries()) == ["second", "third"]
    assert numbers_of(first, [2], 4) == [[2, 2, 2, 2]]
    used(store, "second", "third")
    opened(store, "second")  # used: the third is now the one unused for longest
    filled(store, "fourth")
    assert list(store.entries()) == ["second", "fourth"]
    for block in half.missing():  # it is filled to its end, though nobody will find it
        half.write(block, vectors(block))
    assert numbers_of(half, [4], 5) == [[4, 4, 4, 4, 4]]
    assert numbers_of(second, [0], 3) == [[0, 0, 0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fourth", "second"]


def used(store: FeatureStore, *digests: str) -> None:
    """Have entries used long ago, in this order."""
    for seconds, digest in enumerate(digests):
        os.utime(store.folder / digest / VALUES, (seconds, seconds))


def test_what_an_earlier_version_left_counts_and_is_evicted(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, ENTRY_BYTES + 100)
    old = tmp_path / "0123abcd"
    old.mkdir()
    for name, content in (("facts.json", b"{}"), (VALUES, bytes(101)), ("blocks.bin", b"\1\1"), ("notes.jsonl", b"")):
        (old / name).write_bytes(content)
    assert store.entries() == {"0123abcd": 101}
    filled(store)
    assert list(store.entries()) == ["entry"] and not old.exists()


@pytest.mark.parametrize("content", [b"", b"{", bytes(ENTRY_BYTES - 1)])
def test_a_file_that_was_cut_off_is_filled_anew(tmp_path: Path, content: bytes) -> None:
    """As a kill or a full disk leaves one: no state of a block is in it."""
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / VALUES).write_bytes(content)
    entry = filled(FeatureStore(tmp_path, 10**6))
    assert list(entry.missing()) == []
    assert numbers_of(entry, [2, 0], 4) == [[2, 2, 2, 2], [0, 0, 0, 0]]


def test_the_default_budget_leaves_the_disk_room(tmp_path: Path) -> None:
    store = FeatureStore.within(tmp_path / "not" / "there", None)
    assert 0 < store.budget <= 20 * 1024**3
    assert FeatureStore.within(tmp_path, 7).budget == 7


SLOW_FILLER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import test_store as shared
from hpsearch.training.features.store import FeatureStore
entry = shared.opened(FeatureStore(Path(sys.argv[1]), 10**6))
for block in entry.missing():
    print("computing", flush=True)
    entry.write(block, shared.vectors(block))
    print("written", flush=True)
    time.sleep(0.0 if block else 60.0)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
def test_a_kill_while_it_is_filled_costs_no_more_than_the_block_in_progress(tmp_path: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", SLOW_FILLER, str(tmp_path), str(here), str(here.parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "written":
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    entry = opened(FeatureStore(tmp_path, 10**6))
    left = []
    for block in entry.missing():
        left.append(block)
        entry.write(block, vectors(block))
    assert left == [1, 2]
    assert [row[0] for row in numbers_of(entry, list(range(6)), 5)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("place", [0, 4 * VECTOR_BYTES, ENTRY_BYTES - 1], ids=["a value", "another", "a checksum"])
def test_a_block_whose_bytes_were_changed_is_filled_anew(tmp_path: Path, place: int) -> None:
    store = FeatureStore(tmp_path, 10**6)
    filled(store)
    path = tmp_path / "entry" / VALUES
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    entry = opened(store)
    assert entry.forget_damaged() == 1
    done = []
    for block in entry.missing():
        entry.write(block, vectors(block))
        done.append(block)
    assert len(done) == 1
    assert (entry.forget_damaged(), set(entry.states)) == (0, {DONE})
    assert numbers_of(entry, [0, 2], 4) == [[0, 0, 0, 0], [2, 2, 2, 2]]


@pytest.mark.parametrize("added", [b"", bytes([DONE]) * 40], ids=["as large", "larger"])
def test_the_file_of_another_entry_in_its_place_is_filled_anew(tmp_path: Path, added: bytes) -> None:
    store = FeatureStore(tmp_path, 10**6)
    filled(store, "first")
    filled(store, "other")
    (tmp_path / "first" / VALUES).write_bytes((tmp_path / "other" / VALUES).read_bytes() + added)
    entry = opened(store, "first")
    assert entry.forget_damaged() == len(BLOCKS)
