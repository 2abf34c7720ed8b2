"""A task that trains in milliseconds, for tests of everything around the fine-tune. Workers import it by name."""

import contextlib
import copy
import ctypes
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import open_dataset, write_dataset
from hpsearch.data.ragged import Ragged, Rows
from hpsearch.records import digest
from hpsearch.tasks import Prepared, Task
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.training.measurement import weighted_mean

WIDTH = 6

REHEARSED = 3
"""Rows of the largest batch that a model is tried with before the first trial: trouble begins later."""


@dataclass(frozen=True, eq=False)
class ToyTask(Task):
    """Rows of six numbers in three classes; a two-layer network with dropout whose first layer is "pretrained".

    Args:
        rows: Training rows; a third as many test rows.
        pause: Seconds that each training batch takes longer.
        trouble: What goes wrong in training: "", "raise", "raise at 16" (in batches of 16 rows), "diverge", or, once,
            while `flag` is absent, "die", "hang", "clutch" (hang with the interpreter's lock held). "die loading" kills
            workers as they load the model, but for the one that is the `spared`-th to do so. "crowded" runs out of
            memory in every batch beside which another process trains, "hungry" in one of more than `rows_that_fit`,
            where a `flag` is given once that file is there.
        flag: File that is made by what shall happen once, or to which each worker that loads adds a line; of "crowded"
            the folder in which each process that trains has a file.
        hoard: Megabytes that the model keeps in memory for ever.
        model: A name, for reports.
        opens: Whether its workers look at the prepared rows.
        norm: Whether the network has a batch norm.
    """

    rows: int = 60
    pause: float = 0.0
    trouble: str = ""
    flag: str = ""
    spared: int = 0
    rows_that_fit: int = 0
    hoard: int = 0
    model: str = "toy"
    opens: bool = False
    norm: bool = False

    def prepare(self, cache: Path) -> Prepared:
        train, test = _rows(self.rows, 1), _rows(self.rows // 3, 2)
        folders = []
        for name, (inputs, targets) in (("train", train), ("test", test)):
            key = digest(["toy", name, self.rows])
            write_dataset(Path(cache) / f"toy-{key}", {"inputs": inputs, "targets": targets}, {})
            folders.append(Path(cache) / f"toy-{key}")
        return Prepared(
            folders[0], folders[1], ClassJudge("multiclass", ("a", "b", "c")), len(train[1]), len(test[1]),
            digest(["toy data", self.rows]), digest(["toy test", self.rows]), digest("toy model"),
        )  # fmt: skip

    def learner(self, prepared: Prepared, split: str = "train") -> "ToyLearner":
        if self.opens:
            open_dataset(prepared.folder_of(split))
        return ToyLearner(self, *_rows(self.rows if split == "train" else self.rows // 3, 1 if split == "train" else 2))

    def save(self, model: nn.Module, folder: Path, prepared: Prepared) -> None:
        (Path(folder) / "weights.txt").write_text(str(sum(p.double().sum().item() for p in model.parameters())))

    def recommended(self) -> Mapping[str, Any]:
        return {"learning_rate": 1e-2, "batch_size": 8, "epochs": 2, "weight_decay": 0.01, "warmup_ratio": 0.1}


def _rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    inputs = random.normal(size=(count, WIDTH)) + np.eye(3, WIDTH)[targets] * 1.5
    return inputs.astype(np.float32), targets.astype(np.int64)


class _Network(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body = nn.Linear(WIDTH, 8)
        self.body.weight.data = torch.randn(8, WIDTH, generator=generator) * 0.4
        self.body.bias.data = torch.zeros(8)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 3)


class ToyLearner:
    def __init__(self, task: ToyTask, inputs: np.ndarray, targets: np.ndarray) -> None:
        self._task, self._inputs, self._targets = task, inputs, targets
        self._hoard = np.ones(task.hoard * 131072) if task.hoard else None
        self.lengths = np.ones(len(targets), dtype=np.int64)

    def load_model(self) -> nn.Module:
        if self._task.trouble == "die loading" and re.search("loky|default_worker", " ".join(sys.orig_argv)):
            with Path(self._task.flag).open("a") as deaths:
                deaths.write(f"{os.getpid()}\n")
            if len(Path(self._task.flag).read_text().split()) != self._task.spared:
                os.kill(os.getpid(), signal.SIGKILL)
        return _Network(self._task.norm)

    def initialize_head(self, model: nn.Module) -> None:
        model.head.reset_parameters()

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        model.dropout.p = 0.1 if config.get("dropout") is None else config["dropout"]

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        return [[model.body]]

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        return {"inputs": torch.from_numpy(self._inputs[rows])}

    def targets(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self._targets[rows])

    def truth(self, rows: np.ndarray) -> np.ndarray:
        return self.targets(rows).numpy()

    def weights(self, rows: np.ndarray) -> Tensor | None:
        return None

    def for_answers(self) -> Self:
        return self

    def sample_weights(self, rows: np.ndarray) -> np.ndarray | None:
        return None

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if model.training:
            rows = len(batch["inputs"])
            diverges = self._task.trouble == "diverge" and rows > REHEARSED
            if rows > REHEARSED:
                self._trouble(rows)
                with self._crowd() if self._task.trouble == "crowded" else contextlib.nullcontext():
                    time.sleep(self._task.pause)
            # Numbers that depend on every random state a run has.
            noise = 1.0 + 0.01 * random.random() + 0.01 * np.random.normal()
            batch = {"inputs": batch["inputs"] * (noise * (float("nan") if diverges else 1.0))}
        return model.head(model.dropout(torch.relu(model.norm(model.body(batch["inputs"])))))

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return nn.functional.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=label_smoothing)

    def fitted(self, rows: np.ndarray) -> Self:
        return self

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor], *_: Any) -> Tensor | Sequence[Tensor]:
        return outputs.float()

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        losses = self.losses(torch.as_tensor(kept), self.targets(rows), 0.0)
        return weighted_mean(losses, self.weights(rows))

    def own_units(self, kept: Rows) -> Rows:
        return kept

    @contextlib.contextmanager
    def _crowd(self) -> Iterator[None]:
        """Be among those who train, and run out of memory where another one is there."""
        own = Path(self._task.flag) / str(os.getpid())
        own.touch()
        try:
            if [path for path in own.parent.iterdir() if path != own]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            yield
        finally:
            own.unlink()

    def _trouble(self, rows: int) -> None:
        task = self._task
        if task.trouble == "raise" or (task.trouble == "raise at 16" and rows == 16):
            raise RuntimeError("the toy is broken")
        if task.trouble == "hungry" and rows > task.rows_that_fit and (not task.flag or Path(task.flag).exists()):
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {rows}.00 GiB.")
        if task.trouble in ("die", "hang", "clutch") and not Path(task.flag).exists():
            Path(task.flag).touch()
            if task.trouble == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif task.trouble == "hang":
                time.sleep(600)
            else:
                ctypes.PyDLL(None).sleep(600)


class RaggedJudge(ClassJudge):
    """Keeps of a row its logits, and behind them as many zeros as the number of its likeliest class."""

    @property
    def row_bytes(self) -> int:
        return 16 * len(self.classes)  # zeros up to one less than the classes, in float64 at most

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[Tensor]:
        return [torch.cat([row, row.new_zeros(int(row.argmax()))]) for row in outputs.float()]

    def logits(self, kept: Rows) -> np.ndarray:
        assert isinstance(kept, Ragged)
        return np.stack([kept.row(index)[: len(self.classes)] for index in range(len(kept))])

    def predictions(self, kept: Any) -> np.ndarray:
        return super().predictions(self.logits(kept))


@dataclass(frozen=True, eq=False)
class RaggedToyTask(ToyTask):
    """The toy, but what is kept of its rows differs in length."""

    def prepare(self, cache: Path) -> Prepared:
        plain = super().prepare(cache)
        return replace(plain, judge=RaggedJudge("multiclass", plain.judge.classes))

    def learner(self, prepared: Prepared, split: str = "train") -> "RaggedToyLearner":
        plain = super().learner(prepared, split)
        return RaggedToyLearner(prepared.judge, self, plain._inputs, plain._targets)


class RaggedToyLearner(ToyLearner):
    def __init__(self, judge: Any, *others: Any) -> None:
        super().__init__(*others)
        self._judge = judge

    def fitted(self, rows: np.ndarray) -> Self:
        learner = copy.copy(self)
        learner._judge = self._judge.fitted(self._targets[rows])
        return learner

    def own_units(self, kept: Rows) -> Rows:
        return self._judge.own_units(kept)

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor], *_: Any) -> Tensor | Sequence[Tensor]:
        return self._judge.keep(outputs, batch)

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        return super().mean_loss(self._judge.logits(kept), rows)
