"""Transfer or from scratch, frozen or whole: a ResNet, EfficientNet or ViT on chest X-rays, or on images of your own.

One study searches what is trained of a pretrained model along with its learning rate: a new head alone, the upper half,
all of it, all of it layer by layer (gradual unfreezing), or nothing that is pretrained: every weight drawn anew. Each
of these ways is tried at least once. At the end it prints the table and the best trial of each way, and writes the
report and the model into the study's folder.

    python studies/chest_xrays.py --train xrays/ --test held-out/ --model microsoft/resnet-18 --trials 24
    python studies/chest_xrays.py --train findings.csv --image path --label finding --model google/efficientnet-b0

`--train` is a folder with a folder for each class, or a table of paths and labels. Without it, images are made up, and
without `--model` a small ResNet is pretrained on others that are made up, too: to see that all of it runs. Every trial
is trained to its end, so that each way has a score; --pruner racing takes less, and may leave a way that learns slowly
without one. Stop it with Ctrl-C whenever you like; run the same command to continue.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp
from hpsearch.records import TrialState

PIXELS = 32
WAYS: dict[str, dict[str, Any]] = {
    "everything": {"pretrained": True, "freeze_layers": 0, "gradual_unfreezing": None},
    "layer by layer": {"pretrained": True, "freeze_layers": 0, "gradual_unfreezing": 0.5},
    "the upper half": {"pretrained": True, "freeze_layers": 0.5, "gradual_unfreezing": None},
    "the head alone": {"pretrained": True, "freeze_layers": "all"},
    "from scratch": {"pretrained": False},
}
"""What may be trained, by its name; the first is the literature default."""


def made_up(kinds: Sequence[str], rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy grey images with a shape in each, uint8 of shape (rows, 32, 32), and the names of the shapes."""
    random = np.random.default_rng(seed)
    names = np.array(kinds)[np.arange(rows) % len(kinds)]
    return np.stack([_image(name, random) for name in names]), names


def _image(kind: str, random: np.random.Generator) -> np.ndarray:
    size, (row, column) = random.uniform(4, 8), random.uniform(10, 22, size=2)
    down, across = np.mgrid[:PIXELS, :PIXELS] - np.array([row, column])[:, None, None]
    round_, square = np.hypot(down, across), np.maximum(abs(down), abs(across))
    shape = {
        "disc": round_ < size,
        "ring": abs(round_ - size) < 1.5,
        "cross": (np.minimum(abs(down), abs(across)) < 1.5) & (square < size),
        "box": square < size,
        "frame": abs(square - size) < 1.5,
        "saltire": (abs(abs(down) - abs(across)) < 1.5) & (square < size),
    }[kind]
    pixels = 90 + 70 * shape + random.normal(0, 35, size=shape.shape)
    return np.asarray(pixels.clip(0, 255), dtype=np.uint8)


def small_resnet(folder: Path, images: int = 600) -> str:
    """Write a small ResNet that tells made-up shapes apart, others than those of the study; a folder of it is kept."""
    import torch
    import transformers

    if (folder / "model.safetensors").exists():
        return str(folder)
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=3,
        downsample_in_first_stage=False, image_size=PIXELS,
    )  # fmt: skip
    model = transformers.ResNetForImageClassification(config)
    kinds = ("box", "frame", "saltire")
    pixels, names = made_up(kinds, images, seed=1)
    inputs = torch.from_numpy(pixels).float().unsqueeze(1) / 127.5 - 1
    targets = torch.tensor([kinds.index(name) for name in names])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(4):
        for batch in torch.randperm(len(targets)).split(32):
            optimizer.zero_grad()
            model(pixel_values=inputs[batch], labels=targets[batch]).loss.backward()
            optimizer.step()
    model.save_pretrained(folder)
    return str(folder)


def study(arguments: argparse.Namespace) -> hp.Study:
    """Return the study, in which each way is to be tried once."""
    is_made_up = arguments.train is None
    train, test = (made_up(("disc", "ring", "cross"), rows, seed) for rows, seed in ((90, 2), (90, 3)))
    task = hp.ImageClassification(
        arguments.model or small_resnet(Path(arguments.folder) / "small-resnet"),
        train=train if is_made_up else arguments.train, test=test if is_made_up else arguments.test,
        image=arguments.image, label=arguments.label, image_size=arguments.image_size,
    )  # fmt: skip
    middle = arguments.learning_rate or (1e-2 if is_made_up else 3e-4)
    space = hp.Space(
        learning_rate=hp.Float(middle / 10, middle * 10, log=True),
        pretrained=hp.Categorical([True, False]),
        freeze_layers=hp.Categorical([0, 0.5, "all"]).when(pretrained=True),
        gradual_unfreezing=hp.Categorical([None, 0.5]).when(freeze_layers=[0, 0.5]),
        epochs=arguments.epochs, batch_size=arguments.batch_size, weight_decay=0.01, warmup_ratio=0.1,
        lr_scheduler_type="cosine", default={"learning_rate": middle, **WAYS["everything"]},
    )  # fmt: skip
    made = hp.Study(
        arguments.name, task, space, cv=arguments.cv, metric="f1_macro", metrics=["accuracy", "neg_log_loss"],
        pruner=arguments.pruner, early_stopping=3.0, seed=arguments.seed, folder=arguments.folder,
    )  # fmt: skip
    for way in list(WAYS.values())[1:]:
        made.enqueue({"learning_rate": middle, **way})
    return made


def way_of(config: Mapping[str, Any]) -> str:
    """Return the name of what a configuration trains."""
    if not config["pretrained"]:
        return "from scratch"
    if config["freeze_layers"] == "all":
        return "the head alone"
    if config["gradual_unfreezing"] is not None:
        return "layer by layer"
    return "everything" if config["freeze_layers"] == 0 else "the upper half"


def best_of_each_way(result: hp.Result) -> str:
    """Return a line for each way: the best of its complete trials, with its interval, and how many it had."""
    summaries = [result.summary(number) for number in result.history.trials]
    lines = []
    for way in WAYS:
        tried = [each for each in summaries if way_of(result.history.trials[each.number].config) == way]
        complete = [each for each in tried if each.state is TrialState.COMPLETE and each.value is not None]
        best = max(complete, key=lambda each: each.value or 0.0, default=None)
        told = "none complete"
        if best is not None:
            low, high = best.interval or (float("nan"), float("nan"))
            told = f"{best.value:.4f} ({low:.4f} to {high:.4f}), learning rate {best.config['learning_rate']:.2g}"
        lines.append(f"  {way:<15} {told}; {len(complete)} complete of {len(tried)}")
    return "\n".join(lines)


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="a folder with a folder a class, or a table of paths; else made-up images")
    parser.add_argument("--test", help="further images that the search never sees, for the final score")
    parser.add_argument("--image", help="the column of paths, where the rows are a table")
    parser.add_argument("--label", help="the column of labels, where the rows are a table")
    parser.add_argument("--image-size", type=int, help="pixels of a side (default: what the model was trained on)")
    parser.add_argument("--model", help="a hub model or a local folder; without one a small ResNet")
    parser.add_argument("--learning-rate", type=float, help="the middle of its range (default: 3e-4; made up: 1e-2)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--trials", type=int, default=16, help="trials in all, earlier ones included (default: 16)")
    parser.add_argument("--timeout", help="pause after this time: 2h, 90m, 30s")
    parser.add_argument("--devices", default="auto", help="auto, cpu, cuda, cuda:0, inline, or a number of workers")
    parser.add_argument("--folder", default="runs", help="where studies are kept (default: runs)")
    parser.add_argument("--pruner", default="none", help="none, racing, asha, median, ... (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, runs and sampler (default: 0)")
    parser.add_argument("--cv", type=int, default=5, help="folds of the cross-validation (default: 5)")
    parser.add_argument("--name", default="chest-xrays", help="the study's name; choose another for other data")
    return parser.parse_args(words)


def main(arguments: argparse.Namespace) -> int:
    made = study(arguments)
    devices = int(arguments.devices) if arguments.devices.isdigit() else arguments.devices
    result = made.run(trials=arguments.trials, timeout=arguments.timeout, devices=devices)
    print(result.text(), flush=True)
    if not result.history.finished(TrialState.COMPLETE):
        print("\nNo trial is complete: there is no winner yet. Run this again to go on, or see the reasons above.")
        return 1
    print(f"\nthe best of each way to train, macro F1:\n{best_of_each_way(result)}")
    evidence = result.evidence()
    if evidence is not None:
        print(f"does the winner beat training everything, the default? {evidence.verdict} ({evidence.method})")
    if result.plan.rows.test_rows:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in result.test_scores().items())
        print(f"test rows, once, after training on all training rows: {scores}")
    print(f"report: {result.report(made.folder / 'report.html')}")
    print(f"model: {result.export(made.folder / 'model', overwrite=True)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(parsed()))
    except hp.HpsearchError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
