"""Outputs of frozen layers, computed once for all runs, folds, epochs and workers of a machine.

A run computes the same numbers with them as without, bit for bit. Whether a model's frozen layers can be bypassed is
tried once, before anything is kept; what is read is compared for each shape of a batch (`frozen_features`). Models whose
frozen layers cannot be bypassed compute them for each batch, and a warning says why.
"""

import logging
from collections.abc import Collection, Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.records.keys import digest
from hpsearch.training.features import NotKeptError
from hpsearch.training.features.bypass import find_calls, record
from hpsearch.training.features.frozen_features import FrozenFeatures, FrozenPart
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.random_states import current_states, isolated
from hpsearch.training.transfer import to_device

logger = logging.getLogger("hpsearch")

FORMAT = 2
"""Part of every entry's digest. Raise it when entries are filled or laid out in another way."""

TRIED_ROWS = 8
"""Rows of the batch that a bypass is tried on."""


class FeatureCache:
    """Gives the runs of one base model the features of their frozen layers."""

    def __init__(self, store: FeatureStore, identity: Sequence[Any]) -> None:
        """Take a store for one model and one set of rows.

        Args:
            store: Where features are, shared by all studies and workers of a machine.
            identity: All that features depend on besides the numerics and the frozen layers: the digests of the model
                and of the rows, as JSON takes them.
        """
        self._store, self._identity = store, list(identity)
        self._tried: dict[str, FrozenFeatures | str] = {}
        self._warned: set[str] = set()

    def features(self, part: FrozenPart, head: Collection[str]) -> Generator[None, None, FrozenFeatures | None]:
        """Compute what is missing of the features, a block an item; return them, or None where they are not kept.

        Random states, modes and buffers are the same before and after each item. Whoever leaves between two items
        loses nothing that was computed.

        Args:
            part: The frozen part of a run, its model in train mode.
            head: Names of the parameters that are drawn for each run.
        """
        if len(part.layers) < 2:
            return None
        try:
            features = self._features(part, head)
            entry = self._store.entry(self._key(part), part.lengths, features.vector_bytes, features.blocks)
            yield from features.fill(entry)
            return features
        except NotKeptError as error:
            reason = str(error)
        except OSError as error:
            reason = f"its files cannot be used ({error})"
        warning = f"The outputs of {len(part.layers) - 1} frozen layers are computed for each batch, not kept: {reason}."
        if warning not in self._warned:
            self._warned.add(warning)
            logger.warning("%s", warning)
        return None

    def _features(self, part: FrozenPart, head: Collection[str]) -> FrozenFeatures:
        """Return the features of these layers: tried once for each setting of the model."""
        trained = [name for name, parameter in part.model.named_parameters() if parameter.requires_grad]
        key = digest([self._key(part), trained, repr(_settings(part.model))])
        if key not in self._tried:
            try:
                self._tried[key] = _tried(part, head)
            except NotKeptError as error:
                self._tried[key] = str(error)
        tried = self._tried[key]
        if isinstance(tried, str):
            raise NotKeptError(tried)
        return tried

    def _key(self, part: FrozenPart) -> str:
        names = {module: name for name, module in part.model.named_modules()}
        paths = [[names[module] for module in layer] for layer in part.layers]
        return digest([FORMAT, self._identity, paths, part.numerics.to_dict()])


def _settings(model: nn.Module) -> list[Any]:
    """Return what a model's modules hold as attributes: dropout is one, and of it only whether there is any."""
    return [
        [path, name, value != 0 if isinstance(value, float) else value]
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]


def _tried(part: FrozenPart, head: Collection[str]) -> FrozenFeatures:
    """Bypass the frozen layers in a batch of rows of many lengths.

    What is computed before the first layer may be read above, too (a table of relative positions). So where not
    everything can be bypassed, the embeddings run.

    Raises:
        NotKeptError: Something changes.
    """
    if not getattr(part.learner, "inputs_are_fixed", False):
        raise NotKeptError("its inputs are not the same whenever a row comes up")
    frozen = {id(parameter) for layer in part.layers for module in layer for parameter in module.parameters()}
    for name, parameter in part.model.named_parameters():
        if name in head and id(parameter) in frozen:
            raise NotKeptError(f"{name!r} in its frozen layers is drawn anew for every run")
    order = np.argsort(part.lengths, kind="stable")
    count = min(TRIED_ROWS, part.numerics.micro_batch or TRIED_ROWS)
    rows = order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]
    for bypassed in (part.layers, part.layers[1:]):
        try:
            with part.undisturbed():
                return _exact_features(part, {module for layer in bypassed for module in layer}, rows)
        except NotKeptError as error:
            reason = error
    raise reason


def _exact_features(part: FrozenPart, modules: Collection[nn.Module], rows: np.ndarray) -> FrozenFeatures:
    """Bypass frozen modules in one batch, in train and in eval mode; NotKeptError where anything changes."""
    batch, targets = part.batch(rows), to_device(part.learner.targets(rows), part.device)
    with torch.no_grad():
        calls = find_calls(modules, lambda: part.logits(batch))
        if not calls or all(calls[-1] is not module for layer in part.layers[1:] for module in layer):
            raise NotKeptError("its frozen layers are not called after its embeddings")
        recording, boundary = record(calls, lambda: part.logits(batch), part.device)
    if len(boundary) != len(rows):
        raise NotKeptError("its last frozen layer does not return a row for each of the batch")
    features = part.without_padding(boundary, rows)

    def outcome(trained: Sequence[nn.Parameter]) -> tuple[list[Tensor | None], tuple[Any, ...]]:
        """Return logits and gradients, and the random states after them."""
        with isolated(1, part.device), torch.set_grad_enabled(bool(trained)):
            logits = part.logits(batch)
            loss = part.learner.losses(logits.float(), targets, 0.0).sum()
            gradients = torch.autograd.grad(loss, trained, allow_unused=True) if trained else ()
            return [logits.detach(), *gradients], current_states(part.device)

    for trained in ([parameter for parameter in part.model.parameters() if parameter.requires_grad], []):
        if not trained:
            part.model.eval()
        computed, states = outcome(trained)
        try:
            with recording.bypass(features.clone()):  # what comes above may compute in place
                read, states_after_reading = outcome(trained)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, StopIteration) as error:  # a model may check what it is given
            raise NotKeptError(f"its forward pass fails without them ({error})") from error
        if states != states_after_reading or not all(map(_are_equal, computed, read)):
            raise NotKeptError("more than the output of its last frozen layer is read above it, padding included")
    return FrozenFeatures(part, calls, boundary)


def _are_equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)
