"""Made-up grids for the replays: learning curves that rise to a peak over the learning rate, with noise."""

import math

import numpy as np

import hpsearch as hp
from benchmarks.grid_table import GridTable, Point

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def made_up(
    rates: int = 3, sizes: tuple[int, ...] = (8, 32), epochs: tuple[int, ...] = (1, 2), seed: int = 0
) -> GridTable:
    """Return a table of `rates * len(sizes) * len(epochs)` configurations by three folds, two points an epoch."""
    space = hp.Space(
        default={"learning_rate": RATES[0], "batch_size": sizes[-1], "epochs": epochs[-1]},
        learning_rate=hp.Float(RATES[0], RATES[-1], log=True, grid=RATES[:rates]),
        batch_size=hp.Categorical(sizes),
        epochs=hp.Int(epochs[0], epochs[-1], grid=epochs),
        warmup_ratio=0.1,
    )
    random = np.random.default_rng(seed)
    params = list(space.grid())
    points = []
    for each in params:
        far = abs(math.log10(each["learning_rate"] * 8 / each["batch_size"]) + 3.3)
        points.append([_curve(far, 2 * each["epochs"], random) for _ in range(3)])
    tested = [{"f1_macro": float(random.uniform(0.4, 0.6))} for _ in params]
    return GridTable("made-up", space, "f1_macro", 2, params, points, tested)


def _curve(far: float, points: int, random: np.random.Generator) -> list[Point]:
    top = 0.9 - 0.15 * far + random.normal(scale=0.01)
    found = []
    for number in range(1, points + 1):
        score = float(np.clip(top * (1 - 0.5**number) + random.normal(scale=0.01), 0.0, 1.0))
        seconds = float(random.uniform(0.5, 1.5))
        found.append(Point({"f1_macro": score, "loss": 1.2 - score}, seconds, 100 * number, 1.2 - score))
    return found
