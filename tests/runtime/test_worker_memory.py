"""What a worker does when memory runs out: on a pretended GPU, and on a CPU under a real limit."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import FakeCuda, fake_cuda
from little_memory import BATCH, prepare, trained, wide_run
from orders import ROWS, ends, measured, order_of, resumed, train
from study_processes import Launcher

from hpsearch.errors import TaskError
from hpsearch.records import Fit, Outcome, Savings, Slot
from hpsearch.runtime.messages import Checkpointed, Event, Probe
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.training import fine_tune as fine_tune_module
from hpsearch.training.memory import peak_memory_bytes
from hpsearch.training.run_state import RunState

NOTHING = ROWS * 8
"""What is held without a model: the study's targets, which lie on the host and are counted as all else."""

RANDOM_STATES = 8192
"""Bytes, at most, of a run's random states, which a probe has none of: on the host, too."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    with fake_cuda(monkeypatch) as pretended:
        yield pretended


@pytest.fixture
def pool(gpu: FakeCuda, tmp_path: Path) -> Iterator[InlinePool]:
    made = InlinePool(Slot(0, ("cuda:0",)))
    prepare(made, tmp_path, 8192)
    yield made
    made.close()


def peak(events: list[Event]) -> int:
    return max(evaluation.peak_memory_bytes for evaluation, _ in measured(events))


def numbers(events: list[Event]) -> list[tuple[Any, bytes]]:
    return [(evaluation.metrics, outputs) for evaluation, outputs in measured(events)]


# A batch that does not fit


def test_a_batch_that_does_not_fit_ends_its_segment_and_half_of_it_then_trains(pool: InlinePool, gpu: FakeCuda) -> None:
    half = Fit(BATCH // 2)
    expected = trained(pool, half)
    gpu.capacity = (peak(expected) + peak(trained(pool))) // 2
    for _ in range(2):
        gpu.emptied.clear()
        (end,) = ends(trained(pool))
        assert end.result.outcome is Outcome.OUT_OF_MEMORY
        assert "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate" in end.result.log
        assert gpu.held == gpu.emptied[-1] == NOTHING  # nothing of the attempt was left when the cache was emptied
        again = trained(pool, half)
        assert ends(again)[0].result.outcome is Outcome.OK
        assert numbers(again) == numbers(expected)


def test_the_run_that_was_kept_goes_with_its_optimizer(pool: InlinePool, gpu: FakeCuda) -> None:
    first = trained(pool, stop=2, leaves_checkpoint=True)
    assert pool._worker._kept is not None
    gpu.fails = lambda operation: torch.OutOfMemoryError("CUDA out of memory.")
    (end,) = ends(train(pool, resumed(order_of("wide", wide_run(None)), first)))
    assert end.result.outcome is Outcome.OUT_OF_MEMORY
    assert end.result.point == 2
    assert pool._worker._kept is None
    assert gpu.held == gpu.emptied[-1] == NOTHING


def test_what_waits_for_another_process_leaves_the_device_to_it(pool: InlinePool, gpu: FakeCuda) -> None:
    trained(pool, stop=2, leaves_checkpoint=True)
    pool.rest(pool.slots()[0])
    assert pool._worker._kept is None
    gc.collect()
    assert gpu.held == gpu.emptied[-1]  # the cache was emptied of all that is not needed any more


# Where, and in which words, memory runs out


def in_training(name: str) -> Callable[[str, bool], bool]:
    return lambda operation, is_training: is_training and operation.startswith(name)


PLACES: dict[str, Callable[[str, bool], bool]] = {
    "the forward pass": in_training("aten::addmm"),
    "the backward pass": in_training("aten::threshold_backward"),
    "the optimizer's first step": in_training("aten::_fused_adamw"),
    "an evaluation": lambda operation, is_training: not is_training and operation.startswith("aten::addmm"),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_memory_runs_out_the_segment_ends_and_the_next_is_as_ever(
    place: str, pool: InlinePool, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(pool)
    is_training = [True]
    predict = fine_tune_module.predict

    def evaluating(*arguments: Any) -> Any:
        is_training[0] = False
        return predict(*arguments)

    monkeypatch.setattr(fine_tune_module, "predict", evaluating)

    def fails(operation: Any) -> BaseException | None:
        if PLACES[place](operation.name(), is_training[0]):
            return torch.OutOfMemoryError("CUDA out of memory.")
        return None

    gpu.fails = fails
    (end,) = ends(trained(pool))
    assert (end.result.outcome, end.result.point) == (Outcome.OUT_OF_MEMORY, 0)
    assert gpu.held == gpu.emptied[-1] == NOTHING
    gpu.fails = lambda operation: None
    assert numbers(trained(pool)) == numbers(expected)


def test_a_checkpoint_that_cannot_be_put_back_for_want_of_memory_is_tried_again_later(
    pool: InlinePool, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no damaged checkpoint, after which the run would begin anew."""
    whole = trained(pool)
    first = trained(pool, stop=2, leaves_checkpoint=True)
    order = resumed(order_of("wide", wide_run(None)), first)
    assert any(isinstance(event, Checkpointed) for event in first)
    pool._worker._kept = None
    load = RunState._load_kept
    held = []

    def crowded(state: RunState, *arguments: Any) -> None:
        held.append(gpu.held)
        gpu.capacity = gpu.held  # there is not one byte for what AdamW remembers
        load(state, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RunState, "_load_kept", crowded)
        (end,) = ends(train(pool, order))
    assert (end.result.outcome, end.result.point) == (Outcome.OUT_OF_MEMORY, 2)
    assert held[0] > gpu.held == NOTHING
    gpu.capacity = None
    events = train(pool, order)
    assert numbers(first) + numbers(events) == numbers(whole)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "cuda": lambda: torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later."),
    "cudnn 8": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cudnn 9": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB, max allowed: 6.77 GB)."),
    "library": lambda: RuntimeError("std::bad_alloc"),
    "python": lambda: MemoryError(),
}


@pytest.mark.parametrize("words", ERRORS)
def test_every_way_of_saying_so_is_out_of_memory(words: str, pool: InlinePool, gpu: FakeCuda) -> None:
    gpu.fails = lambda operation: ERRORS[words]() if operation.name().startswith("aten::addmm") else None
    (end,) = ends(trained(pool))
    assert end.result.outcome is Outcome.OUT_OF_MEMORY
    assert gpu.held == NOTHING


def test_an_error_of_the_device_that_is_none_of_memory_is_a_failure(pool: InlinePool, gpu: FakeCuda) -> None:
    gpu.fails = lambda operation: RuntimeError("CUDA error: device-side assert triggered")
    (end,) = ends(trained(pool))
    assert end.result.outcome is Outcome.FAILED
    assert "device-side assert" in end.result.log


# The probe


def test_the_probe_says_what_fits_and_no_run_needs_more(pool: InlinePool, gpu: FakeCuda) -> None:
    config = wide_run(None).config
    gpu.emptied.clear()
    whole = pool.probe(Probe("wide", config, BATCH))
    assert len(gpu.emptied) >= 2
    assert gpu.emptied[-1] == gpu.held  # what was tried is given back, to who trains beside it
    assert whole.rows == BATCH
    assert whole.savings == Savings(micro_batches=True, gradient_checkpointing=False)
    needed = peak_memory_bytes(torch.device("cuda:0"))
    assert 0.99 * needed < peak(trained(pool)) < needed + RANDOM_STATES
    gpu.capacity = needed - 1
    half = pool.probe(Probe("wide", config, BATCH, is_first=False))
    assert half.rows == BATCH // 2
    assert peak_memory_bytes(torch.device("cuda:0")) <= gpu.capacity
    assert ends(trained(pool, Fit(half.rows)))[0].result.outcome is Outcome.OK


def test_not_one_row_is_an_answer_but_of_a_models_first_probe_an_error(pool: InlinePool, gpu: FakeCuda) -> None:
    config = wide_run(None).config
    gpu.capacity = gpu.held + 16
    answer = pool.probe(Probe("wide", config, BATCH, is_first=False))
    assert answer.rows == 0
    with pytest.raises(TaskError, match=r"Not one row of the longest .* memory of cuda:0 \(CUDA out of memory\)"):
        pool.probe(Probe("wide", config, BATCH))
    gpu.capacity = None
    assert ends(trained(pool))[0].result.outcome is Outcome.OK


@pytest.mark.parametrize("error", [RuntimeError("the model is broken"), TaskError("The model has one layer.")])
def test_a_later_probe_that_fails_is_an_answer_and_the_trial_shows_why(
    error: Exception, pool: InlinePool, gpu: FakeCuda
) -> None:
    config = wide_run(None).config
    gpu.fails = lambda operation: error
    gpu.lost = RuntimeError("CUDA error: unspecified launch failure")  # it says so of all that it is asked from now on
    answer = pool.probe(Probe("wide", config, BATCH, is_first=False))
    assert (answer.rows, answer.savings) == (BATCH, None)
    with pytest.raises(type(error), match=str(error)):
        pool.probe(Probe("wide", config, BATCH))
    gpu.lost = None
    (end,) = ends(trained(pool))
    assert end.result.outcome is Outcome.FAILED and str(error) in end.result.log


def test_a_model_that_cannot_even_be_loaded_for_a_later_probe_has_no_row_that_fits(
    pool: InlinePool, gpu: FakeCuda
) -> None:
    pool._worker._forget_models()
    gpu.capacity = gpu.held
    answer = pool.probe(Probe("wide", wide_run(None).config, BATCH, is_first=False))
    assert (answer.rows, answer.savings) == (0, None)


# A real limit


@pytest.mark.slow
@pytest.mark.long
def test_a_process_survives_a_limit_that_the_system_enforces(launcher: Launcher, tmp_path: Path) -> None:
    """torch raises its own error, and half the rows then train in the same process, three times over."""
    process = launcher.launch("run_out_of_memory", folder=str(tmp_path))
    assert process.wait(240) == 0, process.text()
    assert "survived" in process.text()
