"""Errors of a device, as torch words them, and who is blamed for each."""

import pytest
import torch

from hpsearch.errors import TaskError
from hpsearch.training.device_errors import BLAMES, Blame, blame

ADVICE = """
Search for `{name}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
"""What torch 2.13 says below each of them."""

TEXTS: dict[str, Blame] = {
    "CUDA error: unspecified launch failure": Blame.DEVICE,
    "HIP error: unspecified launch failure": Blame.DEVICE,
    "CUDA error: uncorrectable ECC error encountered": Blame.DEVICE,
    "CUDA error: uncorrectable NVLink error detected during the execution": Blame.DEVICE,
    "CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error": Blame.DEVICE,
    "CUDA error: hardware stack error": Blame.DEVICE,
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable": Blame.DEVICE,
    "CUDA error: all CUDA-capable devices are busy or unavailable": Blame.DEVICE,
    "CUDA error: no CUDA-capable device is detected": Blame.DEVICE,
    "HIP error: no ROCm-capable device is detected": Blame.DEVICE,
    "No CUDA GPUs are available": Blame.DEVICE,
    "No HIP GPUs are available": Blame.DEVICE,
    "CUDA error: system not yet initialized": Blame.DEVICE,
    "CUDA error: unknown error": Blame.DEVICE,
    "CUDA driver error: unknown error": Blame.DEVICE,
    "CUDA error: an illegal memory access was encountered": Blame.UNCLEAR,
    "CUDA error: the launch timed out and was terminated": Blame.UNCLEAR,
    "CUDA error: an illegal instruction was encountered": Blame.UNCLEAR,
    "CUDA error: misaligned address": Blame.UNCLEAR,
    "CUDA error: operation not supported on global/shared address space": Blame.UNCLEAR,
    "CUDA error: invalid program counter": Blame.UNCLEAR,
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`": Blame.UNCLEAR,
    "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasCreate(handle)`": Blame.UNCLEAR,
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": Blame.UNCLEAR,
    "CUDA error: device-side assert triggered": Blame.TRIAL,
    "CUDA error: no kernel image is available for execution on the device": Blame.TRIAL,
    "CUDA error: invalid configuration argument": Blame.TRIAL,
}

OTHERS = (
    "CUDA error: out of memory",
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "the model is broken: unknown error",
    "mat1 and mat2 shapes cannot be multiplied (8x6 and 7x3)",
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_each_error_of_a_device_has_somebody_to_blame(text: str, kind: type[RuntimeError]) -> None:
    assert blame(kind(text)) is TEXTS[text]
    assert blame(kind(text + ADVICE.format(name="cudaErrorOfThisName"))) is TEXTS[text]


@pytest.mark.parametrize("text", OTHERS)
def test_memory_that_runs_out_and_other_errors_are_none_of_the_devices(text: str) -> None:
    assert blame(RuntimeError(text)) is None
    assert blame(torch.OutOfMemoryError(text)) is None


def test_only_a_runtime_error_is_one() -> None:
    assert blame(ValueError("CUDA error: unspecified launch failure")) is None


def test_an_error_raised_from_one_of_the_device_is_one() -> None:
    first = torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered")
    raised = []
    try:
        try:
            raise first
        except RuntimeError as error:
            raise TaskError("The model cannot be used.") from error
    except TaskError as error:
        raised.append(error)
    try:
        try:
            raise first
        except RuntimeError:
            raise KeyError("x")  # noqa: B904  # as a user's code does it
    except KeyError as error:
        raised.append(error)
    assert [blame(error) for error in raised] == [Blame.DEVICE] * 2
    hidden = ValueError("no device here")
    hidden.__context__, hidden.__suppress_context__ = first, True
    assert blame(hidden) is None


def test_what_was_raised_first_says_what_happened() -> None:
    """Every later call says that something is wrong, sometimes in other words."""
    later = RuntimeError("CUDA error: unknown error")
    later.__context__ = torch.AcceleratorError("CUDA error: device-side assert triggered")
    assert blame(later) is Blame.TRIAL


def test_every_line_of_the_table_is_a_text_that_was_tried() -> None:
    tried = "\n".join(TEXTS).lower()
    assert all(part in tried for part in BLAMES)
