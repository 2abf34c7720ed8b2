"""Outputs of frozen layers, computed once for all runs, folds, epochs and workers of a machine.

A run computes the same numbers with them as without, bit for bit. A batch's shape, and whether it has padding, decide
which kernels compute, and so the last bits. So the first batch of each shape is computed as well and compared; where it
differs, batches of this shape are always computed. Models whose frozen layers cannot be bypassed compute all batches,
and a warning says why.
"""

import logging
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.records.digest import digest
from hpsearch.training.batches import evaluation_batches, filled_up, rows_without_graph
from hpsearch.training.features import NotKeptError
from hpsearch.training.features.bypass import FrozenPart, Recording, record
from hpsearch.training.features.store import FeatureEntry, FeatureStore
from hpsearch.training.numerics import same_bits
from hpsearch.training.random_states import isolated
from hpsearch.training.to_device import to_device

logger = logging.getLogger("hpsearch")

FORMAT = 3
"""Part of every entry's digest. Raise it when entries are filled or laid out in another way."""

Shape = tuple[int, tuple[tuple[int, ...], ...], bool]
"""Rows of a batch, the shape of each input behind the rows, and whether it is without padding."""


class FeatureCache:
    """Gives the runs of one base model, of which one trains at a time, the features of their frozen layers."""

    entry: FeatureEntry
    """The latest run's. Earlier ones are released: their room may be needed."""

    def __init__(self, store: FeatureStore, identity: Sequence[Any]) -> None:
        """Take a machine's store, and digests of the model and the rows (as JSON takes them)."""
        self._store, self._identity = store, list(identity)
        self._tried: dict[str, FrozenFeatures | None] = {}
        self._compared: set[str] = set()

    def features(self, part: FrozenPart, head: Collection[str]) -> Generator[None, None, "FrozenFeatures | None"]:
        """Compute what is missing of the features, a block an item; return them, or None where they are not kept.

        Random states, modes and buffers are the same before and after each item; leaving between two loses nothing
        that was computed. `head` names the parameters that are drawn for each run.
        """
        names = {module: name for name, module in part.model.named_modules()}
        paths = [[names[module] for module in layer] for layer in part.layers]
        numerics = replace(part.numerics, gradient_checkpointing=False)  # it does not change what frozen layers compute
        key = digest([FORMAT, self._identity, paths, numerics.to_dict()])
        trained = [name for name, parameter in part.model.named_parameters() if parameter.requires_grad]
        setting = digest([key, trained, repr(_settings(part.model))])
        if len(part.layers) < 2 or (setting in self._tried and self._tried[setting] is None):
            return None
        try:
            features = self._tried.get(setting) or FrozenFeatures(self, part, *part.try_bypass(head))
            self._tried[setting] = features
            self.entry = self._store.entry(key, part.lengths, features.vector_bytes, features.blocks)
            self._compare(key)
            yield from features.fill()
        except (NotKeptError, OSError) as error:
            self._tried[setting] = features = None
            reason = str(error) if isinstance(error, NotKeptError) else f"its files cannot be used ({error})"
            logger.warning("The outputs of frozen layers are computed for each batch, not kept: %s.", reason)
        return features

    def _compare(self, key: str) -> None:
        """Compare an entry with its checksums, once for each process and model."""
        if key not in self._compared and (damaged := self.entry.forget_damaged()):
            logger.warning(
                "%d of %d parts of the kept outputs of frozen layers (%s) are not what was written. They are computed "
                "anew; check the disk.",
                damaged,
                len(self.entry.states),
                self._store.folder / key,
            )
        self._compared.add(key)


def _settings(model: nn.Module) -> list[Any]:
    """Return what a model's modules hold as attributes: dropout is one, and of it only whether there is any."""
    return [
        [path, name, value != 0 if isinstance(value, float) else value]
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]


class FrozenFeatures:
    """The features of frozen layers, computed in the batches of an evaluation, to be read once `fill` has ended."""

    def __init__(self, cache: FeatureCache, part: FrozenPart, calls: Sequence[nn.Module], vectors: Tensor) -> None:
        """Take the calls of frozen modules in a forward pass, and the vectors of any batch."""
        self._cache, self._part, self._calls = cache, part, calls
        self._vector_shape, self._dtype = vectors.shape[2:], vectors.dtype
        self.vector_bytes = self._vector_shape.numel() * self._dtype.itemsize
        multiple, largest = part.numerics.padding_multiple, rows_without_graph(part.numerics.micro_batch)
        self.blocks = evaluation_batches(part.lengths, multiple, largest)
        self._computed_in: dict[int, Shape] = {}
        for block in self.blocks:  # the longest row first
            shape = self._shape(filled_up(block), part.learner.batch(block[:1], multiple))
            self._computed_in.update(dict.fromkeys(block.tolist(), shape))
        self._recordings: dict[tuple[bool, Shape, frozenset[Shape]], Recording | None] = {}

    def fill(self) -> Iterator[None]:
        """Compute what is missing of the cache's entry, a block an item."""
        part, entry = self._part, self._cache.entry
        for block in entry.missing():
            rows = self.blocks[block]
            part.model.eval()
            with torch.no_grad():
                _, vectors = self._computed(filled_up(rows), part.batch(filled_up(rows)))
            part.freezing.train(part.model)
            entry.write(block, [row[:length] for row, length in zip(vectors, part.lengths[rows], strict=False)])
            yield

    def outputs(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the model's outputs for a batch, bitwise those of computing the frozen layers."""
        part, shape = self._part, self._shape(rows, batch)
        case = part.model.training, shape, frozenset(self._computed_in[row] for row in rows.tolist())
        if case not in self._recordings:
            self._recordings[case] = self._compared(rows, batch)
        recording = self._recordings[case]
        if recording is None:
            return part.outputs(batch)
        width = recording.shape.numel() // (len(rows) * self._vector_shape.numel())
        features = self._cache.entry.read(rows, width).view(self._dtype).view(recording.shape)
        with recording.bypass(to_device(features, part.device)):
            return part.outputs(batch)

    def _shape(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Shape:
        """Return the shape of a batch of rows, from its inputs or those of its longest row."""
        inputs = tuple(tuple(tensor.shape[1:]) for tensor in batch.values())
        shortest, longest = int(self._part.lengths[rows].min()), int(self._part.lengths[rows].max())
        return len(rows), inputs, shortest == longest and any(shape[:1] == (longest,) for shape in inputs)

    def _compared(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Recording | None:
        """Compute the frozen layers of a batch; return their recording if the features equal it in every bit."""
        try:
            recording, computed = self._computed(rows, batch)
        except NotKeptError:
            return None
        read = self._cache.entry.read(rows, computed.shape[1])
        return recording if same_bits(read.view(self._dtype).view(computed.shape), computed) else None

    def _computed(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> tuple[Recording, Tensor]:
        with isolated(0, self._part.device):
            recording, boundary = record(self._calls, lambda: self._part.outputs(batch), self._part.device)
        vectors = self._part.vectors(boundary, rows).cpu()
        if (vectors.shape[2:], vectors.dtype) != (self._vector_shape, self._dtype):
            raise NotKeptError("the shape of its last frozen layer's output depends on the batch")
        return recording, vectors
