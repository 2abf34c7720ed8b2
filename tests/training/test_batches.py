import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.training.batches import (
    EVALUATION_ROWS,
    EVALUATION_TOKENS,
    epoch_batches,
    evaluation_batches,
    steps_per_epoch,
)

LENGTHS = np.random.default_rng(0).integers(3, 128, 1000)
row_lengths = st.lists(st.integers(1, 600), min_size=1, max_size=200).map(np.array)


@given(row_lengths, st.integers(1, 64), st.integers(0, 2**32), st.integers(0, 50))
def test_an_epoch_is_every_row_once_in_batches_of_which_one_may_be_smaller(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == steps_per_epoch(len(lengths), batch_size)
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_the_order_is_a_function_of_seed_epoch_lengths_and_batch_size_alone() -> None:
    first = epoch_batches(LENGTHS, 16, 3, 2)
    np.random.default_rng().random(5)
    assert [list(batch) for batch in first] == [list(batch) for batch in epoch_batches(LENGTHS.copy(), 16, 3, 2)]
    for other in (
        epoch_batches(LENGTHS, 16, 4, 2),
        epoch_batches(LENGTHS, 16, 3, 1),
        epoch_batches(LENGTHS[::-1], 16, 3, 2),
        epoch_batches(LENGTHS, 8, 3, 2),
    ):
        assert [list(batch) for batch in first[:5]] != [list(batch) for batch in other[:5]]


def test_the_order_is_known() -> None:
    """Changing it changes every run; this is to be a decision."""
    found = epoch_batches(np.array([5, 3, 9, 1, 7, 2, 8]), 3, 0, 0)
    assert [batch.tolist() for batch in found] == [[2, 0, 1], [5], [6, 4, 3]]


def test_rows_of_like_length_meet_and_little_is_padded() -> None:
    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * int(LENGTHS[batch].max()) for batch in batches)

    order = np.random.default_rng(1).permutation(len(LENGTHS))
    unsorted = padded([order[start : start + 16] for start in range(0, len(order), 16)])
    assert unsorted > 1.7 * LENGTHS.sum()
    assert padded(epoch_batches(LENGTHS, 16, 0, 0)) < 1.1 * LENGTHS.sum()


def test_a_row_keeps_other_company_in_another_epoch() -> None:
    def company(epoch: int) -> set[int]:
        return next(set(batch.tolist()) for batch in epoch_batches(LENGTHS, 16, 0, epoch) if 7 in batch)

    assert len(company(0) & company(1)) < 8


def test_batches_do_not_come_in_order_of_length() -> None:
    longest = [int(LENGTHS[batch].max()) for batch in epoch_batches(LENGTHS, 16, 0, 0)]
    steps = np.diff(longest)
    assert (steps > 0).sum() > 15
    assert (steps < 0).sum() > 15


@given(row_lengths, st.sampled_from([1, 16]), st.one_of(st.none(), st.integers(1, 200)))
def test_evaluation_sees_every_row_once_within_its_bounds(
    lengths: np.ndarray, padding_multiple: int, largest: int | None
) -> None:
    batches = evaluation_batches(lengths, padding_multiple, largest)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert (np.diff(lengths[np.concatenate(batches)]) <= 0).all()
    for batch in batches:
        padded = -(-int(lengths[batch].max()) // padding_multiple) * padding_multiple
        assert len(batch) <= 16 or len(batch) * padded <= EVALUATION_TOKENS
        assert len(batch) <= min(EVALUATION_ROWS, (largest or EVALUATION_ROWS) + 15)
    assert all(len(batch) % 16 == 0 for batch in batches[:-1])


def test_long_rows_come_in_small_batches_and_short_ones_in_large() -> None:
    batches = evaluation_batches(np.array([200] * 100 + [EVALUATION_TOKENS] * 16 + [5] * 300), 16)
    assert [len(batch) for batch in batches] == [16, 64, 64, 128, 128, 16]
    assert batches[0].tolist() == list(range(100, 116))


@pytest.mark.parametrize(("rows", "batch_size", "steps"), [(1, 8, 1), (8, 8, 1), (9, 8, 2), (16, 1, 16)])
def test_steps_of_an_epoch(rows: int, batch_size: int, steps: int) -> None:
    assert steps_per_epoch(rows, batch_size) == steps
