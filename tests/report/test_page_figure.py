import inspect

import pytest
from report_samples import realistic_content
from test_page import Outline, data_of

from hpsearch.report import Figures, page
from hpsearch.report.content import Content
from hpsearch.report.figures import drawable
from hpsearch.report.learning_curves_figure import learning_curves
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import Figure, titled


def trials(content: Content, height: int = 300) -> Figure:
    """Draw how many trials there are."""
    return titled(Figure(data=[{"type": "bar", "y": [len(content.summaries)]}]), "Trials", height)


trials_figure = PageFigure(
    name="count",
    heading="Number & kind",
    draw=trials,
    words=lambda content: f"{len(content.summaries)} trials <b>in all</b>.",
    alt_text=lambda content: f"One bar: {len(content.summaries)}.",
    has_something=lambda content: len(content.summaries) > 5,
)


@pytest.fixture
def _with_trials_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figures, "trial_count", trials_figure, raising=False)


def test_a_figure_is_a_method_with_its_own_arguments_and_words() -> None:
    figures = Figures(realistic_content(trials=5))
    method = figures.learning_curves
    assert list(inspect.signature(method).parameters) == ["trials", "metric", "fold"]
    assert inspect.getdoc(method) == inspect.getdoc(learning_curves)
    assert method.__name__ == "learning_curves"
    assert Figures.learning_curves.name == "curves"


@pytest.mark.usefixtures("_with_trials_figure")
def test_one_line_puts_a_figure_on_the_page_with_its_words() -> None:
    content = realistic_content(trials=6)
    outline = Outline(page.page(content))
    assert "Number & kind 6 trials <b>in all</b>." in outline.words
    (place,) = [attributes for _, attributes in outline.tags if attributes.get("id") == "count"]
    assert place["aria-label"] == "One bar: 6."
    assert "#count-section" in {attributes.get("href") for _, attributes in outline.tags}
    assert data_of(content)["figures"]["count"]["data"][0]["y"] == [6]


@pytest.mark.usefixtures("_with_trials_figure")
def test_a_figure_that_has_nothing_is_not_on_the_page() -> None:
    content = realistic_content(trials=5)
    assert trials_figure not in drawable(content)
    assert "Number" not in Outline(page.page(content)).words


def test_the_page_has_the_figures_in_the_order_of_their_lines() -> None:
    content = realistic_content(trials=40)
    names = [figure.name for figure in drawable(content)]
    assert names == ["pairs", "history", "curves", "importance", "slices", "contours", "parallel"]
    assert list(data_of(content)["figures"]) == names
