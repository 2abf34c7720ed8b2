import numpy as np
import pytest
from tasks_samples import review_rows, save_text_model

import hpsearch as hp
from hpsearch.data.dataset import RaggedRows
from hpsearch.errors import TaskError
from hpsearch.tasks.special_tokens import _makes


@pytest.fixture(scope="module", params=["t5", "bart"])
def ending_folder(request, tmp_path_factory):
    return save_text_model(tmp_path_factory.mktemp(request.param), request.param, ends=True)


def rows_with(text, row, column="text"):
    table = review_rows()
    table.loc[row, column] = text
    return table


def test_an_end_token_inside_a_text_is_found_before_anything_is_trained(ending_folder, tmp_path):
    task = hp.TextClassification(ending_folder, train=rows_with("a fine <end> film", 7))
    with pytest.raises(
        TaskError, match=r"train row 7 has '<end>' in column 'text'\. .*That is so of 1 train row: write it otherwise"
    ):
        task.prepare(tmp_path)
    assert hp.TextClassification(ending_folder, train=review_rows()).prepare(tmp_path).warnings == ()


def test_so_it_is_in_test_rows_and_in_the_second_text_of_a_pair(ending_folder, tmp_path):
    tested = hp.TextClassification(ending_folder, train=review_rows(), test=rows_with("dull <end>", 3))
    with pytest.raises(TaskError, match=r"test row 3 has '<end>' in column 'text'"):
        tested.prepare(tmp_path)
    pairs = rows_with("<end> it was", 11, "second")
    with pytest.raises(TaskError, match=r"train row 11 has '<end>' in column 'second'"):
        hp.TextClassification(ending_folder, train=pairs, text=["text", "second"]).prepare(tmp_path)


def test_texts_that_all_end_in_their_own_way_are_taken(ending_folder, tmp_path):
    """Where every row has one more, the model finds what it looks for."""
    table = review_rows()
    table["text"] += " <end>"
    assert hp.TextClassification(ending_folder, train=table).prepare(tmp_path).warnings == ()


@pytest.mark.parametrize(("name", "token"), [("bert", "[PAD]"), ("gpt2", "<end>"), ("roberta", "[PAD]")])
def test_where_the_model_takes_it_it_is_said(name, token, tmp_path):
    folder = save_text_model(tmp_path / "model", name)
    warnings = hp.TextClassification(folder, train=rows_with(f"the film {token} was", 5)).prepare(tmp_path).warnings
    assert len(warnings) == 1
    assert "1 of 24 train rows have special tokens" in warnings[0]
    assert f"train row 5 has {token!r} in column 'text'" in warnings[0]
    assert hp.TextClassification(folder, train=review_rows()).prepare(tmp_path).warnings == ()


def test_one_row_stands_for_all_of_its_make():
    rows = [[7, 8, 2], [7, 2], [2, 2], [7, 8, 8, 2], [1, 7, 2], [8, 1, 2], [], [2, 7, 7, 2]]
    tokens = RaggedRows.from_rows([np.array(row, dtype=np.int32) for row in rows], np.int32)
    makes = _makes(tokens, np.array([1, 2]))
    assert makes[0] == (1, 3)
    assert sorted(makes) == [(1, 3), (2, 2), (4, 2), (6, 1)]
