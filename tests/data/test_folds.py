"""Folds keep their rows, on disk too, and a damaged file of folds is refused."""

import contextlib

import numpy as np
import pytest

from hpsearch.data.folds import Folds, Holdout
from hpsearch.errors import DataError

FOLDS = Folds(((np.array([3, 1, 0]), np.array([2])), (np.array([2, 1]), np.array([0, 3]))))


def test_folds_are_sorted_read_only_and_compared_by_content():
    assert FOLDS.pairs[0][0].tolist() == [0, 1, 3]
    assert FOLDS.pairs[0][0].dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        FOLDS.pairs[0][0][0] = 9
    assert Folds.from_arrays(FOLDS.to_arrays()) == FOLDS
    assert hash(Folds.from_arrays(FOLDS.to_arrays())) == hash(FOLDS)
    assert Folds(FOLDS.pairs[::-1]) != FOLDS
    assert len(FOLDS) == 2
    assert [FOLDS.test_share(fold) for fold in range(2)] == [0.25, 0.5]


def test_the_caller_s_arrays_stay_writable():
    training = np.array([0, 1])
    Folds(((training, np.array([2])),))
    training[0] = 5


def test_folds_are_written_without_pickle_and_read_back(tmp_path):
    FOLDS.write(tmp_path / "folds.npz")
    assert Folds.read(tmp_path / "folds.npz") == FOLDS
    Folds(FOLDS.pairs[:1]).write(tmp_path / "folds.npz")
    assert len(Folds.read(tmp_path / "folds.npz")) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["folds.npz"]


def test_folds_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "folds.npz"
    with pytest.raises(DataError, match=r"folds.npz.*cannot be read"):
        Folds.read(path)
    FOLDS.write(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        Folds.read(path)
    np.savez(path, training_values=np.arange(3))
    with pytest.raises(DataError, match="training_offsets"):
        Folds.read(path)


def test_any_flipped_byte_leaves_the_folds_or_is_told(tmp_path):
    path = tmp_path / "folds.npz"
    FOLDS.write(path)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x81]) + content[position + 1 :])
        with contextlib.suppress(DataError):
            assert Folds.read(path) == FOLDS


@pytest.mark.parametrize("test_size", [0.0, 1.0, -0.1, 3, float("nan")])
def test_a_holdout_is_a_share(test_size):
    with pytest.raises(DataError, match="between 0 and 1"):
        Holdout(test_size)
    assert Holdout() == Holdout(0.2)
