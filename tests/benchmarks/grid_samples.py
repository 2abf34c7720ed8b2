"""Made-up grids for the replays: learning curves that rise to a peak over the learning rate, with noise."""

import json
import math
from pathlib import Path

import numpy as np
import pandas

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
    params = [dict(point) for point in space.grid()]
    points = []
    for each in params:
        far = abs(math.log10(float(each["learning_rate"]) * 8 / int(each["batch_size"])) + 3.3)
        points.append([_curve(far, 2 * int(each["epochs"]), random) for _ in range(3)])
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


def write(table: GridTable, folder: Path) -> None:
    """Write a table as the recorded ones are."""
    curves = [
        {"configuration": 10 * index, "fold": fold, "point": number, "rows_seen": point.rows_seen,
         "train_loss": point.train_loss, "seconds": point.seconds, **point.metrics}
        for index, folds in enumerate(table.points)
        for fold, points in enumerate(folds)
        for number, point in enumerate(points, 1)
    ]  # fmt: skip
    rows = [
        {"configuration": 10 * index, **params, "test_f1_macro": table.tested[index]["f1_macro"], "outputs": [0.5, 0.5]}
        for index, params in enumerate(table.params)
    ]
    about = {
        "space": table.recorded.to_json(),
        "objective": table.objective,
        "folds": table.folds,
        "evaluations_per_epoch": table.evaluations_per_epoch,
    }
    pandas.DataFrame(curves).sample(frac=1.0, random_state=0).to_parquet(folder / f"policy-{table.name}-curves.parquet")
    pandas.DataFrame(rows).to_parquet(folder / f"policy-{table.name}-configurations.parquet")
    (folder / f"policy-{table.name}-about.json").write_text(json.dumps(about))
