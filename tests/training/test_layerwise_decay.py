"""Layer-wise decay of the learning rate: the head at the full rate, each layer below at a share of the one above."""

from typing import Any

import pytest
import torch
from training_learners import BertLearner, TextLearner, assert_resumes_after_every_step, fine_tune

PARTS = {
    "classifier.weight": 1.0,
    "pooler.weight": 1.0,
    "layers.1.inner.weight": 0.5,
    "layers.0.inner.weight": 0.25,
    "words.weight": 0.125,
}
"""Parameters of two layers and embeddings, and the share of the learning rate that each has at a decay of 0.5."""

PLAIN: dict[str, Any] = {"optimizer": "sgd", "sgd_momentum": 0.0, "weight_decay": 0.0, "warmup_ratio": 0.0}


def moved(**config: Any) -> dict[str, torch.Tensor]:
    """Return how far a step of plain SGD moves each parameter."""
    run = fine_tune(TextLearner(), {**PLAIN, **config, "max_grad_norm": None})
    before = {name: item.detach().clone() for name, item in run.model.named_parameters()}
    next(iter(run.advance(1)))
    return {name: item.detach() - before[name] for name, item in run.model.named_parameters()}


@pytest.mark.parametrize("freeze_layers", [0, 1])
def test_each_layer_moves_by_its_share(freeze_layers: int) -> None:
    plain, decayed = (moved(freeze_layers=freeze_layers, layerwise_lr_decay=decay) for decay in (1.0, 0.5))
    frozen = {"layers.0.inner.weight", "words.weight"} if freeze_layers else set()
    for name, share in PARTS.items():
        assert bool(plain[name].any()) == (name not in frozen)
        torch.testing.assert_close(decayed[name], share * plain[name], rtol=1e-3, atol=1e-6)


def test_the_whole_model_has_a_share_and_a_decay_of_one_is_none() -> None:
    def shares(decay: float) -> dict[float, int]:
        groups = fine_tune(BertLearner(), {"layerwise_lr_decay": decay})._state.optimizer.param_groups
        found: dict[float, int] = {}
        for group in groups:
            found[group["lr_share"]] = found.get(group["lr_share"], 0) + len(group["params"])
        return found

    assert shares(0.5) == {1.0: 4, 0.5: 16, 0.25: 16, 0.125: 5}
    assert shares(1.0) == {1.0: 41}


def test_it_resumes_to_the_bit() -> None:
    assert_resumes_after_every_step("bert", {"layerwise_lr_decay": 0.8}, "fp32")
