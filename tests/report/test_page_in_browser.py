"""The report in a real browser: drawn, silent, sortable, and no wider than its window."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_samples import realistic_content
from samples import mirrored
from test_page import evil_content, study

from hpsearch.metrics.direction import Direction
from hpsearch.records import TrialState
from hpsearch.report import Content, Figures, write_page
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent
from hpsearch.report.comparison_page import write_comparison

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    import shutil

    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what the condition gives as soon as it holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "the page did not come to it"
        time.sleep(0.05)
    return found


def look(driver: "Chrome", width: int, scheme: str = "light") -> None:
    """Set the window's inner width, which a headless window itself does not go below 500 pixels, and the scheme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)


def opened(driver: "Chrome", path: Path, content: Content) -> "Chrome":
    driver.get(write_page(path, content).as_uri())
    until(lambda: driver.execute_script("return document.body.dataset.ready === 'yes'"))
    return driver


@pytest.fixture(scope="module")
def report(chrome: "Chrome", tmp_path_factory: pytest.TempPathFactory) -> "Chrome":
    """A page of a realistic study. The tests that change it put it back."""
    look(chrome, 1400)
    return opened(chrome, tmp_path_factory.mktemp("page") / "report.html", realistic_content())


def silent(driver: "Chrome") -> bool:
    return [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_all_plots_are_drawn_without_a_word_in_the_console(report: "Chrome") -> None:
    assert silent(report)
    drawn = (
        "return [...document.querySelectorAll('.js-plotly-plot')].map(p => p.querySelectorAll('svg.main-svg').length)"
    )
    assert all(count > 0 for count in report.execute_script(drawn))
    assert len(report.execute_script(drawn)) == 7
    points = "return document.querySelectorAll('#history .scatterlayer .point').length"
    assert report.execute_script(points) >= 40
    assert (
        report.execute_script("return document.querySelectorAll('#parallel .scatterlayer path.js-line').length") >= 38
    )


def test_nothing_is_loaded_from_anywhere(report: "Chrome") -> None:
    assert report.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    report.execute_script(
        "window.refused = []; addEventListener('securitypolicyviolation', e => refused.push(e.blockedURI))"
    )
    report.execute_script("fetch('http://127.0.0.1:9/').catch(() => {})")
    assert until(lambda: report.execute_script("return window.refused")) == ["http://127.0.0.1:9/"]
    report.get_log("browser")  # what was just refused is in it


def column(driver: "Chrome", index: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll(`#trials tbody td:nth-child(${arguments[0]})`)].map(c => c.dataset.sort)"
    )
    values: list[str] = driver.execute_script(script, index)
    return values


def click_head(driver: "Chrome", index: int) -> str:
    script = "const h = document.querySelectorAll('#trials th')[arguments[0] - 1]; h.querySelector('button').click(); "
    direction: str = driver.execute_script(script + "return h.getAttribute('aria-sort')", index)
    return direction


def test_a_click_on_a_head_sorts(report: "Chrome") -> None:
    assert click_head(report, 3) == "descending"
    values = column(report, 3)
    numbers = [float(value) for value in values if value]
    assert numbers == sorted(numbers, reverse=True)
    assert values[len(numbers) :] == [""] * (len(values) - len(numbers))  # those without a value are last
    assert len(numbers) < len(values)
    assert click_head(report, 3) == "ascending"
    values = column(report, 3)
    assert [float(value) for value in values if value] == sorted(numbers)
    assert values[-1] == ""
    assert click_head(report, 2) == "ascending"
    assert column(report, 2) == sorted(column(report, 2))
    click_head(report, 7)
    rates = [float(value) for value in column(report, 7)]
    assert rates == sorted(rates, reverse=True)
    assert click_head(report, 1) == "ascending"
    assert column(report, 1) == [str(number) for number in range(40)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_does_not_scroll_sideways(report: "Chrome", width: int, scheme: str) -> None:
    look(report, width, scheme)
    until(lambda: report.execute_script("return innerWidth") == width)
    drawn = "return document.querySelector('#history svg').getBoundingClientRect().width / innerWidth"
    until(lambda: 0.8 < report.execute_script(drawn) < 1)  # figures follow a window that changes
    until(lambda: report.execute_script("return document.documentElement.scrollWidth") <= width)
    report.execute_script("scrollTo(500, 0)")
    assert report.execute_script("return scrollX") == 0
    wide = "const box = document.querySelector('#trials').parentElement; return box.scrollWidth > box.clientWidth"
    assert report.execute_script(wide)  # the table has its own
    look(report, 1400)
    assert silent(report)


def test_figures_follow_the_colour_scheme(report: "Chrome") -> None:
    color = "return document.getElementById('history').layout.paper_bgcolor"
    look(report, 1400, "light")
    assert until(lambda: report.execute_script(color) == "#ffffff")
    look(report, 1400, "dark")
    assert until(lambda: report.execute_script(color) == "#171c22")
    assert report.execute_script("return document.getElementById('parallel').layout.annotations[0].bgcolor").startswith(
        "rgba(23"
    )
    look(report, 1400, "light")


def visible(driver: "Chrome") -> set[str]:
    script = "return document.getElementById('curves').data.map(t => t.meta.trial)"
    return set(driver.execute_script(script))


def test_learning_curves_change_their_metric_and_their_trials(report: "Chrome") -> None:
    assert visible(report) == {"trial 37 (best)", "trial 0 (default)"}
    report.execute_script(
        "document.querySelectorAll('.chip')[0].click(); document.querySelectorAll('.chip')[2].click()"
    )
    chip = report.execute_script("return document.querySelectorAll('.chip')[2].textContent")
    assert until(lambda: visible(report)) == {"trial 0 (default)", chip}
    first = "return document.getElementById('curves').data[1].y[0]"
    before = report.execute_script(first)
    report.execute_script(
        "const s = document.getElementById('metric'); s.value = '1'; s.dispatchEvent(new Event('change'))"
    )
    assert until(lambda: report.execute_script(first) != before)
    assert report.execute_script(first) == pytest.approx(before + 0.05, abs=1e-4)
    assert report.execute_script("return document.querySelector('#curves .ytitle').textContent") == "accuracy"
    assert visible(report) == {"trial 0 (default)", chip}
    assert silent(report)


def choose(driver: "Chrome", name: str, value: str) -> None:
    script = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; "
    driver.execute_script(script + "s.dispatchEvent(new Event('change'))", name, value)


def test_the_page_draws_the_curves_that_python_draws(report: "Chrome") -> None:
    """For any trial, metric and fold: the page draws them itself, from the numbers alone."""
    content = realistic_content()
    report.execute_script("document.querySelectorAll('.chip[aria-pressed=true]').forEach(chip => chip.click())")
    pruned = next(s.number for s in content.summaries if s.state is TrialState.PRUNED and s.folds)
    for number, metric, fold in ((37, "accuracy", None), (pruned, "f1_macro", None), (37, "f1_macro", 3)):
        choose(report, "metric", str(content.all_metrics.index(metric)))
        choose(report, "fold", "all" if fold is None else str(fold))
        choose(report, "more", str(number))
        found = report.execute_script("return document.getElementById('curves').data.map(t => [t.y, t.yaxis])")
        expected = Figures(content).learning_curves([number], metric, fold).data
        assert len(found) == len(expected) == 6
        for index, ((y, axis), trace) in enumerate(zip(found, expected, strict=True)):
            assert axis == (trace.yaxis or "y")
            wanted = [value for value in trace.y if value is not None]
            if index != 2 or fold is None:  # the ring of one fold lies on that fold
                assert [value for value in y if value is not None] == pytest.approx(wanted, abs=1e-4)
        report.execute_script("document.querySelector(`.chip[data-trial='${arguments[0]}']`).click()", number)
    assert silent(report)


def test_the_table_by_epoch_follows_its_controls(report: "Chrome") -> None:
    content = realistic_content()
    cells = "return [...document.querySelectorAll('#epochs tbody tr')].map(r => [...r.cells].map(c => c.dataset.sort))"
    assert len(report.execute_script(cells)) == content.history.trials[37].runs[0].horizon
    assert report.execute_script("return document.querySelectorAll('#epochs tr.best').length") == 1
    choose(report, "epochs-trial", "0")
    choose(report, "epochs-fold", "2")
    recorded = content.history.of(content.history.trials[0].runs[2].key)
    rows = report.execute_script(cells)
    assert [float(row[0]) for row in rows] == [e.epoch for e in recorded]
    assert [float(row[1]) for row in rows] == pytest.approx([e.train_loss for e in recorded], abs=1e-3)
    assert [float(row[3]) for row in rows] == pytest.approx([e.metrics["f1_macro"] for e in recorded], abs=1e-4)
    assert report.execute_script("return document.getElementById('epochs-note').textContent").endswith("one run.")
    report.execute_script("document.querySelectorAll('#epochs th button')[3].click()")
    values = [float(row[3]) for row in report.execute_script(cells)]
    assert values == sorted(values, reverse=True)
    assert silent(report)


@pytest.mark.parametrize(("width", "columns"), [(1400, 3), (400, 1)])
def test_panels_stand_in_as_many_columns_as_there_is_room_for(report: "Chrome", width: int, columns: int) -> None:
    look(report, width)
    count = (
        "const l = document.getElementById('slices').layout; "
        "return new Set(Object.keys(l).filter(k => /^xaxis/.test(k)).map(k => l[k].domain[0].toFixed(3))).size"
    )
    assert until(lambda: report.execute_script(count) == columns)
    look(report, 1400)


def test_dragging_over_an_axis_keeps_the_trials_that_pass_there(report: "Chrome") -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    box = report.find_element(By.CSS_SELECTOR, "#parallel .nsewdrag")
    report.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    opacity = "return document.getElementById('parallel').data.filter(t => t.meta).map(t => t.opacity)"
    before = report.execute_script(opacity)
    # The top of the last axis, where the best values are.
    right = report.execute_script(
        "const l = document.getElementById('parallel')._fullLayout; return l.xaxis.d2p(l.xaxis.tickvals.length - 1)"
    )
    left, top = -box.size["width"] / 2, -box.size["height"] / 2
    drag = ActionChains(report).move_to_element_with_offset(box, left + right - 12, top + 6)
    drag.click_and_hold().move_by_offset(10, 20).move_by_offset(10, 20).release().perform()
    after = until(lambda: (found := report.execute_script(opacity)) != before and found)
    assert after[-1] == before[-1] == 1  # the best is drawn last
    assert 1 <= sum(value > 0.04 for value in after) < len(after) / 2
    ActionChains(report).double_click(box).perform()
    assert until(lambda: report.execute_script(opacity) == before)


def test_the_first_click_on_an_error_puts_the_best_on_top(chrome: "Chrome", tmp_path: Path) -> None:
    content = realistic_content(metrics=("f1_macro", "accuracy", "rmse"), directions={"rmse": Direction.MINIMIZE})
    minimized = replace(content, history=mirrored(content.history, content.objective))
    page = opened(chrome, tmp_path / "report.html", minimized)
    for index in (3, 4):  # the objective and its interval
        assert click_head(page, index) == "ascending"
        numbers = [float(value) for value in column(page, index) if value]
        assert numbers == sorted(numbers)
    best = page.execute_script("return document.querySelector('#trials tbody tr.best').dataset.trial")
    assert click_head(page, 3) == "ascending"  # another column was sorted before, so this is a first click
    rows = "return [...document.querySelectorAll('#trials tbody tr')]"
    complete = ".filter(row => row.cells[1].dataset.sort === 'complete')"
    assert page.execute_script(rows + complete + "[0].dataset.trial") == best
    assert click_head(page, 3) == "descending"
    assert click_head(page, 5) == "descending"  # folds: more of them
    heads = "return [...document.querySelectorAll('#epochs th')].map(h => [h.innerText, h.dataset.first])"
    first = dict(page.execute_script(heads))
    assert {first[name] for name in ("epoch", "training loss", "f1_macro", "rmse")} == {"low"}
    assert {first[name] for name in ("accuracy", "learning rate")} == {"high"}


def test_hostile_text_does_not_run(chrome: "Chrome", tmp_path: Path) -> None:
    look(chrome, 1400)
    opened(chrome, tmp_path / "evil.html", evil_content())
    assert silent(chrome)
    assert "owned'" in chrome.title  # the study's name, as text
    assert chrome.title != "owned"
    assert chrome.execute_script("return document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("states", [(), (TrialState.RUNNING,), (TrialState.FAIL,), (TrialState.COMPLETE,)])
def test_a_study_with_next_to_nothing_in_it(chrome: "Chrome", tmp_path: Path, states: tuple[TrialState, ...]) -> None:
    look(chrome, 400)
    opened(chrome, tmp_path / "small.html", study(*states))
    assert silent(chrome)
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= 400
    assert chrome.execute_script("return document.querySelectorAll('.js-plotly-plot svg.main-svg').length") >= 2


def test_a_comparison_is_drawn_at_both_widths(chrome: "Chrome", tmp_path: Path) -> None:
    studies = [ComparedStudy("one", realistic_content()), ComparedStudy("a/very-long/name", realistic_content(seed=5))]
    path = write_comparison(tmp_path / "compare.html", ComparisonContent(studies, "one"))
    for width in (400, 1400):
        look(chrome, width, "dark")
        chrome.get(path.as_uri())
        until(lambda: chrome.execute_script("return document.body.dataset.ready === 'yes'"))
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
        assert chrome.execute_script("return document.querySelectorAll('.js-plotly-plot svg.main-svg').length") >= 4
    assert silent(chrome)
