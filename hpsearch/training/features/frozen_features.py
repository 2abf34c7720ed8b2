"""The outputs of a run's frozen layers: computed once, and read for each batch.

They equal what would be computed, bit for bit. Which kernels compute, and so the last bits, depends on the shape of a
batch and on whether it has padding, not on its numbers. So the first batch of each shape is computed as well and
compared; where it differs, batches of this shape are always computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.batches import ROWS_MULTIPLE, evaluation_batches, rows_without_graph
from hpsearch.training.features import NotKeptError
from hpsearch.training.features.bypass import Recording, record
from hpsearch.training.features.store import FeatureEntry
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.random_states import isolated
from hpsearch.training.transfer import batch_to_device, to_device

Shape = tuple[int, tuple[tuple[int, ...], ...], bool]
"""Rows of a batch, the shape of each input behind the rows, and whether it is without padding."""


@dataclass(frozen=True)
class FrozenPart:
    """What features depend on.

    Attributes:
        model: The model of a run, its frozen part frozen.
        learner: Its rows.
        layers: The frozen modules: [embeddings, layer 1, ..., layer k].
        numerics: What the run computes with.
        device: Where.
    """

    model: nn.Module
    learner: Learner
    layers: Sequence[Sequence[nn.Module]]
    numerics: Numerics
    device: torch.device

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray(self.learner.lengths, dtype=np.int64)

    @property
    def has_tokens(self) -> bool:
        """Whether a row has a vector a token, or else one array."""
        return bool(self.lengths.max() > 1)

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        return batch_to_device(self.learner.batch(rows, self.numerics.padding_multiple), self.device)

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        with self.numerics.autocast():
            return self.learner.logits(self.model, batch)

    def without_padding(self, boundary: Tensor, rows: np.ndarray) -> Tensor:
        """Return the output of the last frozen layer, contiguous, with zeros for padding."""
        if not self.has_tokens:
            return boundary.contiguous()
        lengths = self.lengths[rows]
        if boundary.ndim < 2 or boundary.shape[1] < lengths.max():
            raise NotKeptError("its last frozen layer does not return one vector a token")
        is_padding = torch.from_numpy(np.arange(boundary.shape[1]) >= lengths[:, None]).to(boundary.device)
        return boundary.masked_fill(is_padding.reshape(*is_padding.shape, *[1] * (boundary.ndim - 2)), 0.0).contiguous()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Leave modes, buffers and random states as they were."""
        modes = [(module, module.training) for module in self.model.modules()]
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            with isolated(0, self.device):
                yield
        finally:
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


class FrozenFeatures:
    """The features of frozen layers that can be bypassed, to be read once `fill` has ended.

    Attributes:
        vector_bytes: Bytes of a token's features, or of a row's where rows have no tokens.
        blocks: The rows that are computed together: the batches that all rows would be evaluated in.
    """

    def __init__(self, part: FrozenPart, calls: Sequence[nn.Module], boundary: Tensor) -> None:
        """Take the calls of frozen modules in a forward pass, and the output of the last in any batch."""
        self._part, self._calls, self._dtype = part, calls, boundary.dtype
        self._vector_shape = boundary.shape[2 if part.has_tokens else 1 :]
        self.vector_bytes = self._vector_shape.numel() * boundary.dtype.itemsize
        multiple, largest = part.numerics.padding_multiple, rows_without_graph(part.numerics.micro_batch)
        self.blocks = evaluation_batches(part.lengths, multiple, largest)
        self._computed_in: dict[int, Shape] = {}
        for block in self.blocks:  # the longest row first
            shape = self._shape(_filled_up(block), part.learner.batch(block[:1], multiple))
            self._computed_in.update(dict.fromkeys(block.tolist(), shape))
        self._recordings: dict[tuple[bool, Shape, frozenset[Shape]], Recording | None] = {}
        self._entry: FeatureEntry | None = None

    def fill(self, entry: FeatureEntry) -> Iterator[None]:
        """Compute what is missing of an entry, a block an item, and read from it henceforth."""
        part = self._part
        for block in entry.missing():
            rows = self.blocks[block]
            with part.undisturbed(), torch.no_grad():
                part.model.eval()
                boundary = self._record(part.batch(_filled_up(rows)))[1][: len(rows)]
                vectors = part.without_padding(boundary, rows).cpu()
            if (boundary.shape[2 if part.has_tokens else 1 :], boundary.dtype) != (self._vector_shape, self._dtype):
                raise NotKeptError("the shape of its last frozen layer's output depends on the batch")
            vectors = vectors if part.has_tokens else vectors[:, None]
            entry.write(block, [row[:length] for row, length in zip(vectors, part.lengths[rows], strict=True)])
            yield
        self._entry = entry

    def logits(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the model's outputs for a batch, bitwise those of computing the frozen layers."""
        part, shape = self._part, self._shape(rows, batch)
        case = part.model.training, shape, frozenset(self._computed_in[row] for row in rows.tolist())
        if case not in self._recordings:
            self._recordings[case] = self._compared(rows, batch)
        recording = self._recordings[case]
        if recording is None:
            return part.logits(batch)
        with recording.bypass(to_device(self._read(rows, recording), part.device)):
            return part.logits(batch)

    def _shape(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Shape:
        """Return the shape of a batch of rows, from its inputs or those of its longest row."""
        inputs = tuple(tuple(tensor.shape[1:]) for tensor in batch.values())
        shortest, longest = int(self._part.lengths[rows].min()), int(self._part.lengths[rows].max())
        return len(rows), inputs, shortest == longest and any(shape[:1] == (longest,) for shape in inputs)

    def _compared(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Recording | None:
        """Compute the frozen layers of a batch; return their recording if the features equal it in every bit."""
        try:
            with isolated(0, self._part.device):
                recording, boundary = self._record(batch)
            computed = self._part.without_padding(boundary, rows).cpu()
        except NotKeptError:
            return None
        read = self._read(rows, recording)
        return recording if torch.equal(_bits(read), _bits(computed)) else None

    def _record(self, batch: Mapping[str, Tensor]) -> tuple[Recording, Tensor]:
        return record(self._calls, lambda: self._part.logits(batch), self._part.device)

    def _read(self, rows: np.ndarray, recording: Recording) -> Tensor:
        assert self._entry is not None
        width = recording.shape[1] if self._part.has_tokens else 1
        return self._entry.read(rows, width).view(self._dtype).view(recording.shape)


def _filled_up(rows: np.ndarray) -> np.ndarray:
    """Return rows as they are evaluated: a multiple of `ROWS_MULTIPLE`, the last one repeated."""
    return np.pad(rows, (0, -len(rows) % ROWS_MULTIPLE), mode="edge")


def _bits(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes: equal bits, unlike equal numbers, tell 0 from -0 and know NaN."""
    return tensor.view(-1).view(torch.uint8)
