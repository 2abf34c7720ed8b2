"""The network of a custom task, for the benchmark of forecasts; workers import it by name."""

from torch import Tensor, nn


class Network(nn.Module):
    """Two convolutions and a head on images of eight by eight."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(32 * 64, 10)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(image[:, None]))
        return out
