"""What a user sees of a study: what it asks for, what it refuses and why, and what other tools find of it."""

import functools
import json
import logging
import os
import shlex
import signal
import threading
import time
import types
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from sklearn.metrics import fbeta_score, log_loss
from toy_studies import SPACE, toy_study
from toy_task import ToyTask

import hpsearch as hp
from hpsearch.errors import (
    DataError,
    LeaseHeldError,
    MetricError,
    SpaceError,
    StudyChangedError,
    StudyNotFoundError,
    TaskError,
    UsageError,
)
from hpsearch.plan.description import Description
from hpsearch.plan.paths import cache_folder
from hpsearch.plan.starting_point import literature_default
from hpsearch.policy.duration import parse_duration
from hpsearch.policy.pruning_steps import reports
from hpsearch.provenance.earlier_definitions import earlier_definition
from hpsearch.records import LOSS, Origin


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def run(study: hp.Study, trials: int | None = None, **more: Any) -> hp.Result:
    return study.run(trials=trials, devices="inline", progress=False, **more)


def configs(result: hp.Result) -> list[tuple[Origin, Any, Any, Any]]:
    return [
        (trial.origin, trial.config["learning_rate"], trial.config["batch_size"], trial.config["epochs"])
        for trial in result.history.trials.values()
    ]


# ---------------------------------------------------------------- how much is tried


def test_trials_is_a_total(tmp_path: Path) -> None:
    assert len(run(toy_study(tmp_path), 2).history.trials) == 2
    study = toy_study(tmp_path)
    assert len(run(study, 3).history.trials) == 3
    assert len(run(study, 2).history.trials) == 3


def test_a_grid_without_trials_tries_every_point_once(tmp_path: Path) -> None:
    found = configs(run(toy_study(tmp_path, cv=2)))
    points = {(rate, size, epochs) for rate in (1e-3, 1e-2, 1e-1) for size in (8, 16) for epochs in (1, 2)}
    assert len(found) == 12
    assert {each[1:] for each in found} == points
    assert len(run(toy_study(tmp_path, cv=2), 50).history.trials) == 12  # there is nothing left


@pytest.mark.parametrize("sampler", ["random", "bayesian", optuna.samplers.RandomSampler(seed=1)])
def test_a_sampler_that_never_ends_needs_an_end(tmp_path: Path, sampler: Any) -> None:
    with pytest.raises(UsageError, match=r"never ends by itself. Give trials= .* or timeout="):
        run(toy_study(tmp_path, sampler=sampler))
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("trials", [0, -1, 2.0, True, "5"])
def test_trials_is_a_whole_number(tmp_path: Path, trials: Any) -> None:
    with pytest.raises(UsageError, match=f"trials={trials!r} must be a whole number of at least 1"):
        run(toy_study(tmp_path), trials)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("30s", 30), ("1h30m", 5400), ("1h1m1s", 3661), ("1.5h", 5400), ("45", 45), (10, 10)],
)
def test_a_timeout_is_seconds_or_text(text: Any, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", 0, -1.0, "5 apples", "1m1h", "h", float("nan")])
def test_what_is_no_duration_is_refused(tmp_path: Path, text: Any) -> None:
    with pytest.raises(UsageError, match=r"is not a duration; give seconds, or text like '2h'"):
        run(toy_study(tmp_path), 1, timeout=text)


def test_no_timeout_is_none() -> None:
    assert parse_duration(None) is None


# ---------------------------------------------------------------- what is tried first


def test_the_default_comes_first_then_what_was_enqueued_then_the_sampler(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    for rate in (0.05, 0.002):
        study.enqueue({"learning_rate": rate, "batch_size": 16, "epochs": 1})
    assert configs(run(study, 4)) == [
        (Origin.DEFAULT, 1e-2, 8, 2),
        (Origin.ENQUEUED, 0.05, 16, 1),
        (Origin.ENQUEUED, 0.002, 16, 1),
        (Origin.SAMPLER, 1e-2, 16, 1),  # the first of the shuffled grid
    ]
    assert {trial.config["warmup_ratio"] for trial in study.result.history.trials.values()} == {0.1}


def test_a_script_that_enqueues_may_be_run_again(tmp_path: Path) -> None:
    for trials in (2, 4):
        study = toy_study(tmp_path)
        for _ in range(2):
            study.enqueue({"learning_rate": 0.05, "batch_size": 16, "epochs": 1})
        result = run(study, trials)
    assert [each[0] for each in configs(result)].count(Origin.ENQUEUED) == 1


def test_what_is_enqueued_later_is_tried_next(tmp_path: Path) -> None:
    run(toy_study(tmp_path), 2)
    study = toy_study(tmp_path)
    study.enqueue({"learning_rate": 0.05, "batch_size": 16, "epochs": 1})
    assert configs(run(study, 3))[2][:2] == (Origin.ENQUEUED, 0.05)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learning_rate": 5.0, "batch_size": 8, "epochs": 1}, "learning_rate"),
        ({"learning_rate": 0.01, "batch_size": 12, "epochs": 1}, "batch_size"),
        ({"learning_rate": 0.01, "batch_size": 8}, "epochs"),
        ({"learning_rate": 0.01, "batch_size": 8, "epochs": 1, "momentum": 0.9}, "momentum"),
        ({"learning_rate": 0.01, "batch_size": 8, "epochs": 1, "warmup_ratio": 0.5}, "warmup_ratio"),
    ],
)
def test_what_does_not_fit_the_space_is_not_enqueued(tmp_path: Path, config: Any, message: str) -> None:
    study = toy_study(tmp_path)
    with pytest.raises(SpaceError, match=message):
        study.enqueue(config)
    assert [each[0] for each in configs(run(study, 2))] == [Origin.DEFAULT, Origin.SAMPLER]


def test_a_space_has_its_own_default(tmp_path: Path) -> None:
    own = {"learning_rate": 0.1, "batch_size": 16, "epochs": 1}
    space = hp.Space(default=own, **{name: SPACE.parameters[name] for name in SPACE.parameters})
    assert configs(run(toy_study(tmp_path, space=space), 1)) == [(Origin.DEFAULT, 0.1, 16, 1)]


# ---------------------------------------------------------------- what may not change


WIDER = hp.Space(
    learning_rate=hp.Float(1e-3, 0.5, log=True, grid=[1e-3, 1e-2]),
    batch_size=SPACE.parameters["batch_size"],
    epochs=SPACE.parameters["epochs"],
    warmup_ratio=0.1,
)


@pytest.mark.parametrize(
    ("changed", "named", "not_named"),
    [
        ({"space": WIDER}, ["the space", "learning_rate"], ["batch_size", "seed"]),
        ({"seed": 4}, ["the seed, which was 3 and is 4", "the folds"], ["the space", "data"]),
        ({"cv": 2}, ["the folds"], ["the seed, which", "data"]),
        ({"cv": hp.Holdout(0.25)}, ["the folds"], ["data"]),
        ({"task": {"rows": 66}}, ["the training data", "the test data"], ["the space"]),
        ({"metric": "accuracy"}, ["the objective, which was 'f1_macro' and is 'accuracy'"], ["the space"]),
        ({"metrics": ["accuracy", "neg_log_loss"]}, ["the metrics"], ["the objective"]),
        ({"early_stopping": 1.0}, ["early stopping"], ["the space"]),
        ({"evaluations_per_epoch": 3}, ["evaluations_per_epoch, which was 2 and is 3"], ["the space"]),
        ({"repeats": 2}, ["repeats, which was 1 and is 2"], ["the space"]),
        ({"reproducible": False}, ["reproducible, which was True and is False"], ["the space"]),
    ],
    ids=lambda each: ",".join(each) if isinstance(each, dict) else "",
)
def test_a_changed_study_is_refused_and_what_changed_is_named(
    tmp_path: Path, changed: Any, named: list[str], not_named: list[str]
) -> None:
    before = run(toy_study(tmp_path), 1)
    with pytest.raises(StudyChangedError) as refused:
        run(toy_study(tmp_path, **changed), 2)
    message = str(refused.value)
    assert message.startswith("The study 'toy' in ")
    assert "another name" in message
    for words in named:
        assert words in message
    for words in not_named:
        assert words not in message.partition("other settings: ")[2]
    assert dict(toy_study(tmp_path).result.history.trials) == dict(before.history.trials)
    assert len(run(toy_study(tmp_path), 2).history.trials) == 2  # with its own settings it goes on


def test_sampler_pruner_and_what_decides_no_number_may_change(tmp_path: Path) -> None:
    run(toy_study(tmp_path), 1)
    changed = toy_study(tmp_path, {"pause": 0.001}, sampler="random", pruner="median", checkpoint_every=1.0)
    assert len(run(changed, 2).history.trials) == 2


# ---------------------------------------------------------------- folds


@pytest.mark.parametrize(("cv", "folds", "held_out"), [(3, 3, 20), (2, 2, 30), (hp.Holdout(0.25), 1, 15)])
def test_cv_is_a_number_of_folds_or_a_share(tmp_path: Path, cv: Any, folds: int, held_out: int) -> None:
    study = toy_study(tmp_path, cv=cv)
    result = run(study, 1)
    assert [len(pair[1]) for pair in study.folds.pairs] == [held_out] * folds
    assert len(result.best.folds) == len(result.history.trials[0].runs) == folds
    assert (result.best.interval is None) == (folds == 1)
    for training, test in study.folds.pairs:
        assert set(training) | set(test) == set(range(60))
        assert set(np.bincount(test % 3)) <= {held_out // 3, held_out // 3 + 1}  # stratified


def test_cv_is_any_splitter_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.model_selection import RepeatedStratifiedKFold

    splitter = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=5)
    study = toy_study(tmp_path, cv=splitter)
    expected = list(splitter.split(np.zeros(60), np.arange(60) % 3))
    assert len(study.folds) == 6
    for (training, test), (their_training, their_test) in zip(study.folds.pairs, expected, strict=True):
        assert training.tolist() == their_training.tolist()
        assert test.tolist() == their_test.tolist()
    assert len(run(study, 1).best.folds) == 6


@pytest.mark.parametrize("cv", [2, "GroupKFold", hp.Holdout(0.5)])
def test_groups_are_not_split(tmp_path: Path, cv: Any) -> None:
    from sklearn.model_selection import GroupKFold
    from tasks_samples import review_rows, save_text_model

    rows = review_rows(24)
    task = hp.TextClassification(str(save_text_model(tmp_path / "bert")), train=rows, group="site")
    study = hp.Study("groups", task, SPACE, cv=GroupKFold(2) if cv == "GroupKFold" else cv, folder=tmp_path)
    for training, test in study.folds.pairs:
        assert len(test)
        assert not set(rows["site"].iloc[training]) & set(rows["site"].iloc[test])


def test_repeats_train_each_fold_with_several_seeds(tmp_path: Path) -> None:
    result = run(toy_study(tmp_path, cv=2, repeats=2), 1)
    runs = result.history.trials[0].runs
    assert [(each.fold, each.repeat) for each in runs] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    losses = [result.history.of(each.key)[-1].metrics[LOSS] for each in runs]
    assert len(set(losses)) == 4


# ---------------------------------------------------------------- as Optuna sees it


def test_optuna_opens_its_database(tmp_path: Path) -> None:
    study = toy_study(tmp_path, pruner="median", sampler="random", cv=3)
    result = run(study, 8)
    opened = optuna.load_study(study_name="toy", storage=study.record.url)
    assert opened.direction is optuna.study.StudyDirection.MAXIMIZE
    assert [trial.number for trial in opened.trials] == list(range(8))
    states = {"complete": "COMPLETE", "pruned": "PRUNED"}
    for theirs, ours in zip(opened.trials, result.history.trials.values(), strict=True):
        assert theirs.state.name == states[ours.state.value]
        assert theirs.params == dict(ours.params)
        assert theirs.intermediate_values
        if ours.state.value == "complete":
            assert theirs.value == ours.value
            assert theirs.intermediate_values == dict(reports(result.history, ours, "f1_macro"))
            assert theirs.user_attrs["folds"] == list(result.summary(ours.number).folds)
    assert opened.best_value == result.best.value
    assert opened.best_trial.number == result.best.number
    assert study.optuna.best_value == result.best.value
    opened._storage.remove_session()


# ---------------------------------------------------------------- opened, read, shared


def test_before_it_was_run_there_is_nothing_to_read(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    for read in (lambda: study.result, lambda: study.optuna, study.store):
        with pytest.raises(StudyNotFoundError, match=r"'toy' has not been run yet.*Call study\.run"):
            read()
    study.stop()  # nothing runs, nothing happens
    assert not (tmp_path / "toy").exists()


def test_a_database_elsewhere_holds_several_studies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'all.db'}"
    for name, seed in (("first", 1), ("second", 2)):
        study = hp.Study(name, ToyTask(), SPACE, sampler="random", cv=2, seed=seed, folder=tmp_path, storage=url)
        assert study.record.url == url
        run(study, 2)
        assert not (tmp_path / name / "study.db").exists()
    assert optuna.get_all_study_names(url) == ["first", "second"]
    found = [hp.load(name, folder=tmp_path, storage=url).result for name in ("first", "second")]
    assert [len(result.history.trials) for result in found] == [2, 2]
    assert found[0].best.value != found[1].best.value


def test_another_may_read_while_it_runs_and_not_run(tmp_path: Path) -> None:
    seen = []

    def look(study: hp.Study, trial: Any) -> None:
        other = hp.load("toy", folder=tmp_path)
        seen.append([len(other.result.history.finished()), len(other.result.table()), len(other.optuna.trials)])
        with pytest.raises(LeaseHeldError, match="is being run by process"):
            run(other, 5)
        other.store().close()

    run(toy_study(tmp_path, callbacks=[look]), 3)
    assert seen == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]


def test_a_result_stays_as_it_was(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    first = run(study, 1)
    run(study, 3)
    assert len(first.history.trials) == 1
    assert len(study.result.history.trials) == 3


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HPSEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "hpsearch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "hpsearch"


# ---------------------------------------------------------------- what is refused before anything is read


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "..", "a:b", None])
def test_a_name_that_is_no_folders_name(name: Any) -> None:
    with pytest.raises(UsageError, match="cannot name a study and its folder"):
        hp.Study(name, ToyTask(), SPACE)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("evaluations_per_epoch", 0), ("repeats", 0), ("seed", -1), ("seed", 1.5), ("repeats", True)],
)
def test_a_count_that_is_none(tmp_path: Path, setting: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{setting}={value!r} must be a whole number of at least"):
        toy_study(tmp_path, **{setting: value})


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ({"learning_rat": 0.1, "epochs": 1}, TaskError, "learning_rate"),
        ({"epochs": 0}, TaskError, "epochs"),
        ({"batch_size": hp.Int(0, 8)}, SpaceError, "The space's batch_size reaches a value that no run can have"),
        ({"lr_scheduler_type": hp.Categorical(["linear", "cosin"])}, SpaceError, "lr_scheduler_type"),
    ],
)
def test_a_space_that_no_run_can_have(tmp_path: Path, space: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        toy_study(tmp_path, space=hp.Space(**space))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "gird"}, "sampler='gird' is not one of .* Did you mean 'grid'"),
        ({"sampler": "grid", "space": hp.Space(learning_rate=hp.Float(1e-3, 1e-1), epochs=1)}, "learning_rate"),
        ({"pruner": "medain"}, "median"),
        ({"metric": "f1_makro"}, "f1_macro"),
        ({"cv": 1}, "cv"),
        ({"cv": 50}, "cv=50 needs at least 50 of each class: use cv=20"),
    ],
    ids=lambda each: ",".join(f"{name}" for name in each) if isinstance(each, dict) else "",
)
def test_a_setting_that_is_wrong_is_named_and_nothing_is_trained(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(toy_study(tmp_path, **settings), 1)
    assert not list(tmp_path.glob("toy/checkpoints/*"))


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        run(hp.Study("x", hp.TextClassification("no-model", train=str(tmp_path / "nowhere.csv")), SPACE), 1)


def test_a_space_by_name_or_path(tmp_path: Path) -> None:
    assert hp.Study("x", ToyTask(), "bert").space == hp.Space.load("bert")
    path = tmp_path / "own.toml"
    path.write_text((Path(__file__).parents[1] / "search_spaces" / "bert.toml").read_text())
    assert hp.Study("x", ToyTask(), path).space == hp.Space.load("bert")


# ---------------------------------------------------------------- what a second look at a study may find


def agreement(targets: Any, found: Any) -> float:
    return float(np.mean(targets == found))


def squared_agreement(targets: Any, found: Any) -> float:
    return float(np.mean(targets == found)) ** 2


squared_agreement.__name__ = "agreement"


def test_a_metric_that_computes_something_else_under_the_same_name_is_a_change(tmp_path: Path) -> None:
    run(toy_study(tmp_path, metric=agreement), 1)
    run(toy_study(tmp_path, metric=agreement), 2)
    with pytest.raises(StudyChangedError, match="what a metric computes"):
        run(toy_study(tmp_path, metric=squared_agreement), 3)


SETTINGS = types.SimpleNamespace(power=1, sums=np.zeros(2))
CALLS: list[int] = []
LOCK = threading.Lock()
log = logging.getLogger("a_metric_of_a_test")


def powered(targets: Any, found: Any) -> float:
    CALLS.append(len(targets))
    log.debug("%s", LOCK)
    return float(np.mean(targets == found)) ** SETTINGS.power


def raised(targets: Any, found: Any) -> float:
    return float(np.mean(targets == found)) ** SETTINGS.power


def test_a_setting_that_a_metric_reads_is_part_of_it_and_what_it_changes_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "hpsearch"):
        result = run(toy_study(tmp_path, metric=powered), 1)
    remarks = [record.getMessage() for record in caplog.records if "powered" in record.getMessage()]
    assert [remark.split(",")[0] for remark in remarks] == [
        f"metric 'powered' reads {__name__}.LOCK (lock)",
        f"metric 'powered' changes {__name__}.CALLS when it is called",
    ]
    assert all(remark in result.plan.warnings for remark in remarks)
    state = [f"{__name__}.CALLS", f"{__name__}.log"]
    assert json.loads((tmp_path / "toy" / "study.json").read_text())["state"] == {"powered": state}
    log.setLevel(logging.DEBUG)
    run(toy_study(tmp_path, metric=powered), 2)
    log.setLevel(logging.NOTSET)
    monkeypatch.setattr(SETTINGS, "power", 2)
    with pytest.raises(StudyChangedError, match="what a metric computes"):
        run(toy_study(tmp_path, metric=powered), 3)
    monkeypatch.setattr(SETTINGS, "power", 1)
    SETTINGS.sums[1] = 1.0
    with pytest.raises(StudyChangedError, match="what a metric computes"):
        run(toy_study(tmp_path, metric=powered), 3)
    SETTINGS.sums[1] = 0.0
    assert len(run(toy_study(tmp_path, metric=powered), 3).history.trials) == 3


def test_a_study_with_a_definition_of_an_earlier_version_continues_and_is_then_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = toy_study(tmp_path, metric=raised)
    run(study, 1)
    store, earlier = study.store(), earlier_definition(raised)
    store.acquire()
    study.record.keep(replace(study.record.description, definitions={"raised": earlier}, state={}))
    store.release()
    continued = toy_study(tmp_path, metric=raised)
    run(continued, 2)
    assert continued.record.description.definitions["raised"] != earlier
    monkeypatch.setattr(SETTINGS, "power", 2)
    with pytest.raises(StudyChangedError, match="what a metric computes"):
        run(toy_study(tmp_path, metric=raised), 3)


def test_an_enqueued_value_of_single_precision_at_a_bound_is_trained_with(tmp_path: Path) -> None:
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), batch_size=8, epochs=1)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.PartialFixedSampler(
            {"learning_rate": np.float32(1e-2)}, optuna.samplers.RandomSampler(seed=0)
        )
    study = toy_study(tmp_path, space=space, sampler=sampler)
    study.enqueue({"learning_rate": np.float32(1e-2)})
    result = run(study, 3)
    assert [trial.config["learning_rate"] for trial in result.history.trials.values()][1:] == [1e-2, 1e-2]


def own_task(share: float) -> ToyTask:
    settings = types.SimpleNamespace(share=share)

    class Own(ToyTask):
        calls: ClassVar[list[int]] = []

        def recommended(self) -> Any:
            self.calls.append(1)
            return {**super().recommended(), "warmup_ratio": settings.share}

    return Own()


def test_what_a_task_of_the_users_own_reads_is_part_of_it(tmp_path: Path) -> None:
    def study(share: float) -> hp.Study:
        return hp.Study("toy", own_task(share), SPACE, sampler="grid", cv=3, pruner="none", folder=tmp_path)

    first = study(0.1)
    run(first, 1)
    run(first, 2)  # what it has changed meanwhile is no other task
    run(study(0.1), 3)
    with pytest.raises(StudyChangedError, match="what the task computes"):
        run(study(0.2), 4)


def test_two_metrics_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="Two different metrics are called 'agreement'"):
        run(toy_study(tmp_path, metric=agreement, metrics=[squared_agreement]), 1)


def test_one_metric_given_in_two_ways_is_one(tmp_path: Path) -> None:
    for metric, *metrics in ((log_loss, "log_loss", functools.partial(log_loss)), (agreement, agreement)):
        plan = toy_study(tmp_path, metric=metric, metrics=metrics).plan
        assert [each.name for each in plan.measured] == [metric.__name__]

    def other(targets: Any, found: Any) -> float:
        return float(np.mean(targets == found))

    other.__name__ = "log_loss"
    with pytest.raises(MetricError, match="Two different metrics are called 'log_loss'"):
        _ = toy_study(tmp_path, metric="log_loss", metrics=[other]).plan.measured


def test_partial_metrics_are_told_apart_by_their_arguments(tmp_path: Path) -> None:
    recall, precision = (functools.partial(fbeta_score, beta=beta, average="macro") for beta in (4.0, 0.25))
    result = run(toy_study(tmp_path, metric=recall, metrics=[precision]), 1)
    names = [metric.name for metric in result.plan.measured]
    assert names == ["fbeta_score(average='macro', beta=4.0)", "fbeta_score(average='macro', beta=0.25)"]
    assert set(result.best.metrics) >= set(names)


def test_a_result_of_other_data_than_were_searched_is_refused(tmp_path: Path) -> None:
    run(toy_study(tmp_path, {"rows": 60}), 1)
    with pytest.raises(StudyChangedError, match="training data"):
        _ = hp.load("toy", folder=tmp_path, task=ToyTask(rows=90)).result


def test_a_callback_may_ask_for_test_scores_and_the_study_goes_on(tmp_path: Path) -> None:
    asked = []
    study = toy_study(tmp_path, callbacks=[lambda study, trial: asked.append(study.result.test_scores(trial.number))])
    result = run(study, 2)
    assert len(asked) == 2
    assert [trial.state.name for trial in result.history.trials.values()] == ["COMPLETE"] * 2


def test_one_who_looked_long_ago_overwrites_nothing(tmp_path: Path) -> None:
    run(toy_study(tmp_path), 1)
    early = hp.load("toy", folder=tmp_path)
    early_result = early.result
    later = run(toy_study(tmp_path), 2)
    kept = later.test_scores(1)
    early_result.test_scores(0)
    description = Description.from_json(hp.load("toy", folder=tmp_path).store().description)
    assert description.goal == {"trials": 2}
    assert description.test is not None
    assert len(description.test) == 2
    assert dict(kept) in [dict(scores) for scores in description.test.values()]


@pytest.mark.parametrize(("name", "first", "second"), [("precision", "auto", "fp32"), ("deterministic", False, True)])
def test_numerics_once_asked_for_stay(tmp_path: Path, name: str, first: Any, second: Any) -> None:
    run(toy_study(tmp_path, **{name: first}), 1)
    with pytest.raises(StudyChangedError, match=name):
        run(toy_study(tmp_path, **{name: second}), 2)


def test_a_cpu_is_deterministic_and_says_so(tmp_path: Path) -> None:
    assert run(toy_study(tmp_path), 1).record.numerics().deterministic


def test_checkpoint_settings_outlive_the_script(tmp_path: Path) -> None:
    run(toy_study(tmp_path, checkpoint_every=7.0, checkpoint_bytes=12345, feature_cache_bytes=99), 1)
    loaded = hp.load("toy", folder=tmp_path).plan
    assert (loaded.checkpoint_every, loaded.checkpoint_bytes, loaded.feature_cache_bytes) == (7.0, 12345, 99)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "baysian"}, r"is not one of 'bayesian', .*hp\.Grid\(points=\.\.\.\).* Did you mean 'bayesian'"),
        ({"sampler": "grid", "space": hp.Space(learning_rate=hp.Float(0.1, 0.2))}, "learning_rate: .* is continuous"),
        ({"pruner": "meridian"}, "pruner='meridian' is not one of .* Did you mean 'median'"),
        ({"early_stopping": "loss"}, "early_stopping='loss' must be a number of epochs"),
    ],
)
def test_a_misspelt_rule_is_found_at_once(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        toy_study(tmp_path, **settings)


def test_what_was_enqueued_and_not_tried_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = toy_study(tmp_path)
    study.enqueue({"learning_rate": 1e-1, "batch_size": 16, "epochs": 1})
    with caplog.at_level("WARNING", "hpsearch"):
        run(study, 1)
    assert "1 enqueued configurations were not tried, because the study has its 1 trials" in caplog.text


def test_a_study_that_is_done_does_not_say_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    run(toy_study(tmp_path / "timed"), 1)
    enough = 1.0 + 3 * (time.monotonic() - begun)
    run(toy_study(tmp_path, callbacks=[lambda *_: time.sleep(enough)]), 1, timeout=enough)
    assert "Paused" not in capsys.readouterr().err
    run(toy_study(tmp_path, callbacks=[lambda study, _: study.stop()]), 3)
    assert "Paused. Continue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limits", "sampler", "again"),
    [
        ({"timeout": "1h"}, "random", True),
        ({"timeout": "1h", "budget": hp.Budget(target=0.99)}, "random", True),
        ({"timeout": "1h", "budget": hp.Budget(epochs=100)}, "random", False),
        ({"timeout": "1h", "trials": 9}, "random", False),
        ({"timeout": "1h"}, hp.Grid(points=3), False),
    ],
    ids=["timeout", "target", "epochs", "trials", "grid"],
)
def test_a_paused_study_is_continued_by_the_command_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limits: Any, sampler: Any, again: bool
) -> None:
    """Of its limits a study keeps all but the timeout; where no other ends it, the command gives the same again."""
    run(toy_study(tmp_path, sampler=sampler, callbacks=[lambda study, _: study.stop()]), **limits)
    words = shlex.split(capsys.readouterr().err.split("Continue with: ")[1])
    assert words[words.index("resume") + 2 :] == (["--timeout", "3600"] if again else [])


def test_what_is_not_kept_of_a_sampler_is_said_once_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Mine(optuna.samplers.RandomSampler):
        pass

    caplog.set_level(logging.WARNING, "hpsearch")
    run(toy_study(tmp_path, sampler=Mine(seed=1)), 1)
    said = [record.getMessage() for record in caplog.records]
    assert sum("The sampler Mine is not one of Optuna's own" in each for each in said) == 1


def test_a_metric_that_goes_by_the_name_of_another_cannot_be_imported(tmp_path: Path) -> None:
    """Its import path would load scikit-learn's function in its place."""

    @functools.wraps(fbeta_score)
    def mine(y_true: Any, y_pred: Any) -> float:
        return float(fbeta_score(y_true, y_pred, beta=2, average="macro"))

    assert Description.of(toy_study(tmp_path, metric=mine).plan).callables == {"fbeta_score": None}


def test_a_space_says_in_one_way_how_long_the_warmup_is(tmp_path):
    rates = {"learning_rate": hp.Float(1e-4, 1e-2, log=True)}
    both = hp.Space(**rates, warmup_ratio=0.1, warmup_steps=hp.Categorical([None, 20]))
    with pytest.raises(SpaceError, match=r"warmup_steps, .* and warmup_ratio, 0.1, and both say how long"):
        toy_study(tmp_path, space=both, sampler="random")
    apart = hp.Space(
        **rates, warmup_steps=hp.Categorical([None, 20]), warmup_ratio=hp.Float(0.0, 0.2).when(warmup_steps=None)
    )
    assert literature_default(toy_study(tmp_path, space=apart, sampler="random").plan) == {
        "learning_rate": 0.01,
        "warmup_steps": None,
        "warmup_ratio": 0.1,
    }
    in_steps = toy_study(tmp_path, space=hp.Space(**rates, warmup_steps=20), sampler="random").plan
    assert literature_default(in_steps) == {"learning_rate": 0.01, "warmup_steps": 20}
    assert in_steps.complete(literature_default(in_steps))["warmup_ratio"] == 0.0


def test_ctrl_c_ends_a_loop_over_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def press_ctrl_c(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    studies = [toy_study(tmp_path / name, callbacks=[press_ctrl_c]) for name in ("one", "two", "three")]
    with pytest.raises(KeyboardInterrupt, match="the study 'toy' was paused; run it again"):  # noqa: PT012
        for study in studies:
            run(study, 3)
    assert [study.was_interrupted for study in studies] == [True, False, False]
    assert [(tmp_path / name).exists() for name in ("one", "two", "three")] == [True, False, False]
    assert "Paused. Continue with" in capsys.readouterr().err
    studies[0].callbacks = ()
    assert len(run(studies[0], 3).history.trials) == 3
    assert not studies[0].was_interrupted
