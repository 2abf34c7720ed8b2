"""The order of rows: which rows make which batch, as pure functions of a seed and the rows' lengths."""

import math

import numpy as np
import torch

from hpsearch.training.random_states import stream_seed

MEGABATCHES_AN_EPOCH = 4
"""At least this many groups are sorted by length, each for itself, so that a row meets other rows in each epoch."""

BATCHES_A_MEGABATCH = 50
"""At most this many batches are sorted by length together: more save hardly any padding."""

EVALUATION_TOKENS = 16_384
"""Padded tokens of an evaluation batch, at most."""

EVALUATION_ROWS = 128
"""Rows of an evaluation batch, at most (images count as one token each)."""

MICRO_BATCHES_WITHOUT_GRAPH = 4
"""Micro-batches that fit at once where nothing is kept for a backward pass; a cautious number."""

ROWS_MULTIPLE = 16
"""Rows of every evaluation batch are a multiple of this. On a CPU, matrix products and 1 x 1 convolutions over fewer
rows, or with one output over a number of rows that 4 does not divide, differ in their last bits (measured with torch
2.13); over multiples of 16 they do not, and a row has the same outputs whatever rows are beside it."""


def parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rows` in parts of `size`; the last may be smaller."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def without_single(batches: list[np.ndarray]) -> list[np.ndarray]:
    """Return batches of which the last, where it is a single row, has joined the one before it.

    For models that cannot be trained on a single row.
    """
    if len(batches) < 2 or len(batches[-1]) != 1:
        return batches
    return [*batches[:-2], np.concatenate(batches[-2:])]


def steps_per_epoch(rows: int, batch_size: int, *, joins_single: bool = False) -> int:
    """Return the number of optimizer steps an epoch; the last, smaller batch is kept, unless it joins another."""
    steps = math.ceil(rows / batch_size)
    return steps - 1 if joins_single and steps > 1 and rows % batch_size == 1 else steps


def epoch_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, *, joins_single: bool = False
) -> list[np.ndarray]:
    """Return the batches of one epoch in their order, each as positions in `lengths`.

    The rows are permuted, cut into megabatches, sorted by length within each, cut into batches, and the batches
    permuted. So rows of similar length meet, which saves padding, and different ones in every epoch.

    Args:
        lengths: Tokens of each training row, shape (rows,).
        batch_size: Rows a batch; one batch of the epoch may be smaller.
        seed: The run's seed.
        epoch: From 0.
        joins_single: Whether a last batch of one row joins the one before it, as in `without_single`.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, "batches", epoch))
    rows = len(lengths)
    order = torch.randperm(rows, generator=generator).numpy()
    batches_together = max(1, min(BATCHES_A_MEGABATCH, rows // (batch_size * MEGABATCHES_AN_EPOCH)))
    batches: list[np.ndarray] = []
    for start in range(0, rows, batches_together * batch_size):
        megabatch = order[start : start + batches_together * batch_size]
        megabatch = megabatch[np.argsort(-lengths[megabatch], kind="stable")]
        batches += parts(megabatch, batch_size)
    if joins_single:
        batches = without_single(batches)
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def evaluation_batches(lengths: np.ndarray, padding_multiple: int, largest: int | None = None) -> list[np.ndarray]:
    """Return the batches that rows are predicted in, the longest rows first, each as positions in `lengths`.

    All but the last are of multiples of `ROWS_MULTIPLE` rows; the last is to be filled up to one.

    Args:
        lengths: Tokens of each row, shape (rows,).
        padding_multiple: What padded lengths are a multiple of.
        largest: Rows of a batch, rounded up to the multiple, at most; None for `EVALUATION_ROWS`.
    """
    order = np.argsort(-lengths, kind="stable")
    rows_at_most = EVALUATION_ROWS if largest is None else min(largest, EVALUATION_ROWS)
    rows_at_most = _rounded_up(rows_at_most, ROWS_MULTIPLE)
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        padded = _rounded_up(int(lengths[order[start]]), padding_multiple)
        affordable = EVALUATION_TOKENS // padded // ROWS_MULTIPLE * ROWS_MULTIPLE
        rows = max(ROWS_MULTIPLE, min(rows_at_most, affordable))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def filled_up(rows: np.ndarray) -> np.ndarray:
    """Return the rows of an evaluation batch up to the next multiple of `ROWS_MULTIPLE`, the last one repeated."""
    return np.pad(rows, (0, -len(rows) % ROWS_MULTIPLE), mode="edge")


def rows_without_graph(micro_batch: int | None) -> int | None:
    """Return how many rows fit at once in evaluation, where this many fit in training; None for any number."""
    return None if micro_batch is None else MICRO_BATCHES_WITHOUT_GRAPH * micro_batch


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
