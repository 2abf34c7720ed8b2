"""Studies whose tasks keep of each row another number of numbers: all that is known of them is as with rectangles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from orders import order_of, run_of, train
from torch import nn
from toy_studies import SETTINGS
from toy_task import RaggedJudge, RaggedToyTask, ToyTask

import hpsearch as hp
from hpsearch.data.ragged import Ragged, Rows, to_bytes
from hpsearch.errors import TaskError
from hpsearch.records import Slot
from hpsearch.runtime.messages import Evaluated, Workload
from hpsearch.runtime.pools.base import Pool
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.runtime.pools.local import LocalPool
from hpsearch.runtime.refit import refit, score
from hpsearch.runtime.study_run import workload_of
from hpsearch.tasks import Prepared
from hpsearch.training.numerics import detect_environment, resolve_numerics


def study(folder: Path, task: ToyTask | None = None) -> hp.Study:
    return hp.Study("toy", task or RaggedToyTask(), folder=folder, **SETTINGS)


def outputs(pool: Pool, made: hp.Study) -> list[bytes]:
    """Return what a pool's worker sends of one run."""
    plan = made.plan
    workload: Workload = workload_of(plan, resolve_numerics(pool.environment(), precision="fp32"))
    pool.prepare(workload)
    events = train(pool, order_of(workload.study, run_of("a run", **plan.complete({"batch_size": 8, "epochs": 2}))))
    pool.close()
    found = [event.outputs for event in events if isinstance(event, Evaluated)]
    assert len(found) > 1 and all(isinstance(kept, Ragged) and len(kept) == 20 for kept in found)
    return [to_bytes(kept) for kept in found if kept is not None]


def test_a_worker_process_sends_what_an_inline_worker_measures(tmp_path: Path) -> None:
    slots = [Slot(0, ("cpu",))]
    inline, sent = (outputs(pool, study(tmp_path)) for pool in (InlinePool(slots[0]), LocalPool(slots)))
    assert inline == sent


def test_a_study_is_scored_stored_and_read_like_that_of_the_plain_task(tmp_path: Path) -> None:
    result = study(tmp_path / "ragged").run(trials=3, devices="inline", progress=False)
    plain = study(tmp_path / "plain", ToyTask()).run(trials=3, devices="inline", progress=False)
    assert result.best.folds == plain.best.folds
    assert np.array_equal(result.out_of_fold(), plain.out_of_fold())
    assert result.test_scores() == plain.test_scores()
    files = sorted((tmp_path / "ragged" / "toy" / "test").iterdir())
    assert files and all(file.read_bytes().startswith(b"PK") for file in files)

    again = hp.load("toy", folder=tmp_path / "ragged").result
    assert np.array_equal(again.out_of_fold(), plain.out_of_fold())
    assert again.evidence() == result.evidence()
    run = again.history.trials[again.best.number].runs[0]
    assert isinstance(again.record.store.predictions(run.key, again.best.point), Ragged)


@dataclass(frozen=True)
class _FittedJudge(RaggedJudge):
    """In own units each number is greater by the number of rows that a run trains on."""

    trained_rows: int = 0

    def fitted(self, targets: np.ndarray) -> Self:
        return replace(self, trained_rows=len(targets))

    def own_units(self, kept: Rows) -> Rows:
        assert isinstance(kept, Ragged)
        return Ragged(kept.elements.astype(np.float64) + self.trained_rows, kept.offsets)


@dataclass(frozen=True)
class _LargeJudge(RaggedJudge):
    @property
    def row_bytes(self) -> int:
        return 2**24


@dataclass(frozen=True, eq=False)
class _JudgedToyTask(RaggedToyTask):
    judge: type[RaggedJudge] = RaggedJudge

    def prepare(self, cache: Path) -> Prepared:
        plain = super().prepare(cache)
        return replace(plain, judge=self.judge("multiclass", plain.judge.classes))


def test_runs_and_refits_are_measured_in_the_units_of_their_own_training_rows(tmp_path: Path) -> None:
    found = {}
    for judge in (RaggedJudge, _FittedJudge):
        plan = study(tmp_path / judge.__name__, _JudgedToyTask(judge=judge)).plan
        pool, run = InlinePool(Slot(0, ("cpu",))), run_of("a run", **plan.complete({"batch_size": 8, "epochs": 2}))
        workload = workload_of(plan, resolve_numerics(pool.environment(), precision="fp32"))
        pool.prepare(workload)
        events = [event for event in train(pool, order_of(workload.study, run)) if isinstance(event, Evaluated)]
        pool.close()
        found[judge] = events[-1].outputs, score(workload, refit(workload, run.config, 2)), events[-1].evaluation
    (kept, scores, evaluation), (own, own_scores, same) = found.values()
    assert own.elements.tolist() == (kept.elements.astype(np.float64) + 40).tolist()
    assert own_scores.outputs.elements.tolist() == (scores.outputs.elements.astype(np.float64) + 60).tolist()
    assert own_scores.metrics == scores.metrics and same.metrics == evaluation.metrics


@dataclass(frozen=True)
class _SettlingJudge(RaggedJudge):
    """Has the model double its outputs, and halves what it says when it knows that the model does."""

    is_doubled: bool = False

    def settle(self, model: nn.Module, rows: int, run: Callable[[nn.Module, np.ndarray], Rows]) -> Self:
        before = run(model, np.arange(rows))
        with torch.no_grad():
            for parameter in list(model.parameters())[-2:]:
                parameter.mul_(2)
        after = run(model, np.arange(rows))
        assert isinstance(before, Ragged) and isinstance(after, Ragged) and len(before) == 60
        np.testing.assert_allclose(after.elements, 2 * before.elements, rtol=1e-6)
        return replace(self, is_doubled=True)

    def own_units(self, kept: Rows) -> Rows:
        assert isinstance(kept, Ragged)
        return Ragged(kept.elements / 2, kept.offsets) if self.is_doubled else kept


def test_a_refit_is_settled_once_and_scored_as_it_is_then(tmp_path: Path) -> None:
    found = []
    for judge in (RaggedJudge, _SettlingJudge):
        plan = study(tmp_path / judge.__name__, _JudgedToyTask(judge=judge)).plan
        workload = workload_of(plan, resolve_numerics(detect_environment("cpu"), precision="fp32"))
        found.append(score(workload, refit(workload, plan.complete({"batch_size": 8, "epochs": 2}), 2)))
    np.testing.assert_allclose(found[0].outputs.elements, found[1].outputs.elements, rtol=1e-6)


@dataclass(frozen=True)
class _ModestJudge(RaggedJudge):
    @property
    def row_bytes(self) -> int:
        return 4


@dataclass(frozen=True, eq=False)
class _ModestToyTask(RaggedToyTask):
    def prepare(self, cache: Path) -> Prepared:
        plain = super().prepare(cache)
        return replace(plain, judge=_ModestJudge("multiclass", plain.judge.classes))


def test_a_judge_that_keeps_more_than_it_says_fills_no_database(tmp_path: Path) -> None:
    made = study(tmp_path, _ModestToyTask())
    result = made.run(trials=1, devices="inline", progress=False)
    (trial,) = result.history.trials.values()
    assert trial.state.value == "fail"
    (log,) = (tmp_path / "toy" / "logs").iterdir()
    assert "_ModestJudge says that it keeps 4 bytes of a row at most, and kept" in log.read_text(encoding="utf-8")
    assert result.record.store.predictions(trial.runs[0].key, 1) is None


def test_outputs_too_large_to_be_kept_are_found_before_anything_is_trained(tmp_path: Path) -> None:
    made = study(tmp_path, _JudgedToyTask(judge=_LargeJudge))
    with pytest.raises(TaskError, match=r"of each of 20 held-out rows, 320 MiB .* Hold out fewer rows"):
        made.run(trials=1, devices="inline", progress=False)
    assert not (tmp_path / "toy" / "study.db").exists()
