"""One of each from outside of the package, in real studies: a small file, and a line that names it."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from floor_pruner import Floor
from least_recall import least_recall
from rising_task import RisingNumbers
from samples import measured, trial
from thread_pool import thread_pool
from toy_studies import known_of, toy_study
from training_time_figure import training_time_figure

import hpsearch as hp
from hpsearch.data.ragged import Ragged
from hpsearch.errors import MetricError, UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.policy.rule_names import SAMPLERS
from hpsearch.records import History, TrialState
from hpsearch.report import Content, Figures
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import Figure
from hpsearch.runtime import pools

TRIALS = 8


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    """The lines that register sampler, pool and figure, taken back at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SAMPLERS, "near_best", "near_best_sampler:near_best")
        patch.setattr(pools, "POOLS", [*pools.POOLS, thread_pool])
        patch.setattr(Figures, "training_time", training_time_figure, raising=False)
        yield


def ran(folder: Path, devices: str, **settings: Any) -> hp.Result:
    space = hp.Space(learning_rate=hp.Float(1e-3, 1.0, log=True), batch_size=hp.Categorical([8, 16]), epochs=2)
    rules = {"sampler": "near_best", "pruner": Floor("least_recall", 0.2), "metric": least_recall}
    study = toy_study(folder, space=space, **rules, **settings)
    return study.run(trials=TRIALS, devices=devices, progress=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that ran inline."""
    made = tmp_path_factory.mktemp("inline")
    ran(made, "inline")
    return made


def test_metric_sampler_and_pruner_decide_a_study(folder: Path) -> None:
    result = hp.load("toy", folder=folder).result
    assert result.history.trials[1].params != result.history.trials[2].params
    assert result.table()["value"].notna().any()
    assert set(result.best.metrics) >= {"least_recall", "accuracy"}
    ended = [str(trial.reason) for trial in result.history.finished(TrialState.PRUNED)]
    assert any("least_recall" in reason or "not promoted after step 4" in reason for reason in ended)


def floor_of_the_docstring() -> Any:
    """Return the class that the documentation of pruners shows."""
    shown = str(hp.Pruner.__doc__).partition("\n\n")[2].partition("\n\n    Each method")[0]
    found: dict[str, Any] = {"hp": hp}
    exec(textwrap.dedent(shown), found)
    return found["Floor"]


@pytest.mark.parametrize("floor", [Floor, floor_of_the_docstring()], ids=["file", "docstring"])
def test_a_floor_follows_the_direction_and_says_the_value_as_measured(floor: Any) -> None:
    history = History({0: trial(0), 1: trial(1), 2: trial(2)})
    history = measured(measured(history, 0, 0, [0.9, 1.3]), 1, 0, [0.05, 0.1])
    scores = [floor("f1", 0.2).reason_to_prune(history, each) for each in history.trials.values()]
    assert scores == [None, "f1 0.100 is worse than 0.2", None]
    errors = [
        floor("f1", 0.2).reason_to_prune(replace(history, direction=Direction.MINIMIZE), each)
        for each in history.trials.values()
    ]
    assert errors == ["f1 0.900 is worse than 0.2", None, None]


def test_through_the_pool_from_outside_the_same_study_comes_out(folder: Path, tmp_path: Path) -> None:
    ran(tmp_path, "thread:cpu")
    assert known_of(tmp_path) == known_of(folder)


def test_what_the_pool_cannot_do_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"devices='thread:cuda:0': the pool of one thread trains on the CPU"):
        ran(tmp_path, "thread:cuda:0")


def test_errors_list_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'thread'\? .* mps, inline, ray, thread,"):
        ran(tmp_path, "threads")
    with pytest.raises(UsageError, match=r"'qmc', 'near_best', nor .* Did you mean 'near_best'\?"):
        toy_study(tmp_path, sampler="near_bets")


def test_the_figure_is_on_the_page_and_a_method(folder: Path, tmp_path: Path) -> None:
    result = hp.load("toy", folder=folder).result
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "One bar per trial: the seconds that its runs trained, all folds together." in page
    assert 'href="#training-time-section"' in page
    figure = result.figures.training_time()  # type: ignore[attr-defined]
    assert len(figure.data[0].x) == len(result.history.trials)


def test_where_a_name_is_not_registered_the_study_can_still_be_read(folder: Path) -> None:
    code = f"""
import hpsearch as hp
study = hp.load("toy", folder={str(folder)!r})
print(len(study.result.table()))
try:
    study.run(trials={TRIALS + 1}, devices="inline")
except hp.errors.UsageError as error:
    print(error)
"""
    paths = os.pathsep.join([str(Path(hp.__file__).parents[1]), *(path for path in sys.path if "tests" in path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    count, message = done.stdout.splitlines()
    assert int(count) == TRIALS
    assert "The sampler of this study was an object, <near_best>, which is not stored with it." in message


# The task


def right_by_place(content: Content) -> Figure:
    """Draw the share of right tags by place in the row."""
    return Figure(go.Scatter(y=content.outputs["right-by-place"]))


right_by_place_figure = PageFigure(
    name="right-by-place",
    heading="Right tags by place",
    draw=right_by_place,
    words="Out-of-fold predictions of the winner.",
    alt_text=lambda content: f"{len(content.outputs['right-by-place'])} places.",
    has_something=lambda content: "right-by-place" in content.outputs,
)


def tagged(folder: Path, devices: Any, **settings: Any) -> hp.Result:
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True), epochs=hp.Int(1, 2))
    rules = {"space": space, "sampler": "near_best", "pruner": Floor("accuracy", 0.2), "cv": 3}
    study = hp.Study("toy", RisingNumbers(), folder=folder, early_stopping=None, seed=3, **{**rules, **settings})
    return study.run(trials=TRIALS, devices=devices, progress=False)


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> hp.Result:
    """The result of a study of the task."""
    return tagged(tmp_path_factory.mktemp("tags"), "inline")


def test_what_its_judge_keeps_is_measured_stored_and_told(tags: hp.Result) -> None:
    assert tags.plan.objective.name == "accuracy"  # which its judge names where the study does not
    found = tags.out_of_fold()
    assert isinstance(found, Ragged)
    assert len(found) == 60
    assert set(np.diff(found.offsets)) == set(range(3, 17))
    assert np.isfinite(found.elements).all()
    assert tags.best.value > 0.6
    assert tags.test_scores()["accuracy"] > 0.6
    evidence = tags.evidence()
    assert evidence is not None
    assert "test rows" in evidence.method


@pytest.mark.parametrize("devices", ["thread", pytest.param(2, marks=pytest.mark.slow)])
def test_wherever_it_runs_the_same_study_comes_out(tags: hp.Result, devices: Any, tmp_path: Path) -> None:
    given = {"sampler": "random", "pruner": "none"} if devices == 2 else {}
    expected = tagged(tmp_path / "straight", "inline", **given).table() if given else tags.table()
    found = tagged(tmp_path / "elsewhere", devices, **given).table()
    pd.testing.assert_frame_equal(found.drop(columns="seconds"), expected.drop(columns="seconds"), check_exact=True)


def test_stopped_and_resumed_it_is_the_same_study(tags: hp.Result, tmp_path: Path) -> None:
    def stop(running: hp.Study, trial: Any) -> None:
        if trial.number in (2, 5):
            running.stop()

    for _ in range(3):
        resumed = tagged(tmp_path, "inline", callbacks=[stop])
    pd.testing.assert_frame_equal(
        resumed.table().drop(columns="seconds"), tags.table().drop(columns="seconds"), check_exact=True
    )


def test_it_is_loaded_by_name_and_exported(tags: hp.Result, tmp_path: Path) -> None:
    loaded = hp.load("toy", folder=tags.plan.folder.parent)
    assert isinstance(loaded.task, RisingNumbers)
    assert (loaded.result.export(tmp_path / "model") / "model.safetensors").stat().st_size > 0


def test_a_figure_shows_what_its_judge_computes_and_no_other_study_has_it(
    tags: hp.Result, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figures, "right_by_place", right_by_place_figure, raising=False)
    page = tags.report(tmp_path / "tags.html").read_text(encoding="utf-8")
    assert 'aria-label="16 places."' in page
    assert "confusion-section" not in page
    other = hp.load("toy", folder=folder).result.report(tmp_path / "classes.html").read_text(encoding="utf-8")
    assert "Right tags by place" not in other
    assert "confusion-section" in other


def test_a_metric_of_its_own_is_refused_in_the_words_of_its_judge(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="there is no metric called 'f1_macro' of tags"):
        tagged(tmp_path, "inline", metric="f1_macro")


# The page that shows them


def test_the_page_on_contributing_shows_these_files_as_they_are() -> None:
    page = (Path(hp.__file__).parents[1] / "docs" / "contributing.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL))
    assert set(shown) == {"least_recall.py", "near_best_sampler.py", "floor_pruner.py", "training_time_figure.py"}
    for name, text in shown.items():
        assert text == (Path(__file__).parent / name).read_text(encoding="utf-8"), name
