"""The judge of numbers: standardised per fold, judged in the user's units, and what is said before training."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from hpsearch.errors import DataError
from hpsearch.tasks.numbers.judge import NumberJudge

ONE = np.arange(20.0)
TWO = np.stack([np.arange(20.0), 1e9 + np.arange(20.0) % 3], axis=1)


def folds(rows=20, parts=4):
    everything = np.arange(rows)
    return [(np.setdiff1d(everything, part), part) for part in np.array_split(everything, parts)]


@pytest.mark.parametrize("values", [ONE, TWO], ids=["one", "two"])
def test_a_fold_is_standardised_by_its_own_training_rows(values):
    judge = NumberJudge.learn(values)
    training = judge.encode(values)[5:]
    fitted = judge.fitted(training)
    columns = training.reshape(15, -1)
    assert fitted.mean == tuple(columns.mean(axis=0))
    assert fitted.scale == tuple(columns.std(axis=0))
    zeros, ones = np.zeros((2, judge.outputs)), np.ones((2, judge.outputs), np.float32)
    assert fitted.own_units(zeros)[0].tolist() == list(fitted.mean)
    np.testing.assert_array_equal(fitted.own_units(ones)[1], columns.mean(axis=0) + columns.std(axis=0))
    assert judge.mean == ()


def test_a_run_may_not_be_fitted_to_rows_of_one_number():
    with pytest.raises(DataError, match="training rows"):
        NumberJudge.learn(ONE).fitted(np.full(3, 2.0))


@pytest.mark.parametrize("values", [ONE, TWO], ids=["one", "two"])
def test_the_loss_is_the_squared_error_of_standardised_targets(values):
    judge = NumberJudge.learn(values)
    targets = judge.encode(values)
    fitted = judge.fitted(targets)
    outputs = torch.randn(20, judge.outputs, generator=torch.manual_seed(0))
    losses = fitted.losses(outputs, torch.from_numpy(targets), 0.3)
    columns = targets.reshape(20, -1)
    standardised = ((columns - columns.mean(axis=0)) / columns.std(axis=0)).astype(np.float32)
    expected = ((outputs.numpy() - standardised) ** 2).mean(axis=1)
    assert losses.dtype == torch.float32
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-6)


def test_close_great_numbers_are_predicted_as_they_are():
    judge = NumberJudge.learn(TWO).fitted(TWO)
    standardised = torch.from_numpy((TWO - TWO.mean(axis=0)) / TWO.std(axis=0)).float()
    numbers = judge.predictions(judge.own_units(judge.keep(standardised, {}).numpy()))
    np.testing.assert_allclose(numbers, TWO, atol=1e-6)
    assert numbers.dtype == np.float64
    assert numbers.nbytes == 20 * judge.row_bytes


def test_answers_are_numbers_of_the_shape_of_the_targets():
    for values in (ONE, TWO):
        judge = NumberJudge.learn(values)
        answers = judge.answers(judge.predictions(values.reshape(20, -1)), values[:0])
        assert answers.shape == values.shape
        if judge.outputs == 1:
            assert judge.answers(values, values[:0, None]).shape == (20, 1)
        assert judge.encode(judge.placeholders(7)).shape == (7, *values.shape[1:])


def test_a_settled_model_gives_the_users_units_and_its_judge_leaves_them():
    judge = NumberJudge.learn(TWO[:, :1]).fitted(TWO[:, 0])
    rows, model = torch.randn(6, 3), nn.Linear(3, 1).eval()
    before = judge.own_units(model(rows).detach().numpy())
    settled = judge.settle(model, len(rows), lambda model, some: model(rows[some]).detach().numpy())
    outputs = model(rows).detach()
    np.testing.assert_allclose(settled.own_units(outputs.numpy()), before, atol=1e-4)
    assert settled.own_units(outputs.numpy()).tolist() == outputs.double().tolist()
    targets = torch.arange(6.0, dtype=torch.float64)
    standardised = (outputs - judge.mean[0]) / judge.scale[0]
    torch.testing.assert_close(settled.losses(outputs, targets, 0.0), judge.losses(standardised, targets, 0.0))


def test_a_model_that_cannot_be_settled_keeps_its_judge():
    judge = NumberJudge.learn(TWO[:, 1]).fitted(TWO[:, 1])
    rows, model = torch.randn(6, 3), nn.Linear(3, 1).eval()
    before = judge.own_units(model(rows).detach().numpy())
    settled = judge.settle(model, len(rows), lambda model, some: model(rows[some]).detach().numpy())
    assert settled == judge and settled.needs_rescaling
    found = {"torch": torch, "outputs": model(rows).detach()}
    exec(settled.unsettled(), found)
    np.testing.assert_array_equal(found["numbers"].numpy(), before)
    np.testing.assert_array_equal(settled.own_units(model(rows).detach().numpy()), before)


def test_words_for_lists_and_reports():
    one, two = NumberJudge.learn(pd.Series(ONE, name="words")), NumberJudge.learn(pd.DataFrame({"a": ONE, "b": -ONE}))
    assert (one.targets_text, two.targets_text) == ("1 number", "2 numbers")
    assert (one.purpose, two.purpose) == ("to predict a number: words", "to predict 2 numbers: a, b")
    assert NumberJudge.learn(ONE).purpose == "to predict a number"
    assert two.facts() == {"targets": "a 0 to 19; b -19 to 0"}
    assert one.model_config() == {"id2label": {0: "words"}, "label2id": {"words": 0}, "problem_type": "regression"}
    assert NumberJudge.learn(ONE).model_config()["id2label"] == {0: "target"}
    assert one.classes == ()
    assert pickle.loads(pickle.dumps(two)) == two


# ---------------------------------------------------------------------------------------- before training


def test_a_fold_whose_training_rows_have_one_number_is_an_error():
    targets = np.array([1.0, 1.0, 1.0, 2.0])
    judge = NumberJudge.learn(targets)
    with pytest.raises(DataError, match=r"the target is 1.0 in each of the 3 training rows of fold 1.*strata="):
        judge.check_folds(targets, [*folds(4, 2)[:1], (np.arange(3), np.array([3]))])


@pytest.mark.parametrize("name", ["r2", "explained_variance", "spearman", "pearson", "d2_absolute_error_score"])
@pytest.mark.parametrize("values", [np.arange(20.0) // 5, np.stack([ONE, np.arange(20.0) // 5], axis=1)])
def test_one_value_a_group_leaves_shares_of_the_variance_undefined(name, values):
    judge = NumberJudge.learn(values)
    held_out, groups = folds()[0][1], np.arange(20) // 5
    judged = judge.judged(judge.metric(name), values[held_out])
    assert str(judged.reason).endswith("is 0.0 in each of the 5")
    assert re.search("1 of 4 groups.*'rmse'", judge.remedy(held_out, groups))
    assert judge.judged(judge.metric(name), values).reason is None


@pytest.mark.parametrize("name", ["rmse", "neg_mean_absolute_error", "max_error", "mean_absolute_percentage_error"])
def test_one_value_a_group_can_be_judged_by_an_error(name):
    values = np.arange(20.0) // 5
    judge = NumberJudge.learn(values)
    for _, held_out in folds():
        assert judge.judged(judge.metric(name), values[held_out]).reason is None


def test_leaving_one_out_has_an_error_and_no_r2():
    judge = NumberJudge.learn(ONE)
    assert judge.judged(judge.metric("rmse"), ONE[:1]).reason is None
    assert judge.judged(judge.metric("r2"), ONE[:1]).reason == "the target is 0.0 in each of the 1"


def test_remarks():
    random = np.random.default_rng(0)
    usual = random.normal(size=200)
    judge = NumberJudge.learn(usual)
    assert judge.remarks(usual, random.normal(size=50)) == []
    assert (
        "3 different values only, all whole numbers: 0, 1, 2. If they are names of classes"
        in judge.remarks(np.arange(200.0) % 3)[0]
    )
    assert judge.remarks(np.arange(200.0) % 3 + 0.5) == []
    outlying = np.where(np.arange(200) == 7, -1e4, usual)
    assert "far from all others in 1 of 200 train rows, up to -10000" in judge.remarks(outlying)[0]
    assert "row 7 (counted from 0)" in judge.remarks(outlying)[0]
    far = judge.remarks(usual, np.array([0.0, 99.0, 0.5]))
    assert "in 1 test row: row 1 (counted from 0)" in far[0]
    with pytest.raises(DataError, match=r"the target is 0.0 in each of the 5 test rows"):
        judge.encode(np.zeros(5), "test")


def test_the_figure_has_the_rows_that_some_fold_held_out():
    judge = NumberJudge.learn(TWO)
    predictions = np.where(np.arange(20)[:, None] < 5, np.nan, TWO + 1.0)
    drawn = judge.figures(TWO, predictions)["predicted_against_true"]
    assert [(target.name, target.rows, target.rmse) for target in drawn] == [("0", 15, 1.0), ("1", 15, 1.0)]
    assert judge.figures(TWO, np.full_like(TWO, np.nan)) == {}
