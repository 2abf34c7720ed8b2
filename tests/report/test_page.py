import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from analysis_samples import OBJECTIVE, with_trial
from report_samples import realistic_content

from hpsearch.analysis import Evidence
from hpsearch.errors import UsageError
from hpsearch.records import History, Origin, TrialState
from hpsearch.report import Content, page, write_page

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


class Outline(HTMLParser):
    """What a browser would make of a page: tags with their attributes, text outside scripts, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def words(content: Content) -> str:
    return Outline(page.page(content)).words


def evil_content() -> Content:
    config = {"optimizer": EVIL, EVIL: 1, "epochs": 2}
    metrics = {EVIL: 0.5}
    history = with_trial(
        History(),
        0,
        [[0.5], [0.6]],
        value=0.55,
        point=1,
        config=config,
        metrics=metrics,
        reason=EVIL,
        origin=Origin.DEFAULT,
    )
    return Content(
        name=EVIL,
        task=EVIL,
        facts={EVIL: EVIL},
        history=history,
        objective=OBJECTIVE,
        metrics=(EVIL, "<lambda>"),
        space={"parameters": [{"name": "optimizer", "type": "categorical", "choices": [EVIL]}], "fixed": {EVIL: EVIL}},
        test_shares=(0.5, 0.5),
        evidence=Evidence(0.1, (0.05, 0.2), 0.01, "better", EVIL),
        test_scores={EVIL: {OBJECTIVE: 0.5}},
        numerics={EVIL: {EVIL: EVIL}},
        fingerprints={EVIL: EVIL},
        logs={0: EVIL},
    )


def test_the_page_says_what_came_out() -> None:
    text = words(realistic_content())
    assert "emotion" in text
    assert "25 complete" in text
    assert "1 failed" in text
    assert "0.7096" in text
    assert "mean over 5 folds; 95% interval 0.6921 to 0.7272" in text
    assert "Does the winner beat the literature default? Not distinguishable" in text
    assert "+0.0109" in text
    assert "favours the winner" in text
    assert "On the test rows: winner 0.7431, literature default 0.7190." in text
    assert "come when the study has ended" not in text
    assert "7.504e-5" in text
    assert "logs/trial-9-fold-0.log" in text
    assert "transformers" in text
    assert "9f9f9f" in text


def test_a_row_a_trial_that_knows_what_to_sort_by() -> None:
    outline = Outline(page.page(realistic_content()))
    rows = [attributes for tag, attributes in outline.tags if tag == "tr" and "data-trial" in attributes]
    assert [row["data-trial"] for row in rows] == [str(number) for number in range(40)]
    assert rows[37]["class"] == "best"
    assert rows[0]["class"] == "default"
    sort = [attributes["data-sort"] for tag, attributes in outline.tags if tag == "td" and "data-sort" in attributes]
    assert sort[:2] == ["0", "complete"]
    assert float(sort[2] or "nan") == pytest.approx(0.6987, abs=1e-4)
    assert "2e-05" in sort


def test_plotly_is_embedded_once_and_nothing_is_asked_of_the_network() -> None:
    text = page.page(realistic_content(trials=5))
    outline = Outline(text)
    assert sum("plotly.js v" in script for script in outline.scripts) == 1
    assert len(text) < 5_200_000
    for tag, attributes in outline.tags:
        assert "src" not in attributes, tag
        assert attributes.get("href", "data:,") == "data:,", tag
    rest = text
    for script in outline.scripts:
        rest = rest.replace(script, "")
    assert "http" not in rest.replace("http-equiv", "")
    assert "connect-src" not in text.split("<body>")[0]
    assert "default-src 'none'" in text


def test_no_figure_on_the_page_can_be_sent() -> None:
    data = json.loads(next(script for script in Outline(page.page(realistic_content(trials=5))).scripts))
    assert data["config"]["showSendToCloud"] is False
    assert set(data["figures"]) == {"history", "curves", "parallel"}
    assert all("title" not in figure["layout"] for figure in data["figures"].values())


def test_every_metric_has_learning_curves_and_the_loss_has_its_own() -> None:
    data = json.loads(next(script for script in Outline(page.page(realistic_content(trials=5))).scripts))
    assert list(data["metrics"]) == ["f1_macro", "accuracy", "recall_macro", "neg_log_loss"]
    for metric in data["metrics"].values():
        assert len(metric["x"]) == len(metric["y"]) == len(metric["traces"]) > 0
    first, other = (data["metrics"][name]["y"][0][0] for name in ("f1_macro", "accuracy"))
    assert other == pytest.approx(first + 0.05)


def test_text_cannot_become_markup() -> None:
    """Every text that a user or the data can choose is hostile here; only the page's own elements are left."""
    harmless = Outline(page.page(realistic_content(trials=5)))
    outline = Outline(page.page(evil_content()))
    assert "img" not in {tag for tag, _ in outline.tags}
    assert sum(tag == "script" for tag, _ in outline.tags) == sum(tag == "script" for tag, _ in harmless.tags) == 3
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "document.title='owned'" in outline.words


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [("better", "Yes, it is better"), ("worse", "No, it is worse"), ("not distinguishable", "Not distinguishable")],
)
def test_the_answer(verdict: Any, answer: str) -> None:
    evidence = Evidence(0.02, (-0.01, 0.05), 0.00002, verdict, "some test")
    text = words(realistic_content(trials=5, evidence=evidence))
    assert answer in text
    assert "p < 0.001" in text
    assert "Method: some test." in text


def test_an_answer_without_an_interval() -> None:
    evidence = Evidence(0.02, None, None, "not distinguishable", "no test: one fold")
    text = words(realistic_content(trials=5, evidence=evidence))
    assert "+0.0200; no interval" in text


def study(*states: TrialState, origin: Origin = Origin.DEFAULT) -> Content:
    history = History()
    for number, state in enumerate(states):
        value = 0.5 + number / 10 if state is TrialState.COMPLETE else None
        history = with_trial(
            history,
            number,
            [[0.5 + number / 10]] if value else [[]],
            state=state,
            value=value,
            point=1 if value else None,
            origin=origin if number == 0 else Origin.SAMPLER,
        )
    return Content("study", "task", {}, history, OBJECTIVE, test_shares=(0.2,))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (study(), "The literature default was not among the trials"),
        (study(TrialState.RUNNING), "The literature default (trial 0) is running, not complete."),
        (study(TrialState.FAIL, TrialState.COMPLETE), "The literature default (trial 0) is failed, not complete."),
        (study(TrialState.COMPLETE), "No trial has a higher value than the literature default itself."),
        (study(TrialState.COMPLETE, origin=Origin.SAMPLER), "The literature default was not among the trials"),
    ],
)
def test_where_the_question_is_open_the_page_says_why(content: Content, why: str) -> None:
    assert why in words(content)


def test_a_study_without_trials_has_a_page() -> None:
    text = words(study())
    assert "No trial has been asked for yet." in text
    assert "No trial is complete." in text


def test_one_fold_has_no_interval() -> None:
    assert "on one fold; one fold gives no interval." in words(study(TrialState.COMPLETE))


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new folder" / "report.html"
    assert write_page(path, study()) == path
    before = path.read_text(encoding="utf-8")
    assert before.endswith("</html>\n")

    def torn(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", torn)
    with pytest.raises(OSError, match="disk full"):
        write_page(path, study(TrialState.COMPLETE))
    assert path.read_text(encoding="utf-8") == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_equal_content_is_an_equal_page() -> None:
    assert page.page(study(TrialState.COMPLETE)) == page.page(study(TrialState.COMPLETE))


def test_a_folder_is_no_place_for_a_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write_page(tmp_path, study())
