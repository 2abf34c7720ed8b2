"""Predicted against true numbers: drawn as computed, a panel a target, thinned out where there are many rows."""

import numpy as np
import pytest
from report_samples import realistic_content

from hpsearch.analysis.predicted import MOST_POINTS, PredictedTarget, predicted_targets
from hpsearch.report import Content, Figures
from hpsearch.report.figures import drawable
from hpsearch.report.page import page
from hpsearch.report.predicted_figure import MOST_PANELS, predicted_figure


def predicted(rows: int = 50, targets: int = 1) -> tuple[PredictedTarget, ...]:
    random = np.random.default_rng(0)
    true = random.normal(20.0, 5.0, size=(rows, targets))
    names = ["words", *(f"target {number}" for number in range(1, targets))]
    found = predicted_targets(names, true, true + random.normal(size=true.shape))
    assert found is not None
    return found


def content(**sample: int) -> Content:
    return realistic_content(trials=3, outputs={"predicted_against_true": predicted(**sample)})


def test_rows_identity_and_spread_of_one_target() -> None:
    (target,) = predicted()
    band, points, identity = Figures(content()).predicted_against_true().data
    assert points.x == tuple(target.true.tolist())
    assert points.y == tuple(target.predicted.tolist())
    assert identity.x == identity.y
    below, above = target.spread
    assert [y - x for x, y in zip(band.x, band.y, strict=True)] == pytest.approx([below, below, above, above])


def test_a_panel_a_target_with_its_own_error_above() -> None:
    figure = Figures(content(targets=3)).predicted_against_true()
    titles = [note.text for note in figure.layout.annotations]
    assert [title.partition(":")[0] for title in titles] == ["<b>words", "<b>target 1", "<b>target 2"]
    assert f"RMSE {predicted(targets=3)[0].rmse:.4g}, R² " in titles[0]
    assert sum(bool(trace.showlegend) for trace in figure.data) == 3


def test_many_rows_and_many_targets_are_cut_and_the_words_say_so() -> None:
    made = content(rows=4000, targets=MOST_PANELS + 3)
    points = [trace for trace in Figures(made).predicted_against_true().data if trace.name == "a held-out row"]
    assert len(points) == MOST_PANELS
    assert all(len(trace.x) == MOST_POINTS for trace in points)
    words = predicted_figure.reading(made)
    assert f"{MOST_POINTS:,} of 4,000 rows are drawn" in words
    assert f"The first {MOST_PANELS} of {MOST_PANELS + 3} targets" in words


def test_the_page_has_it_where_there_are_numbers_and_nowhere_else() -> None:
    made = content()
    assert predicted_figure in drawable(made)
    assert predicted_figure not in drawable(realistic_content(trials=3))
    assert "50 held-out rows, root mean squared error" in page(made)
    assert "no out-of-fold predictions of numbers" in str(
        Figures(realistic_content(trials=3)).predicted_against_true().layout.annotations[0].text
    )
