"""A plain CNN with batch normalization, trained from scratch on scikit-learn's digits, searched with `hp.CustomTask`.

Width, depth, dropout and learning rate are searched on 300 labelled digits; the other 1,497 are test rows. Beside the
search stands a baseline that costs a second: logistic regression on the raw pixels.

    python studies/plain_cnn.py [--trials 8] [--rows 300] [--devices auto]
"""

import argparse
from pathlib import Path

import numpy as np
from torch import nn

import hpsearch as hp

Rows = tuple[np.ndarray, np.ndarray]


def digits(rows: int, seed: int = 0) -> tuple[Rows, Rows]:
    """Return (images float32 of shape (rows, 1, 8, 8) from 0 to 1, labels) to learn from, and all others."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(images))
    chosen, rest = order[:rows], order[rows:]
    return (images[chosen], data.target[chosen]), (images[rest], data.target[rest])


# What a user writes of their own: a model. Its arguments are what the search may vary.
class PlainCNN(nn.Module):
    def __init__(self, width: int = 16, depth: int = 2, dropout: float = 0.1, classes: int = 10):
        super().__init__()
        blocks, before = [], 1
        for block in range(depth):
            after = width * 2**block
            blocks += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            blocks += [nn.MaxPool2d(2)]
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.LazyLinear(classes))

    def forward(self, images):
        return self.head(self.blocks(images))


def study(rows: int = 300, folder: str | Path = "runs") -> hp.Study:
    """Return the study."""
    train, test = digits(rows)
    default = {"epochs": 15, "learning_rate": 1e-3, "batch_size": 32, "dropout": 0.1}
    task = hp.CustomTask(PlainCNN, train=train, test=test, literature_default=default)
    space = hp.Space(
        learning_rate=hp.Float(3e-4, 3e-2, log=True), width=hp.Categorical([8, 16, 32]), depth=hp.Int(1, 3),
        dropout=hp.Float(0.0, 0.5), epochs=15, batch_size=32,
    )  # fmt: skip
    return hp.Study("plain-cnn", task, space, cv=3, metric="accuracy", evaluations_per_epoch=1, folder=folder)


def baseline(rows: int) -> float:
    """Return the test accuracy of logistic regression on the pixels."""
    from sklearn.linear_model import LogisticRegression

    (images, labels), (others, answers) = digits(rows)
    model = LogisticRegression(max_iter=2000).fit(images.reshape(len(images), -1), labels)
    return float(model.score(others.reshape(len(others), -1), answers))


def main() -> None:
    parser = argparse.ArgumentParser(description="Search a plain CNN on handwritten digits.")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--folder", default="runs")
    words = parser.parse_args()
    devices = int(words.devices) if words.devices.isdigit() else words.devices
    result = study(words.rows, words.folder).run(trials=words.trials, devices=devices)
    print(result.text())
    found = result.evidence()
    print(f"\naccuracy on {result.plan.prepared.test_rows} digits that no search has seen:")
    print(f"  logistic regression on the pixels  {baseline(words.rows):.3f}")
    if result.default is not None:
        print(f"  plain CNN, the default             {result.test_scores(result.default.number)['accuracy']:.3f}")
    print(f"  plain CNN, tuned                   {result.test_scores()['accuracy']:.3f}")
    if found is not None:
        print(f"does the winner beat the default? {found.verdict} ({found.method})")


if __name__ == "__main__":
    main()
