"""A metric of one class is of the positive class, from the task to the table, the report and the model card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from sklearn.metrics import make_scorer

import hpsearch as hp
from hpsearch.cli.listing import show_text
from hpsearch.errors import MetricError, StudyChangedError, TaskError
from hpsearch.study import Study

RANDOM = np.random.default_rng(0)
CODES = (np.arange(60) % 3 == 0).astype(int)
INPUTS = (RANDOM.normal(size=(60, 3)) + 0.7 * CODES[:, None]).astype(np.float32)
SPACE = hp.Space(learning_rate=hp.Float(0.01, 0.1, log=True), epochs=2, batch_size=16)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def linear() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


def study(folder: Path, labels: tuple[Any, Any], pos_label: Any = None, metric: Any = "f1", **settings: Any) -> Study:
    targets = [labels[code] for code in CODES]
    task = hp.CustomTask(
        linear, train=(INPUTS[:45], targets[:45]), test=(INPUTS[45:], targets[45:]), pos_label=pos_label
    )
    return Study("s", task, SPACE, metric=metric, cv=3, sampler="random", pruner="none", folder=folder, **settings)


def run(made: Study, trials: int = 2) -> hp.Result:
    return made.run(trials=trials, devices="inline", progress=False)


IRONY = ("non_irony", "irony")


def f1_of(result: hp.Result, label: str) -> float:
    truth, found = np.array(IRONY)[CODES[:45]], result.out_of_fold()
    assert not np.isnan(found).any()
    predicted = np.array(sorted(IRONY))[found.argmax(axis=1)]
    pairs = [held_out for _, held_out in result.plan.folds.pairs]
    return float(np.mean([sklearn.metrics.f1_score(truth[rows], predicted[rows], pos_label=label) for rows in pairs]))


def test_the_class_that_is_said_is_measured_and_stands_everywhere(tmp_path: Path) -> None:
    result = run(study(tmp_path, IRONY, "irony", metrics=[make_scorer(sklearn.metrics.precision_score), "accuracy"]))
    assert result.best.value == pytest.approx(f1_of(result, "irony"))
    assert result.best.value != pytest.approx(f1_of(result, "non_irony"))
    assert {"f1", "precision_score"} <= set(result.table().columns)  # as they have always been called
    assert "positive class: irony" in result.text()
    assert "positive class: irony" in show_text("s", tmp_path, None)
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "positive class" in page
    exported = result.export(tmp_path / "best")
    assert "Positive class: irony (f1, precision_score)." in (exported / "README.md").read_text(encoding="utf-8")
    assert json.loads((exported / "hpsearch.json").read_text())["pos_label"] == "irony"
    stored = json.loads((tmp_path / "s" / "study.json").read_text())
    assert stored["pos_label"] == stored["task"]["arguments"]["pos_label"] == "irony"


def test_without_a_word_both_classes_are_named_before_anything_is_written(tmp_path: Path) -> None:
    for settings in ({}, {"metric": "accuracy", "metrics": ["recall"]}):
        with pytest.raises(
            MetricError, match="Give pos_label='irony' or pos_label='non_irony' to the task or estimator"
        ):
            run(study(tmp_path, IRONY, **settings))
    assert not (tmp_path / "s").exists()
    with pytest.raises(TaskError, match="pos_label='ironic' is no class: the two are 'irony' and 'non_irony'"):
        run(study(tmp_path, IRONY, "ironic"))


@pytest.mark.parametrize("labels", [(0, 1), ("0", "1"), ("no", "yes")])
def test_a_clear_class_needs_no_word_and_saying_it_is_no_change(tmp_path: Path, labels: tuple[Any, Any]) -> None:
    result = run(study(tmp_path, labels))
    assert f"positive class: {labels[1]}" in result.text()
    assert len(run(study(tmp_path, labels, labels[1]), 3).history.trials) == 3


def test_another_class_is_another_study(tmp_path: Path) -> None:
    run(study(tmp_path, IRONY, "irony"), 1)
    said = "the positive class, which was 'irony' and is 'non_irony'"
    for again in (lambda: run(study(tmp_path, IRONY, "non_irony")), lambda: study(tmp_path, IRONY, "non_irony").result):
        with pytest.raises(StudyChangedError, match=said):
            again()
    assert len(run(hp.load("s", folder=tmp_path), 2).history.trials) == 2


def forget_the_class(folder: Path) -> None:
    """Make a study one of an earlier version, which knew no positive class."""
    from hpsearch.records.store import Store

    store = Store.open(f"sqlite:///{folder / 's' / 'study.db'}", "s")
    description = dict(store.description)
    del description["pos_label"], description["task"]["arguments"]["pos_label"]
    store.acquire()
    store.replace_description(description)
    store.release()
    (folder / "s" / "study.json").write_text(json.dumps(description))


def test_a_study_of_an_earlier_version_is_read_and_continued_as_it_was_and_says_which_class(tmp_path: Path) -> None:
    value = run(study(tmp_path, IRONY, "non_irony"), 1).best.value
    forget_the_class(tmp_path)
    assert "positive class: non_irony" in show_text("s", tmp_path, None)
    loaded = hp.load("s", folder=tmp_path)
    assert loaded.result.best.value == value
    assert "positive class: non_irony" in loaded.result.text()
    assert "positive class: non_irony" in study(tmp_path, IRONY).result.text()
    assert len(run(loaded, 2).history.trials) == 2
    assert json.loads((tmp_path / "s" / "study.json").read_text())["pos_label"] == "non_irony"


def test_an_earlier_study_of_the_other_class_is_no_longer_this_one(tmp_path: Path) -> None:
    run(study(tmp_path, IRONY, "non_irony"), 1)
    forget_the_class(tmp_path)
    with pytest.raises(MetricError, match="nothing says whether of 'irony' or of 'non_irony'"):
        run(study(tmp_path, IRONY), 2)
    with pytest.raises(StudyChangedError, match="the positive class, which was 'non_irony' and is 'irony'"):
        run(study(tmp_path, IRONY, "irony"), 2)
    assert len(run(study(tmp_path, IRONY, "non_irony"), 2).history.trials) == 2


def test_the_estimator_takes_the_class_or_the_scorers_own(tmp_path: Path) -> None:
    def fitted(**arguments: Any) -> hp.FineTuneSearchCV:
        settings = {"cv": 2, "n_iter": 1, "sampler": "random", "refit": False, "devices": "inline", **arguments}
        return hp.FineTuneSearchCV(linear, SPACE, **settings).fit(INPUTS, np.array(IRONY)[CODES])

    of_scorer = fitted(scoring=make_scorer(sklearn.metrics.f1_score, pos_label="irony"))
    assert fitted(scoring="f1", pos_label="irony").best_score_ == of_scorer.best_score_
    assert fitted(scoring="f1", pos_label="non_irony").best_score_ != of_scorer.best_score_
    with pytest.raises(ValueError, match="pos_label='irony' or pos_label='non_irony'"):
        fitted(scoring="f1")
    with pytest.raises(ValueError, match="each row has 1 number"):
        hp.FineTuneSearchCV(linear, SPACE, targets="numbers", pos_label="x").fit(INPUTS, INPUTS[:, 0])
