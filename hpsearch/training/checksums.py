"""Checksums of weights, which show a change however it was written: torch counts no writes through `.data`."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

_SMALL = 2**16
"""Up to so many bytes every bit and its place counts. Above, sums are taken, at the speed of reading the memory."""

_BLOCK = 64
_WORD = 8


@torch.no_grad()
def checksums(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Return a whole number for each tensor, which differs where its bits do; computed where the tensor lies.

    Of large tensors the sums of blocks of 512 bytes count, read as whole numbers, each with a weight of its own. Only
    another order within these blocks, or changes of one block that add up to nothing, would not be seen.
    """
    large = {name: _sum(tensor) for name, tensor in tensors.items() if tensor.nbytes > _SMALL}
    found = dict(zip(large, torch.stack(list(large.values())).tolist(), strict=True)) if large else {}
    return {name: found[name] if name in found else _hash(tensor) for name, tensor in tensors.items()}


def _bytes_of(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)


def _hash(tensor: Tensor) -> int:
    content = _bytes_of(tensor).cpu().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=_WORD).digest(), "big")


def _sum(tensor: Tensor) -> Tensor:
    content = _bytes_of(tensor)
    if content.storage_offset() % _WORD:
        content = content.clone()  # words are read at their own places only
    whole = len(content) // (_BLOCK * _WORD) * (_BLOCK * _WORD)
    blocks = content[:whole].view(torch.int64).view(-1, _BLOCK).sum(dim=1)
    rest = content[whole:].to(torch.int64)
    values = torch.cat([blocks, rest])  # overflow is the same on every device
    return (values * (2 * torch.arange(len(values), device=values.device) + 1)).sum()
