"""Every row is held out once, no group is split, every fold can be learned from; the same seed gives the same folds."""

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from sklearn import model_selection as splitters

from hpsearch.data import splits
from hpsearch.data.folds import Folds, Holdout
from hpsearch.errors import DataError
from hpsearch.tasks.classes.judge import ClassJudge


def make_folds(cv, *, targets, kind, groups=None, seed, classes=None):
    """Return folds stratified as classes or labels are."""
    count = targets.shape[1] if kind == "multilabel" else int(targets.max()) + 1
    judge = ClassJudge(kind, tuple(range(count)) if classes is None else tuple(classes))
    return splits.make_folds(cv, strata=judge.strata(targets), groups=groups, seed=seed)


def refused(function, *words):
    with pytest.raises(DataError) as caught:
        function()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def check_fold(training, held_out, rows):
    """Assert that one fold has no row on both sides or outside the data."""
    assert len(training) > 0
    assert len(held_out) > 0
    assert not set(training.tolist()) & set(held_out.tolist())
    assert set(training.tolist()) | set(held_out.tolist()) <= set(range(rows))


def check_partition(folds, rows):
    """Assert that every row is held out in one fold and trained on in the others."""
    for training, held_out in folds.pairs:
        check_fold(training, held_out, rows)
        assert len(training) + len(held_out) == rows
    assert sorted(np.concatenate([held_out for _, held_out in folds.pairs]).tolist()) == list(range(rows))


@st.composite
def class_codes(draw, folds):
    """Codes of two to five classes, each with at least as many rows as there are folds, shuffled."""
    counts = draw(st.lists(st.integers(folds, folds + 15), min_size=2, max_size=5))
    codes = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(codes)


@given(st.data(), st.integers(2, 6), st.integers(0, 2**31))
def test_stratified_folds_partition_the_rows_with_every_class_everywhere(data, folds, seed):
    targets = data.draw(class_codes(folds))
    kind = "binary" if targets.max() == 1 else "multiclass"
    found = make_folds(folds, targets=targets, kind=kind, groups=None, seed=seed)
    assert len(found) == folds
    check_partition(found, len(targets))
    for code, count in enumerate(np.bincount(targets)):
        for training, held_out in found.pairs:
            assert (targets[training] == code).any()
            assert count // folds <= (targets[held_out] == code).sum() <= -(-count // folds)


@given(st.data(), st.integers(2, 4), st.integers(0, 2**31))
@settings(max_examples=60)
def test_grouped_folds_partition_the_rows_and_split_no_group(data, folds, seed):
    number = data.draw(st.integers(folds, 14))
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=number, max_size=number))
    groups = np.repeat(np.arange(number), sizes)
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    targets = random.integers(0, 3, size=len(groups))
    order = random.permutation(len(groups))
    groups, targets = groups[order], targets[order]
    try:
        found = make_folds(folds, targets=targets, kind="multiclass", groups=groups, seed=seed, classes=("a", "b", "c"))
    except DataError:
        in_groups = [len(set(groups[targets == code].tolist())) for code in range(3)]
        # Only where a class is in few groups may no draw have left it in every training fold.
        assert min(in_groups) <= 3
        reject()
    check_partition(found, len(targets))
    for training, held_out in found.pairs:
        assert not set(groups[training].tolist()) & set(groups[held_out].tolist())
        assert set(targets[training].tolist()) == {0, 1, 2}


@given(st.data(), st.integers(2, 5), st.integers(0, 2**31))
@settings(max_examples=60)
def test_multilabel_folds_partition_the_rows_with_every_label_in_training(data, folds, seed):
    labels = data.draw(st.integers(2, 5))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    targets = (random.random((data.draw(st.integers(20, 80)), labels)) < random.uniform(0.1, 0.9, labels)).astype(
        np.float32
    )
    assume((targets.sum(axis=0) >= 4).all())
    found = make_folds(folds, targets=targets, kind="multilabel", groups=None, seed=seed)
    check_partition(found, len(targets))
    for training, _ in found.pairs:
        assert targets[training].any(axis=0).all()


@given(st.integers(0, 2**31), st.floats(0.1, 0.6), st.data())
def test_a_holdout_is_stratified_and_of_the_wanted_size(seed, test_size, data):
    targets = data.draw(class_codes(8))
    found = make_folds(Holdout(test_size), targets=targets, kind="multiclass", seed=seed)
    ((training, held_out),) = found.pairs
    check_fold(training, held_out, len(targets))
    assert len(held_out) == int(np.ceil(test_size * len(targets)))
    for code, count in enumerate(np.bincount(targets)):
        assert abs((targets[held_out] == code).sum() - test_size * count) <= 2


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.25, 0.3, 0.5])
def test_a_holdout_of_groups_is_near_the_wanted_size_and_stratified(test_size):
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), random.integers(1, 8, size=60))
    targets = (random.random(len(groups)) < 0.3).astype(np.int64)
    ((training, held_out),) = make_folds(
        Holdout(test_size), targets=targets, kind="binary", groups=groups, seed=0
    ).pairs
    assert not set(groups[training].tolist()) & set(groups[held_out].tolist())
    assert len(held_out) / len(groups) == pytest.approx(test_size, abs=0.03)
    assert targets[held_out].mean() == pytest.approx(targets.mean(), abs=0.06)


def test_combinations_of_labels_are_spread_evenly_and_rare_ones_pooled():
    common = np.repeat([[1, 0, 0], [0, 1, 0], [1, 1, 0]], [40, 20, 20], axis=0)
    rare = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]])
    targets = np.vstack([common, rare])
    for training, held_out in make_folds(4, targets=targets, kind="multilabel", seed=1).pairs:
        held = [tuple(row) for row in targets[held_out].tolist()]
        assert [held.count(tuple(row)) for row in common[[0, 40, 60]].tolist()] == [10, 5, 5]
        assert 1 <= sum(tuple(row) in {tuple(other) for other in rare.tolist()} for row in held) <= 2
        assert targets[training].any(axis=0).all()


def test_labels_without_a_repeated_combination_fall_back_to_plain_folds():
    targets = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    check_partition(make_folds(3, targets=targets, kind="multilabel", seed=0), 6)
    ((training, held_out),) = make_folds(Holdout(0.2), targets=targets, kind="multilabel", seed=0).pairs
    assert (len(training), len(held_out)) == (4, 2)
    groups = np.array([0, 0, 1, 1, 2, 2])
    check_partition(make_folds(3, targets=targets, kind="multilabel", groups=groups, seed=0), 6)


def test_a_rare_label_is_in_every_training_fold():
    # No combination occurs twice, so folds are plain: one draw in two puts both rows of the last label together.
    targets = np.array([[row >> bit & 1 for bit in range(4)] + [row in (3, 9)] for row in range(1, 13)])
    for seed in range(20):
        for training, _ in make_folds(2, targets=targets, kind="multilabel", seed=seed).pairs:
            assert targets[training, 4].any()


def test_a_single_rare_combination_joins_a_common_one():
    targets = np.repeat([[1, 0], [0, 1], [1, 1]], [10, 12, 1], axis=0)
    ((training, held_out),) = make_folds(Holdout(0.5), targets=targets, kind="multilabel", seed=0).pairs
    assert abs(targets[training, 0].sum() - targets[held_out, 0].sum()) <= 1


TARGETS = np.tile([0, 1, 2], 20)
GROUPS = np.repeat(np.arange(12), 5)


def test_the_seed_alone_decides():
    for cv in (4, Holdout(0.3), splitters.RepeatedStratifiedKFold(n_splits=3, n_repeats=2), splitters.ShuffleSplit(3)):
        for groups in (None, GROUPS) if isinstance(cv, int | Holdout) else (None,):
            first, again, other = (
                make_folds(cv, targets=TARGETS, kind="multiclass", groups=groups, seed=seed) for seed in (5, 5, 6)
            )
            assert first == again
            assert first.digest == again.digest
            assert first != other


def test_text_groups_are_groups_too():
    names = np.array([f"patient {group}" for group in GROUPS], dtype=object)
    by_name = make_folds(4, targets=TARGETS, kind="multiclass", groups=names, seed=0)
    for training, held_out in by_name.pairs:
        assert not set(names[training]) & set(names[held_out])


@pytest.mark.parametrize(
    ("splitter", "groups", "number"),
    [
        (splitters.KFold(4), None, 4),
        (splitters.StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(0)), None, 3),
        (splitters.RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=1), None, 12),
        (splitters.PredefinedSplit(np.where(np.arange(60) < 20, 0, np.where(np.arange(60) < 40, 1, -1))), None, 2),
        (splitters.TimeSeriesSplit(5), None, 5),
        (splitters.LeaveOneGroupOut(), GROUPS, 12),
        (splitters.GroupKFold(3), GROUPS, 3),
        (splitters.StratifiedGroupKFold(3), GROUPS, 3),
        (splitters.StratifiedShuffleSplit(2, test_size=0.25), None, 2),
    ],
)
def test_any_splitter_of_scikit_learn_makes_folds(splitter, groups, number):
    first = make_folds(splitter, targets=TARGETS, kind="multiclass", groups=groups, seed=0)
    assert len(first) == number
    for training, held_out in first.pairs:
        check_fold(training, held_out, 60)
    assert make_folds(splitter, targets=TARGETS, kind="multiclass", groups=groups, seed=0) == first
    assert isinstance(first, Folds)


def test_a_splitter_s_own_seed_is_kept_and_the_splitter_not_changed():
    own = splitters.StratifiedKFold(3, shuffle=True, random_state=7)
    expected = Folds(tuple(own.split(np.zeros((60, 1)), TARGETS)))
    assert make_folds(own, targets=TARGETS, kind="multiclass", seed=0) == expected
    unseeded = splitters.StratifiedKFold(3, shuffle=True)
    make_folds(unseeded, targets=TARGETS, kind="multiclass", seed=0)
    assert unseeded.random_state is None


def test_a_stratifying_splitter_works_on_several_labels():
    targets = np.repeat([[1, 0], [0, 1], [1, 1]], [20, 20, 3], axis=0)
    for splitter in (splitters.StratifiedKFold(5), splitters.RepeatedStratifiedKFold(n_splits=5, n_repeats=2)):
        for _, held_out in make_folds(splitter, targets=targets, kind="multilabel", seed=0).pairs:
            assert 7 <= len(held_out) <= 10


def test_too_few_rows_of_a_class_names_class_count_and_remedy():
    targets = np.array([0] * 10 + [1] * 3)
    refused(
        lambda: make_folds(5, targets=targets, kind="binary", seed=0, classes=("ham", "spam")),
        "class 'spam' has 3 rows",
        "cv=5 needs at least 5 of each class",
        "use cv=3",
    )
    refused(lambda: make_folds(5, targets=targets, kind="binary", seed=0), "class 1 has 3 rows")
    lonely = np.array([0] * 10 + [1])
    for cv in (5, Holdout(0.2)):
        refused(
            lambda cv=cv: make_folds(cv, targets=lonely, kind="binary", seed=0, classes=("ham", "spam")),
            "class 'spam' has 1 row,",
            "add rows of that class",
            "merge it with another class",
        )


def test_a_class_or_label_in_one_group_or_row_cannot_be_split():
    refused(
        lambda: make_folds(3, targets=GROUPS // 11, kind="binary", groups=GROUPS, seed=0, classes=("a", "b")),
        "class 'b' has 1 group,",
        "at least 2",
    )
    labels = np.zeros((12, 2))
    labels[:6, 0] = 1
    labels[0, 1] = 1
    refused(
        lambda: make_folds(3, targets=labels, kind="multilabel", seed=0, classes=("joy", "fear")),
        "label 'fear' has 1 row,",
    )


def test_too_few_rows_or_groups_are_refused():
    refused(
        lambda: make_folds(4, targets=TARGETS, kind="multiclass", groups=GROUPS // 20, seed=0),
        "cv=4 needs at least 4 groups, and the data has 1",
    )
    refused(
        lambda: make_folds(3, targets=TARGETS, kind="multiclass", groups=GROUPS[:5], seed=0), "60 rows and 5 groups"
    )


@pytest.mark.parametrize("cv", [1, 0, -3])
def test_fewer_than_two_folds_are_refused(cv):
    refused(
        lambda: make_folds(cv, targets=TARGETS, kind="multiclass", seed=0), f"cv={cv}", "2 folds or more", "Holdout"
    )


@pytest.mark.parametrize("cv", [True, "5", 0.2, None, splitters.KFold])
def test_what_is_no_splitter_is_refused(cv):
    refused(lambda: make_folds(cv, targets=TARGETS, kind="multiclass", seed=0), "cv=", "Holdout(0.2)", "KFold(5)")


def test_a_fold_without_training_rows_of_a_class_is_refused():
    in_order = np.sort(TARGETS)
    refused(
        lambda: make_folds(splitters.KFold(3), targets=in_order, kind="multiclass", seed=0, classes=("x", "y", "z")),
        "training rows of fold 0 of KFold have none of class 'x'",
        "stratifies",
    )
    refused(
        lambda: make_folds(
            splitters.TimeSeriesSplit(3), targets=in_order, kind="multiclass", seed=0, classes=("x", "y", "z")
        ),
        "fold 0 of TimeSeriesSplit",
        "'y', 'z'",
    )


def test_splitters_that_do_not_fit_the_data_are_refused():
    def folds(splitter, groups=None):
        return lambda: make_folds(splitter, targets=TARGETS, kind="multiclass", groups=groups, seed=0)

    refused(folds(splitters.LeaveOneGroupOut()), "LeaveOneGroupOut", "cannot split 60 rows", "Set group=")
    refused(folds(splitters.StratifiedKFold(3, shuffle=True), GROUPS), "groups on both sides", "StratifiedGroupKFold")
    refused(folds(splitters.PredefinedSplit([0, 1, 0])), "assigns 3 rows", "there are 60")
    refused(folds(splitters.StratifiedKFold(30)), "n_splits=30", "fewer folds")
    refused(folds(Holdout(0.01)), "test_size", "StratifiedShuffleSplit", "Choose another test_size")
    refused(folds(splitters.PredefinedSplit(np.full(60, -1))), "no fold at all")


class Careless:
    """A splitter as a user may write it."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def split(self, rows, targets=None, groups=None):
        return iter(self.pairs)


def test_a_careless_splitter_is_caught():
    everything = np.arange(60)
    for pair, words in (
        ((everything, np.array([0])), "on both sides"),
        ((everything[:59], np.array([60])), "outside 0 to 59"),
        ((np.append(everything[:59], 0), np.array([59])), "rows twice"),
        ((everything, np.array([], dtype=int)), "60 training rows and 0 held-out rows"),
    ):
        refused(
            lambda pair=pair: make_folds(Careless(pair), targets=TARGETS, kind="multiclass", seed=0), "Careless", words
        )
