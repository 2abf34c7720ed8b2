"""The quickstart: a real transfer in about three minutes on two cores, with nothing to download.

A small vision transformer is pretrained on the digits 0 to 4 of scikit-learn's handwritten digits, turned and mirrored
(kept in the cache for the next time). Then hpsearch searches how to fine-tune it to tell 5, 6, 7, 8 and 9 apart from 20
labelled images each. At the end, four ways to use the same labels are compared on the images that no search has seen:

    literature default   the configuration that the image-transfer papers would start with
    tuned                the winner of the search
    head only            the best found by as many trials that train nothing but a new head
    from scratch         the best found by as many trials without the pretrained weights

    python studies/quickstart.py [--trials 16] [--seeds 1] [--devices auto]
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp

OLD_DIGITS, NEW_DIGITS = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
LABELS_PER_DIGIT = 20
PRETRAINING_EPOCHS = 5
HEAD_ONLY = "all"
VIRTUAL_SLOTS = 4
"""Given here, so that a machine of many cores prints the same table as one of few."""


def digits(classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return (images uint8 of shape (rows, 8, 8), labels) of some digits."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = np.isin(data.target, classes)
    return (data.images[chosen] * 255 / 16).round().astype(np.uint8), data.target[chosen]


def few_labels(seed: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (labelled images and their labels, the rest and its labels) of the new digits."""
    images, labels = digits(NEW_DIGITS)
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == digit][:LABELS_PER_DIGIT] for digit in NEW_DIGITS])
    rest = np.setdiff1d(order, chosen)
    return (images[chosen], labels[chosen]), (images[rest], labels[rest])


def pretraining_set() -> tuple[np.ndarray, np.ndarray]:
    """Return the old digits in the eight ways a square can be turned and mirrored, each way a class of its own.

    Telling the ways apart too makes for features that serve other digits (Gidaris et al. 2018, on rotations).
    """
    images, labels = digits(OLD_DIGITS)
    turned = [np.rot90(images, turns, (1, 2)) for turns in range(4)]
    ways = [*turned, *(image[:, :, ::-1] for image in turned)]
    return np.concatenate(ways), np.concatenate([labels + way * len(OLD_DIGITS) for way in range(len(ways))])


def pretrained_model() -> Path:
    """Return the folder of a small vision transformer pretrained on the old digits, training it the first time."""
    import torch
    import transformers
    from transformers import ViTConfig, ViTForImageClassification

    from hpsearch.plan.paths import cache_folder

    folder = cache_folder() / "quickstart" / "digits-vit"
    if (folder / "model.safetensors").exists():
        return folder
    print(f"pretraining a vision transformer on the digits {OLD_DIGITS} ...", flush=True)
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the model is so small that more threads only wait for each other
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=128, num_labels=8 * len(OLD_DIGITS), initializer_range=0.1,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    images, labels = pretraining_set()
    pixels, targets = torch.from_numpy(images).float().unsqueeze(1) / 127.5 - 1, torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, PRETRAINING_EPOCHS * -(-len(targets) // 32))
    for _ in range(PRETRAINING_EPOCHS):
        for batch in torch.randperm(len(targets)).split(32):
            optimizer.zero_grad()
            model(pixel_values=pixels[batch], labels=targets[batch]).loss.backward()
            optimizer.step()
            schedule.step()
    partial = folder.with_name(folder.name + ".partial")
    model.save_pretrained(partial)
    partial.rename(folder)
    return folder


def space(**fixed: Any) -> hp.Space:
    """Return what is searched; a fixed value takes a parameter's place.

    The literature default, the first trial, is what the task recommends (see search_spaces/image-transfer.toml).
    """
    parameters: dict[str, Any] = {
        "learning_rate": hp.Float(1e-4, 1e-2, log=True),
        "batch_size": hp.Categorical([8, 16, 32, 64]),
        "epochs": hp.Int(10, 30),
        "weight_decay": hp.Float(1e-5, 0.3, log=True),
        "freeze_layers": hp.Int(0, 4),
    }
    return hp.Space(**{**parameters, **fixed, "warmup_ratio": 0.1, "lr_scheduler_type": "cosine"})


def study(name: str, seed: int, *, pretrained: bool = True, folder: str = "runs", **fixed: Any) -> hp.Study:
    """Return one of the three studies, over the same labels."""
    train, test = few_labels(seed)
    task = hp.ImageClassification(str(pretrained_model()), train=train, test=test, pretrained=pretrained)
    return hp.Study(
        name, task, space(**fixed), cv=3, metric="f1_macro", metrics=["accuracy"], evaluations_per_epoch=1,
        early_stopping=3.0, seed=seed, folder=folder,
    )  # fmt: skip


def one_seed(seed: int, trials: int, devices: str, folder: str) -> dict[str, float]:
    """Run the three studies of one seed; return macro F1 on the held-out images by way of training."""
    how: dict[str, Any] = {"devices": devices, "virtual_slots": VIRTUAL_SLOTS}
    suffix = "" if seed == 0 else f"-seed-{seed}"
    tuned = study(f"quickstart{suffix}", seed, folder=folder).run(trials=trials, **how)
    print(tuned.text(), flush=True)
    head_only = study(f"quickstart-head-only{suffix}", seed, folder=folder, freeze_layers=HEAD_ONLY)
    head = head_only.run(trials=trials, **how)
    from_scratch = study(f"quickstart-from-scratch{suffix}", seed, folder=folder, pretrained=False, freeze_layers=0)
    scratch = from_scratch.run(trials=trials, **how)
    assert tuned.default is not None  # the first trial
    scores = {
        "literature default": tuned.test_scores(tuned.default.number)["f1_macro"],
        "tuned": tuned.test_scores()["f1_macro"],
        "head only": head.test_scores()["f1_macro"],
        "from scratch": scratch.test_scores()["f1_macro"],
    }
    if seed == 0:
        print(f"\nreport: {tuned.report(tuned.plan.folder / 'report.html')}")
        evidence = tuned.evidence()
        if evidence is not None:
            print(f"does the winner beat the literature default? {evidence.verdict} ({evidence.method})")
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=16, help="trials of each of the three studies")
    parser.add_argument("--seeds", type=int, default=1, help="how many study seeds, each with its own labelled images")
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--folder", default="runs", help="where the studies are kept")
    arguments = parser.parse_args()
    started = time.perf_counter()
    rows: dict[int, dict[str, float]] = {}
    try:
        for seed in range(arguments.seeds):
            rows[seed] = one_seed(seed, arguments.trials, arguments.devices, arguments.folder)
    except KeyboardInterrupt:
        return 130
    test = few_labels(0)[1][1]
    print(f"\nmacro F1 on {len(test)} held-out images, {LABELS_PER_DIGIT} labels a digit:")
    names = list(rows[0])
    print("seed  " + "  ".join(f"{name:>18}" for name in names))
    for seed, scores in rows.items():
        print(f"{seed:>4}  " + "  ".join(f"{scores[name]:>18.4f}" for name in names))
    print(f"\n{time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
