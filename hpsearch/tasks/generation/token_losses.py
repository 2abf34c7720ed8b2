"""Losses of tokens: logits are computed where a token is trained, reduced to three numbers a row, and never kept."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100
"""The label of a position that is not trained, as torch and transformers have it."""

ROW_BLOCK = 16
"""Losses of a row are summed in blocks of so many, one after the other: its sum does not depend on its padding."""

LOGITS_AT_ONCE = 2**24
"""Logits that are held in float32 at once, at most: 64 MiB."""


def row_sums(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    labels: Tensor,
    places: Tensor | None = None,
    *,
    through_all: bool = False,
) -> Tensor:
    """Return [summed loss, summed loss against the mean over the vocabulary, tokens right] of each row, (rows, 3).

    Sums are float64 where the device has it. While gradients are computed, tokens right are 0: nobody asks then.

    Args:
        model: A model of transformers with an output over a vocabulary.
        inputs: What its forward pass takes.
        labels: The token that is to be predicted at each place, `IGNORED` where none is trained, int64, (rows, m).
        places: Where in the row the logits of these labels stand, int64, (rows, m); None where it is at 0, 1, 2, ....
        through_all: Whether places are counted through all sequences of the inputs, where several rows share one.
    """
    logits = logits_at(model, inputs, places, through_all=through_all)
    numbers: Tensor = _Losses.apply(logits, labels)
    return _summed(numbers)


def logits_at(model: Any, inputs: Mapping[str, Tensor], places: Tensor | None, *, through_all: bool = False) -> Tensor:
    """Return the logits at these places only, shape (rows, m, vocabulary)."""
    taken = _taken_through_all if through_all else _taken
    head = model.get_output_embeddings()
    if places is None or head is None:
        logits: Tensor = model(**inputs, use_cache=False).logits
        return logits if places is None else taken(logits, places)
    with _reading(head, partial(taken, places=places)):
        logits = model(**inputs, use_cache=False).logits
    return logits


@contextmanager
def _reading(head: nn.Module, taken: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Have the last layer see some places of its input only."""
    handle = head.register_forward_pre_hook(lambda _, inputs: (taken(inputs[0]), *inputs[1:]))
    try:
        yield
    finally:
        handle.remove()


def _taken(vectors: Tensor, places: Tensor) -> Tensor:
    return vectors.gather(1, places[:, :, None].expand(-1, -1, vectors.shape[-1]))


def _taken_through_all(vectors: Tensor, places: Tensor) -> Tensor:
    return vectors.flatten(0, 1)[places]


class _Losses(torch.autograd.Function):
    """[loss, loss against the mean over the vocabulary, is right] of each place, in float32, (rows, m, 3).

    What PyTorch's own functions would compute; but nothing of the size of the logits is kept for the backward pass
    besides the logits themselves, and one gradient in their type is made.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        flat, wanted = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        needs_right = not logits.requires_grad
        is_trained = wanted != IGNORED
        codes = wanted.clamp(min=0)
        numbers = torch.zeros(len(flat), 3, dtype=torch.float32, device=logits.device)
        normalizers = torch.empty(len(flat), dtype=torch.float32, device=logits.device)
        for part in _parts(flat):
            scores = flat[part].float()
            normalizers[part] = scores.logsumexp(dim=1)
            numbers[part, 0] = normalizers[part] - scores.gather(1, codes[part, None]).squeeze(1)
            numbers[part, 1] = normalizers[part] - scores.mean(dim=1)
            if needs_right:
                numbers[part, 2] = (scores.argmax(dim=1) == codes[part]).float()
        numbers.masked_fill_(~is_trained[:, None], 0.0)
        ctx.save_for_backward(flat, codes, is_trained, normalizers)
        ctx.shape = logits.shape
        return numbers.view(*labels.shape, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        flat, codes, is_trained, normalizers = ctx.saved_tensors
        given = gradients[0].reshape(-1, 3).float() * is_trained[:, None]
        gradient = torch.empty_like(flat)
        for part in _parts(flat):
            own, smoothed = given[part, 0], given[part, 1]
            scores = (flat[part].float() - normalizers[part, None]).exp_()
            scores *= (own + smoothed)[:, None]
            scores -= (smoothed / flat.shape[1])[:, None]
            scores[torch.arange(len(scores), device=scores.device), codes[part]] -= own
            gradient[part] = scores.to(gradient.dtype)
        return gradient.view(ctx.shape), None


def _parts(flat: Tensor) -> Iterator[slice]:
    """Yield parts of the places, each a multiple of `ROW_BLOCK` long."""
    size = max(ROW_BLOCK, LOGITS_AT_ONCE // flat.shape[1] // ROW_BLOCK * ROW_BLOCK)
    for start in range(0, len(flat), size):
        yield slice(start, start + size)


def _summed(numbers: Tensor) -> Tensor:
    """Return the sums over each row's places."""
    wide = numbers if numbers.device.type == "mps" else numbers.double()
    if wide.requires_grad:
        return wide.sum(dim=1)
    rows, places, columns = wide.shape
    wide = nn.functional.pad(wide, (0, 0, 0, -places % ROW_BLOCK))
    blocks = wide.view(rows, -1, ROW_BLOCK, columns).sum(dim=2)
    total = torch.zeros(rows, columns, dtype=wide.dtype, device=wide.device)
    for block in blocks.unbind(dim=1):
        total = total + block
    return total
