"""From the host to the device, without waiting for it."""

from collections.abc import Mapping

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; a copy to a GPU goes through pinned memory and overlaps with computation."""
    if device.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()  # Apple's GPUs have no float64
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor if device.type == "cpu" else tensor.to(device)


def batch_to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return a model's inputs on the device."""
    return {name: to_device(tensor, device) for name, tensor in batch.items()}
