"""Outputs of frozen layers, computed once for all runs, folds, epochs and workers of a machine.

What a run computes with them equals what it computes without, bit for bit. That nothing changes when the layers are
left out is tried, once for each model and number of layers (`stack_trials`); that what is read is what would have been
computed is verified for each size of a batch (`frozen_features`). Where the first fails, the cache steps aside, with a
line in the log that says why.
"""

import logging
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.errors import StoreError
from hpsearch.records.keys import digest
from hpsearch.training.features.filling import Below, companies, fill, layout_of
from hpsearch.training.features.frozen_features import FrozenFeatures, Verified
from hpsearch.training.features.frozen_part import FrozenPart, TriedStack
from hpsearch.training.features.output_templates import NotExactError, Size
from hpsearch.training.features.stack_trials import Trial, find_stack
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.transfer import to_device

logger = logging.getLogger("hpsearch")

FORMAT = 1
"""Part of every entry's digest: to be raised when entries are filled in another way."""

TRIED_ROWS = 8
"""Rows of the batch that a stack is tried on."""


class FeatureCache:
    """Gives runs of one base model the features of their frozen layers.

    Attributes:
        store: Where they lie.
    """

    def __init__(
        self, store: FeatureStore, identity: Sequence[Any], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Take a store for one model and one set of rows.

        Args:
            store: Where features lie, shared by all studies and workers of a machine.
            identity: All that features depend on besides the numerics and the number of frozen layers: the digests of
                the model and of the rows, as JSON takes them.
            clock: Seconds, for what pays.
        """
        self.store = store
        self._identity = list(identity)
        self._clock = clock
        self._tried: dict[str, TriedStack | NotExactError] = {}
        self._verified: dict[str, Verified] = {}
        self._declined: set[str] = set()
        self._said: set[str] = set()

    def features(
        self,
        model: nn.Module,
        learner: Learner,
        layers: Sequence[Sequence[nn.Module]],
        *,
        head: Collection[str],
        numerics: Numerics,
        device: torch.device,
    ) -> Generator[None, None, FrozenFeatures | None]:
        """Find the features of all rows, and compute what is missing, a block an item; None where that is not to be.

        The features are what the generator returns. Whatever happens here, random states and buffers stay as they
        were, at each item and at the end, and who leaves between two items loses nothing that was computed.

        Args:
            model: The model as a run has it, its frozen part frozen.
            learner: Its rows.
            layers: The frozen modules: [embeddings, layer 1, ..., layer k].
            head: Names of the parameters that are drawn for each run.
            numerics: What the run computes with.
            device: Where.
        """
        frozen = FrozenPart(model, learner, numerics, device)
        count = len(layers) - 1
        if count < 1:
            return None
        try:
            self._check(frozen, layers, head)
            tried = self._try(frozen, layers)
            return (yield from self._filled(frozen, layers, tried))
        except NotExactError as error:
            self._step_aside(count, str(error), logging.WARNING)
        except (OSError, StoreError) as error:
            self._step_aside(count, f"its files cannot be used ({error})", logging.WARNING)
        return None

    def _check(self, frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]], head: Collection[str]) -> None:
        if not getattr(frozen.learner, "inputs_are_fixed", False):
            raise NotExactError("its inputs are not the same whenever a row comes up")
        inside = {id(parameter) for layer in layers for module in layer for parameter in module.parameters()}
        drawn = [name for name, item in frozen.model.named_parameters() if id(item) in inside and name in head]
        if drawn:
            raise NotExactError(f"{drawn[0]!r} in its frozen layers is drawn anew for every run")

    def _try(self, frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]]) -> TriedStack:
        """Return the stack of these layers, tried once for each setting of the model."""
        trained = [name for name, parameter in frozen.model.named_parameters() if parameter.requires_grad]
        key = digest([len(layers), trained, frozen.numerics.to_dict(), repr(_settings(frozen.model))])
        if key not in self._tried:
            try:
                self._tried[key] = _tried(frozen, layers)
            except NotExactError as error:
                self._tried[key] = error
        found = self._tried[key]
        if isinstance(found, NotExactError):
            raise NotExactError(str(found))
        return found

    def _filled(
        self, frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]], tried: TriedStack
    ) -> Generator[None, None, FrozenFeatures | None]:
        layout, key = layout_of(frozen, tried.stack), self._key(frozen, layers)
        if key in self._declined:
            return None
        entry = self.store.find(key, layout.counts, layout.blocks)
        if entry is not None and entry.layout.facts() != layout.facts():
            self.store.remove(key)
            entry = None
        entry = entry or self.store.make(key, layout)
        if entry is None:
            needed, budget = layout.nbytes / 2**20, self.store.budget / 2**20
            reason = f"they need {needed:,.1f} MiB, and feature_cache_bytes allows {budget:,.1f}"
            if needed <= budget:
                reason = "their files cannot be opened, or another process has taken their room"
            self._step_aside(len(layers) - 1, reason, logging.WARNING if budget else logging.INFO)
            return None
        if not entry.is_complete:
            pays = yield from fill(frozen, tried, entry, self._below(frozen, layers), self._clock)
            if not pays:
                self._declined.add(key)
                self.store.remove(key)
                return None
        if key not in self._verified:
            self._verified[key] = Verified.noted(companies(frozen, layout), entry.notes())
        return FrozenFeatures(frozen, tried, entry, self._verified[key])

    def _key(self, frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]]) -> str:
        names = {module: name for name, module in frozen.model.named_modules()}
        paths = [[names[module] for module in layer] for layer in layers]
        return digest([FORMAT, self._identity, paths, frozen.numerics.to_dict()])

    def _below(self, frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]]) -> Below | None:
        """Return the whole entry of the most layers below these, if there is one: this one begins where it ends."""
        kept = self.store.entries()
        for count in range(len(layers) - 1, 1, -1):
            fewer = layers[:count]
            key = self._key(frozen, fewer)
            if key not in kept:
                continue
            try:
                tried = self._try(frozen, fewer)
                layout = layout_of(frozen, tried.stack)
            except NotExactError:
                continue
            entry = self.store.find(key, layout.counts, layout.blocks)
            if entry is not None and entry.is_complete and entry.layout.facts() == layout.facts():
                return tried, entry
        return None

    def _step_aside(self, count: int, reason: str, level: int) -> None:
        line = f"The outputs of {count} frozen layers are computed for each batch, not kept: {reason}."
        if line not in self._said:
            self._said.add(line)
            logger.log(level, "%s", line)


def _tried(frozen: FrozenPart, layers: Sequence[Sequence[nn.Module]]) -> TriedStack:
    """Try to leave layers out, on rows of many lengths."""
    order = np.argsort(frozen.lengths, kind="stable")
    rows = min(TRIED_ROWS, frozen.numerics.micro_batch or TRIED_ROWS)
    spread = order[np.linspace(0, len(order) - 1, rows).round().astype(np.int64)]
    shortest = np.resize(order, rows // 2 + 1 if rows > 2 else 3 - rows)
    trials, sides = [], []
    for chosen in (spread, shortest):
        batch = frozen.batch(chosen)
        width = frozen.width(chosen, batch)
        left = width is not None and _is_padded_left(frozen, chosen, batch, width)
        real = None if width is None else frozen.real(chosen, width, left=left)
        trials.append(Trial(Size(len(chosen), width), real, *_passes(frozen, chosen, batch)))
        sides.append(left)
    return TriedStack(find_stack(frozen.model, layers, trials, frozen.device), any(sides))


def _passes(
    frozen: FrozenPart, rows: np.ndarray, batch: Mapping[str, Tensor]
) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    targets = to_device(frozen.learner.targets(rows), frozen.device)
    return lambda: frozen.logits(batch), lambda logits: frozen.learner.losses(logits, targets, 0.0)


def _is_padded_left(frozen: FrozenPart, rows: np.ndarray, batch: Mapping[str, Tensor], width: int) -> bool:
    mask = batch.get("attention_mask")
    if mask is None or mask.shape != (len(rows), width):
        return False
    return not torch.equal(mask.cpu() != 0, frozen.real(rows, width, left=False))


def _settings(model: nn.Module) -> list[Any]:
    """Return what a model's modules hold as attributes: dropout is one, and of it only whether there is any."""
    return [
        [path, name, value != 0 if isinstance(value, float) else value]
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]
