import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hpsearch.data.ragged import Ragged, Rows, as_arrays, as_list, byte_count, from_bytes, is_finite, rows_of, to_bytes

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=6)
NUMBERS = st.sampled_from(["<f4", "<f8", "<i8", "<i4", "|u1", "|b1", "<f2"])


def ragged(lengths: Sequence[int], dtype: str = "<f4", inner: tuple[int, ...] = ()) -> Ragged:
    """Return rows of these lengths, all of whose elements differ."""
    total = sum(lengths) * int(np.prod(inner))
    elements = np.arange(total).reshape(-1, *inner).astype(dtype)
    return Ragged(elements, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


NONE = Ragged(np.empty(0, np.float32), np.zeros(1, np.int64))


def assert_same(one: Rows, other: Rows) -> None:
    assert type(one) is type(other)
    if isinstance(one, Ragged) and isinstance(other, Ragged):
        assert one.offsets.tolist() == other.offsets.tolist()
        one, other = one.elements, other.elements
    assert isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(LENGTHS, NUMBERS, st.sampled_from([(), (3,)]))
def test_rows_are_made_and_picked_by_index(lengths: list[int], dtype: str, inner: tuple[int, ...]) -> None:
    whole = ragged(lengths, dtype, inner)
    rows = [whole.row(index) for index in range(len(whole))]
    assert [len(row) for row in rows] == lengths
    assert_same(Ragged.of(rows), whole)
    assert_same(whole[np.arange(len(whole))[::-1]], Ragged.of(rows[::-1]))


def test_rows_are_picked_as_those_of_arrays_are() -> None:
    whole = ragged([2, 0, 3, 1])
    places = np.arange(4)
    for picked in (places % 2 == 0, [-1, 0], [], np.array([], dtype=np.int64), slice(1, 3), [2, 2]):
        assert_same(
            whole[picked], Ragged.of([whole.row(row) for row in places[picked]]) if len(places[picked]) else NONE
        )
    with pytest.raises(IndexError):
        whole[np.array([4])]
    assert len(Ragged.of([])) == 0


def test_rows_of_either_form_are_arrays_of_a_dataset() -> None:
    for rows in (ragged([2, 0, 3]), np.arange(6).reshape(3, 2)):
        arrays_by_name = {"other": np.zeros(3), **as_arrays("targets", rows)}
        assert_same(rows_of(arrays_by_name, "targets"), rows)
        assert byte_count(rows) == sum(array.nbytes for name, array in arrays_by_name.items() if name == "targets")
    assert as_list(ragged([2, 0, 1])) == [[0.0, 1.0], [], [2.0]]


@given(arrays.arrays(NUMBERS, arrays.array_shapes(max_dims=3)))
def test_arrays_come_back_from_bytes(array: np.ndarray) -> None:
    assert_same(from_bytes(to_bytes(array)), array)
    in_other_order = np.asarray(array, order="F")
    assert to_bytes(in_other_order) == to_bytes(array)


@given(LENGTHS, NUMBERS, st.sampled_from([(), (3,)]))
def test_ragged_rows_come_back_from_bytes(lengths: list[int], dtype: str, inner: tuple[int, ...]) -> None:
    rows = ragged(lengths, dtype, inner)
    assert_same(from_bytes(to_bytes(rows)), rows)
    assert to_bytes(rows) == to_bytes(ragged(lengths, dtype, inner))


def test_no_pickle_is_written_or_read() -> None:
    objects = np.array([{"an": "object"}], dtype=object)
    for rows in (objects, Ragged(objects, np.array([0, 1]))):
        with pytest.raises(ValueError, match=r"pickle|Object"):
            to_bytes(rows)
    with pytest.raises(ValueError, match="pickle"):
        from_bytes(pickle.dumps([1, 2]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_element_that_is_not_finite_is_found(bad: float) -> None:
    assert is_finite(np.array([1, 2])) and is_finite(ragged([2, 0, 1]))
    rows = ragged([2, 0, 1])
    rows.elements[1] = bad
    assert not is_finite(rows)
    assert not is_finite(rows.elements)
