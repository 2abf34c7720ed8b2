import pickle

import numpy as np
import pytest

from hpsearch.data.ragged import Ragged
from hpsearch.errors import DataError
from hpsearch.tasks.generation.judge import JUDGED_ROWS, TokenJudge
from hpsearch.tasks.generation.predictions import TokenPredictions, packed
from hpsearch.tasks.generation.texts import as_bytes, as_texts, shortened
from hpsearch.tasks.judge import Judged

JUDGE = TokenJudge(max_new_tokens=4)


def kept(texts, first=0.0):
    numbers = first + np.arange(3.0 * len(texts)).reshape(-1, 3)
    return Ragged.of(packed(numbers, [text.encode() for text in texts]))


def test_texts_are_kept_as_bytes():
    texts = ["Grüße", "", "a\nb", "日本"]
    assert as_texts(as_bytes(texts)) == texts
    assert as_texts(as_bytes(texts)[np.array([3, 1])]) == ["日本", ""]
    assert as_texts(as_bytes([])) == [] and as_texts(as_bytes(["\ud800"])) == ["?"]
    assert shortened("Grüße", 3) == b"Gr" and shortened("Gr", 8) == b"Gr"


def test_targets_are_texts():
    assert as_texts(JUDGE.encode(["one", ""])) == ["one", ""]
    with pytest.raises(DataError, match="row 1 of the test rows has None in the place of a text"):
        JUDGE.encode(["one", None], "test")


def test_a_judge_travels_and_reads_what_was_kept_without_a_tokenizer():
    there = pickle.loads(pickle.dumps(JUDGE))
    assert there == JUDGE
    predictions = there.predictions(kept(["eins", "zwei é"]))
    assert predictions.texts.tolist() == ["eins", "zwei é"]
    assert predictions.correct.tolist() == [2.0, 5.0] and len(predictions[np.array([1])]) == 1
    assert there.predictions(np.ones((2, 3))).texts is None
    assert there.row_bytes == 24 + 32


def test_rows_of_several_parts_have_the_mean_of_the_numbers_and_the_first_text():
    parts = [
        (np.array([0, 2]), JUDGE.predictions(kept(["a", "c"]))),
        (np.array([2]), JUDGE.predictions(kept(["d"], first=10.0))),
    ]
    found = JUDGE.joined(4, parts)
    assert found.loss_sums[[0, 2]].tolist() == [0.0, 6.5] and np.isnan(found.loss_sums[[1, 3]]).all()
    assert found.texts.tolist() == ["a", None, "c", None]
    assert JUDGE.joined(2, [(np.array([1]), JUDGE.predictions(np.ones((1, 3))))]).texts is None


def test_metrics_are_judged_by_a_few_rows_and_functions_of_the_users_not_at_all():
    targets = JUDGE.encode(["some words here", "and others"] * JUDGED_ROWS)
    assert JUDGE.judged(JUDGE.metric("chrf"), targets) == Judged()
    empty = JUDGE.judged(JUDGE.metric("chrf"), JUDGE.encode(["", ""]))
    assert empty.is_constant and "whatever is predicted" in empty.reason
    asked = []
    metric = JUDGE.metric(lambda references, texts: asked.append(len(texts)) or float(references == texts))
    before = len(asked)
    assert JUDGE.judged(metric, targets) == Judged() and len(asked) == before


def test_predictions_are_told_by_their_rows():
    numbers = np.arange(12.0).reshape(4, 3)
    assert TokenPredictions.of(numbers)[np.array([True, False, False, True])].loss_sums.tolist() == [0.0, 9.0]
