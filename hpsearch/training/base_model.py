"""The base of all runs of a worker: pretrained weights read once, and one model that is reset in place for each run."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.adapters import adapters_of, held_parameters, taken_out_on_failure
from hpsearch.training.checksums import checksums
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.freezing import Freezing, frozen_layers
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.learner import Learner
from hpsearch.training.memory import memory_errors
from hpsearch.training.random_states import isolated, stream_seed
from hpsearch.training.to_device import batch_to_device

_PADDING = 16


class BaseModel:
    """One model on the device, which every run of the worker trains in turn, and what makes it new for the next.

    That is as little as can be: copies of what the latest run trains, and a template with parameters of its own where
    the learner draws them. All other parameters are in memory once, on the device.

    Attributes:
        learner: What the model is for.
        device: Where the model computes.
        model: The model; it belongs to the latest caller of `fresh`.
        head: Names of the parameters that are not pretrained: those that `Learner.initialize_head` draws.
        generation: How often `fresh` was called; a fine-tune of an earlier generation has lost its model.
        features: Where runs find the outputs of their frozen layers; None to compute them for each batch.
        has_adapters: Whether the latest run trains adapters, and leaves the pretrained weights as they are.
    """

    def __init__(
        self,
        learner: Learner,
        device: torch.device | str,
        features: FeatureCache | None = None,
        *,
        held_in: torch.dtype | None = None,
    ) -> None:
        """Load a learner's model; `held_in` is what its pretrained matrices are rounded to, if no run trains them."""
        self.learner = learner
        self.device = torch.device(device)
        self.generation = 0
        self.features = features
        self.has_adapters = False
        self._adapters = adapters_of(learner)
        with isolated(0):
            self.model: nn.Module = learner.load_model()
        self._parameters: dict[str, nn.Parameter] = dict(self.model.named_parameters())
        self._trainable = {name: parameter.requires_grad for name, parameter in self._parameters.items()}
        unknown: dict[int, Any] = {id(parameter): _unknown(parameter) for parameter in self.model.parameters()}
        template = copy.deepcopy(self.model, unknown).cpu()
        self.head, drawn = self._find_head(template)
        self._held_in = held_in
        self._rounded = () if held_in is None else held_parameters(self.model, drawn)
        _move(self.model, self.device, {id(self._parameters[name]): held_in for name in self._rounded})
        self._template = self._sharing(template, drawn)
        self._drawn = {name: item for name, item in self._template.named_parameters() if name in drawn}
        self._layers: Sequence[Sequence[nn.Module]] | None = None
        self._refusals: dict[frozenset[str], bool] = {}
        self._pristine: dict[str, Tensor] = {}
        pretrained = {name: item for name, item in self._parameters.items() if name not in drawn}
        self._checksums = checksums(pretrained)  # before anything is put through the model, which may write to itself

    @torch.no_grad()
    def _find_head(self, template: nn.Module) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of the parameters that the learner draws, and of those of which it draws any part.

        They are found by what is left of NaN, which stays where nothing is drawn.
        """
        floating = {name: item for name, item in template.named_parameters() if item.is_floating_point()}
        with isolated(0):
            self.learner.initialize_head(template)
        head, drawn = set(), set()
        for name, parameter in floating.items():
            is_unknown = parameter.isnan()
            if not bool(is_unknown.all()):
                drawn.add(name)
                if bool(is_unknown.any()):
                    parameter.copy_(self._parameters[name])
                else:
                    head.add(name)
        return frozenset(head), frozenset(drawn)

    def _sharing(self, template: nn.Module, drawn: frozenset[str]) -> nn.Module:
        """Return a copy of a template that shares all parameters but those drawn with the model on the device."""
        names = {name: parameter for name, parameter in template.named_parameters() if name not in drawn}
        shared: dict[int, Any] = {id(parameter): self._parameters[name] for name, parameter in names.items()}
        return copy.deepcopy(template, shared)

    @torch.no_grad()
    def fresh(self, config: Mapping[str, Any], seed: int) -> nn.Module:
        """Return the model as it was loaded, its head and adapters drawn from `seed`, and set up as `config` says.

        They are drawn on the CPU, so that one seed means one head on every device. Whatever an earlier run left
        (weights, buffers, gradients, adapters, frozen parameters, dropout) is undone. Call `before_training` before any
        row goes through the model.
        """
        adapters = self._adapters if self._adapters is not None and self._adapters.wanted(config) else None
        frozen = self._frozen(config) if adapters is not None else ()
        self.generation += 1
        if self._adapters is not None:
            self._adapters.take_out(self.model)
        self._parameters = dict(self.model.named_parameters())  # the model may have put others in their places
        self._restore()
        with isolated(stream_seed(seed, "head")):
            self.learner.initialize_head(self._template)
        for name, drawn in self._drawn.items():
            self._parameters[name].copy_(drawn)
        for name, parameter in self._parameters.items():
            parameter.grad = None
            parameter.requires_grad_(self._trainable[name])
        for original, buffer in zip(self._template.buffers(), self.model.buffers(), strict=True):
            buffer.copy_(original)
        self.learner.configure(self.model, config)
        self.has_adapters = adapters is not None
        if adapters is not None:
            with taken_out_on_failure(adapters, self.model), isolated(stream_seed(seed, "adapters")):
                adapters.put_in(self.model, config, frozen)
        return self.model

    def _frozen(self, config: Mapping[str, Any]) -> Sequence[nn.Module]:
        """Return the modules that a config freezes, before there are adapters in the model."""
        freeze_layers = TrainingSettings.of(config).freeze_layers
        layers = frozen_layers(self.layers(), freeze_layers) if freeze_layers else ()
        return [module for layer in layers for module in layer]

    @torch.no_grad()
    def in_float32(self) -> nn.Module:
        """Return the model, as it is, with the pretrained weights read anew where they were rounded.

        It is for its latest run only: no other can follow.
        """
        if self._rounded:
            with isolated(0):
                loaded = dict(self.learner.load_model().named_parameters())
            for name in self._rounded:
                self._parameters[name].data = loaded[name].data.to(self.device, copy=True)
        return self.model

    @torch.no_grad()
    def before_training(self, trained: Iterable[str]) -> None:
        """Copy the parameters of these names, which the model's owner is about to train; drop copies of others."""
        names = [name for name in trained if name not in self._drawn and name in self._parameters]  # no adapters
        self._pristine = {name: self._pristine[name] for name in names if name in self._pristine}
        for name in names:
            if name not in self._pristine:
                self._pristine[name] = self._parameters[name].to("cpu", copy=True)

    def _restore(self) -> None:
        """Undo what was trained, and read again what was changed without being trained: models may do anything."""
        for name, pristine in self._pristine.items():
            self._parameters[name].copy_(pristine)
        untrained = self._checksums.keys() - self._pristine.keys()
        found = checksums({name: self._parameters[name] for name in untrained})
        changed = [name for name, checksum in found.items() if checksum != self._checksums[name]]
        if changed:
            with isolated(0):
                loaded = dict(self.learner.load_model().named_parameters())
            for name in changed:
                self._parameters[name].copy_(loaded[name])

    def layers(self) -> Sequence[Sequence[nn.Module]]:
        """Return `Learner.layers` of the model, found once.

        A row goes through the model for it. Call `fresh` afterwards, so that no run begins with what that row changed.
        """
        if self._layers is None:
            self.fresh({}, 0)
            with isolated(0, self.device), self._computing():
                self._layers = self.learner.layers(self.model)
        return self._layers

    @torch.no_grad()
    def refuses_single_rows(self, freezing: Freezing) -> bool:
        """Return whether the model, ready for a run and frozen so, takes two rows in training, but not one.

        It is tried once for all runs that freeze the same. What a row changes in the buffers is undone.
        """
        if freezing.names not in self._refusals:
            freezing.train(self.model)
            with isolated(0, self.device):
                self._refusals[freezing.names] = not self._takes(1) and self._takes(2)
            for original, buffer in zip(self._template.buffers(), self.model.buffers(), strict=True):
                buffer.copy_(original)
        return self._refusals[freezing.names]

    def _takes(self, rows: int) -> bool:
        try:
            with memory_errors():
                batch = batch_to_device(self.learner.batch(np.arange(rows), _PADDING), self.device)
                with self._computing():
                    return len(self.learner.outputs(self.model, batch)) == rows
        except torch.OutOfMemoryError:  # which says nothing of the model
            raise
        except (ValueError, RuntimeError, IndexError, TypeError):
            return False

    def _computing(self) -> AbstractContextManager[Any]:
        """Return a context in which rounded weights can be computed with."""
        if self._held_in is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._held_in)

    def pristine_buffers(self) -> dict[str, Tensor]:
        """Return the buffers as they were loaded, on the CPU, by name."""
        return dict(self._template.named_buffers())


@torch.no_grad()
def _move(model: nn.Module, device: torch.device, held: Mapping[int, torch.dtype | None]) -> None:
    """Move a model to a device, into memory of its own: what is loaded may lie in a file, aligned in another way.

    It is done tensor by tensor, so that nowhere is there another whole one. `held` has the types, by the parameters'
    ids, of those that are rounded: on the device they are never whole.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device, held.get(id(parameter)) or parameter.dtype, copy=True)
    for buffer in model.buffers():
        buffer.data = buffer.data.clone()
    model.to(device)


def _unknown(parameter: nn.Parameter) -> nn.Parameter:
    """Return a parameter on the CPU that is NaN everywhere; of whole numbers a copy."""
    if parameter.is_floating_point():
        values = torch.full_like(parameter, torch.nan, device="cpu")
    else:
        values = parameter.detach().to("cpu", copy=True)
    return nn.Parameter(values, parameter.requires_grad)
