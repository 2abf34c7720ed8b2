import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
import torch

from hpsearch.errors import NumericsError
from hpsearch.runtime.refit import honoured
from hpsearch.training.numerics import (
    Numerics,
    detect_environment,
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
    assert found["versions"]["torch"] == torch.__version__
    assert set(found["versions"]) == {"python", "torch", "transformers", "tokenizers", "numpy", "scikit-learn"}
    assert found["versions"]["scikit-learn"] == version("scikit-learn")


@pytest.mark.parametrize(
    ("native", "asked", "precision"),
    [(True, "auto", "bf16"), (False, "auto", "fp32"), (True, "fp32", "fp32"), (False, "bf16", "bf16")],
)
def test_automatic_precision_is_bf16_only_where_it_is_native(native: bool, asked: str, precision: str) -> None:
    environment = {**detect_environment("cpu"), "bf16": native}
    assert resolve_numerics(environment, asked).precision == precision


def test_determinism_is_free_on_a_cpu_and_asked_for_on_a_gpu() -> None:
    environment = detect_environment("cpu")
    gpu = {**environment, "device_type": "cuda", "device_model": "NVIDIA H100"}
    assert resolve_numerics(environment).deterministic
    assert not resolve_numerics(gpu).deterministic
    assert resolve_numerics(gpu, deterministic=True).deterministic


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "fp16"},
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


def test_autocast_computes_in_bf16_over_weights_in_fp32() -> None:
    layer = torch.nn.Linear(4, 4)
    rows = torch.ones(2, 4)
    with Numerics(precision="bf16").autocast():
        assert layer(rows).dtype == torch.bfloat16
    with Numerics(precision="fp32").autocast():
        assert layer(rows).dtype == torch.float32
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
