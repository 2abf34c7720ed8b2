"""Studies whose runs are an epoch or less: raced and stopped within it, in epochs or in steps."""

from pathlib import Path
from typing import Any

import pytest
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import SpaceError, TaskError
from hpsearch.records import TrialState

RATES = [1e-6, 1e-2, 3e-2, 0.3, 3.0]
ROWS = {"rows": 480}
"""Two folds of 240 training rows: 80 steps an epoch in batches of 3."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def space_of(**length: Any) -> hp.Space:
    rates = hp.Float(1e-6, 3.0, log=True, grid=RATES)
    return hp.Space(learning_rate=rates, batch_size=3, warmup_ratio=0.1, **length)


def run(folder: Path, name: str, length: dict[str, Any], **settings: Any) -> hp.Result:
    given = {"cv": 2, "pruner": "racing", "early_stopping": 0.25, "evaluations_per_epoch": 8, **settings}
    study = toy_study(folder / name, ROWS, space=space_of(**length), **given)
    return study.run(trials=5, devices="inline", progress=False)


def outcome(result: hp.Result) -> list[tuple[Any, ...]]:
    history = result.history
    return [
        (trial.config["learning_rate"], trial.state, trial.value, trial.stop, tuple(map(history.point, trial.runs)))
        for trial in history.trials.values()
    ]


def test_bad_configs_of_one_epoch_are_pruned_and_stopped_within_it_in_epochs_as_in_steps(tmp_path: Path) -> None:
    result = run(tmp_path, "epochs", {"epochs": 1})
    ended = outcome(result)
    pruned = [trial for trial in ended if trial[1] is TrialState.PRUNED]
    assert len(pruned) >= 2
    assert all(points[0] < 8 for *_, points in pruned), "racing ended none within the epoch"
    assert any(stop is not None and stop < 8 for *_, stop, _ in ended), "none stopped early within the epoch"
    assert ended[0][1] is TrialState.COMPLETE
    assert outcome(run(tmp_path, "steps", {"max_steps": 80})) == ended


def test_half_an_epoch_is_a_run_and_its_refit_is_as_long(tmp_path: Path) -> None:
    result = run(tmp_path, "half", {"epochs": 0.5}, early_stopping=None, metrics=[])
    complete = [trial for trial in result.history.trials.values() if trial.state is TrialState.COMPLETE]
    assert complete
    for trial in complete:
        assert all(result.history.of(each.key)[-1].epoch == 0.5 for each in trial.runs)
    assert result.refit(result.best.number).epochs <= 0.5


def test_budgets_forecasts_and_limits_count_fractions(tmp_path: Path) -> None:
    study = toy_study(tmp_path, ROWS, space=space_of(epochs=0.25), cv=2, evaluations_per_epoch=8)
    forecast = study.forecast(trials=2, devices="inline")
    assert forecast.device_seconds.value > 0
    with pytest.raises(hp.errors.UsageError, match=r"Budget\(epochs=0\.1\).* takes 0\.25 epoch"):
        study.run(trials=5, budget=hp.Budget(epochs=0.1), devices="inline", progress=False)
    result = study.run(trials=5, budget=hp.Budget(epochs=1.0), devices="inline", progress=False)
    history = result.history
    ends = [
        history.of(run.key)[-1].epoch for trial in history.trials.values() for run in trial.runs if history.of(run.key)
    ]
    assert ends == [0.25] * 4


def test_the_tasks_usual_number_of_points_is_kept_as_a_number(tmp_path: Path) -> None:
    usual = toy_study(tmp_path / "usual", space=space_of(epochs=1))
    assert usual.plan.evaluations_per_epoch == 2
    given = toy_study(tmp_path / "given", space=space_of(epochs=1), evaluations_per_epoch=3)
    assert given.plan.evaluations_per_epoch == 3

    class Often(type(usual.task)):
        evaluations_per_epoch = 8

    study = hp.Study("often", Often(), space_of(epochs=1), folder=tmp_path)
    assert study.plan.evaluations_per_epoch == 8


@pytest.mark.parametrize(
    ("length", "error"),
    [
        ({"epochs": 2, "max_steps": 100}, TaskError),
        ({"epochs": hp.Int(1, 2), "max_steps": 100}, SpaceError),
        ({"epochs": hp.Int(1, 2), "max_steps": hp.Categorical([None, 100])}, SpaceError),
        ({"epochs": hp.Int(1, 2).when(max_steps=100), "max_steps": hp.Categorical([None, 100])}, SpaceError),
    ],
)
def test_a_length_in_epochs_and_in_steps_is_refused(tmp_path: Path, length: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match="both say how long a run is"):
        toy_study(tmp_path, space=space_of(**length))


def test_both_ways_can_be_searched(tmp_path: Path) -> None:
    length = {"max_steps": hp.Categorical([None, 40]), "epochs": hp.Float(0.25, 1.0).when(max_steps=None)}
    study = toy_study(tmp_path, ROWS, space=space_of(**length), cv=2, sampler="random", evaluations_per_epoch=8)
    for config in ({"max_steps": 40}, {"max_steps": None, "epochs": 0.5}):
        study.enqueue({"learning_rate": 1e-2, **config})
    trials = study.run(trials=2, devices="inline", progress=False).history.trials
    steps, epochs = (trials[number] for number in range(2))
    assert [run.config["epochs"] for run in steps.runs] == [None, None]
    assert [run.horizon for run in (*steps.runs, *epochs.runs)] == [4] * 4
    assert steps.value == epochs.value
