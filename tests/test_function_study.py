"""Studies of functions that train, from beginning to end: each run in a process of its own, killed and continued."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import loops_samples as samples
import pandas as pd
import psutil
import pytest
from loops_samples import study

import hpsearch as hp
from hpsearch.errors import MetricError, StudyFailedError, TaskError, UsageError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOOPS_MARKS", str(tmp_path / "marks"))


def marks(folder: Path) -> list[str]:
    file = folder / "marks"
    return file.read_text().splitlines() if file.exists() else []


def shown(result: hp.Result) -> pd.DataFrame:
    return result.table().drop(columns="seconds")


def ran(made: hp.Study, trials: int, devices: object = "inline") -> hp.Result:
    return made.run(trials=trials, devices=devices, progress=False)


DEFAULTS = {"defaults": {"rate": 0.3, "seconds": 0.1}}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> hp.Result:
    """A study that nothing has disturbed."""
    return ran(study(tmp_path_factory.mktemp("straight"), arguments=DEFAULTS, checkpoint_every=0.0), 5)


def test_runs_are_raced_by_what_they_report(straight: hp.Result) -> None:
    table = shown(straight)
    assert set(table["state"]) == {"complete", "pruned"}
    best = straight.best
    assert best.metrics["accuracy"] == best.value and best.metrics["loss"] == pytest.approx(1 - best.value)
    assert straight.default is not None and straight.default.config["rate"] == 0.3
    lengths = [len(straight.history.of(trial.runs[0].key)) for trial in straight.history.trials.values()]
    assert max(lengths) == 4 and min(lengths) < 4


def test_a_killed_study_has_the_table_of_one_that_was_not(
    straight: hp.Result, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """First the process of a run is killed, then its worker, then the coordinator."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, samples.__file__, str(tmp_path), "1"]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    request.addfinalizer(lambda: (process.kill(), process.wait()))

    def running(before: int) -> psutil.Process:
        """Return the process of a run that has left a checkpoint, one that began after so many others."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for line in [line for line in marks(tmp_path) if " start " in line][before:]:
                pid, key = line.split()[:2]
                if list((tmp_path / "loop" / "checkpoints").glob(f"{key}.*[0-9]")) and psutil.pid_exists(int(pid)):
                    return psutil.Process(int(pid))
            time.sleep(0.01)
        raise AssertionError(marks(tmp_path))

    def begun() -> int:
        return sum(" start " in line for line in marks(tmp_path))

    running(0).send_signal(signal.SIGKILL)
    run = running(begun())
    worker = run.parent()
    assert worker is not None and worker.pid != process.pid
    worker.send_signal(signal.SIGKILL)
    run.wait(30)
    run = running(begun())
    process.send_signal(signal.SIGKILL)
    process.wait()
    run.wait(30)
    result = ran(study(tmp_path, arguments=DEFAULTS, checkpoint_every=0.0), 5)
    pd.testing.assert_frame_equal(shown(result), shown(straight))
    pd.testing.assert_frame_equal(result.curves(), straight.curves())
    starts = {line.split()[-1] for line in marks(tmp_path) if " start " in line}
    assert starts > {"0"}, "no run went on from where it was saved"


@pytest.mark.extended
def test_two_workers_and_pauses_find_what_one_finds(straight: hp.Result, tmp_path: Path) -> None:
    made = study(tmp_path, arguments=DEFAULTS, checkpoint_every=0.0)
    made.callbacks = (lambda stopped, trial: stopped.stop(),)  # pauses whatever else trains
    ran(made, 5, devices=2)
    made.callbacks = ()
    result = ran(made, 5, devices=2)
    pd.testing.assert_frame_equal(shown(result), shown(straight))


def test_a_function_that_never_saves_starts_again(tmp_path: Path) -> None:
    made = study(tmp_path, samples.climb_without_saving, pruner="asha")
    first = ran(made, 2)
    again = ran(made, 4)
    assert len(first.history.trials) == 2 and len(again.history.trials) == 4
    assert again.best.value > 0 and "loss" not in again.best.metrics


@pytest.mark.extended
def test_each_run_has_a_fresh_process_with_its_seed(tmp_path: Path) -> None:
    space = hp.Space(rate=hp.Categorical([0.1, 0.2, 0.3]))
    made = study(
        tmp_path, samples.look_around, space=space, sampler="grid", metric="score", direction="maximize",
        arguments={"reports": 1}, pruner="none",
    )  # fmt: skip
    result = made.run(devices=1, progress=False)
    table = result.table()
    assert list(table["calls"]) == [1.0] * 3
    assert all(len(set(table[name])) == 1 for name in ("python", "numpy", "torch"))  # one fold, one seed
    pids = {line.split()[0] for line in marks(tmp_path)}
    assert len(pids) == 3
    logs = list((tmp_path / "loop" / "runs").glob("*/output.log"))
    assert len(logs) == 3 and all("seen on standard output" in log.read_text() for log in logs)
    again = study(
        tmp_path / "again", samples.look_around, space=space, sampler="grid", metric="score", direction="maximize",
        arguments={"reports": 1}, pruner="none", seed=1,
    ).run(devices="inline", progress=False)  # fmt: skip
    assert set(again.table()["torch"]).isdisjoint(table["torch"])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "ValueError: the optimizer was given an empty list"),
        ("exit", "SystemExit: 3"),
        ("end", "The process of fail ended (exit status 7)."),
    ],
)
def test_an_error_of_the_function_is_its_trials(tmp_path: Path, how: str, words: str) -> None:
    space = hp.Space(how=hp.Categorical(["raise", "exit", "end"]), epochs=2)
    made = study(tmp_path, samples.fail, space=space)
    made.enqueue({"how": how})
    (trial,) = ran(made, 1).history.trials.values()
    assert trial.state.value == "fail" and trial.reason is not None and words in trial.reason
    text = "".join(path.read_text() for path in (tmp_path / "loop" / "logs").glob("trial-0*"))
    assert words in text
    if how == "raise":
        assert "loops_samples.py" in text and "tasks/loops/child.py" not in text
    if how == "end":
        assert "the last words" in text and "output.log" in text


def test_memory_that_runs_out_prunes_its_trial(tmp_path: Path) -> None:
    space = hp.Space(how=hp.Categorical(["memory", "raise"]), epochs=2)
    made = study(tmp_path, samples.fail, space=space)
    made.enqueue({"how": "memory"})
    (trial,) = ran(made, 1).history.trials.values()
    assert trial.state.value == "pruned" and "ran out of memory" in str(trial.reason)


def test_a_function_may_end_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        result = ran(study(tmp_path, samples.stop_by_itself, pruner="none"), 1)
    evaluations = result.history.of(result.history.trials[0].runs[0].key)
    assert [evaluation.metrics["accuracy"] for evaluation in evaluations][1:] == [
        evaluations[1].metrics["accuracy"]
    ] * 3
    assert result.best.point == 2
    assert "stop_by_itself returned after 2 of 4 reports" in caplog.text


def test_the_study_stops_early_by_its_objective_where_no_loss_is_reported(tmp_path: Path) -> None:
    made = study(tmp_path, samples.stop_by_itself, pruner="none", early_stopping=1.0)
    result = ran(made, 1)
    assert result.history.trials[0].stop == 3


def test_what_there_is_not_is_said_and_all_else_is_there(straight: hp.Result, tmp_path: Path) -> None:
    page = straight.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FunctionTask of climb" in page and "no predictions of single rows are kept" in page
    with pytest.raises(UsageError, match="no predictions of single rows are kept"):
        straight.out_of_fold()
    evidence = straight.evidence()
    assert evidence is not None and evidence.interval is None
    assert straight.figures.learning_curves() is not None
    folder = straight.export(tmp_path / "model")
    assert (folder / "deep" / "state.json").is_file()
    card = (folder / "README.md").read_text()
    assert "What climb saved" in card and "base_model" not in card and "library_name" not in card
    nothing = ran(study(tmp_path / "other", samples.climb_without_saving), 1)
    with pytest.raises(TaskError, match="climb_without_saving saved nothing at report 4"):
        nothing.export(tmp_path / "nothing")


@pytest.mark.extended
def test_a_study_is_loaded_and_goes_on(straight: hp.Result, tmp_path: Path) -> None:
    ran(study(tmp_path, arguments=DEFAULTS, checkpoint_every=0.0), 2)
    loaded = hp.load("loop", folder=tmp_path)
    pd.testing.assert_frame_equal(shown(ran(loaded, 5)), shown(straight))


def test_each_run_gets_the_rows_of_its_fold(tmp_path: Path) -> None:
    table = pd.DataFrame({"value": range(12)})
    space, settings = hp.Space(rate=0.5, epochs=hp.Int(1, 2)), {"metric": "score", "direction": "maximize"}
    folds = study(tmp_path, task=hp.FunctionTask(samples.count_rows, train=table), space=space, cv=3, **settings)
    result = ran(folds, 1)
    assert [run.fold for run in result.history.trials[0].runs] == [0, 1, 2]
    (metrics,) = result.table()[["train", "validation", "both"]].to_dict("records")
    assert metrics == {"train": 8.0, "validation": 4.0, "both": 0.0}
    assert result.best.interval is None or len(result.best.folds) == 3
    assert (result.export(tmp_path / "model") / "rows").read_text() == "12 12 True"
    given = hp.FunctionTask(samples.count_rows, train=table, validation=pd.DataFrame({"value": [20, 21]}))
    again = ran(study(tmp_path / "given", task=given, space=space, **settings), 1)
    assert again.table()["validation"].tolist() == [2.0] and len(again.history.trials[0].runs) == 1
    with pytest.raises(UsageError, match="there are none to split"):
        study(tmp_path, cv=3)


def test_mistakes_are_found_before_anything_runs(tmp_path: Path) -> None:
    cases = [
        (lambda: hp.FunctionTask("train.py"), TaskError, "function='train.py' is a str"),
        (
            lambda: study(tmp_path, space=hp.Space(rate=hp.Float(0, 1))),
            TaskError,
            "Nothing says how often climb reports",
        ),
        (lambda: study(tmp_path, arguments={"reports": 3}), TaskError, "both say how often a run reports"),
        (lambda: hp.FunctionTask(samples.climb, reports=0), TaskError, "reports=0"),
        (lambda: hp.FunctionTask(samples.climb, defaults={"f": print}), TaskError, "must be a dict of plain values"),
        (lambda: ran(study(tmp_path, metric=None), 1), MetricError, "metric= is not given"),
        (lambda: ran(study(tmp_path, metric="height"), 1), MetricError, "direction='maximize'"),
        (lambda: ran(study(tmp_path, metric=max), 1), MetricError, "climb measures by itself"),
        (lambda: study(tmp_path, space=hp.Space(rate=0.1, epochs=hp.Float(1.5, 2))), TaskError, "epochs"),
    ]
    for mistake, error, message in cases:
        with pytest.raises(error, match=message):
            mistake()
    assert not (tmp_path / "loop").exists()


def test_an_objective_that_is_not_reported_is_named(tmp_path: Path) -> None:
    made = study(tmp_path, samples.climb_without_saving, metric="f1", direction="maximize")
    with pytest.raises(StudyFailedError, match="reports accuracy, and not 'f1'"):
        ran(made, 3)
