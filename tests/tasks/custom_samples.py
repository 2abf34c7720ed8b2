"""Small models, losses and rows of a user's, as the tests of custom tasks use them. Workers import them by name."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset


class Images(nn.Module):
    """A CNN with batch normalization and dropout for images of one channel."""

    def __init__(self, width: int = 4, depth: int = 1, drop: float = 0.1, classes: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Conv2d(1 if index == 0 else width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(self.body(images).mean(dim=(2, 3))))


class Wrapped(nn.Module):
    """A whole network, its head included, behind a scaling of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = pretrained()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner((images - 0.5) / 0.5)


class Sounds(nn.Module):
    """A one-dimensional CNN that leaves out what lies behind the end of a sound."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.inner = nn.Conv1d(1, width, 5, padding=2)
        self.head = nn.Linear(width, 3)

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        found = torch.relu(self.inner(waves.unsqueeze(1)))
        inside = (torch.arange(waves.shape[1], device=waves.device) < lengths.unsqueeze(1)).unsqueeze(1)
        return self.head((found * inside).sum(dim=2) / lengths.unsqueeze(1))


class CarelessSounds(nn.Module):
    """The same, reading the zeros behind the end too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv1d(1, 4, 5, padding=2)
        self.head = nn.Linear(4, 3)

    def forward(self, waves: Tensor) -> Tensor:
        return self.head(torch.relu(self.inner(waves.unsqueeze(1))).mean(dim=2))


class Two(nn.Module):
    """Two inputs by name, one of them a sequence of tokens."""

    def __init__(self, size: int = 4, outputs: int = 3) -> None:
        super().__init__()
        self.tokens = nn.Embedding(12, size)
        self.out = nn.Linear(size + 2, outputs)

    def forward(self, words: Tensor, words_lengths: Tensor, numbers: Tensor) -> Tensor:
        filled = torch.arange(words.shape[1], device=words.device) < words_lengths.unsqueeze(1)
        mean = (self.tokens(words) * filled.unsqueeze(2)).sum(dim=1) / words_lengths.unsqueeze(1)
        return self.out(torch.cat([mean, numbers], dim=1))


class Flat(nn.Module):
    """Normalizes what it has pooled: torch refuses to train it on a single row."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.inner = nn.Linear(16, width)
        self.norm = nn.BatchNorm1d(width)
        self.out = nn.Linear(width, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(torch.relu(self.norm(self.inner(images.flatten(1)))))


class Lazy(nn.Module):
    """Learns the size of its input from the first row."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LazyLinear(5)
        self.out = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(torch.relu(self.inner(images.flatten(1))))


def one_number(width: int = 4) -> nn.Module:
    return Images(width, classes=1)


def one_number_of_two(size: int = 4) -> nn.Module:
    return Two(size, outputs=1)


def pretrained(width: int = 4) -> nn.Module:
    """A CNN whose body was trained before (drawn from a seed of its own), with a new head."""
    model = Images(width)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(7)
        for parameter in model.body.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.1)
    return model


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017, equation 4), gamma 2, one number a row."""
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return (1.0 - torch.exp(-losses)) ** 2 * losses


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean absolute error of standardised numbers."""
    assert outputs.shape == targets.shape and targets.dtype == torch.float32
    return (outputs - targets).abs().mean(dim=1)


def smoothed(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)


def images(rows: int = 24, seed: int = 0, channels: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images of 4 x 4 in three classes, which differ in brightness."""
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % 3
    found = random.normal(size=(rows, 1, 4, 4)) + targets.reshape(-1, 1, 1, 1)
    return found if channels else found[:, 0], targets


def sounds(rows: int = 24, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Tones of three heights, from 20 to 60 samples long."""
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % 3
    waves = []
    for target in targets:
        times = np.arange(random.integers(20, 60)) + random.uniform(0, 6)
        waves.append((np.sin(times * (0.3 + 0.4 * target)) + 0.1 * random.normal(size=len(times))).astype(np.float32))
    return waves, targets


def mixed(rows: int = 24, seed: int = 0) -> tuple[dict[str, object], np.ndarray]:
    """Tokens of different number and two numbers a row."""
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % 3
    words = [random.integers(4 * target, 4 * target + 4, size=random.integers(2, 7)) for target in targets]
    return {"words": words, "numbers": random.normal(size=(rows, 2))}, targets


class Items(Dataset):
    """A map-style dataset, as users write them."""

    def __init__(self, inputs: object, targets: np.ndarray) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[object, int]:
        if isinstance(self.inputs, dict):
            return {name: torch.as_tensor(each[row]) for name, each in self.inputs.items()}, int(self.targets[row])
        return torch.as_tensor(self.inputs[row]), int(self.targets[row])


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """What a user gives in the place of rows that a function reads."""
    return images(24)


def batches(rows: list[Tensor]) -> Tensor:
    """Cut all sounds to the shortest."""
    shortest = min(len(row) for row in rows)
    return torch.stack([row[:shortest] for row in rows])


def streamed() -> Iterator[tuple[np.ndarray, int]]:
    yield from zip(*images(4), strict=True)
