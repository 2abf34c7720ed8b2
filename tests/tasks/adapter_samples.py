"""Tiny models with adapters, and runs of them, as the fine-tune trains them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tasks_samples import image_arrays, review_rows
from torch import nn
from training_learners import CPU, fine_tune, numerics

import hpsearch as hp
from hpsearch.training.adapters import held_in
from hpsearch.training.base_model import BaseModel
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.fine_tune import FineTune

ROWS = 24
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"lora_r": 4, "lora_dropout": 0.1},
    "query,value": {"lora_r": 2, "lora_target_modules": "query,value", "freeze_layers": 1},
    "rslora": {"lora_r": 3, "lora_variant": "rslora", "lora_alpha": 4},
    "dora": {"lora_r": 2, "lora_variant": "dora"},
}


def text_task(folder: Path, **changed: Any) -> hp.TextClassification:
    return hp.TextClassification(folder, train=review_rows(ROWS, classes=3), **changed)


def image_task(folder: Path) -> hp.ImageClassification:
    return hp.ImageClassification(folder, train=image_arrays(ROWS))


def learner_of(task: Any, cache: Path) -> Any:
    return task.learner(task.prepare(cache))


def base_of(
    learner: Any, precision: str = "fp32", *, features: FeatureCache | None = None, adapters: bool = True
) -> BaseModel:
    """Return a base model as a worker holds it for runs with adapters."""
    held = held_in(learner, {"lora_r": 1 if adapters else None}, numerics(precision))
    return BaseModel(learner, CPU, features, held_in=held)


def run_of(base: BaseModel, config: dict[str, Any], precision: str = "fp32", **others: Any) -> FineTune:
    return fine_tune(base.learner, config, base=base, computing=numerics(precision), **others)  # type: ignore[arg-type]


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def pixels_and_numbers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    images, _ = image_arrays(rows, seed=seed)
    return images, images.astype(np.float64).mean(axis=(1, 2, 3)) / 50.0
