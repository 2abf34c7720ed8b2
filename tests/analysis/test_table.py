import math
from dataclasses import replace
from pathlib import Path

import pytest
from analysis_samples import OBJECTIVE, with_trial

from hpsearch.analysis.aggregates import summarize_all
from hpsearch.analysis.table import config_names, curves, mean_curves, metric_names, table
from hpsearch.records import History, Origin, TrialState


def study() -> History:
    history = with_trial(
        History(),
        0,
        [[0.5, 0.6], [0.5, 0.7]],
        value=0.65,
        point=2,
        stop=2,
        origin=Origin.DEFAULT,
        config={"optimizer": "adamw", "layers": 2},
    )
    history = with_trial(
        history,
        1,
        [[0.3], []],
        state=TrialState.PRUNED,
        value=0.3,
        point=1,
        config={"optimizer": "sgd", "layers": 1, "momentum": 9},
        reason="median",
    )
    return with_trial(history, 2, [[], []], state=TrialState.FAIL, config={"optimizer": "sgd"}, reason="failed")


def test_a_row_a_trial_with_its_numbers() -> None:
    frame = table(study(), OBJECTIVE, [0.5, 0.5])
    assert list(frame.columns) == [
        *("number", "state", "origin", "value", "std", "interval_low", "interval_high", "epoch"),
        *("optimizer", "layers", "momentum"),
        *("f1_macro", "accuracy", "loss", "folds", "seconds", "reason", "note"),
    ]
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["state"].tolist() == ["complete", "pruned", "fail"]
    assert frame["origin"].tolist() == ["default", "sampler", "sampler"]
    assert frame["value"].tolist()[:2] == [0.65, 0.3]
    assert math.isnan(frame["value"][2])
    assert frame["folds"].tolist() == [2, 1, 0]
    assert frame["f1_macro"][0] == pytest.approx(0.65)
    assert frame["interval_low"][0] < 0.65 < frame["interval_high"][0]
    assert frame["interval_low"].isna().tolist() == [False, True, True]
    assert frame["seconds"].tolist() == [8.0, 2.0, 0.0]
    assert frame["reason"].tolist()[1:] == ["median", "failed"]


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ({"warmup_steps": 1000}, "rises to 0.003 of learning_rate in 4 steps"),
        ({"warmup_steps": 4}, "rises to 0.75 of learning_rate in 4 steps"),
        ({"warmup_ratio": 1.0}, "rises to 0.75 of learning_rate in 4 steps"),
        ({"warmup_steps": 3, "warmup_ratio": 0.0}, None),
        ({"warmup_steps": None, "warmup_ratio": 0.5}, None),
        ({}, None),
    ],
)
def test_a_trial_that_ends_in_its_warmup_is_noted(config: dict[str, object], note: str | None) -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, config={"epochs": 2, **config})
    trial = history.trials[0]
    runs = tuple(replace(run, steps_per_epoch=2) for run in trial.runs)
    found = table(history.with_trial(replace(trial, runs=runs)), OBJECTIVE)["note"][0]
    assert found is None if note is None else note in found
    assert table(history, OBJECTIVE)["note"][0] is None  # of earlier versions, which did not record the steps


def test_a_hyperparameter_that_does_not_exist_is_missing_and_whole_numbers_stay_whole() -> None:
    frame = table(study(), OBJECTIVE)
    assert frame["momentum"].isna().tolist() == [True, False, True]
    assert str(frame["momentum"][1]) == "9"
    assert str(frame["layers"].dtype) == "Int64"
    assert frame["optimizer"].tolist() == ["adamw", "sgd", "sgd"]


def test_a_choice_that_is_none_is_told_from_a_hyperparameter_that_does_not_exist(tmp_path: Path) -> None:
    history = History()
    for number, config in enumerate([{"a": None, "b": None}, {"a": 0.1, "b": "none"}, {}, {"a": 2, "b": None}]):
        history = with_trial(history, number, [[0.5]], value=0.5, point=1, config={"epochs": 1, **config})
    frame = table(history, OBJECTIVE)
    assert frame["a"].tolist()[:2] == ["none", 0.1]
    assert frame["b"].tolist()[:2] == ["None", "none"]
    for name in ("a", "b"):
        assert frame[name].isna().tolist() == [False, False, True, False]
    frame.to_csv(tmp_path / "table.csv", index=False)
    cells = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    place = cells[0].index("a")
    assert [row[place] for row in cells[1:]] == ["none", "0.1", "", "2"]


def test_names_that_clash_are_prefixed() -> None:
    config = {"epoch": 3, "accuracy": 1, "lr": 0.1}
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1, config=config, metrics={"reason": 0.25})
    frame = table(history, OBJECTIVE)
    assert frame["config_epoch"].tolist() == [3]
    assert frame["accuracy"].tolist() == [1]
    assert frame["metric_accuracy"][0] == pytest.approx(0.55)
    assert frame["metric_reason"].tolist() == [0.25]
    assert frame["lr"].tolist() == [0.1]


def test_a_study_without_trials_has_a_table_without_rows() -> None:
    frame = table(History(), OBJECTIVE)
    assert len(frame) == 0
    assert "value" in frame.columns
    assert len(curves(History())) == 0


def test_the_curves_are_long() -> None:
    frame = curves(study())
    assert list(frame.columns) == [
        *("trial", "fold", "repeat", "point", "epoch", "metric", "value", "train_loss", "learning_rate")
    ]
    assert len(frame) == (2 + 2 + 1) * 3  # evaluations times metrics
    row = frame[(frame["trial"] == 0) & (frame["fold"] == 1) & (frame["point"] == 2) & (frame["metric"] == OBJECTIVE)]
    assert row["value"].item() == 0.7
    assert row["epoch"].item() == 1.0
    assert row["learning_rate"].item() == 5e-5


def test_a_mean_curve_ends_where_a_fold_ends() -> None:
    history = with_trial(History(), 0, [[0.1, 0.2, 0.9], [0.3, 0.4], []], state=TrialState.RUNNING)
    history = with_trial(history, 1, [[0.5, math.nan]], value=0.5, point=1)
    means = mean_curves(curves(history))
    own = means[(means["trial"] == 0) & (means["metric"] == OBJECTIVE)]
    assert own["point"].tolist() == [1, 2]
    assert own["value"].tolist() == pytest.approx([0.2, 0.3])
    assert own["runs"].tolist() == [2, 2]
    other = means[(means["trial"] == 1) & (means["metric"] == OBJECTIVE)]
    assert other["value"][other.index[0]] == 0.5
    assert math.isnan(other["value"][other.index[1]])


def test_mean_curves_of_nothing_are_empty() -> None:
    assert len(mean_curves(curves(History()))) == 0


def test_names_come_in_the_order_of_first_appearance_the_loss_last() -> None:
    summaries = summarize_all(study(), OBJECTIVE)
    assert config_names(summaries) == ("optimizer", "layers", "momentum")
    assert metric_names(summaries) == ("f1_macro", "accuracy", "loss")
