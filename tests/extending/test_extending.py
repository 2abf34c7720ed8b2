"""One of each from outside of the package, in real studies: a small file, and a line that names it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from floor_pruner import Floor
from least_recall import least_recall
from thread_pool import thread_pool
from toy_studies import known_of, toy_study
from training_time_figure import training_time_figure

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.rule_names import SAMPLERS
from hpsearch.records import TrialState
from hpsearch.report import Figures
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


def test_through_the_pool_from_outside_the_same_study_comes_out(folder: Path, tmp_path: Path) -> None:
    ran(tmp_path, "thread:cpu")
    assert known_of(tmp_path) == known_of(folder)


def test_what_the_pool_cannot_do_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"devices='thread:cuda:0': the pool of one thread trains on the CPU"):
        ran(tmp_path, "thread:cuda:0")


def test_errors_list_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'thread'\? Use auto, cpu, cuda, mps, inline, thread,"):
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
