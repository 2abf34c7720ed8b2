"""Filling the cache: the outputs of frozen layers for all rows, computed in the batches they would be evaluated in."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from hpsearch.training.batches import ROWS_MULTIPLE, evaluation_batches, rows_without_graph
from hpsearch.training.features.frozen_part import Company, FrozenPart, TriedStack, bits_of
from hpsearch.training.features.frozen_stack import FrozenStack
from hpsearch.training.features.output_templates import NotExactError, Size
from hpsearch.training.features.store import DTYPES, FeatureEntry, Layout
from hpsearch.training.random_states import isolated
from hpsearch.training.transfer import to_device

logger = logging.getLogger("hpsearch")

Below = tuple[TriedStack, FeatureEntry]
"""The stack of fewer layers, and their features."""

HICCUP_SECONDS = 0.05
"""Reading that takes less in all is not held against the cache: it may be the scheduler of a busy machine."""


def fill(
    frozen: FrozenPart, tried: TriedStack, entry: FeatureEntry, below: Below | None, clock: Callable[[], float]
) -> Generator[None, None, bool]:
    """Compute what is missing of an entry, a block an item; return False, before its end, where reading takes longer.

    Longer than computing, and than `HICCUP_SECONDS` in all; what begins from fewer layers' features is always kept.

    Between two items it can be left for good: what has been computed stays, and the next to fill the entry goes on.

    Args:
        frozen: What computes.
        tried: The stack whose features they are.
        entry: Where they are written.
        below: Features of fewer layers, to begin from.
        clock: Seconds.
    """
    blocks, computing, reading, pays = 0, 0.0, 0.0, True
    if below is not None:
        with _evaluating(frozen):
            if not _is_same_from(frozen, tried, below, entry.layout.blocks[-1][-ROWS_MULTIPLE:]):
                below = None
    for block in entry.missing():
        rows = entry.layout.blocks[block]
        with _evaluating(frozen):
            started = clock()
            vectors = _computed(frozen, tried, rows, below)
            computing += clock() - started
            entry.write(block, vectors)
            times = 2 if below is None else 1  # where it decides, twice: one of the two may be disturbed
            reading += min(_seconds_to_read(frozen, entry, rows, clock) for _ in range(times))
        blocks += 1
        if not (pays := below is not None or reading <= max(computing, HICCUP_SECONDS)):
            break
        yield
    logger.info(
        "The outputs of frozen layers (%d modules) for %d rows take %.1f MiB: %d of %d blocks were computed here%s in "
        "%.2f s and are read in %.2f s%s.",
        len(tried.stack.modules), len(entry.layout.counts), entry.layout.nbytes / 2**20,
        blocks, len(entry.layout.blocks), "" if below is None else " from those of fewer layers", computing, reading,
        "" if pays else "; so they are not kept, and computed for each batch",
    )  # fmt: skip
    return pays


@contextmanager
def _evaluating(frozen: FrozenPart) -> Iterator[None]:
    """Have the model evaluate in a block, and leave its modules' modes and the random states as they were."""
    modes = [(module, module.training) for module in frozen.model.modules()]
    frozen.model.eval()
    try:
        with torch.no_grad(), isolated(0, frozen.device):
            yield
    finally:
        for module, training in modes:
            module.training = training


def _seconds_to_read(frozen: FrozenPart, entry: FeatureEntry, rows: np.ndarray, clock: Callable[[], float]) -> float:
    """Read a block as a batch does, and return how long that takes."""
    started = clock()
    width = None if entry.layout.counts.max() <= 1 else int(entry.layout.counts[rows].max())
    to_device(entry.read(rows, width), frozen.device)
    if frozen.device.type == "cuda":
        torch.cuda.synchronize(frozen.device)
    return clock() - started


def layout_of(frozen: FrozenPart, stack: FrozenStack) -> Layout:
    """Return how features lie on the disk: computed in the batches that all rows would be evaluated in."""
    numerics, boundary = frozen.numerics, stack.boundary
    shape = boundary.shape[2:] if stack.is_ragged else boundary.shape[1:]
    name = str(boundary.dtype).removeprefix("torch.")
    if name not in DTYPES or not all(isinstance(size, int) for size in shape):
        raise NotExactError(f"its features are of type {name} and shape {shape}")
    counts = frozen.lengths.astype(np.int64) if stack.is_ragged else np.ones(len(frozen.lengths), dtype=np.int64)
    blocks = evaluation_batches(frozen.lengths, numerics.padding_multiple, rows_without_graph(numerics.micro_batch))
    return Layout(counts, tuple(blocks), tuple(int(size) for size in shape), name)


def filled_up(rows: np.ndarray) -> np.ndarray:
    """Return rows as they are computed: a multiple of `ROWS_MULTIPLE`, the last one repeated."""
    return np.pad(rows, (0, -len(rows) % ROWS_MULTIPLE), mode="edge")


def _computed(frozen: FrozenPart, tried: TriedStack, rows: np.ndarray, below: Below | None) -> Tensor:
    """Return the vectors of a block's rows, laid end to end, on the CPU."""
    filled = filled_up(rows)
    batch = frozen.batch(filled)
    width = frozen.width(filled, batch)

    def run() -> None:
        if below is None:
            frozen.logits(batch)
            return
        stack, entry = below[0].stack, below[1]
        known = to_device(entry.read(filled, width, left=below[0].left), frozen.device)
        with stack.left_out(known, Size(len(filled), width)):
            frozen.logits(batch)

    found = tried.stack.computed(run)[: len(rows)].cpu()
    if width is None:
        return found
    return found[frozen.real(rows, width, left=tried.left)]


def _is_same_from(frozen: FrozenPart, tried: TriedStack, below: Below, rows: np.ndarray) -> bool:
    """Whether a few rows are the same computed from the features of fewer layers.

    A whole block is computed in the size that those were filled in, so that it can only be the same.
    """
    plain, found = _computed(frozen, tried, rows, None), _computed(frozen, tried, rows, below)
    return torch.equal(bits_of(plain), bits_of(found))


def companies(frozen: FrozenPart, layout: Layout) -> list[Company]:
    """Return the size of the batch that each row was filled in."""
    found: list[Company] = [(0, None, False)] * len(layout.counts)
    has_widths = frozen.lengths.max() > 1
    for rows in layout.blocks:
        longest = rows[[np.argmax(frozen.lengths[rows])]]
        width = frozen.width(longest, frozen.batch(longest)) if has_widths else None
        company = frozen.company(filled_up(rows), width)
        for row in rows.tolist():
            found[row] = company
    return found
