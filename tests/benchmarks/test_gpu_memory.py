"""The probe's forecast, on a pretended GPU whose memory is counted."""

import re
from pathlib import Path

import pytest
from fake_cuda import fake_cuda

from benchmarks.gpu_check import Bench, quiet
from benchmarks.gpu_memory import forecasts


@pytest.mark.filterwarnings("ignore:.*torch.distributed.*")
def test_a_probe_says_what_a_run_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches and parts, checkpointed and frozen: within 15%, and in the order that one expects."""
    with fake_cuda(monkeypatch), quiet():
        check = forecasts(Bench(tmp_path, "cuda"))
    assert check.holds
    whole, parts, checkpointed, frozen = (int(peak) for peak in re.findall(r"(\d+) and", check.text))
    assert parts < checkpointed < whole
    assert parts < frozen < whole
