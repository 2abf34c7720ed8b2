"""Runs whose frozen layers are read from the cache equal runs that compute them, bit for bit."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_learners import LOOKS_BACK, NOT_EXACT, BuiltLearner, FixedTextLearner, Stacked, cached, run_of, store
from torch import nn
from training_learners import (
    CPU,
    PRECISIONS,
    LengthLearner,
    assert_same_measurements,
    assert_same_state,
    everything,
    measured,
    numerics,
)

from hpsearch.training.base_model import BaseModel
from hpsearch.training.features.store import FeatureEntry
from hpsearch.training.fine_tune import FineTune

FREEZE = ({"freeze_layers": 1}, {"freeze_layers": 2}, {"freeze_layers": "all"})


@contextmanager
def calls_of(*modules: nn.Module) -> Iterator[list[nn.Module]]:
    """Record which of some modules, or of those in them, run: what is left out is still called, and does nothing."""
    called: list[nn.Module] = []
    inner = [each for module in modules for each in module.modules() if not list(each.children())]
    handles = [
        each.register_forward_hook(lambda module, *_: called.append(module) if "forward" not in vars(module) else None)
        for each in inner
    ]
    yield called
    for handle in handles:
        handle.remove()


def assert_equal_runs(one: FineTune, other: FineTune) -> None:
    assert_same_measurements(measured(one), measured(other))
    assert_same_state(everything(one), everything(other))


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
def test_a_run_that_reads_equals_one_that_computes(tmp_path: Path, precision: str) -> None:
    learner = FixedTextLearner()
    plain, base = BaseModel(learner, CPU), cached(learner, store(tmp_path))
    for frozen in FREEZE:
        run = run_of(learner, base, frozen, numerics(precision))
        assert_equal_runs(run_of(learner, plain, frozen, numerics(precision)), run)
        assert run._features is not None
    assert len(store(tmp_path).entries()) == 2


def test_a_run_that_reads_is_fitted_to_its_own_rows(tmp_path: Path) -> None:
    learner = LengthLearner()
    plain, base = BaseModel(learner, CPU), cached(learner, store(tmp_path))
    for config in ({"freeze_layers": 1}, {"freeze_layers": 1, "learning_rate": 1e-3}):
        run = run_of(learner, base, config)
        assert_equal_runs(run_of(learner, plain, config), run)
        assert run._features is not None


def test_frozen_layers_are_not_run_once_their_outputs_are_known(tmp_path: Path) -> None:
    learner = BuiltLearner(Stacked)
    base = cached(learner, store(tmp_path))
    model: Any = base.model
    measured(run_of(learner, base, {"freeze_layers": 1}))  # they are computed, and each size of a batch is verified
    for config in ({"freeze_layers": 1}, {"freeze_layers": 1, "learning_rate": 1e-3, "weight_decay": 0.3}):
        with (
            calls_of(model.words, model.embedding_norm, model.layers[0]) as frozen,
            calls_of(model.layers[1]) as trained,
        ):
            measured(run_of(learner, base, config))
        assert not frozen and trained
    # Nothing is left behind: the model runs as it always does.
    with calls_of(model.layers[0]) as frozen:
        learner.outputs(model, learner.batch(np.arange(3), 16))
    assert frozen and "forward" not in vars(model.layers[0])


def test_another_worker_reads_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = BuiltLearner(Stacked)
    measured(run_of(learner, cached(learner, store(tmp_path)), {"freeze_layers": 1}))
    monkeypatch.setattr(FeatureEntry, "write", lambda *_: pytest.fail("nothing is missing"))
    base = cached(learner, store(tmp_path))
    first = measured(run_of(learner, base, {"freeze_layers": 1}))
    model: Any = base.model
    run = run_of(learner, base, {"freeze_layers": 1})
    with calls_of(model.layers[0]) as frozen:
        second = measured(run)
    assert not frozen
    plain = run_of(learner, BaseModel(learner, CPU), {"freeze_layers": 1})
    expected = measured(plain)
    assert_same_measurements(expected, first)
    assert_same_measurements(expected, second)


@pytest.mark.parametrize(("saved", "gone_on"), [(True, False), (False, True)])
def test_a_run_is_gone_on_with_or_without_the_cache(tmp_path: Path, saved: bool, gone_on: bool) -> None:
    learner = FixedTextLearner()
    bases = {True: cached(learner, store(tmp_path)), False: BaseModel(learner, CPU)}
    config = {"freeze_layers": 1}
    whole = run_of(learner, bases[False], config)
    expected = measured(whole)
    state = everything(whole)
    first = run_of(learner, bases[saved], config)
    begun = measured(first, 2)
    assert next(first.advance(3)) is None  # in the middle of an epoch
    files = first.checkpoint()
    second = run_of(learner, bases[gone_on], config)
    second.restore(files)
    assert_same_measurements(expected, begun + measured(second))
    assert_same_state(state, everything(second))


@pytest.mark.parametrize("case", NOT_EXACT)
def test_the_cache_steps_aside_and_says_why(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    learner, reason = NOT_EXACT[case]
    base = cached(learner, store(tmp_path))
    config = {"freeze_layers": 2 if case != "padding" else 1}
    runs = [run_of(learner, each, config) for each in (BaseModel(learner, CPU), base, base)]
    expected = measured(runs[0]), everything(runs[0])
    again = run_of(learner, base, config)
    assert_same_measurements(expected[0], measured(again))
    assert_same_state(expected[1], everything(again))
    measured(run_of(learner, base, config))
    assert again._features is None and not store(tmp_path).entries()
    lines = [record.message for record in caplog.records if reason in record.message]
    assert len(lines) == 1 and lines[0].startswith("The outputs of"), caplog.text


def test_what_is_read_above_the_layers_runs(tmp_path: Path) -> None:
    base = cached(LOOKS_BACK, store(tmp_path))
    model: Any = base.model
    run = run_of(LOOKS_BACK, base, {"freeze_layers": 2, "epochs": 3})
    assert_equal_runs(run_of(LOOKS_BACK, BaseModel(LOOKS_BACK, CPU), {"freeze_layers": 2, "epochs": 3}), run)
    again = run_of(LOOKS_BACK, base, {"freeze_layers": 2, "epochs": 3})
    with calls_of(model.words, model.embedding_norm) as below, calls_of(model.layers) as layers:
        measured(again)
    assert below and not layers


def test_a_forward_that_somebody_replaced_runs_and_stays(tmp_path: Path) -> None:
    """As by a wrapper of a layer: to take it away would change the model."""

    class Wrapped(Stacked):
        def __init__(self, width: int, heads: int, noise: bool) -> None:
            super().__init__(width, heads, noise)
            layer: Any = self.layers[0]
            vars(layer)["forward"] = lambda hidden, mask: type(layer).forward(layer, hidden, mask) * 1.5

    learner = BuiltLearner(Wrapped)
    for layers in (1, 2):
        base = cached(learner, store(tmp_path))
        model: Any = base.model
        replaced = vars(model.layers[0])["forward"]
        run = run_of(learner, base, {"freeze_layers": layers})
        assert_equal_runs(run_of(learner, BaseModel(learner, CPU), {"freeze_layers": layers}), run)
        assert vars(model.layers[0])["forward"] is replaced
        assert (run._features is not None) is (layers == 2)


def test_a_dropout_of_zero_is_tried_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is exact without dropout between the layers is not with it."""

    class Between(Stacked):
        def between(self, hidden: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(hidden, self.dropout.p, self.training) if self.dropout.p else hidden

    learner = BuiltLearner(Between)
    base = cached(learner, store(tmp_path))
    for dropout, is_read in ((0.0, True), (0.2, False), (0.0, True), (0.3, False)):
        run = run_of(learner, base, {"freeze_layers": 1, "dropout": dropout})
        measured(run)
        assert (run._features is not None) is is_read
    assert caplog.text.count("random numbers") == 1


def test_a_shape_at_which_the_features_differ_is_computed(tmp_path: Path) -> None:
    """As if the kernels of fewer rows had other last bits: a layer that computes so is caught by the first batch."""

    class Uneven(Stacked):
        def between(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden * (1.0 + 1e-7 * (len(hidden) == 4))  # the epoch's last batch

    learner = BuiltLearner(Uneven)
    run = run_of(learner, cached(learner, store(tmp_path)), {"freeze_layers": 1})
    assert_equal_runs(run_of(learner, BaseModel(learner, CPU), {"freeze_layers": 1}), run)
    assert run._features is not None
    read = {(shape[0], recording is not None) for (_, shape, _), recording in run._features._recordings.items()}
    assert read == {(4, False), (6, True), (16, True)}


def test_what_does_not_fit_is_computed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    learner = FixedTextLearner()
    for budget in (0, 100):
        run = run_of(learner, cached(learner, store(tmp_path, budget)), {"freeze_layers": 1})
        assert len(measured(run)) == 4 and run._features is None
    assert [record.message for record in caplog.records if "feature_cache_bytes allows 0.0" in record.message]
    assert not store(tmp_path).entries()


def test_a_disk_that_refuses_costs_the_cache_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "features").write_text("a file, where a folder is needed")
    learner = FixedTextLearner()
    run = run_of(learner, cached(learner, store(tmp_path)), {"freeze_layers": 1})
    assert len(measured(run)) == 4 and run._features is None
    assert "its files cannot be used" in caplog.text


def test_an_evicted_entry_is_read_to_the_end_of_the_run(tmp_path: Path) -> None:
    learner = FixedTextLearner()
    run = run_of(learner, cached(learner, store(tmp_path)), {"freeze_layers": 1})
    first = measured(run, 1)
    assert store(tmp_path).entries()
    shutil.rmtree(store(tmp_path).folder)
    plain = run_of(learner, BaseModel(learner, CPU), {"freeze_layers": 1})
    assert_same_measurements(measured(plain), first + measured(run))


def test_micro_batches_read_too(tmp_path: Path) -> None:
    learner, computing = FixedTextLearner(), numerics(micro_batch=2)
    run = run_of(learner, cached(learner, store(tmp_path)), {"freeze_layers": 2}, computing)
    assert_equal_runs(run_of(learner, BaseModel(learner, CPU), {"freeze_layers": 2}, computing), run)
    assert run._features is not None
