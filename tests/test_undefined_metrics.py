"""A metric that is undefined on a fold or on the test rows is NaN, refused as the objective, and never in the way."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit

import hpsearch as hp
from hpsearch.callbacks.trial_record import trial_record
from hpsearch.errors import MetricError
from hpsearch.study import Study

RANDOM = np.random.default_rng(0)
FOLDS = np.arange(60) % 3
CODES = np.where(FOLDS == 2, 0, np.arange(60) // 3 % 2)
"""The third fold holds out rows of class 0 only."""
INPUTS = (RANDOM.normal(size=(60, 3)) + 0.7 * CODES[:, None]).astype(np.float32)
SPACE = hp.Space(learning_rate=hp.Float(0.01, 0.1, log=True), epochs=2, batch_size=16)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def linear() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


def first_class_only(y_true: Any, y_pred: Any) -> float:
    """Return a score that is not computed of rows of one class."""
    if len(set(y_true)) < 2:
        raise RuntimeError("two classes are needed")
    return float(np.mean(y_true == y_pred))


def not_a_number(y_true: Any, y_pred: Any) -> float:
    return first_class_only(y_true, y_pred) if len(set(y_true)) == 2 else math.nan


def always_half(y_true: Any, y_pred: Any) -> float:
    return 0.5


UNDEFINED = ["roc_auc", "average_precision", "recall", "matthews_corrcoef", first_class_only, not_a_number]
NAMES = [each if isinstance(each, str) else each.__name__ for each in UNDEFINED]


def study(folder: Path, metric: Any, test: int | None = None, **settings: Any) -> Study:
    """Return a study whose test rows, if any, are of one class."""
    tested = (INPUTS[:9], np.full(9, test)) if test is not None else None
    task = hp.CustomTask(linear, train=(INPUTS, CODES), test=tested)
    given = {"cv": PredefinedSplit(FOLDS), "sampler": "random", "pruner": "none", "folder": folder, **settings}
    return Study("s", task, SPACE, metric=metric, **given)


def run(made: Study, trials: int = 3) -> hp.Result:
    return made.run(trials=trials, devices="inline", progress=False)


@pytest.mark.parametrize("metric", UNDEFINED, ids=NAMES)
def test_as_the_objective_it_is_refused_before_training_with_fold_and_reason(tmp_path: Path, metric: Any) -> None:
    with pytest.raises(MetricError) as caught:
        run(study(tmp_path, metric))
    assert "is not defined on the held-out rows of fold 2: none of these 20 rows is of 1 (" in str(caught.value)
    assert "Use fewer folds, or folds that have rows of every class each, or another metric" in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_a_metric_that_says_nothing_of_any_row_is_not_the_folds_matter(tmp_path: Path) -> None:
    result = run(study(tmp_path, always_half, direction="maximize"), 1)
    assert result.best.value == 0.5
    assert result.plan.gaps.folds == {}


def strict(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_beside_the_objective_it_is_not_a_number_and_everything_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = study(tmp_path, "accuracy", test=0, metrics=UNDEFINED)
    result = run(made)
    assert {trial.state.value for trial in result.history.trials.values()} == {"complete"}
    for name in NAMES:
        assert f"metric {name!r} is not defined on the held-out rows of fold 2: none of these 20 rows" in caplog.text
        assert f"metric {name!r} is not defined on the test rows: none of these 9 rows is of 1" in caplog.text
        by_fold = [
            result.history.of(run.key)[-1].metrics[name] for run in result.history.trials[result.best.number].runs
        ]
        assert [math.isnan(value) for value in by_fold] == [False, False, True]
        assert result.table()[name].isna().all()
        assert math.isnan(result.best.metrics[name])
        assert math.isnan(result.test_scores()[name])
    assert result.table()["accuracy"].notna().all()
    curves = result.curves()
    assert set(curves.loc[curves["value"].isna(), "fold"]) == {2}

    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "undefined" in page
    assert "is not defined on the held-out rows of fold 2" in page
    exported = result.export(tmp_path / "best")
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "| roc_auc | undefined | undefined |" in card
    facts = strict((exported / "hpsearch.json").read_text(encoding="utf-8"))
    assert facts["cross_validation"]["metrics"]["roc_auc"] is facts["test"]["metrics"]["roc_auc"] is None
    assert strict((tmp_path / "s" / "study.json").read_text(encoding="utf-8"))["test"]
    loaded = hp.load("s", folder=tmp_path).result
    assert math.isnan(loaded.test_scores()["roc_auc"])  # as it is kept
    assert loaded.test_scores()["accuracy"] == result.test_scores()["accuracy"]
    record = trial_record(made, result.history, result.history.trials[0])
    assert math.isnan(record.metrics["roc_auc"])
    assert math.isnan(record.curves[0].values["roc_auc/mean"])
    for name in ("roc_auc", "accuracy"):
        assert result.figures.learning_curves(metric=name) is not None

    other = run(study(tmp_path / "other", "accuracy", test=0, metrics=UNDEFINED, seed=1))
    other.plan.name = "t"
    comparison = hp.compare([result, other])
    assert comparison.report(tmp_path / "compare.html").is_file()


def test_an_objective_that_is_undefined_on_the_test_rows_blocks_neither_report_nor_export(tmp_path: Path) -> None:
    result = run(study(tmp_path, "roc_auc", test=1, cv=3, metrics=["accuracy"]))
    assert math.isnan(result.test_scores()["roc_auc"])
    evidence = result.evidence()
    assert evidence is None or "folds" in evidence.method
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "is not defined on the test rows: none of these 9 rows is of 0" in page
    card = (result.export(tmp_path / "best") / "README.md").read_text(encoding="utf-8")
    assert "undefined |" in card
    assert math.isnan(result.test_evidence(result).difference)
    assert "not defined on the 9 test rows" in result.test_evidence(result).method


def of_25_rows(y_true: Any, y_pred: Any) -> float:
    if len(y_true) < 25:
        raise ValueError(f"{len(y_true)} rows are too few")
    return float(np.mean(y_true == y_pred))


def test_what_needs_many_rows_is_refused_only_where_a_fold_has_fewer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(study(tmp_path / "30", of_25_rows, cv=2), 1).best.value > 0.3
    with pytest.raises(MetricError, match="'of_25_rows' is not defined on the held-out rows of fold 0: ValueError: 20"):
        run(study(tmp_path / "20", of_25_rows, cv=3))
    beside = run(study(tmp_path / "beside", "accuracy", test=0, cv=3, metrics=[of_25_rows]), 1)
    assert set(beside.table()["state"]) == {"complete"}
    assert math.isnan(beside.best.metrics["of_25_rows"])
    assert "metric 'of_25_rows' is not defined on the held-out rows of folds 0, 1, 2; in fold 0: ValueError: 20" in (
        caplog.text
    )


def test_the_estimator_shows_nan_and_searches_on(tmp_path: Path) -> None:
    search = hp.FineTuneSearchCV(
        linear, SPACE, cv=PredefinedSplit(FOLDS), n_iter=1, sampler="random", scoring="accuracy", metrics=["roc_auc"],
        refit=False, devices="inline",
    ).fit(INPUTS, CODES)  # fmt: skip
    assert np.isnan(search.cv_results_["mean_test_roc_auc"]).all()
    assert np.isfinite(search.best_score_)


def spearman_like(y_true: Any, y_pred: Any) -> float:
    """Return a number that needs predictions of both classes: a matter of the outputs, not of the rows."""
    return float(roc_auc_score(y_true, y_pred)) / len(set(y_pred) - {min(y_pred)})


def test_what_is_undefined_by_the_outputs_is_a_matter_of_the_point_and_then_of_the_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    space = hp.Space(learning_rate=hp.Float(1e-12, 0.1, log=True, grid=[1e-12, 0.1]), epochs=4, batch_size=16)
    task = hp.CustomTask(constant, train=(INPUTS, CODES))
    result = run(Study("s", task, space, metric=spearman_like, cv=2, sampler="grid", pruner="none", folder=tmp_path), 3)
    states = {trial.config["learning_rate"]: trial for trial in result.history.trials.values()}
    assert states[0.1].state.value == "complete"
    assert states[1e-12].state.value == "fail"
    assert states[1e-12].reason == "spearman_like was never a number"
    assert "'spearman_like' could not be computed on 30 rows: ZeroDivisionError" in caplog.text
    assert "It is recorded as not a number." in caplog.text
    beside = run(
        Study("t", task, space, metric="accuracy", metrics=[spearman_like], cv=2, sampler="grid", pruner="none",
              folder=tmp_path), 3,
    )  # fmt: skip
    assert set(beside.table()["state"]) == {"complete"}
    assert beside.table()["spearman_like"].isna().any()


def constant() -> torch.nn.Module:
    """Return a model that predicts class 0 of every row, until it is trained."""
    made = torch.nn.Linear(3, 2)
    torch.nn.init.zeros_(made.weight)
    made.bias.data = torch.tensor([0.01, 0.0])
    return made
