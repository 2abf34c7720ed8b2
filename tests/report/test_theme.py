import json
from pathlib import Path

import plotly.io
import pytest

from hpsearch.report.theme import CONFIG, Figure, empty_figure, shortened


def test_what_a_figure_writes_cannot_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "figure.html"
    empty_figure("title", "nothing").write_html(path, include_plotlyjs=False)
    assert '"showSendToCloud": false' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("renderer", ["plotly_mimetype", "colab"])
def test_what_a_notebook_shows_cannot_be_sent(renderer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotly.io.renderers, "_default_name", renderer)
    text = json.dumps(empty_figure("title", "nothing")._repr_mimebundle_()).replace("\\", "")
    assert '"showSendToCloud": false' in text


def test_shown_in_a_browser_it_cannot_be_sent_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """`show` hands the settings to the renderer; the browser itself is not opened."""
    pages: list[str] = []
    monkeypatch.setattr("plotly.io._base_renderers.open_html_in_browser", lambda page, *_: pages.append(page))
    Figure().show(renderer="browser")
    assert '"showSendToCloud": false' in pages[0]


def test_other_figures_keep_plotlys_own_settings() -> None:
    import plotly.graph_objects as go

    Figure().to_html(include_plotlyjs=False)
    assert "showSendToCloud" not in go.Figure().to_html(include_plotlyjs=False)
    assert CONFIG["showSendToCloud"] is False


def test_long_text_is_shortened() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
