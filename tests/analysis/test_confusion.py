import numpy as np

from hpsearch.analysis.confusion import confusion


def test_rows_are_counted_by_true_and_predicted_class() -> None:
    targets = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.eye(3)[[0, 1, 1, 1, 1, 0]]
    found = confusion(targets, predicted, ["a", "b", "c"])
    assert found is not None
    assert found.counts == ((1, 2, 0), (0, 2, 0), (1, 0, 0))
    assert found.rows == 6
    assert found.worst() == ("a", "b", 2, 3)


def test_rows_that_no_fold_held_out_are_left_out() -> None:
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.5, 0.5]])
    found = confusion(np.array([0, 0, 1]), probabilities, ["a", "b"])
    assert found is not None
    assert found.counts == ((1, 0), (1, 0))  # a tie goes to the lower code
    assert confusion(np.array([0]), np.full((1, 2), np.nan), ["a", "b"]) is None


def test_without_a_mistake_none_is_named() -> None:
    found = confusion(np.array([0, 1]), np.eye(2), ["a", "b"])
    assert found is not None
    assert found.worst() is None
