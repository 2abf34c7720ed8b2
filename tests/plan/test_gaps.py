from hpsearch.plan.gaps import Gaps


def test_of_several_folds_the_reason_says_which_one_it_is_of() -> None:
    one = Gaps({2: {"roc_auc": "none of these 20 rows is of 1"}}).warnings
    several = Gaps({0: {"roc_auc": "none of these 33 rows is of 'a'"}, 1: {"roc_auc": "none of 21 is of 'b'"}}).warnings
    end = "It is not a number there, and so is its mean over folds."
    start = "metric 'roc_auc' is not defined on the held-out rows of"
    assert one == (f"{start} fold 2: none of these 20 rows is of 1. {end}",)
    assert several == (f"{start} folds 0, 1; in fold 0: none of these 33 rows is of 'a'. {end}",)
