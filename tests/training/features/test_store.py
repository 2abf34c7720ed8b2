"""Features on disk: filled by several processes, ended by kills, evicted, damaged."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.training.features.store import BLOCKS, FACTS, VALUES, FeatureStore, Layout

COUNTS = np.array([3, 1, 4, 1, 5, 2], dtype=np.int64)
ORDER = (np.array([4, 2]), np.array([0, 5]), np.array([1, 3]))


def layout(dtype: str = "float32", scale: int = 1) -> Layout:
    return Layout(COUNTS, ORDER, (2 * scale,), dtype)


def vectors(found: Layout, block: int) -> torch.Tensor:
    """Return what is to be written of a block: row r has the number r, counted on from token to token."""
    rows = [torch.full((int(COUNTS[row]), *found.vector_shape), float(row)) for row in found.blocks[block]]
    return torch.cat(rows).to(getattr(torch, found.dtype))


def filled(store: FeatureStore, digest: str, found: Layout) -> Any:
    entry = store.make(digest, found)
    assert entry is not None
    for block in entry.missing():
        entry.write(block, vectors(found, block))
    return entry


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, dtype: str) -> None:
    entry = filled(FeatureStore(tmp_path, 10**6), "entry", layout(dtype))
    assert entry.is_complete
    read = entry.read(np.array([5, 2, 2]), 6)
    assert read.dtype == getattr(torch, dtype) and read.shape == (3, 6, 2)
    assert read[:, :, 0].tolist() == [[5, 5, 0, 0, 0, 0], [2, 2, 2, 2, 0, 0], [2, 2, 2, 2, 0, 0]]
    assert entry.read(np.array([5]), 4, left=True)[0, :, 1].tolist() == [0, 0, 5, 5]


def test_rows_that_are_arrays_have_no_width(tmp_path: Path) -> None:
    found = Layout(np.ones(4, dtype=np.int64), (np.array([3, 1]), np.array([0, 2])), (2, 3), "float32")
    entry = FeatureStore(tmp_path, 10**6).make("images", found)
    assert entry is not None
    for block in entry.missing():
        entry.write(block, torch.stack([torch.full((2, 3), float(row)) for row in found.blocks[block]]))
    assert torch.equal(entry.read(np.array([2, 3]), None), torch.tensor([2.0, 3.0]).reshape(2, 1, 1).expand(2, 2, 3))


def test_an_entry_is_found_again_and_what_is_done_is_not_done_twice(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 10**6)
    entry = store.make("entry", layout())
    assert entry is not None
    entry.write(next(iter(entry.missing())), vectors(layout(), 0))
    again = FeatureStore(tmp_path, 10**6).find("entry", COUNTS, ORDER)
    assert again is not None and not again.is_complete
    assert list(itertools.islice(again.missing(), 2)) == [1, 2]


def test_two_that_fill_at_once_share_the_blocks(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 10**6)
    one, other = store.make("entry", layout()), store.make("entry", layout())
    assert one is not None and other is not None
    mine, theirs = one.missing(), other.missing()
    taken = [next(mine), next(theirs), next(mine)]
    assert taken == [0, 1, 2]
    for block in (0, 2):
        one.write(block, vectors(layout(), block))
    # The other's is begun and not done: it may have been killed, so the first does it too when nothing else is left.
    assert next(mine) == 1
    other.write(1, vectors(layout(), 1))
    assert list(mine) == [] and one.is_complete and other.is_complete


def test_what_does_not_fit_is_not_made(tmp_path: Path) -> None:
    assert FeatureStore(tmp_path, layout().nbytes - 1).make("entry", layout()) is None
    assert FeatureStore(tmp_path, 0).make("entry", layout()) is None
    assert FeatureStore(tmp_path, layout().nbytes).make("entry", layout()) is not None


def test_the_longest_unused_make_room_and_one_in_use_keeps_working(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2 * layout().nbytes)
    first, second = filled(store, "first", layout()), filled(store, "second", layout())
    half = store.make("third", layout())
    assert half is not None and list(store.entries()) == ["second", "third"]
    assert first.read(np.array([2]), 4)[0, 0, 0] == 2
    assert store.find("second", COUNTS, ORDER) is not None  # used: the third is now the one longest unused
    filled(store, "fourth", layout())
    assert list(store.entries()) == ["second", "fourth"]
    for block in half.missing():  # it is filled to its end, though nobody will find it
        half.write(block, vectors(layout(), block))
    assert half.is_complete and half.read(np.array([4]), 5)[0, 4, 0] == 4
    assert second.read(np.array([0]), 3)[0, 0, 0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fourth", "second"]


@pytest.mark.parametrize("name", [FACTS, VALUES, BLOCKS])
def test_a_damaged_entry_is_removed(tmp_path: Path, name: str) -> None:
    store = FeatureStore(tmp_path, 10**6)
    filled(store, "entry", layout())
    (tmp_path / "entry" / name).write_bytes(b"{")
    assert store.find("entry", COUNTS, ORDER) is None
    assert store.entries() == {}
    assert filled(store, "entry", layout()).is_complete


def test_an_entry_of_other_rows_is_not_taken(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 10**6)
    filled(store, "entry", layout())
    assert store.find("entry", COUNTS + 1, ORDER) is None


def test_the_default_budget_leaves_the_disk_room(tmp_path: Path) -> None:
    store = FeatureStore.within(tmp_path / "not" / "there", None)
    assert 0 < store.budget <= 20 * 1024**3
    assert FeatureStore.within(tmp_path, 7).budget == 7


SLOW_FILLER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import test_feature_store as shared
from hpsearch.training.features.store import FeatureStore
entry = FeatureStore(Path(sys.argv[1]), 10**6).make("entry", shared.layout())
for block in entry.missing():
    print("computing", flush=True)
    entry.write(block, shared.vectors(shared.layout(), block))
    print("written", flush=True)
    time.sleep(0.0 if block else 60.0)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
def test_a_kill_while_it_is_filled_costs_no_more_than_the_block_in_progress(tmp_path: Path) -> None:
    here = Path(__file__).parents[1]
    command = [sys.executable, "-c", SLOW_FILLER, str(tmp_path), str(here), str(here.parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "written":
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    entry = FeatureStore(tmp_path, 10**6).find("entry", COUNTS, ORDER)
    assert entry is not None
    left = []
    for block in entry.missing():
        left.append(block)
        entry.write(block, vectors(layout(), block))
    assert left == [1, 2]
    assert entry.read(np.arange(6), 5)[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
