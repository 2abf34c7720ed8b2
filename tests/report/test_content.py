from analysis_samples import OBJECTIVE, with_trial
from report_samples import realistic_content

from hpsearch.records import History, Origin, TrialState
from hpsearch.report import Content


def content_of(history: History, **changes: object) -> Content:
    return Content("study", "task", {}, history, OBJECTIVE, **changes)  # type: ignore[arg-type]


def test_the_leading_trials_are_best_default_then_by_value() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, origin=Origin.DEFAULT)
    history = with_trial(history, 1, [[0.6]], value=0.6, point=1)
    history = with_trial(history, 2, [[0.8]], value=0.8, point=1)
    history = with_trial(history, 3, [[0.9]], value=0.9, point=1, state=TrialState.PRUNED)
    history = with_trial(history, 4, [[]], state=TrialState.FAIL)
    content = content_of(history)
    assert content.leading(9) == (2, 0, 1, 3)
    assert content.leading(2) == (2, 0)
    assert [content.label(number) for number in (2, 0, 1)] == ["trial 2 (best)", "trial 0 (default)", "trial 1"]


def test_a_default_that_is_the_best_is_both() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, origin=Origin.DEFAULT)
    content = content_of(history)
    assert content.leading(3) == (0,)
    assert content.label(0) == "trial 0 (best, default)"


def test_a_study_without_trials() -> None:
    content = content_of(History())
    assert (content.best, content.default, content.leading(3), content.summaries) == (None, None, (), ())
    assert content.all_metrics == (OBJECTIVE,)
    assert content.repeats == 1


def test_the_objective_comes_first_and_the_loss_last() -> None:
    assert realistic_content().all_metrics == ("f1_macro", "accuracy", "recall_macro", "neg_log_loss", "loss")


def test_searched_hyperparameters_come_from_the_space_or_else_from_the_trials() -> None:
    assert next(iter(realistic_content().parameters)) == "learning_rate"
    assert "decay_ratio" in realistic_content(space={}).parameters
    assert "warmup_ratio" not in realistic_content(space={}).parameters


def test_repeats_are_counted() -> None:
    history = with_trial(History(), 0, [[0.5]] * 6, value=0.5, point=1, repeats=3)
    assert content_of(history).repeats == 3
