"""The checks of LoRA, tried on the CPU with a tiny model."""

from pathlib import Path

import pytest

from benchmarks.gpu_check import quiet
from benchmarks.gpu_language import language


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
def test_the_checks_of_lora_can_be_made(tmp_path: Path) -> None:
    with quiet():
        paused, memory, beside = language(tmp_path, "cpu")
    assert paused.holds and memory.holds
    assert "tokens a second" in beside.text and beside.holds is None
