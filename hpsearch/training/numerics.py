"""Numerics: all that a run's last bits depend on besides its config and data, resolved once and then kept to."""

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import torch

from hpsearch.errors import NumericsError, UsageError
from hpsearch.provenance.packages import installed_versions
from hpsearch.records import Fit

Precision = Literal["fp32", "bf16", "fp16"]
DeviceType = Literal["cpu", "cuda", "mps"]

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")
"""The values under which cuBLAS repeats itself (NVIDIA, cuBLAS documentation, "Results reproducibility")."""

COMPILER_DETERMINISTIC = "TORCHINDUCTOR_DETERMINISTIC"

BF16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
"""CPU flags with which bf16 is faster than fp32; without them it is slower."""

FP16_MAX = torch.finfo(torch.float16).max

WITHOUT_TENSOR_CORES = re.compile(r"GTX|MX\d{3}|\bT(400|500|550|600|1000|1200|2000)\b")
"""Names of the GPUs of capability 7.5 that have no tensor cores (NVIDIA's chips TU116 and TU117)."""

TENSOR_CORE_MULTIPLE = 8
"""What the sizes of a matrix product in bf16 or fp16 are to be multiples of on a GPU (NVIDIA, "Deep Learning
Performance: Matrix Multiplication", section on tensor cores)."""


@dataclass(frozen=True)
class Numerics:
    """What a run's numbers are computed with: bitwise the same within one value of this, on a CPU and, with
    `deterministic`, on a GPU.

    Attributes:
        precision: "fp32"; "bf16": autocast over master weights in fp32; "fp16": the same, with the loss scaled.
        micro_batch: Rows that pass through the model at once, at most; None for the whole batch.
        attention: The model's attention kernel, by transformers' name.
        padding_multiple: What rows are padded to a multiple of, in tokens, where outputs of a row must not depend
            on the rows beside it: in evaluation, and where layers are frozen. At 16, scaled-dot-product attention on a
            CPU gives a row the same features in every batch.
        training_padding_multiple: The same for training where nothing is frozen. A step's rows are the same whenever
            it is trained, so this is what is fast: no padding on a CPU, the tensor cores' multiple on a GPU.
        threads: Threads of one worker.
        deterministic: Whether only deterministic algorithms are used.
        device_type: "cpu", "cuda" or "mps".
        device_model: CPU: its instruction set as torch uses it, with its bf16 flags. GPU: its name.
        versions: Versions of Python and of the packages in `hpsearch.provenance.packages.VERSIONED`.
        gradient_checkpointing: Whether layers are computed again in the backward pass instead of kept.
    """

    precision: Precision = "fp32"
    micro_batch: int | None = None
    attention: str = "sdpa"
    padding_multiple: int = 16
    training_padding_multiple: int = 1
    threads: int = 1
    deterministic: bool = True
    device_type: DeviceType = "cpu"
    device_model: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("precision", get_args(Precision)), ("device_type", get_args(DeviceType))):
            if getattr(self, name) not in choices:
                raise NumericsError(f"The numerics' {name}={getattr(self, name)!r} is unknown; use one of {choices}.")
        for name in ("micro_batch", "padding_multiple", "training_padding_multiple", "threads"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise NumericsError(f"The numerics' {name}={value!r} must be a whole number from 1.")
        if type(self.gradient_checkpointing) is not bool:
            raise NumericsError(
                f"The numerics' gradient_checkpointing={self.gradient_checkpointing!r} must be True or False."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict, part of every run's key: without `gradient_checkpointing` where there is none, as
        keys were before there was any.
        """
        values = {**asdict(self), "versions": dict(self.versions)}
        if not self.gradient_checkpointing:
            del values["gradient_checkpointing"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Numerics":
        """Return what `to_dict` was made of; `NumericsError` where something is missing or unknown."""
        names = {item.name for item in fields(cls)}
        if set(values) | {"gradient_checkpointing"} != names:
            raise NumericsError(
                f"The stored numerics name {sorted(values)}, and not {sorted(names)}: they were written by another "
                "version of hpsearch; start a new study."
            )
        return cls(**values)

    def for_fit(self, fit: Fit | None) -> "Numerics":
        """Return the numerics of a run that is trained so; None: as these say."""
        return self if fit is None else replace(self, **fit.to_dict())

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which the model's forward pass computes in this precision."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device_type, dtype=dtype)


def detect_environment(device: torch.device | str) -> dict[str, Any]:
    """Return device_type, device_model and versions as in `Numerics`, and whether bf16 is native, so worth using, and
    fp16 where it is not.
    """
    device = torch.device(device)
    bf16 = fp16 = False
    if device.type == "cuda":
        _deterministic_workspace()  # looking at a GPU initializes it, and then it is too late
        model = torch.cuda.get_device_name(device)
        bf16, fp16 = fast_precisions(model, torch.cuda.get_device_capability(device))
    elif device.type == "mps":
        model = f"{platform.machine()} {platform.mac_ver()[0]}"
    else:
        capabilities = torch.cpu.get_capabilities()
        flags = [flag for flag in BF16_CPU_FLAGS if capabilities.get(flag)]
        model, bf16 = " ".join([torch.backends.cpu.get_cpu_capability(), *flags]), bool(flags)
    versions = installed_versions()
    return {"device_type": device.type, "device_model": model, "versions": versions, "bf16": bf16, "fp16": fp16}


def fast_precisions(model: str, capability: tuple[int, int]) -> tuple[bool, bool]:
    """Return whether a CUDA device of this name and capability has bf16, and whether it has tensor cores for fp16 only.

    Those are the chips Volta (V100: 7.0) and Turing (T4: 7.5).
    """
    has_bf16 = capability >= (8, 0)
    return has_bf16, not has_bf16 and capability >= (7, 0) and not WITHOUT_TENSOR_CORES.search(model)


def automatic_precision(environment: Mapping[str, Any]) -> Precision:
    """Return what "auto" stands for in an environment that `detect_environment` describes."""
    return "bf16" if environment["bf16"] else "fp16" if environment["fp16"] else "fp32"


def resolve_numerics(
    environment: Mapping[str, Any],
    precision: str = "auto",
    *,
    deterministic: bool | None = None,
    threads: int = 1,
    micro_batch: int | None = None,
    attention: str = "sdpa",
) -> Numerics:
    """Return the numerics of a study that starts in an `environment`, described by `detect_environment`.

    Besides what `Numerics` has, `precision` may be "auto": bf16 where it is native, fp16 on GPUs whose tensor cores
    have that alone, fp32 elsewhere. `deterministic` is by default True on a CPU, where it costs nothing, and False on
    a GPU.

    Raises:
        UsageError: It is fp16 on an Apple GPU.
    """
    if precision == "auto":
        precision = automatic_precision(environment)
    if precision == "fp16" and environment["device_type"] == "mps":
        raise UsageError(
            "precision='fp16' is for CUDA GPUs, and this study would train on an Apple GPU, where its loss scaling has "
            "not been tried: give precision='auto'."
        )
    return Numerics(
        precision=precision,  # type: ignore[arg-type]  # checked by Numerics itself
        micro_batch=micro_batch,
        attention=attention,
        training_padding_multiple=TENSOR_CORE_MULTIPLE if environment["device_type"] == "cuda" else 1,
        threads=threads,
        deterministic=environment["device_type"] == "cpu" if deterministic is None else deterministic,
        device_type=environment["device_type"],
        device_model=environment["device_model"],
        versions=dict(environment["versions"]),
    )


def device_of(numerics: Numerics) -> torch.device:
    """Return this process's device: the first GPU of the numerics' model, or GPU 0 if there is none."""
    if numerics.device_type != "cuda":
        return torch.device(numerics.device_type)
    _deterministic_workspace()
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return torch.device("cuda", names.index(numerics.device_model) if numerics.device_model in names else 0)


def honour(numerics: Numerics, device: torch.device | str) -> None:
    """Set this process to compute with `numerics` on `device`; `NumericsError` names each reason why it cannot."""
    device = torch.device(device)
    # First: looking at a GPU initializes it, and then the variable is not read again.
    repeats_itself = device.type != "cuda" or not numerics.deterministic or _deterministic_workspace()
    environment = detect_environment(device)
    differences = [
        f"{name} is {environment[name]!r} here and {getattr(numerics, name)!r} there"
        for name in ("device_type", "device_model")
        if environment[name] != getattr(numerics, name)
    ]
    for package in sorted({*environment["versions"], *numerics.versions}):
        here = environment["versions"].get(package, "absent")
        there = numerics.versions.get(package, "absent")
        if here != there:
            differences.append(f"{package} is {here} here and {there} there")
    if not repeats_itself:
        differences.append(
            f"{CUBLAS_WORKSPACE} is {os.environ.get(CUBLAS_WORKSPACE)!r}, and must be one of "
            f"{DETERMINISTIC_WORKSPACES} before the GPU is first used"
        )
    if differences:
        raise NumericsError(
            f"This process cannot compute what the study promises: {'; '.join(differences)}. Run it where it was "
            "started, with the same versions, or start a new study here."
        )
    _set_flags(numerics)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same bits; unlike equal numbers, equal bits tell 0 from -0 and know NaN."""
    return torch.equal(*(tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)))


def _deterministic_workspace() -> bool:
    """Return whether cuBLAS will repeat itself, setting the variable where it is not yet too late."""
    if CUBLAS_WORKSPACE not in os.environ and not torch.cuda.is_initialized():
        os.environ[CUBLAS_WORKSPACE] = DETERMINISTIC_WORKSPACES[0]
    return os.environ.get(CUBLAS_WORKSPACE) in DETERMINISTIC_WORKSPACES


def _set_flags(numerics: Numerics) -> None:
    torch.set_num_threads(numerics.threads)
    _set_deterministic(numerics.deterministic)
    # Filling fresh memory with NaN finds bugs and changes no number of a correct program; it costs a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    # "fp32" means fp32: neither TF32 nor bf16 passes may stand in for it.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = numerics.deterministic
    # It chooses algorithms by timing them, so the choice depends on what else runs.
    torch.backends.cudnn.benchmark = False


def _set_deterministic(deterministic: bool, *, only_warns: bool = False) -> None:
    """Do what `torch.use_deterministic_algorithms` does, without importing torch's compiler, which takes over a second.

    The compiler reads the variable if a model imports it later.
    """
    os.environ[COMPILER_DETERMINISTIC] = "1" if deterministic else "0"
    if "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
    else:
        torch.set_deterministic_debug_mode(("warn" if only_warns else "error") if deterministic else "default")


@contextmanager
def kept_flags() -> Iterator[None]:
    """Put all that `honour` sets in this process back as it was when the block ends.

    But for CUBLAS_WORKSPACE_CONFIG, which CUDA reads once.
    """
    compiler = os.environ.get(COMPILER_DETERMINISTIC)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in ("allow_tf32", "deterministic", "benchmark")}
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _set_deterministic(deterministic, only_warns=only_warns)
        del os.environ[COMPILER_DETERMINISTIC]
        if compiler is not None:
            os.environ[COMPILER_DETERMINISTIC] = compiler
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision(precision)
        for name, value in flags.items():
            setattr(cudnn, name, value)


def probe_micro_batch(try_batch: Callable[[int], None], largest: int) -> int:
    """Return the most rows, `largest` or a halving of it, that `try_batch` gets through without running out of memory.

    It begins at `largest`, the largest batch size of the search.

    Raises:
        torch.OutOfMemoryError: Not even one row fits.
    """
    rows = largest
    while True:
        try:
            try_batch(rows)
            return rows
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        # Outside the handler: the failed attempt's tensors hang on its traceback.
        rows = (rows + 1) // 2
