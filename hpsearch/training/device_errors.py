"""Errors of a GPU: whether the trial is to blame or the device, and which of them no process outlives.

After most of these errors CUDA answers every later call of the process with the same one ("sticky" errors: pytorch
issues 2300 and 17425, cuml pull request 7954), so a worker that met one is replaced. The texts are those of
`cudaGetErrorString`, which torch puts behind "CUDA error: " ("HIP error: " on AMD's GPUs) and raises as
`torch.AcceleratorError` (pytorch pull request 152023), or as a plain RuntimeError where a library or an extension
raises it (pull request 169385). What they mean: CUDA Runtime API, "Data types used by CUDA Runtime", `cudaError`; and
NVIDIA's "Xid Errors". Seen in the wild: pytorch issues 100691 (busy or unavailable), sglang issues 3204 and 9151 and
vllm issue 5222 (ECC: broken hardware, or gone after a reboot), MinerU issue 426 (launch failure: a broken GPU).
"""

import enum
import re

from hpsearch.training.memory import EXHAUSTED


class Blame(enum.Enum):
    """Who is to blame for an error of a device.

    TRIAL: its own numbers, as an index out of range: it would raise again wherever it is trained.
    UNCLEAR: a kernel that reads or writes where it may not. Mostly that is the kernel's mistake (NVIDIA's Xid 13 and
        31), which comes again; broken memory does the same. To try again in a new process tells.
    DEVICE: the hardware, its driver or its connection. Launch failures are among them: the text for everything that
        has no text of its own.
    """

    TRIAL = "trial"
    UNCLEAR = "unclear"
    DEVICE = "device"


BLAMES: dict[str, Blame] = {
    "unspecified launch failure": Blame.DEVICE,  # 719
    "uncorrectable ecc error": Blame.DEVICE,  # 214
    "uncorrectable nvlink error": Blame.DEVICE,  # 220
    "over nvlink or a hardware error": Blame.DEVICE,  # 721
    "hardware stack error": Blame.DEVICE,  # 714
    "busy or unavailable": Blame.DEVICE,  # 46
    "no cuda-capable device is detected": Blame.DEVICE,  # 100, of a GPU that "has fallen off the bus" (Xid 79)
    "no rocm-capable device is detected": Blame.DEVICE,
    "no cuda gpus are available": Blame.DEVICE,  # torch's own words for the same
    "no hip gpus are available": Blame.DEVICE,
    "system not yet initialized": Blame.DEVICE,  # 802
    "unknown error": Blame.DEVICE,  # 999
    "an illegal memory access": Blame.UNCLEAR,  # 700
    "the launch timed out": Blame.UNCLEAR,  # 702
    "an illegal instruction": Blame.UNCLEAR,  # 715
    "misaligned address": Blame.UNCLEAR,  # 716
    "operation not supported on global/shared address space": Blame.UNCLEAR,  # 717
    "invalid program counter": Blame.UNCLEAR,  # 718
    "status_execution_failed": Blame.UNCLEAR,  # cuBLAS's, cuDNN's and hipBLAS's word for any of these
    "status_internal_error": Blame.UNCLEAR,
    "device-side assert": Blame.TRIAL,  # 710
}
"""Part of an error's text, in small letters, to who is to blame. Any other error of a device is the trial's."""

_OF_A_DEVICE = re.compile(r"\b(cuda|hip)( driver)? error\b|\bcudnn error\b|\bno (cuda|hip) gpus are available\b")


def blame(error: BaseException) -> Blame | None:
    """Return who is to blame for an error of the device that `error` is, or comes from; None where it is none.

    Failed allocations are none: the process goes on after them.
    """
    blamed = None
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, RuntimeError):
            blamed = _of_text(str(cause).lower()) or blamed  # the first that was raised says what happened
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return blamed


def _of_text(text: str) -> Blame | None:
    if not _OF_A_DEVICE.search(text) or any(part in text for part in EXHAUSTED):
        return None
    return next((blamed for part, blamed in BLAMES.items() if part in text), Blame.TRIAL)
