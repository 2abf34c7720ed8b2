from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset, open_dataset, write_dataset
from hpsearch.data.ragged import Ragged, as_arrays
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric, checked_metric, metric_name
from hpsearch.metrics.resolving import MadeUp, resolve
from hpsearch.records import digest
from hpsearch.tasks import Prepared, Split, Task
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.learner import RowsLearner
from hpsearch.training.measurement import weighted_mean

WIDTH = 16
"""Numbers of a row, at most; batches fill shorter ones up, their tags with NONE."""

NONE = -1


class TagMetric(Metric):
    """A metric over the tags of all rows, one after the other: "accuracy", or a function of true and predicted tags."""

    def _compute(self, targets: Ragged, predictions: Ragged, weight: np.ndarray | None) -> float:
        truth, predicted = targets.elements, predictions.elements > 0.5
        if self.function is not None:
            return float(self.function(truth, predicted.astype(np.int64)))
        shares = None if weight is None else np.repeat(weight, np.diff(predictions.offsets))
        return float(np.average(truth == predicted, weights=shares))


@dataclass(frozen=True)
class TagJudge(Judge):
    """A tag for each number of a row. It keeps as many logits as the row has numbers, and predicts probabilities."""

    default_metric: ClassVar[str] = "accuracy"

    @classmethod
    def learn(cls, values: Any) -> Self:
        return cls()

    def encode(self, values: Sequence[np.ndarray], role: str = "train") -> Ragged:
        """Return tags, 1 or 0, int64, as many a row as it has numbers."""
        return Ragged.of([np.asarray(row, dtype=np.int64) for row in values])

    def to_json(self) -> dict[str, Any]:
        return {"tags": [0, 1]}

    @property
    def targets_text(self) -> str:
        return "a tag for each number"

    @property
    def purpose(self) -> str:
        return "to find the numbers that rise"

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean over each row's numbers."""
        are_tags = targets != NONE
        aims = targets.clamp(min=0).float() * (1 - label_smoothing) + label_smoothing / 2
        losses = nn.functional.binary_cross_entropy_with_logits(outputs.float(), aims, reduction="none")
        return (losses * are_tags).sum(dim=1) / are_tags.sum(dim=1)

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [row[:length] for row, length in zip(outputs.float(), batch["lengths"].tolist(), strict=True)]

    @property
    def row_bytes(self) -> int:
        return 4 * WIDTH

    def predictions(self, kept: Any) -> Ragged:
        return Ragged(1 / (1 + np.exp(-kept.elements.astype(np.float64))), kept.offsets)

    def joined(self, rows: int, parts: Sequence[tuple[np.ndarray, Ragged]]) -> Ragged:
        found: list[list[np.ndarray]] = [[] for _ in range(rows)]
        for indices, predictions in parts:
            for place, row in enumerate(indices):
                found[row].append(predictions.row(place))
        return Ragged.of([np.mean(each, axis=0) if each else np.full(1, np.nan) for each in found])

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> Metric:
        given = checked_metric(given)
        if isinstance(given, str) and given != "accuracy":
            raise MetricError(f"there is no metric called {given!r} of tags: give 'accuracy', or a function.")
        function: Callable[..., Any] | None = None if isinstance(given, str) else given
        metric = TagMetric(metric_name(given), function=function)
        truth = np.array([0, 1, 1])
        targets, offsets = self.encode([truth[:2], truth[2:]]), np.array([0, 2, 3])
        right, nearly, wrong, ones, zeros = (
            Ragged(np.where(np.array(tags) == 1, 0.9, 0.1), offsets)
            for tags in (truth, [0, 1, 0], 1 - truth, [1, 1, 1], [0, 0, 0])
        )
        made_up = MadeUp((targets, nearly), targets, right, nearly, lambda: [wrong, ones, zeros])
        return resolve(metric, made_up, direction, is_objective=is_objective)

    def figures(self, targets: Ragged, predictions: Ragged) -> Mapping[str, Any]:
        """Return the share of right tags at each place of a row."""
        true, tagged = padded(targets), padded(predictions)
        is_there = (true != NONE) & np.isfinite(tagged)
        is_right = is_there & ((tagged > 0.5) == (true == 1))
        places = np.flatnonzero(is_there.any(axis=0))
        return {"right-by-place": (is_right.sum(axis=0)[places] / is_there.sum(axis=0)[places]).tolist()}


def padded(rows: Ragged) -> np.ndarray:
    """Return rows filled up to WIDTH."""
    return np.stack(
        [np.pad(row, (0, WIDTH - len(row)), constant_values=NONE) for row in map(rows.row, range(len(rows)))]
    )


class Network(nn.Module):
    """Sees each number beside the one before it; the first layer is "pretrained"."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(2, 8)
        generator = torch.Generator().manual_seed(0)
        self.body.weight.data = torch.randn(8, 2, generator=generator)
        self.body.bias.data = torch.zeros(8)
        self.head = nn.Linear(8, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        before = nn.functional.pad(numbers, (1, 0))[:, :-1]
        logits: Tensor = self.head(torch.tanh(self.body(torch.stack([before, numbers], dim=-1))))
        return logits.squeeze(-1)


class RisingLearner(RowsLearner):
    def __init__(self, dataset: Dataset, judge: Judge) -> None:
        super().__init__(dataset, judge)
        self._numbers, self.lengths = np.asarray(dataset["numbers"]), np.asarray(dataset["lengths"])

    def load_model(self) -> nn.Module:
        return Network()

    def initialize_head(self, model: Any) -> None:
        model.head.reset_parameters()

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        """The model has no dropout to set."""

    def layers(self, model: Any) -> Sequence[Sequence[nn.Module]]:
        return [[model.body]]

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        return {"numbers": torch.from_numpy(self._numbers[rows]), "lengths": torch.from_numpy(self.lengths[rows])}

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        outputs: Tensor = model(batch["numbers"])
        return outputs

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return self.judge.losses(outputs, targets, label_smoothing)

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return tags, int64, shape (rows, WIDTH)."""
        return torch.from_numpy(padded(self.truth(rows)))  # type: ignore[arg-type]  (ragged, as the judge encodes them)

    def mean_loss(self, kept: Any, rows: np.ndarray) -> float:
        return weighted_mean(self.losses(torch.from_numpy(padded(kept)), self.targets(rows), 0.0), self.weights(rows))


@dataclass(frozen=True, eq=False)
class RisingNumbers(Task):
    """Rows of 3 to 16 numbers; a tag says of each whether it is greater than the one before it."""

    rows: int = 60
    test_rows: int = 20

    def prepare(self, cache: Path) -> Prepared:
        judge, folders = TagJudge(), {}
        for role, rows in (("train", self.rows), ("test", self.test_rows)):
            folders[role] = cache / f"rising-tags-{role}-{rows}"
            random = np.random.default_rng(rows)
            made = [random.normal(size=random.integers(3, WIDTH + 1)).astype(np.float32) for _ in range(rows)]
            arrays = {
                "numbers": np.stack([np.pad(row, (0, WIDTH - len(row))) for row in made]),
                "lengths": np.array([len(row) for row in made], dtype=np.int64),
            }
            arrays |= as_arrays("targets", judge.encode([np.diff(row, prepend=0) > 0 for row in made]))
            write_dataset(folders[role], arrays, {})
        digests = [digest(["rising", role, folder.name]) for role, folder in folders.items()]
        return Prepared(
            folders["train"], folders["test"], judge, self.rows, self.test_rows, *digests, digest("rising model")
        )

    def learner(
        self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None
    ) -> RisingLearner:
        return RisingLearner(open_dataset(prepared.folder_of(split)), prepared.judge)

    def save(self, model: nn.Module, folder: Path, prepared: Prepared) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), folder / "model.safetensors")

    def recommended(self) -> Mapping[str, Any]:
        return {"learning_rate": 1e-2, "batch_size": 8, "epochs": 2, "weight_decay": 0.0, "warmup_ratio": 0.0}
