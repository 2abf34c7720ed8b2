"""The network of the study that `scale` reads, apart: whoever loads the study imports this, and no torch."""

from typing import Any

CLASSES = 4


def network(width: int = 8) -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU(), torch.nn.Linear(width, CLASSES))
