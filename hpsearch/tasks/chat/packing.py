"""Packing: several rows one after the other in one sequence, with positions restarted and attention kept apart.

A batch has the same rows, weights and loss with and without; only padding is saved. Which rows share a sequence follows
from their lengths alone, and which rows share a batch from the run's seed and the epoch: so a run that is resumed
packs as it did.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.errors import TaskError

SLOTS, PLACE = "packed_sequences", "packed_places"
"""What a batch that can be packed has besides: the sequence of each row, bool, shape (rows, sequences), all of one
number of tokens; and where each token goes, counted through all sequences, int64, shape (rows, tokens)."""

_TOLERANCE = 1e-4


def sequences_of(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the sequence of each row, where in it the row begins, and how many sequences there are.

    The longest row first, each goes into the first sequence that has room (first fit decreasing).

    Args:
        lengths: Tokens of each row, shape (rows,).
        width: Tokens of a sequence; no row has more.
    """
    sequence, start = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    filled: list[int] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        slot = next((slot for slot, used in enumerate(filled) if used + length <= width), len(filled))
        if slot == len(filled):
            filled.append(0)
        sequence[row], start[row] = slot, filled[slot]
        filled[slot] += length
    return sequence, start, len(filled)


def layout(lengths: np.ndarray, tokens: int, width: int) -> dict[str, Tensor]:
    """Return where each token of a batch goes when it is packed; padding goes behind the last sequence.

    Args:
        lengths: Tokens of each row, shape (rows,).
        tokens: Tokens of a row with its padding.
        width: Tokens of a sequence.
    """
    sequence, start, count = sequences_of(lengths, width)
    places = np.arange(tokens)[None, :] + (sequence * width + start)[:, None]
    places[np.arange(tokens)[None, :] >= lengths[:, None]] = count * width
    slots = sequence[:, None] == np.arange(count)[None, :]
    return {SLOTS: torch.from_numpy(slots), PLACE: torch.from_numpy(places)}


def packed(batch: Mapping[str, Tensor], width: int, padding: int) -> dict[str, Tensor]:
    """Return the inputs of a model for a batch in sequences of this width.

    There is no attention mask: transformers tells rows apart by their positions, which restart. A token of padding has
    position 0, so it is a row of its own.
    """
    places, sequences = batch[PLACE], batch[SLOTS].shape[1]
    tokens = batch["input_ids"]
    size = sequences * width + 1  # one place more, for the padding of the rows
    positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    laid = {"input_ids": torch.full((size,), padding, device=tokens.device)}
    laid["position_ids"] = torch.zeros(size, dtype=torch.int64, device=tokens.device)
    laid["input_ids"].scatter_(0, places.flatten(), tokens.flatten())
    laid["position_ids"].scatter_(0, places.flatten(), positions.flatten())
    return {name: flat[:-1].view(sequences, width) for name, flat in laid.items()}


@torch.no_grad()
def check_packing(model: Any, tokens: np.ndarray, name: str) -> None:
    """Try two rows in one sequence: what the first one says must not reach the second.

    Args:
        model: The model, in eval mode.
        tokens: The tokens of a row, int, shape (tokens,), of which another one is made.
        name: The model, for errors.

    Raises:
        TaskError: It does, or the second row is not computed as it is alone.
    """
    first = torch.from_numpy(np.asarray(tokens, dtype=np.int64))
    second = first.flip(0)
    other = torch.roll(first, 1) if bool((torch.roll(first, 1) != first).any()) else (first + 1) % int(first.max() + 1)
    positions = torch.arange(len(first)).repeat(2)[None]
    device = next(model.parameters()).device

    def logits(row: Tensor, places: Tensor) -> Tensor:
        inputs = {"input_ids": row[None].to(device), "position_ids": places.to(device)}
        found: Tensor = model(**inputs, use_cache=False).logits[0, -len(second) :]
        return found

    try:
        alone = logits(second, positions[:, : len(second)])
        one, two = (logits(torch.cat([row, second]), positions) for row in (first, other))
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise _refusal(name, f"it does not take rows that are packed ({type(error).__name__}: {error})") from error
    if not torch.equal(one, two):
        raise _refusal(name, "what stands in a row reaches the row packed behind it")
    if not torch.allclose(one, alone, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise _refusal(name, "a row that is packed behind another is not computed as it is alone")


def _refusal(name: str, why: str) -> TaskError:
    return TaskError(
        f"packing=True, and of {name!r} no rows can be packed: {why}. Its attention cannot keep rows apart: leave "
        "packing out."
    )


def without_layout(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch without what it is packed by."""
    return {name: tensor for name, tensor in batch.items() if name not in (SLOTS, PLACE)}


def is_causal(model: nn.Module, tokens: np.ndarray) -> bool:
    """Return whether a token's logits do not depend on the tokens behind it."""
    row = torch.from_numpy(np.asarray(tokens, dtype=np.int64))[None].to(next(model.parameters()).device)
    changed = row.clone()
    changed[0, -1] = (int(row[0, -1]) + 1) % (int(row.max()) + 1)
    found: Any = model
    with torch.no_grad():
        one, two = (found(input_ids=given, use_cache=False).logits[0, :-1] for given in (row, changed))
    return bool(torch.allclose(one, two, rtol=_TOLERANCE, atol=_TOLERANCE))
