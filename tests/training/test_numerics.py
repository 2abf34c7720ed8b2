import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
import torch

from hpsearch.errors import NumericsError, UsageError
from hpsearch.records import Fit
from hpsearch.runtime.refit import honoured
from hpsearch.training.numerics import (
    Numerics,
    automatic_precision,
    detect_environment,
    device_of,
    fast_precisions,
    honour,
    kept_flags,
    probe_micro_batch,
    resolve_numerics,
)


@pytest.fixture(autouse=True)
def _flags() -> Iterator[None]:
    """Put the process's flags back as they were."""
    with kept_flags():
        yield


def test_every_flag_is_put_back() -> None:
    def flags() -> list[Any]:
        cudnn = torch.backends.cudnn
        return [
            torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(), torch.utils.deterministic.fill_uninitialized_memory,
            cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark,
            os.environ.get("TORCHINDUCTOR_DETERMINISTIC"),
        ]  # fmt: skip

    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("high")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False
    before = flags()
    numerics = resolve_numerics(detect_environment("cpu"), deterministic=False)
    with honoured(numerics, torch.device("cpu")):
        assert sum(mine != theirs for mine, theirs in zip(flags(), before, strict=True)) >= 6
    assert flags() == before


def test_what_is_stored_is_what_was_resolved() -> None:
    numerics = resolve_numerics(detect_environment("cpu"))
    assert Numerics.from_dict(json.loads(json.dumps(numerics.to_dict()))) == numerics


def test_the_environment_says_what_the_machine_is() -> None:
    found = detect_environment("cpu")
    assert found["device_type"] == "cpu"
    assert found["device_model"].startswith(torch.backends.cpu.get_cpu_capability())
    assert found["bf16"] == ("bf16" in found["device_model"])
    assert not found["fp16"]
    assert found["versions"]["torch"] == torch.__version__
    assert set(found["versions"]) == {"python", "torch", "transformers", "tokenizers", "numpy", "scikit-learn"}
    assert found["versions"]["scikit-learn"] == version("scikit-learn")


@pytest.mark.parametrize(
    ("bf16", "fp16", "asked", "precision"),
    [
        (True, False, "auto", "bf16"),
        (False, True, "auto", "fp16"),
        (False, False, "auto", "fp32"),
        (True, False, "fp32", "fp32"),
        (False, True, "fp32", "fp32"),
        (False, False, "bf16", "bf16"),
        (False, False, "fp16", "fp16"),
    ],
)
def test_automatic_precision_is_what_is_native(bf16: bool, fp16: bool, asked: str, precision: str) -> None:
    environment = {**detect_environment("cpu"), "bf16": bf16, "fp16": fp16}
    assert resolve_numerics(environment, asked).precision == precision


@pytest.mark.parametrize(
    ("model", "capability", "precision"),
    [
        ("NVIDIA H200", (9, 0), "bf16"),
        ("NVIDIA A100-SXM4-40GB", (8, 0), "bf16"),
        ("AMD Instinct MI300X", (9, 4), "bf16"),
        ("Tesla T4", (7, 5), "fp16"),
        ("Tesla V100-SXM2-16GB", (7, 0), "fp16"),
        ("NVIDIA TITAN V", (7, 0), "fp16"),
        ("NVIDIA GeForce RTX 2080 Ti", (7, 5), "fp16"),
        ("Quadro RTX 6000", (7, 5), "fp16"),
        ("NVIDIA GeForce GTX 1660 Ti", (7, 5), "fp32"),
        ("NVIDIA T1000 8GB", (7, 5), "fp32"),
        ("NVIDIA GeForce MX450", (7, 5), "fp32"),
        ("Tesla P100-PCIE-16GB", (6, 0), "fp32"),
        ("Tesla K80", (3, 7), "fp32"),
    ],
)
def test_a_gpu_has_the_precision_of_its_tensor_cores(model: str, capability: tuple[int, int], precision: str) -> None:
    bf16, fp16 = fast_precisions(model, capability)
    assert automatic_precision({"bf16": bf16, "fp16": fp16}) == precision


def test_loss_scaling_is_not_offered_on_an_apple_gpu() -> None:
    apple = {**detect_environment("cpu"), "device_type": "mps", "bf16": False, "fp16": False}
    assert resolve_numerics(apple).precision == "fp32"
    with pytest.raises(UsageError, match=r"precision='fp16' is for CUDA GPUs.*give precision='auto'"):
        resolve_numerics(apple, "fp16")


def test_a_study_is_refitted_on_a_gpu_of_its_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA numbers the fastest first, and workers by the bus: in this process its first GPU may be another's."""
    assert device_of(resolve_numerics(detect_environment("cpu"))) == torch.device("cpu")
    names = ["NVIDIA H200", "Tesla T4", "Tesla T4"]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    for model, index in (("Tesla T4", 1), ("NVIDIA H200", 0), ("Tesla V100", 0)):
        assert device_of(Numerics(device_type="cuda", device_model=model)) == torch.device("cuda", index)


def test_determinism_is_free_on_a_cpu_and_asked_for_on_a_gpu() -> None:
    environment = detect_environment("cpu")
    gpu = {**environment, "device_type": "cuda", "device_model": "NVIDIA H100"}
    assert resolve_numerics(environment).deterministic
    assert not resolve_numerics(gpu).deterministic
    assert resolve_numerics(gpu, deterministic=True).deterministic


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "fp8"},
        {"micro_batch": 0},
        {"threads": 1.5},
        {"padding_multiple": 0},
        {"training_padding_multiple": 0},
        {"device_type": "tpu"},
    ],
)
def test_numerics_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(NumericsError, match=f"{name}={wrong[name]!r}"):
        replace(Numerics(), **wrong)


def test_without_gradient_checkpointing_keys_are_as_they_were_before_there_was_any() -> None:
    plain = resolve_numerics(detect_environment("cpu"))
    assert "gradient_checkpointing" not in plain.to_dict()
    assert plain.for_fit(None) is plain
    assert plain.for_fit(Fit()) == plain
    fitted = replace(plain, micro_batch=16).for_fit(Fit(micro_batch=4, gradient_checkpointing=True))
    assert (fitted.micro_batch, fitted.gradient_checkpointing) == (4, True)
    assert fitted.to_dict() == {**plain.to_dict(), "micro_batch": 4, "gradient_checkpointing": True}
    for each in (plain, fitted):
        assert Numerics.from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_gradient_checkpointing_is_on_or_off() -> None:
    with pytest.raises(NumericsError, match="gradient_checkpointing='yes' must be True or False"):
        Numerics(gradient_checkpointing="yes")  # type: ignore[arg-type]


def test_stored_numerics_of_another_form_are_refused() -> None:
    stored = Numerics().to_dict()
    del stored["attention"]
    with pytest.raises(NumericsError, match="written by another version"):
        Numerics.from_dict(stored)


def test_honouring_sets_the_process() -> None:
    numerics = resolve_numerics(detect_environment("cpu"), threads=2)
    torch.set_float32_matmul_precision("medium")
    honour(numerics, "cpu")
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    honour(replace(numerics, deterministic=False, threads=1), "cpu")
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_every_difference_is_named_and_nothing_is_set() -> None:
    here = resolve_numerics(detect_environment("cpu"))
    there = replace(
        here,
        device_type="cuda",
        device_model="NVIDIA H100",
        versions={**here.versions, "torch": "2.0.0", "apex": "1.0"},
        threads=2,
    )
    torch.set_num_threads(1)
    with pytest.raises(NumericsError) as caught:
        honour(there, "cpu")
    message = str(caught.value)
    assert "device_type is 'cpu' here and 'cuda' there" in message
    assert f"device_model is {here.device_model!r} here and 'NVIDIA H100' there" in message
    assert f"torch is {torch.__version__} here and 2.0.0 there" in message
    assert "apex is absent here and 1.0 there" in message
    assert "python" not in message
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_autocast_computes_in_the_precision_over_weights_in_fp32(precision: Any, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(4, 4)
    with Numerics(precision=precision).autocast():
        assert layer(torch.ones(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("largest", "fits", "found", "tried"),
    [(32, 100, 32, [32]), (32, 9, 8, [32, 16, 8]), (24, 5, 3, [24, 12, 6, 3]), (5, 1, 1, [5, 3, 2, 1]), (1, 1, 1, [1])],
)
def test_the_probe_halves_until_it_fits(largest: int, fits: int, found: int, tried: list[int]) -> None:
    attempts = []

    def try_batch(rows: int) -> None:
        attempts.append(rows)
        if rows > fits:
            raise torch.OutOfMemoryError(f"{rows} rows")

    assert probe_micro_batch(try_batch, largest) == found
    assert attempts == tried


def test_a_probe_that_not_one_row_passes_is_out_of_memory() -> None:
    def try_batch(rows: int) -> None:
        raise torch.OutOfMemoryError(f"{rows} rows")

    with pytest.raises(torch.OutOfMemoryError, match="1 rows"):
        probe_micro_batch(try_batch, 4)


def test_other_errors_of_a_probe_are_not_taken_for_memory() -> None:
    def try_batch(rows: int) -> None:
        raise ValueError(f"{rows} rows")

    with pytest.raises(ValueError, match="4 rows"):
        probe_micro_batch(try_batch, 4)
