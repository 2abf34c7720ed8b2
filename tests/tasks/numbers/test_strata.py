"""Bins by quantile: equally many rows in each, ties together, none too small."""

import numpy as np
import pytest

from hpsearch.data.splits import make_folds
from hpsearch.tasks.numbers.judge import NumberJudge
from hpsearch.tasks.numbers.strata import others, quantile_bins


def test_bins_have_equally_many_rows_in_the_order_of_the_numbers():
    numbers = np.random.default_rng(0).permutation(100) * 1.5
    codes = quantile_bins(numbers, 10)
    assert np.bincount(codes).tolist() == [10] * 10
    assert (np.diff(codes[np.argsort(numbers)]) >= 0).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bins", [2, 5, 10])
def test_equal_numbers_share_a_bin_and_no_bin_is_less_than_half_its_share(seed, bins):
    random = np.random.default_rng(seed)
    numbers = np.floor(random.exponential(3.0, size=200))
    codes = quantile_bins(numbers, bins)
    assert all(len(np.unique(codes[numbers == value])) == 1 for value in np.unique(numbers))
    assert np.bincount(codes).min() >= 200 / bins / 2
    assert sorted(set(codes.tolist())) == list(range(codes.max() + 1))


def test_all_the_same_is_one_bin():
    assert quantile_bins(np.full(7, 3.0), 5).tolist() == [0] * 7


def test_stratified_folds_have_means_close_to_each_other():
    numbers = np.random.default_rng(0).lognormal(0.0, 2.0, size=60)
    judge = NumberJudge.learn(numbers)

    def spread(judge):
        pairs = [make_folds(5, strata=judge.strata(numbers), seed=seed).pairs for seed in range(10)]
        return np.mean([np.std([np.log(numbers[held_out]).mean() for _, held_out in folds]) for folds in pairs])

    stratified = NumberJudge(judge.names, judge.ranges, bins=6)
    assert spread(stratified) < spread(judge) / 2


def test_several_targets_are_stratified_by_the_first():
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    learned = NumberJudge.learn(numbers)
    judge = NumberJudge(learned.names, learned.ranges, bins=5)
    assert judge.strata(numbers).codes.tolist() == quantile_bins(numbers[:, 0], 5).tolist()


def test_where_most_rows_have_one_number_each_fold_has_its_share_of_the_others():
    numbers = np.where(np.arange(40) < 34, 1.0, np.arange(40.0))
    assert others(numbers[:, None]).tolist() == [0] * 34 + [1] * 6
    assert others(np.stack([np.arange(40.0), numbers], axis=1)).sum() == 6
    assert others(np.arange(40.0)[:, None]).sum() == 0
    judge = NumberJudge.learn(numbers)
    for seed in range(5):
        folds = make_folds(3, strata=judge.strata(numbers), seed=seed)
        assert [len(np.unique(numbers[held_out])) for _, held_out in folds.pairs] == [3, 3, 3]
