"""The base of all runs of a worker: pretrained weights read once, and one model that is reset in place for each run."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.learner import Learner
from hpsearch.training.random_states import isolated, stream_seed


class BaseModel:
    """The pretrained weights, on the CPU, and one model on the device that every run of the worker trains in turn.

    Attributes:
        learner: What the model is for.
        device: Where the model computes.
        model: The model; it belongs to the latest caller of `fresh`.
        head: Names of the parameters that are not pretrained: those that `Learner.initialize_head` draws.
        generation: How often `fresh` was called; a fine-tune of an earlier generation has lost its model.
        features: Where runs find the outputs of their frozen layers; None to compute them for each batch.
    """

    def __init__(self, learner: Learner, device: torch.device | str, features: FeatureCache | None = None) -> None:
        self.learner = learner
        self.device = torch.device(device)
        self.generation = 0
        self.features = features
        with isolated(0):
            self._template = learner.load_model().cpu()
        self._trainable = {name: parameter.requires_grad for name, parameter in self._template.named_parameters()}
        self.model: nn.Module = copy.deepcopy(self._template).to(self.device)
        self.head = self._find_head()

    @torch.no_grad()
    def _find_head(self) -> frozenset[str]:
        """Return the names of the parameters that the learner draws: those that it fills after all are NaN."""
        floating = {name: item for name, item in self._template.named_parameters() if item.is_floating_point()}
        for parameter in floating.values():
            parameter.fill_(torch.nan)
        with isolated(0):
            self.learner.initialize_head(self._template)
        head = frozenset(name for name, parameter in floating.items() if not bool(parameter.isnan().any()))
        pretrained = dict(self.model.named_parameters())
        for name, parameter in floating.items():
            if name not in head:
                parameter.copy_(pretrained[name])
        return head

    @torch.no_grad()
    def fresh(self, config: Mapping[str, Any], seed: int) -> nn.Module:
        """Return the model as it was loaded, its head drawn from `seed`, and set up as `config` says.

        The head is drawn on the CPU, so that one seed means one head on every device. Whatever an earlier run left
        (weights, buffers, gradients, frozen parameters, dropout) is undone.
        """
        self.generation += 1
        with isolated(stream_seed(seed, "head")):
            self.learner.initialize_head(self._template)
        for (name, pristine), parameter in zip(self._template.named_parameters(), self.model.parameters(), strict=True):
            parameter.copy_(pristine)
            parameter.grad = None
            parameter.requires_grad_(self._trainable[name])
        for original, buffer in zip(self._template.buffers(), self.model.buffers(), strict=True):
            buffer.copy_(original)
        self.learner.configure(self.model, config)
        return self.model

    def pristine_buffers(self) -> dict[str, Tensor]:
        """Return the buffers as they were loaded, on the CPU, by name."""
        return dict(self._template.named_buffers())
