import ast
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from analysis_samples import OBJECTIVE, with_trial
from report_samples import realistic_content
from samples import mirrored

from hpsearch.analysis.significance import Evidence
from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, Origin, TrialState
from hpsearch.report import Content, page, write_page
from hpsearch.report.curves_data import curves_data

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


def data_of(content: Content) -> Any:
    """Return what page.js draws."""
    return json.loads(Outline(page.page(content)).scripts[0])


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
        disturbances=[EVIL],
    )


def test_the_page_says_what_came_out() -> None:
    text = words(realistic_content())
    assert "emotion" in text
    assert "25 complete" in text
    assert "1 failed" in text
    assert "0.7096" in text
    assert "Mean over 5 folds; 95% interval 0.6921 to 0.7272, corrected for the training rows that folds share." in text
    assert "Does the winner beat the literature default? Not distinguishable" in text
    assert "+0.0109" in text
    assert "favours the winner" in text
    assert "On the test rows: winner 0.7431, literature default 0.7190." in text
    assert "once the study has ended" not in text
    assert "As the best of 25, this score is optimistic; trust the test score." in text
    assert "7.504e-5" in text
    assert "logs/trial-9-fold-0.log" in text
    assert "transformers" in text
    assert "9f9f9f" in text


def test_the_table_says_what_another_run_may_lack() -> None:
    sentence = "trial 3 ran out of memory on fold 0"
    heading = "Not repeatable from the seed alone:"
    assert heading not in words(realistic_content())
    text = words(realistic_content(disturbances=[sentence, "from trial 30 on: trials is 40"]))
    assert text.index(heading) < text.index(sentence) < text.index("from trial 30 on: trials is 40")
    assert text.index("One row per trial") < text.index(heading) < text.index("Data and search")


def test_the_table_has_a_row_for_every_trial_with_what_it_sorts_by() -> None:
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
        assert attributes.get("href", "data:,") == "data:," or str(attributes["href"]).startswith("#"), tag
    rest = text
    for script in outline.scripts:
        rest = rest.replace(script, "")
    assert "http" not in rest.replace("http-equiv", "")
    assert "connect-src" not in text.split("<body>")[0]
    assert "default-src 'none'" in text


def test_no_figure_on_the_page_can_be_sent() -> None:
    data = data_of(realistic_content(trials=5))
    assert data["config"]["showSendToCloud"] is False
    assert set(data["figures"]) == {"history", "curves", "importance", "slices", "contours", "parallel"}
    assert all("title" not in figure["layout"] for figure in data["figures"].values())


def test_every_metric_has_learning_curves_and_the_loss_has_its_own() -> None:
    content = realistic_content(trials=5)
    curves = data_of(content)["curves"]
    assert curves["metrics"] == ["f1_macro", "accuracy", "recall_macro", "neg_log_loss", "loss"]
    assert [trial["number"] for trial in curves["trials"]] == [0, 1, 2, 3, 4]
    best = next(trial for trial in curves["trials"] if "best" in trial["label"])
    recorded = content.history.of(content.history.trials[best["number"]].runs[2].key)
    run = best["runs"][2]
    assert (run["fold"], run["repeat"]) == (2, 0)
    for index, name in enumerate(curves["metrics"]):
        assert run["metrics"][index] == pytest.approx([evaluation.metrics[name] for evaluation in recorded], rel=1e-4)
    assert run["train"] == pytest.approx([e.train_loss for e in recorded], rel=1e-4)
    assert best["epoch"] == [e.epoch for e in recorded]
    assert best["rate"] == [e.learning_rate for e in recorded]
    assert recorded[best["point"] - 1].epoch == content.best.epoch
    outline = Outline(page.page(content))
    assert "learning rate" in outline.words
    options = [attributes["value"] for tag, attributes in outline.tags if tag == "option"]
    assert options[:5] == ["0", "1", "2", "3", "-1"]  # the loss has a plot of its own; last, the learning rate


def test_the_page_holds_means_of_the_later_of_very_many_trials() -> None:
    content = realistic_content(trials=12)
    few = curves_data(content, content.leading(1), most=300)
    best = next(trial for trial in few["trials"] if "best" in trial["label"])
    assert len(best["runs"]) == 5  # what is drawn at first has its folds
    means = [trial for trial in few["trials"] if trial["runs"][0]["fold"] is None]
    assert means
    trial = means[0]
    runs = content.history.trials[trial["number"]].runs
    recorded = [content.history.of(run.key)[0].metrics["f1_macro"] for run in runs if content.history.point(run)]
    assert trial["runs"][0]["of"] == len(recorded)
    assert trial["runs"][0]["metrics"][0][0] == pytest.approx(sum(recorded) / len(recorded), rel=1e-4)


def test_every_figure_has_a_heading_a_sentence_and_a_text_in_its_place() -> None:
    outline = Outline(page.page(realistic_content()))
    figures = [attributes for tag, attributes in outline.tags if attributes.get("class") == "figure"]
    assert len(figures) == 7
    for figure in figures:
        assert figure["role"] == "img"
        assert len(figure["aria-label"] or "") > 40
    labels = " ".join(str(figure["aria-label"]) for figure in figures)
    assert "rises from 0.6987 at trial 0 to 0.7096 at trial 37" in labels
    assert "f1_macro: the winner is better on 3 of 5 runs, mean difference +0.0109" in labels
    anchors = {attributes["href"] for tag, attributes in outline.tags if tag == "a"}
    ids = {attributes.get("id") for _, attributes in outline.tags}
    assert anchors <= {f"#{name}" for name in ids}
    assert len(anchors) == 9


def test_the_answer_comes_first() -> None:
    text = words(realistic_content())
    parts = ("Does the winner beat", "Best f1_macro", "Best configuration", "Data and search")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_thousand_trials_stay_small() -> None:
    from plotly.offline import get_plotlyjs

    text = page.page(realistic_content(trials=1000))
    assert len(text.encode()) - len(get_plotlyjs().encode()) < 6_000_000


def test_text_cannot_become_markup() -> None:
    """Every text that a user or the data can choose is hostile here; only the page's own elements are left."""
    harmless = Outline(page.page(realistic_content(trials=5)))
    outline = Outline(page.page(evil_content()))
    assert "img" not in {tag for tag, _ in outline.tags}
    assert sum(tag == "script" for tag, _ in outline.tags) == sum(tag == "script" for tag, _ in harmless.tags) == 3
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "document.title='owned'" in outline.words
    data = json.loads(outline.scripts[0])
    assert EVIL in data["curves"]["metrics"]  # inside the data's script, where it ends nothing


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
        (study(), "The literature default was not tried"),
        (study(TrialState.RUNNING), "The literature default (trial 0) is not complete (its state: running)."),
        (
            study(TrialState.FAIL, TrialState.COMPLETE),
            "The literature default (trial 0) is not complete (its state: failed).",
        ),
        (study(TrialState.COMPLETE), "No trial is better than the literature default itself."),
        (study(TrialState.COMPLETE, origin=Origin.SAMPLER), "The literature default was not tried"),
    ],
)
def test_where_the_question_is_open_the_page_says_why(content: Content, why: str) -> None:
    assert why in words(content)


def test_a_study_without_trials_has_a_page() -> None:
    text = words(study())
    assert "No trial has been proposed yet." in text
    assert "No trial is complete." in text


def repeated(origin: Origin) -> Content:
    """Return a study of two trials, each of two folds trained twice."""
    history = with_trial(History(), 0, [[0.5], [0.6], [0.5], [0.7]], value=0.575, point=1, repeats=2, origin=origin)
    history = with_trial(history, 1, [[0.7], [0.6], [0.6], [0.8]], value=0.675, point=1, repeats=2)
    return Content("study", "task", {}, history, OBJECTIVE, test_shares=(0.5, 0.5))


def one_parameter() -> Content:
    history = History()
    for number in range(4):
        value = 0.5 + number / 10
        history = with_trial(history, number, [[value], [value]], value=value, point=1, config={"rate": number / 4})
    return Content("study", "task", {}, history, OBJECTIVE, test_shares=(0.5, 0.5))


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (study(), {"history", "curves"}),
        (study(TrialState.COMPLETE), {"history", "curves", "parallel"}),
        (study(TrialState.FAIL, TrialState.PRUNED), {"history", "curves", "parallel", "importance", "slices"}),
        (repeated(Origin.DEFAULT), {"pairs", "history", "curves", "parallel", "importance", "slices"}),
        (repeated(Origin.SAMPLER), {"history", "curves", "parallel", "importance", "slices"}),
        (one_parameter(), {"history", "curves", "parallel", "importance", "slices"}),
        (realistic_content(trials=30, folds=1), {"history", "curves", "parallel", "importance", "slices"}),
    ],
    ids=["nothing", "one trial", "none complete", "repeats", "no default", "one parameter", "holdout"],
)
def test_a_page_has_the_figures_that_the_study_has_something_for(content: Content, shown: set[str]) -> None:
    data = data_of(content)
    assert set(data["figures"]) >= shown
    assert set(data["figures"]) <= shown | {"contours", "pairs"}
    text = words(content)
    assert "None" not in text
    assert "nan" not in text.replace("finance", "").split()
    assert (
        "too few trials to tell importance from noise" in json.dumps(data)
        or "importance" not in shown
        or len(content.summaries) >= 20
    )


def test_without_test_rows_the_page_speaks_of_none() -> None:
    text = words(realistic_content(test_scores=None)).lower()
    assert "on the test rows" not in text.replace("rows of the test set", "")
    assert "test score" not in text
    assert "as the best of 25, this score is optimistic." in text


def test_scores_to_come_are_announced() -> None:
    text = words(realistic_content(trials=5, test_scores=None, test_is_to_come=True))
    assert "Test scores appear once the study has ended" in text


SOURCES = Path(page.__file__).parent


def test_html_stands_in_templates_alone() -> None:
    """plotly's texts have line breaks, bold and italic words; no other tag is in a string of Python."""
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            tags = set(re.findall(r"</?([a-z][a-z0-9]*)[ >]", text.replace('"</script"', "")))
            assert tags <= {"b", "br", "extra", "i"}, f"{path.name}: {text}"


def test_only_our_own_files_are_marked_safe() -> None:
    marked = [
        (path.name, line.strip())
        for path in sorted((SOURCES / "templates").glob("*.html"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\|\s*safe|autoescape", line)
    ]
    assert marked == [
        ("document.html", "<style>{{ style | safe }}</style>"),
        ("document.html", "<script>{{ script | safe }}</script>"),
    ]
    assert not [path.name for path in SOURCES.glob("*.py") if "Markup" in path.read_text(encoding="utf-8")]


def test_one_fold_has_no_interval() -> None:
    assert "One fold, so there is no interval." in words(study(TrialState.COMPLETE))


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


def test_tables_say_of_which_metrics_less_is_better() -> None:
    content = realistic_content(directions={"accuracy": Direction.MINIMIZE})
    text = Outline(page.page(content)).words
    assert f"{OBJECTIVE} objective" in text
    assert "accuracy lower is better" in text
    assert "loss lower is better" in text
    assert "neg_log_loss lower" not in text
    image = replace(content, history=mirrored(content.history, OBJECTIVE))
    text = Outline(page.page(image)).words
    assert f"Best {OBJECTIVE} (lower is better)" in text
    assert f"{OBJECTIVE} objective, lower is better" in text
    assert f"Difference in {OBJECTIVE} (lower is better)" in text
