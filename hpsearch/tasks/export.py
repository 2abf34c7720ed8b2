"""A fine-tuned model on disk, as `from_pretrained` and `pipeline` of transformers read it."""

from pathlib import Path
from typing import Any

from torch import nn

from hpsearch.tasks.pretrained import quiet


def save_model(model: nn.Module, processor: Any, folder: Path) -> None:
    """Write config (with the names of the labels), weights (safetensors) and the tokenizer or image processor."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    saved: Any = model
    with quiet():
        saved.save_pretrained(target, safe_serialization=True)
        processor.save_pretrained(target)
