from dataclasses import replace

import pytest
from report_samples import OBJECTIVE, realistic_content
from samples import mirrored
from test_page import Outline

from hpsearch.analysis.significance import Evidence
from hpsearch.errors import UsageError
from hpsearch.records import History
from hpsearch.report import Content
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent, Judgement
from hpsearch.report.comparison_figures import ComparisonFigures
from hpsearch.report.comparison_page import comparison_page


def compared() -> ComparisonContent:
    one = ComparedStudy("one", realistic_content(), {OBJECTIVE: 0.74})
    other = ComparedStudy("<b>other", realistic_content(trials=30, seed=5))
    foreign = ComparedStudy("foreign", Content("foreign", "task", {}, History(), "accuracy"))
    evidence = Evidence(0.02, (0.01, 0.03), 0.0004, "better", "a test")
    judgements = [
        Judgement("<b>other", "one", "test rows", why_not="other has no test rows"),
        Judgement("<b>other", "one", "folds", evidence),
        Judgement("foreign", "one", "folds", why_not="the objectives differ (accuracy and f1_macro)"),
    ]
    return ComparisonContent([one, other, foreign], "one", judgements)


def test_the_page_says_what_was_tested_and_what_could_not_be() -> None:
    text = Outline(comparison_page(compared())).words
    assert "Does another study's winner beat that of one?" in text
    assert "<b>other : better, +0.0200 on the folds." in text
    assert "foreign : not comparable." in text
    assert "not comparable: other has no test rows" in text
    assert "+0.0100 to +0.0300" in text
    assert "corrected by Holm's procedure" in text
    assert "Left out, because they have another objective: foreign." in text
    assert "25 complete" in text


def test_the_page_warns_of_numbers_against_the_best() -> None:
    assert "with care" not in Outline(comparison_page(compared())).words
    text = Outline(comparison_page(replace(compared(), reference_is_best=True))).words
    assert "Read these numbers with care. one is the reference because it scored best" in text
    assert "the verdict on these is the answer" in text


def test_the_best_so_far_by_trials_and_by_compute_never_falls() -> None:
    figures = ComparisonFigures(compared())
    for by in ("trials", "compute"):
        figure = figures.best_so_far(by)  # type: ignore[arg-type]
        assert [trace.name for trace in figure.data] == ["one", "&lt;b&gt;other"]
        for trace in figure.data:
            assert list(trace.y) == sorted(trace.y)
            assert list(trace.x) == sorted(trace.x)
    assert list(figures.best_so_far("trials").data[0].x)[-1] == 40
    total = compared().studies[0].compute.epochs
    assert figures.best_so_far("compute").data[0].x[-1] == pytest.approx(total)
    with pytest.raises(UsageError, match="neither"):
        figures.best_so_far("time")  # type: ignore[arg-type]


def test_winners_stand_side_by_side_with_interval_folds_and_test_score() -> None:
    content = compared()
    figure = ComparisonFigures(content).winners()
    best = content.studies[0].content.best
    assert best is not None
    assert best.interval is not None
    (mean,) = [trace for trace in figure.data if trace.name == "one"]
    assert mean.x[0] == best.value
    assert mean.x[0] + mean.error_x.array[0] == pytest.approx(best.interval[1])
    folds = next(trace for trace in figure.data if trace.name == "a fold")
    assert list(folds.x)[:5] == list(best.folds)
    test = next(trace for trace in figure.data if trace.name == "on the test rows")
    assert list(test.x) == [0.74]


def test_the_winners_curves_go_through_where_they_are_read() -> None:
    content = compared()
    curve, ring, *_ = ComparisonFigures(content).learning_curves().data
    best = content.studies[0].content.best
    assert best is not None
    assert (ring.x[0], ring.y[0]) == (best.epoch, best.value)
    assert dict(zip(curve.x, curve.y, strict=True))[best.epoch] == pytest.approx(best.value)


def test_studies_without_a_complete_trial_say_so() -> None:
    empty = [ComparedStudy(name, Content(name, "task", {}, History(), OBJECTIVE)) for name in ("a", "b")]
    content = ComparisonContent(empty, "a")
    assert "none yet" in Outline(comparison_page(content)).words
    assert ComparisonFigures(content).winners().layout.annotations[0].text == "no trial is complete"


def test_of_what_is_minimized_the_lower_line_is_the_better() -> None:
    content = compared()
    image = [
        replace(study, content=replace(study.content, history=mirrored(study.content.history, study.content.objective)))
        for study in content.studies
    ]
    figures = ComparisonFigures(replace(content, studies=image))
    for line in (*figures.best_so_far("trials").data, *figures.best_so_far("compute").data):
        assert list(line.y) == sorted(line.y, reverse=True)
    text = Outline(comparison_page(replace(content, studies=image))).words
    assert "the lower line made better use of them" in text
    assert "the higher line made better use of them" in Outline(comparison_page(content)).words
    mixed = replace(content, studies=[content.studies[0], image[1]])
    assert [study.name for study in mixed.alike] == ["one"]  # values of two directions cannot share an axis
