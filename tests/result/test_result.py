"""What a study came to, checked against what was recorded, and the model that one takes away."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from tasks_samples import WORDS, save_text_model
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.records import Origin, TrialState
from hpsearch.tasks.classes.labels import probabilities

GOOD, BAD = ("great", "loved", "fine"), ("awful", "hated", "dull")
FOLDS, TRIALS = 3, 4


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Return texts whose class shows in two of their words."""
    random = np.random.default_rng(seed)
    plain = [word for word in WORDS if word not in (*GOOD, *BAD)]
    texts = []
    for row in range(rows):
        words = [*random.choice(plain, size=random.integers(3, 9)), *random.choice((GOOD, BAD)[row % 2], size=2)]
        texts.append(" ".join(random.permutation(words)))
    return pd.DataFrame({"text": texts, "label": [("positive", "negative")[row % 2] for row in range(rows)]})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("result")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def result(place: Path) -> hp.Result:
    """A study of texts with labels in words: four trials over three folds, and test rows."""
    model = save_text_model(place / "tiny-bert")
    task = hp.TextClassification(str(model), train=reviews(48, 1), test=reviews(30, 2))
    space = hp.Space(
        default={"learning_rate": 3e-3},
        learning_rate=hp.Float(1e-3, 2e-2, log=True),
        epochs=6,
        batch_size=8,
        warmup_ratio=0.1,
    )
    settings = {"sampler": "random", "cv": FOLDS, "metrics": ["accuracy"], "pruner": "none", "early_stopping": None}
    settings["precision"] = "fp32"
    study = hp.Study("texts", task, space, folder=place, seed=1, **settings)
    return study.run(trials=TRIALS, devices="inline", progress=False)


def objectives(result: hp.Result, number: int) -> np.ndarray:
    """Return the objective as it was recorded, shape (folds, points up to the stop)."""
    trial = result.history.trials[number]
    return np.array([[e.metrics["f1_macro"] for e in result.history.of(run.key)[: trial.stop]] for run in trial.runs])


# ---------------------------------------------------------------- the best trial


def test_the_best_is_the_highest_mean_over_folds_at_one_common_point(result: hp.Result) -> None:
    means = {number: objectives(result, number).mean(axis=0).max() for number in result.history.trials}
    best = result.best
    assert len(set(means.values())) > 1
    assert means[best.number] == pytest.approx(max(means.values()), abs=1e-15)
    assert best.value == result.history.trials[best.number].value
    measured = objectives(result, best.number)
    assert best.point == 1 + int(measured.mean(axis=0).argmax())
    assert best.folds == tuple(measured[:, best.point - 1])
    assert best.value == pytest.approx(np.mean(best.folds), abs=1e-15)
    assert best.epoch == best.point / 2
    assert best.config == {**result.history.trials[best.number].params, "epochs": 6, "batch_size": 8} | {
        "warmup_ratio": 0.1
    }
    assert best.metrics["f1_macro"] == pytest.approx(best.value)
    assert set(best.metrics) == {"f1_macro", "accuracy", "loss"}


def test_its_interval_allows_for_the_folds_overlap(tmp_path: Path, place: Path) -> None:
    """Nadeau and Bengio 2003: the variance of the mean is (1/k + n_test/n_train) times that of the folds."""
    result = toy_study(tmp_path).run(trials=3, devices="inline", progress=False)
    clipped = []
    for number in result.history.trials:
        summary = result.summary(number)
        folds = np.array(summary.folds)
        spread = folds.std(ddof=1) * math.sqrt(1 / FOLDS + (1 / FOLDS) / (1 - 1 / FOLDS))
        half = stats.t.ppf(0.975, FOLDS - 1) * spread
        low, high = folds.mean() - half, folds.mean() + half
        if spread == 0:
            continue
        assert summary.interval == pytest.approx((max(low, 0.0), min(high, 1.0)))  # f1 lies between 0 and 1
        clipped.append(low < 0.0 and high > 1.0)
    assert result.best.interval == result.summary(result.best.number).interval
    assert not all(clipped)


def test_its_curve_is_the_mean_over_folds_at_each_point(result: hp.Result) -> None:
    epochs, values = zip(*result.best.curve, strict=True)
    assert values == pytest.approx(objectives(result, result.best.number).mean(axis=0))
    assert list(epochs) == [point / 2 for point in range(1, len(values) + 1)]


def test_without_a_complete_trial_there_is_no_best(tmp_path: Path) -> None:
    study = toy_study(tmp_path, {"trouble": "diverge"})
    found = study.run(trials=2, devices="inline", progress=False)
    assert found.history.trials[0].state is TrialState.PRUNED
    with pytest.raises(UsageError, match=r"No trial of 'toy' is complete yet \(2 started\)"):
        found.best  # noqa: B018
    assert found.default is not None
    assert found.evidence() is None
    assert "0 complete" in repr(found)
    assert found.report(tmp_path / "report.html").exists()
    with pytest.raises(UsageError, match="No trial of 'toy' is complete"):
        found.export(tmp_path / "model")
    with pytest.raises(UsageError, match="Trial 1 is pruned: only a complete trial"):
        found.refit(1)
    with pytest.raises(UsageError, match="There is no trial 7"):
        found.refit(7)


# ---------------------------------------------------------------- tables


def test_the_table_has_a_row_a_trial(result: hp.Result) -> None:
    table = result.table().set_index("number")
    assert list(table.index) == list(range(TRIALS))
    assert table["origin"].tolist() == [Origin.DEFAULT.value] + [Origin.SAMPLER.value] * (TRIALS - 1)
    for number, trial in result.history.trials.items():
        row = table.loc[number]
        assert row["state"] == trial.state.value
        assert row["value"] == trial.value
        assert row["learning_rate"] == trial.config["learning_rate"]
        assert row["reason"] == trial.reason
        if trial.state is TrialState.COMPLETE:
            measured = objectives(result, number)[:, trial.point - 1]
            assert row["std"] == pytest.approx(measured.std(ddof=1))
            assert (row["interval_low"], row["interval_high"]) == pytest.approx(result.summary(number).interval)
    assert {"accuracy", "loss", "epoch", "seconds"} <= set(table.columns)


def test_the_curves_have_a_row_a_measurement(result: hp.Result) -> None:
    curves = result.curves()
    number = sum(len(e.metrics) for all_ in result.history.evaluations.values() for e in all_)
    assert len(curves) >= number
    one = curves.query(f"trial == {result.best.number} and fold == 1 and metric == 'f1_macro'").sort_values("point")
    assert one["value"].tolist() == [
        e.metrics["f1_macro"] for e in result.history.of(result.history.trials[result.best.number].runs[1].key)
    ]


def test_out_of_fold_predictions_are_of_models_that_had_not_seen_the_row(result: hp.Result) -> None:
    plan, best = result.plan, result.best
    found = result.out_of_fold()
    assert found.shape == (48, 2)
    assert np.allclose(found.sum(axis=1), 1.0)
    trial = result.history.trials[best.number]
    for run in trial.runs:
        logits = result.record.store.predictions(run.key, trial.point)
        held_out = plan.folds.pairs[run.fold][1]
        assert np.array_equal(found[held_out], probabilities(logits, "binary"))
    targets = plan.task.learner(plan.prepared).targets(np.arange(48)).numpy()
    scores = [plan.objective(targets[pair[1]], found[pair[1]]) for pair in plan.folds.pairs]
    assert scores == pytest.approx(best.folds)


def test_the_text_names_the_best_trial(result: hp.Result) -> None:
    assert f"best: trial {result.best.number}, f1_macro {result.best.value:.4f}" in result.text()


def test_a_result_knows_its_study(result: hp.Result) -> None:
    assert result.study.result.best == result.best
    assert f"{TRIALS} trials" in repr(result)


# ---------------------------------------------------------------- rows never searched, and the model


@pytest.fixture(scope="module")
def exported(result: hp.Result, place: Path) -> Path:
    return result.export(place / "model")


def test_the_labels_are_those_of_the_data(result: hp.Result, exported: Path) -> None:
    assert result.plan.prepared.judge.classes == ("negative", "positive")
    config = json.loads((exported / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}


def test_the_exported_model_gives_the_outputs_that_were_scored(result: hp.Result, exported: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(exported).eval()
    tokenizer = AutoTokenizer.from_pretrained(exported)
    scored = np.load(next((result.plan.folder / "test").glob("*.npy")))
    with torch.no_grad():
        rows = tokenizer(reviews(30, 2)["text"].tolist(), padding=True, pad_to_multiple_of=16, return_tensors="pt")
        logits = model(**rows).logits.numpy()
    assert np.abs(logits - scored).max() < 1e-5
    assert np.ptp(logits, axis=0).min() > 0.01  # the rows differ far more than that


def test_a_pipeline_gives_the_scores_in_the_card(result: hp.Result, exported: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score
    from transformers import pipeline

    test = reviews(30, 2)
    answers = pipeline("text-classification", model=str(exported))(test["text"].tolist(), truncation=True)
    found = [answer["label"] for answer in answers]
    card = json.loads((exported / "hpsearch.json").read_text())["test"]["metrics"]
    assert card == dict(result.test_scores())
    assert accuracy_score(test["label"], found) == pytest.approx(card["accuracy"])
    assert f1_score(test["label"], found, average="macro") == pytest.approx(card["f1_macro"])
    assert card["accuracy"] > 0.6


def test_each_configuration_is_scored_once(result: hp.Result, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(result.test_scores())

    def refuse(*_: Any) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.runtime.refit.refit", refuse)
        patch.setattr("hpsearch.runtime.refit.score", refuse)
        assert dict(hp.load("texts", folder=result.plan.folder.parent).result.test_scores()) == before
    other = next(number for number in result.history.trials if number != result.best.number)
    if result.history.trials[other].state is TrialState.COMPLETE:
        assert dict(result.test_scores(other)) != before


def test_a_refit_is_the_same_each_time(result: hp.Result) -> None:
    first, second = result.refit(), result.refit()
    assert first.point == result.best.point
    assert first.epochs == result.best.epoch
    assert first.train_loss == second.train_loss
    states = [refit.model.state_dict() for refit in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_question_is_answered_on_the_test_rows(result: hp.Result) -> None:
    evidence = result.evidence()
    if result.best.number == 0:
        assert evidence is None
        return
    assert evidence is not None
    scores = [result.test_scores(number)["f1_macro"] for number in (result.best.number, 0)]
    assert evidence.difference == pytest.approx(scores[0] - scores[1])
    assert result.evidence() is evidence  # the rows are resampled once


def test_a_task_without_test_rows_has_no_test_scores(tmp_path: Path, place: Path) -> None:
    task = hp.TextClassification(str(save_text_model(tmp_path / "bert")), train=reviews(24, 1))
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2), epochs=1, batch_size=8)
    study = hp.Study("untested", task, space, sampler="random", cv=2, folder=tmp_path)
    found = study.run(trials=1, devices="inline", progress=False)
    with pytest.raises(UsageError, match=r"no test rows: give it test="):
        found.test_scores()
    assert json.loads((found.export(tmp_path / "model") / "hpsearch.json").read_text())["test"] is None


def test_an_export_does_not_overwrite_unasked(result: hp.Result, exported: Path) -> None:
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(UsageError, match="exists and is not empty; choose another folder"):
        result.export(exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    assert result.export(exported, overwrite=True) == exported
    assert (exported / "model.safetensors").read_bytes() == before["model.safetensors"]


def test_an_export_replaces_nothing_but_an_earlier_export(result: hp.Result, place: Path) -> None:
    other = place / "thesis"
    (other / "chapters").mkdir(parents=True)
    (other / "chapters" / "one.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis is not an earlier export: it has no hpsearch\.json"):
        result.export(other, overwrite=True)
    assert (other / "chapters" / "one.txt").read_text() == "years of work"


def test_an_export_replaces_neither_the_working_directory_nor_the_study(
    result: hp.Result, exported: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    with pytest.raises(UsageError, match="holds the working directory"):
        result.export(".", overwrite=True)
    monkeypatch.chdir("/")
    for folder in (result.plan.folder, result.plan.folder.parent):
        (folder / "hpsearch.json").touch()
        with pytest.raises(UsageError, match="holds the study"):
            result.export(folder, overwrite=True)
        (folder / "hpsearch.json").unlink()
    (place / "empty").mkdir()
    monkeypatch.chdir(place / "empty")
    with pytest.raises(UsageError, match="holds the working directory"):
        result.export(place / "empty")
    assert (exported / "model.safetensors").exists()


def test_an_export_that_is_killed_leaves_the_old_model_or_the_new(
    result: hp.Result, exported: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step of the change one of both is whole on the disk; and an error puts the old one back."""
    target = Path(shutil.copytree(exported, place / "killed" / "model"))
    (target / "old").touch()
    rename, whole = Path.rename, []

    def fails_once(path: Path, to: Path) -> Path:
        whole.append(len(list(target.parent.glob("*/model.safetensors"))))
        if len(whole) == 2:  # the old model has been set aside, the new one is not yet in its place
            raise OSError("the disk is gone")
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails_once)
        with pytest.raises(OSError, match="the disk is gone"):
            result.export(target, overwrite=True)
    assert whole == [2, 2, 2]  # the third puts the old one back
    assert (target / "old").exists()
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    result.export(target, overwrite=True)
    assert not (target / "old").exists()
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    with monkeypatch.context() as patch:  # as if it were killed as it removes the old model
        patch.setattr(shutil, "rmtree", lambda *_, **named: None)
        result.export(target, overwrite=True)
    assert sorted(path.suffix for path in target.parent.iterdir()) == ["", ".partial"]  # which the next one removes


def test_a_report_scores_on_the_test_rows_only_when_the_study_has_ended(tmp_path: Path) -> None:
    study = toy_study(tmp_path, callbacks=[lambda study, trial: study.stop() if trial.number == 1 else None])
    early = study.run(trials=4, devices="inline", progress=False)
    assert not early.has_ended
    assert "Test scores appear once the study has ended" in early.report(tmp_path / "early.html").read_text()
    content = early.content(with_test=True)
    assert content.test_scores is None
    assert content.evidence is None or "folds that the search itself" in content.evidence.method
    assert not (study.folder / "test").exists()
    assert early.test_scores(early.best.number)  # asked for by name, they are given
    ended = toy_study(tmp_path).run(trials=4, devices="inline", progress=False)
    assert ended.has_ended
    page = ended.report(tmp_path / "ended.html").read_text()
    assert "Test scores appear once" not in page
    assert "On the test rows: winner" in page


def test_the_report_is_one_page(result: hp.Result, place: Path) -> None:
    path = result.report(place / "pages" / "report.html")
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    page = path.read_text()
    assert "texts" in page
    assert f"{result.best.value:.4f}"[:5] in page
    assert "<script src=" not in page
    assert '<link rel="stylesheet"' not in page


def test_the_figures_are_plotly_figures(result: hp.Result) -> None:
    import plotly.graph_objects

    for name in ("history", "learning_curves", "parallel_coordinates"):
        figure = getattr(result.figures, name)()
        assert isinstance(figure, plotly.graph_objects.Figure)
        assert len(figure.data) > 0


# ---------------------------------------------------------------- whether it can be repeated


HEADING = "Not repeatable from the seed alone:"


def test_a_study_that_was_run_as_it_was_meant_has_no_disturbances(tmp_path: Path) -> None:
    result = toy_study(tmp_path, sampler="bayesian").run(trials=3, devices="inline", progress=False)
    assert result.disturbances == result.table().attrs["disturbances"] == []
    assert HEADING not in result.text()
    page = result.report(tmp_path / "report.html").read_text()
    assert HEADING not in page
    assert "in virtual time with 4 slots: the same script gives the same table" in page


def test_trials_added_later_are_said_wherever_the_table_is(tmp_path: Path) -> None:
    toy_study(tmp_path, sampler="bayesian").run(trials=3, devices="inline", progress=False)
    result = toy_study(tmp_path, sampler="bayesian").run(trials=5, devices="inline", progress=False, virtual_slots=6)
    said = ["from trial 3 on: the number of virtual slots is 6", "from trial 3 on: trials is 5"]
    assert result.disturbances == said
    assert result.table().attrs["disturbances"] == said
    assert "\n".join([HEADING, *(f"  {each}" for each in said)]) in result.text()
    page = result.report(tmp_path / "report.html").read_text()
    assert all(text in page for text in (HEADING, *said, "in virtual time with 6 slots"))
    assert hp.load("toy", folder=tmp_path).result.disturbances == said
    folder = result.export(tmp_path / "model")
    facts = json.loads((folder / "hpsearch.json").read_text())
    assert facts["disturbances"] == said
    same = "in virtual time with 6 slots: the same script gives the same table"
    assert facts["decided"] == f"{same}, but for what is said below it"
    card = (folder / "README.md").read_text()
    assert f"- the search was decided {facts['decided']}" in card
    assert all(f"- not repeatable from the seed alone: {each}" in card for each in said)


def test_another_sampler_or_pruner_is_said_and_so_is_what_is_enqueued_later(tmp_path: Path) -> None:
    toy_study(tmp_path, sampler="bayesian").run(trials=3, devices="inline", progress=False)
    study = toy_study(tmp_path, sampler="random", pruner="median")
    study.enqueue({"learning_rate": 0.02, "batch_size": 8, "epochs": 1})
    result = study.run(trials=3, devices="inline", progress=False)
    said = ["the sampler is random", "the pruner is median", "the number of enqueued configurations is 1"]
    assert result.disturbances == [f"from trial 3 on: {each}" for each in said]


def test_a_study_that_decides_on_arrival_says_so(tmp_path: Path) -> None:
    for count, settings in enumerate([{"sampler": "bayesian", "reproducible": False}, {"pruner": "racing"}, {}]):
        study = toy_study(tmp_path / str(count), **settings)
        facts = study.run(trials=2, devices="inline", progress=False).content(with_test=False).facts
        expected = ("on arrival: the table may differ", "in virtual time with 4 slots", "on arrival, on which nothing")
        assert facts["decided"].startswith(expected[count])
