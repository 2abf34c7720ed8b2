import math
from dataclasses import replace
from typing import Any

import pytest
from analysis_samples import OBJECTIVE, with_trial
from report_samples import realistic_content
from samples import mirrored

from hpsearch.analysis.confusion import Confusion
from hpsearch.analysis.importance import importance
from hpsearch.errors import MetricError, UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, Origin, Outcome, Segment, SegmentResult, TrialState
from hpsearch.report import Content, Figures
from hpsearch.report.parallel_coordinates_figure import NOT_USED
from hpsearch.report.scales import ABSENT
from hpsearch.report.theme import BEST, BLUE, DEFAULT, GREY

NAN = math.nan


def small(**changes: Any) -> Content:
    """Return a study with one trial of every kind."""
    adamw, sgd = {"optimizer": "adamw", "lr": 0.1}, {"optimizer": "sgd", "lr": 0.2, "momentum": 0.9}
    history = with_trial(
        History(), 0, [[0.4, 0.5], [0.6, 0.5]], value=0.5, point=1, stop=2, config=adamw, origin=Origin.DEFAULT
    )
    history = with_trial(history, 1, [[0.2], []], value=0.2, point=1, state=TrialState.PRUNED, config=adamw)
    history = with_trial(history, 2, [[], []], state=TrialState.FAIL, config=sgd, reason="failed on fold 0")
    history = with_trial(history, 3, [[0.5, 0.7], [0.6, NAN, 0.9]], value=0.8, point=1, stop=3, config=sgd)
    history = with_trial(history, 4, [[0.45], []], state=TrialState.RUNNING, config=adamw)
    history = with_trial(history, 5, [[], []], state=TrialState.PRUNED, config=sgd, reason="ran out of memory")
    history = with_trial(history, 6, [[], []], state=TrialState.WAITING, config=sgd)
    return Content("study", "task", {}, history, OBJECTIVE, test_shares=(0.5, 0.5), **changes)


def named(figure: Any, name: str) -> Any:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


def test_the_history_marks_every_state() -> None:
    figure = Figures(small()).history()
    assert list(named(figure, "complete").x) == [0, 3]
    assert list(named(figure, "complete").y) == [0.5, 0.8]
    assert list(named(figure, "pruned (partial)").x) == [1]
    assert list(named(figure, "running (so far)").y) == [0.45]
    assert list(named(figure, "no value").x) == [2, 5]
    assert named(figure, "no value").yaxis == "y2"
    assert list(named(figure, "literature default").x) == [0]
    assert named(figure, "literature default").marker.color == DEFAULT
    assert list(named(figure, "best").x) == [3]
    assert figure.layout.yaxis.title.text == OBJECTIVE
    assert figure.layout.xaxis.title.text == "trial"


def test_the_best_so_far_is_a_step_that_never_falls() -> None:
    line = named(Figures(small()).history(), "best so far")
    assert line.line.shape == "hv"
    assert list(line.x) == [0, 1, 2, 3, 4, 5]
    assert list(line.y) == [0.5, 0.5, 0.5, 0.8, 0.8, 0.8]


def test_the_hover_tells_configuration_and_reason() -> None:
    figure = Figures(small()).history()
    failed = named(figure, "no value").text[0]
    assert "trial 2" in failed
    assert "momentum = 0.9" in failed
    assert "failed on fold 0" in failed
    assert "trial 3 (best)" in named(figure, "complete").text[1]
    assert "2 of 2 folds" in named(figure, "complete").text[0] or "95%" in named(figure, "complete").text[0]


def test_text_in_a_figure_is_shown_as_it_is() -> None:
    config = {"optimizer": "<b onclick=x>bold</b>"}
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, config=config, reason="<i>")
    content = Content("study", "task", {}, history, OBJECTIVE)
    for figure in (Figures(content).history(), Figures(content).parallel_coordinates()):
        text = figure.to_json()
        assert "\\u003cb onclick" not in text
        assert "<b onclick" not in text
        assert "&lt;b onclick=x&gt;" in text


@pytest.mark.parametrize(("trials", "step"), [(3, 1), (11, 1), (12, 2), (40, 5), (101, 10), (450, 50), (1000, 100)])
def test_ticks_of_trials_are_whole_and_few(trials: int, step: int) -> None:
    history = with_trial(History(), trials - 1, [[0.5]], value=0.5, point=1)
    figure = Figures(Content("study", "task", {}, history, OBJECTIVE)).history()
    assert figure.layout.xaxis.dtick == step


def of_group(figure: Any, label: str) -> list[Any]:
    return [trace for trace in figure.data if trace.legendgroup == label]


def test_learning_curves_have_every_fold_and_their_mean() -> None:
    figure = Figures(small()).learning_curves(trials=[0])
    folds, mean, ring, *_ = of_group(figure, "trial 0 (default)")
    assert list(folds.x) == [0.5, 1.0, None, 0.5, 1.0, None]
    assert list(folds.y) == [0.4, 0.5, None, 0.6, 0.5, None]
    assert list(mean.y) == [0.5, 0.5]
    assert (list(ring.x), list(ring.y)) == ([0.5], [0.5])  # read at the first point of the two
    assert mean.line.color == DEFAULT
    assert mean.line.width > folds.line.width


def test_learning_curves_show_validation_and_training_loss() -> None:
    figure = Figures(small()).learning_curves(trials=[0])
    folds, mean, training = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert list(folds.y)[:2] == pytest.approx([1.1, 1.0])
    assert list(mean.y) == pytest.approx([1.0, 1.0])
    assert list(training.y) == pytest.approx([0.9, 0.9])
    assert training.line.dash == "dot"


def test_learning_curves_of_another_metric_have_the_same_traces() -> None:
    """The page exchanges their values, and relies on it."""
    one, other = (Figures(small()).learning_curves(metric=metric) for metric in (OBJECTIVE, "accuracy"))
    assert [(trace.name, trace.yaxis) for trace in one.data] == [(trace.name, trace.yaxis) for trace in other.data]
    mean = of_group(other, "trial 0 (default)")[1]
    assert list(mean.y) == pytest.approx([0.55, 0.55])
    assert other.layout.yaxis.title.text == "accuracy"


def test_a_value_that_is_not_a_number_is_a_gap() -> None:
    folds, mean, *_ = of_group(Figures(small()).learning_curves(trials=[3]), "trial 3 (best)")
    assert list(folds.y) == [0.5, 0.7, None, 0.6, None, 0.9, None]
    assert list(mean.y) == [0.55, None]
    assert mean.line.color == BEST


def test_trials_that_never_began_are_left_out_of_the_learning_curves() -> None:
    assert {trace.legendgroup for trace in Figures(small()).learning_curves(trials=[1, 2]).data} == {"trial 1"}


def test_each_trial_is_once_in_the_legend() -> None:
    figure = Figures(small()).learning_curves()
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == sorted(set(shown))
    assert shown[:2] == ["trial 3 (best)", "trial 0 (default)"]


def test_what_is_not_there_cannot_be_drawn() -> None:
    figures = Figures(small())
    with pytest.raises(UsageError, match=r"no trial 99; it has trials 0 to 6"):
        figures.learning_curves(trials=[99])
    with pytest.raises(MetricError, match=r"Did you mean 'accuracy'"):
        figures.learning_curves(metric="acuracy")


def lines(figure: Any) -> dict[str, Any]:
    return {trace.meta["trial"]: trace for trace in figure.data if trace.meta}


def test_parallel_coordinates_are_a_line_a_judged_trial() -> None:
    figure = Figures(small()).parallel_coordinates()
    found = lines(figure)
    assert set(found) == {"trial 0 (default)", "trial 1", "trial 3 (best)", "trial 5"}
    assert [text.replace("<br>", "") for text in figure.layout.xaxis.ticktext] == [
        "optimizer",
        "lr",
        "momentum",
        OBJECTIVE,
    ]
    assert list(found["trial 3 (best)"].y) == pytest.approx([0, 1, 0.5, 1])
    assert list(found["trial 0 (default)"].y) == pytest.approx([1, 0, ABSENT, 0])
    assert found["trial 3 (best)"].line.color == BEST


def test_a_pruned_trial_has_no_place_on_the_axis_of_values() -> None:
    found = lines(Figures(small()).parallel_coordinates())
    assert len(found["trial 1"].y) == len(found["trial 0 (default)"].y) - 1


def test_an_axis_is_logarithmic_where_the_space_is() -> None:
    figure = Figures(realistic_content()).parallel_coordinates()
    default = lines(figure)["trial 0 (default)"]
    assert default.y[0] == pytest.approx((math.log10(2e-5) + 6) / 3)
    assert default.y[6] == ABSENT
    ticks = [note.text for note in figure.layout.annotations if note.x == 0]
    assert ticks == ["1e-6", "1e-5", "1e-4", "0.001", "not used"]


def test_without_conditions_nothing_lies_below_the_axes() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1)
    figure = Figures(Content("study", "task", {}, history, OBJECTIVE)).parallel_coordinates()
    assert "not used" not in [note.text for note in figure.layout.annotations]
    assert min(height for trace in figure.data for height in trace.y if height is not None) >= 0


def test_only_the_best_of_very_many_trials_are_drawn() -> None:
    history = History()
    for number in range(510):
        history = with_trial(history, number, [[number / 1000]], value=number / 1000, point=1)
    figure = Figures(Content("study", "task", {}, history, OBJECTIVE)).parallel_coordinates()
    assert len(lines(figure)) == 500
    assert "trial 9" not in lines(figure)
    assert "500" in figure.layout.title.text


@pytest.mark.parametrize("method", ["history", "learning_curves", "parallel_coordinates"])
def test_a_study_without_trials_says_so(method: str) -> None:
    figure = getattr(Figures(Content("study", "task", {}, History(), OBJECTIVE)), method)()
    assert len(figure.data) == 0
    assert figure.layout.annotations[0].text.startswith("no ")


FIGURES = ["slices", "contours", "importance", "timeline", "winner_against_default", "confusion"]


@pytest.mark.parametrize("method", ["history", "learning_curves", "parallel_coordinates", *FIGURES])
def test_no_figure_can_be_sent_anywhere(method: str) -> None:
    figure = getattr(Figures(realistic_content(trials=6)), method)()
    assert '"showSendToCloud": false' in figure.to_html(include_plotlyjs=False)
    assert '"showSendToCloud": false' in figure.to_html(include_plotlyjs=False, config={"scrollZoom": True})
    assert '"scrollZoom": true' in figure.to_html(include_plotlyjs=False, config={"scrollZoom": True})
    assert figure.layout.title.text
    assert figure.layout.template.layout.colorway or not figure.data


def test_the_best_carries_its_interval_and_waiting_trials_have_a_mark() -> None:
    history = with_trial(History(), 0, [[0.4], [0.6], [0.5]], value=0.5, point=1)
    history = with_trial(history, 1, [[0.3], [], []], state=TrialState.WAITING)
    content = Content("study", "task", {}, history, OBJECTIVE, test_shares=(0.2, 0.2, 0.2))
    figure = Figures(content).history()
    bar = named(figure, "95% interval")
    assert content.best is not None
    assert content.best.interval is not None
    low, high = content.best.interval
    assert (bar.y[0] - bar.error_y.arrayminus[0], bar.y[0] + bar.error_y.array[0]) == pytest.approx((low, high))
    assert list(named(figure, "waiting (so far)").y) == [0.3]


def test_learning_curves_of_one_fold() -> None:
    folds, mean, *_ = of_group(Figures(small()).learning_curves(trials=[0], fold=1), "trial 0 (default)")
    assert list(folds.y) == [*mean.y, None] == [0.6, 0.5, None]
    with pytest.raises(UsageError, match=r"no fold 9; it has folds 0 to 1"):
        Figures(small()).learning_curves(fold=9)


def test_a_slice_has_each_judged_trial_at_its_setting() -> None:
    figure = Figures(small()).slices(["lr", "momentum"])
    complete = [trace for trace in figure.data if trace.name == "complete"]
    assert list(complete[0].x) == pytest.approx([0.0, 1.0])
    assert list(complete[0].y) == [0.5, 0.8]
    assert list(complete[0].marker.color) == [0, 3]
    assert list(complete[1].y) == [0.8]  # trial 0 has no momentum
    assert list(figure.data[0].y) == [0.2]
    assert [note.text for note in figure.layout.annotations] == ["<b>lr</b>", "<b>momentum</b>"]
    assert figure.layout.meta["panels"] == 2


def test_slices_stand_on_logarithmic_axes_where_the_space_does() -> None:
    figure = Figures(realistic_content()).slices(["learning_rate", "batch_size"])
    assert list(figure.layout.xaxis.ticktext) == ["1e-6", "1e-5", "1e-4", "0.001"]
    assert list(figure.layout.xaxis.tickvals) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert list(figure.layout.xaxis2.ticktext) == ["8", "16", "32"]
    low, high = figure.layout.xaxis2.range
    spots = [x for trace in figure.data if trace.xaxis == "x2" for x in trace.x]
    assert low < min(spots) < max(spots) < high  # choices are spread a little, and none is cut off


def test_long_choices_are_cut_to_their_last_part_and_whole_under_the_pointer() -> None:
    paths = ["/models/hub/organisation/large", "/models/hub/organisation/small", "/other/small"]
    history = History()
    for number, path in enumerate(paths):
        history = with_trial(history, number, [[number / 10]], value=number / 10, point=1, config={"model": path})
    figure = Figures(Content("study", "task", {}, history, OBJECTIVE)).slices()
    ticks = set(figure.layout.xaxis.ticktext)
    assert "large" in ticks
    assert "small" not in ticks  # two are called so: they keep their whole names, as far as there is room
    (complete,) = [trace for trace in figure.data if trace.name == "complete"]
    assert paths[0] in complete.text[0]


def test_contours_pair_the_most_important_and_stay_off_empty_ground() -> None:
    content = realistic_content(trials=100)
    names = content.ranked[:3]
    assert names == tuple(importance(content.summaries, content.parameters).shares)[:3]
    figure = Figures(content).contours()
    grounds = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(grounds) == 3
    assert figure.layout.xaxis.title.text == names[0]
    assert figure.layout.annotations[0].text == f"<b>{names[1]}</b>"
    values = [value for row in grounds[0].z for value in row if value is not None]
    scores = [summary.value for summary in content.summaries if summary.value is not None]
    assert min(scores) <= min(values) < max(values) <= max(scores)
    assert any(value is None for row in grounds[0].z for value in row)
    few = Figures(realistic_content(trials=6)).contours(["learning_rate", "epochs"])
    assert not [trace for trace in few.data if trace.type == "heatmap"]  # too few to bear a surface


def test_what_is_not_searched_cannot_be_drawn() -> None:
    figures = Figures(realistic_content(trials=6))
    with pytest.raises(UsageError, match=r"does not search 'learning_rat'. Did you mean 'learning_rate'"):
        figures.slices(["learning_rat"])
    with pytest.raises(UsageError, match="two or more"):
        figures.contours(["learning_rate"])


def test_bars_of_importance_tell_what_stands_out() -> None:
    bars, marks = Figures(realistic_content(trials=100)).importance().data
    assert bars.y[-1] == "learning_rate"
    assert bars.x[-1] == max(bars.x)
    assert bars.marker.color[-1] == BLUE
    assert GREY in bars.marker.color
    assert list(marks.y) == list(bars.y)
    (conditional,) = [label for label in bars.y if "decay_ratio" in label]
    assert " of 98)" in conditional
    few = Figures(realistic_content(trials=6)).importance()
    assert few.layout.annotations[0].text.startswith("too few trials to tell importance from noise")


def test_the_timeline_has_a_bar_a_segment_and_cuts_pauses_out() -> None:
    history = with_trial(History(), 0, [[0.5, 0.5, 0.5, 0.6]], value=0.6, point=4)
    history = with_trial(history, 1, [[0.4, 0.4]], state=TrialState.WAITING)
    run, other = history.trials[0].runs[0], history.trials[1].runs[0]
    ends = (
        (1004.0, SegmentResult(Segment(run, 0, 2), Outcome.OK, 2)),
        (1008.0, SegmentResult(Segment(other, 0, 2), Outcome.OK, 2)),
        (91008.0, SegmentResult(Segment(run, 2, 4), Outcome.OK, 4)),
    )
    figure = Figures(Content("study", "task", {}, history, OBJECTIVE, ends=ends)).timeline()
    complete, waiting = named(figure, "complete"), named(figure, "waiting")
    assert [x for x in complete.x if x is not None] == pytest.approx([0, 2, 4, 8, 10, 12])
    assert list(complete.y) == [0, 0, 0, None] * 2
    assert list(waiting.x)[:3] == pytest.approx([4, 6, 8])
    assert figure.layout.annotations[0].text == "paused 24 h 59 min"
    assert figure.layout.xaxis.title.text == "s since 1970-01-01 00:16 UTC"
    assert "points 2 to 4" in complete.text[4]


def test_winner_and_default_are_joined_fold_by_fold() -> None:
    tested = {"winner": {OBJECTIVE: 0.7}, "literature default": {OBJECTIVE: 0.4}}
    figure = Figures(small(test_scores=tested)).winner_against_default()
    folds, means, test = [trace for trace in figure.data if trace.xaxis == "x"]
    assert list(folds.y) == [0.4, 0.5, None, 0.6, 0.6, None]
    assert list(folds.x) == [0, 1, None] * 2
    assert list(means.y) == pytest.approx([0.5, 0.55])
    assert list(test.y) == [0.4, 0.7]


def test_the_confusion_is_a_share_of_each_class() -> None:
    found = Confusion(("a", "b"), ((3, 1), (0, 0)))
    (cells,) = Figures(small(outputs={"confusion": found})).confusion().data
    assert [list(row) for row in cells.z] == [[0.75, 0.25], [None, None]]
    assert cells.text[0][0] == "3"


# ---------------------------------------------------------------- an objective to minimize


def image(content: Content) -> Content:
    """Return the mirror image of a study: its objective negated, to be minimized."""
    return replace(content, history=mirrored(content.history, OBJECTIVE))


def test_of_what_is_minimized_the_best_so_far_never_rises() -> None:
    figure = Figures(image(small())).history()
    assert list(named(figure, "best so far").y) == [-0.5, -0.5, -0.5, -0.8, -0.8, -0.8]
    assert list(named(figure, "best").x) == [3]
    assert figure.layout.yaxis.title.text == f"{OBJECTIVE} (lower is better)"


def test_the_mirror_image_of_a_study_is_drawn_alike() -> None:
    content = realistic_content(trials=60)
    other = image(content)
    assert other.leading(6) == content.leading(6)
    assert other.ranked == content.ranked
    assert other.importance == content.importance
    lines = [Figures(each).parallel_coordinates().data for each in (content, other)]
    assert [(line.name, line.opacity, line.line.color) for line in lines[0]] == [
        (line.name, line.opacity, line.line.color) for line in lines[1]
    ]


def test_the_best_values_have_the_same_colour_in_either_direction() -> None:
    content = realistic_content(trials=60)
    plain, other = (Figures(each).contours().layout.coloraxis for each in (content, image(content)))
    assert not plain.reversescale
    assert other.reversescale
    assert (other.cmin, other.cmax) == (-plain.cmax, -plain.cmin)
    assert other.colorbar.title.text == f"{OBJECTIVE} (lower is better)"


def test_panels_say_where_lower_is_better() -> None:
    content = realistic_content(directions={"accuracy": Direction.MINIMIZE})
    titles = [note.text for note in Figures(content).winner_against_default().layout.annotations]
    marked = ["accuracy (lower is better)", "loss (lower is better)"]
    assert [title for title in titles if "lower" in title] == [f"<b>{name}</b>" for name in marked]


KINDS = [None, "none", 1, "1", 0.5, "True", True]
"""Choices, of which 1 and True stand in two spaces: as numbers they are equal."""


def of_kinds(choices: list[Any]) -> Content:
    """Return a study of sixty trials that choose among values that look alike; every fifth has no such choice."""
    history = History()
    for number in range(60):
        choice = {} if number % 5 == 4 else {"kind": choices[number % len(choices)]}
        config = {"lr": 10 ** -(1 + number % 7), "epochs": 1, **choice}
        value = 0.5 + 0.01 * (number % 9)
        history = with_trial(history, number, [[value]], value=value, point=1, config=config)
    space = {
        "parameters": [
            {"name": "kind", "type": "categorical", "choices": choices},
            {"name": "lr", "type": "float", "low": 1e-8, "high": 1.0, "log": True},
        ],
        "fixed": {},
        "default": {},
    }
    return Content("study", "task", {}, history, OBJECTIVE, space=space)


@pytest.mark.parametrize("choices", [KINDS[:-1], [each for each in KINDS if each != 1 or each is True]])
def test_values_that_look_alike_are_told_apart_in_every_figure(choices: list[Any]) -> None:
    content = of_kinds(choices)
    figures = Figures(content)
    slices = figures.slices(["kind"])
    assert len(set(slices.layout.xaxis.ticktext)) == len(choices)
    assert len(named(slices, "complete").x) == 48  # None is a value; those without one are not drawn
    contours = figures.contours(["kind", "lr"])
    assert len(set(contours.layout.xaxis.ticktext)) == len(choices)
    assert len(named(contours, "complete").x) == 48
    parallel = figures.parallel_coordinates()
    heights = [trace.y[0] for trace in parallel.data if trace.meta]
    assert len({height for height in heights if height != ABSENT}) == len(choices)
    assert sum(height == ABSENT for height in heights) == 12
    texts = [note.text for note in parallel.layout.annotations if note.x == 0]
    assert len(set(texts)) == len(choices) + 1 and NOT_USED in texts
    assert content.importance.present["kind"] == 48
    hovers = {trace.text[0].partition("kind = ")[2].partition("<br>")[0] for trace in parallel.data if trace.meta}
    assert len(hovers) == len(choices) + 1
