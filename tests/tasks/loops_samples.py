"""Functions that train, as users write them, for tests of tasks that train themselves."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp

SPACE = hp.Space(rate=hp.Float(0.05, 0.9), epochs=4)

calls: list[int] = []
"""The calls of a function of this module in this process."""


def climb(config: dict[str, Any], run: Any) -> None:
    """Climb towards 1, with some noise of the run's own; what was reached is saved where that is due."""
    start, height = 0, 0.0
    restored = run.restore()
    if restored is not None:
        state = json.loads((restored / "deep" / "state.json").read_text())
        start, height = state["epoch"] + 1, state["height"]
    mark(run, f"start {start}")
    for epoch in range(start, config["epochs"]):
        time.sleep(config.get("seconds", 0.0))
        noise = random.Random(f"{run.seed} {epoch}").uniform(-0.01, 0.01)
        height += config["rate"] * (1.0 - height) + noise
        answer = run.report(epoch, accuracy=height, loss=1.0 - height)
        if run.due(epoch):
            with run.save() as folder:
                (folder / "deep").mkdir()
                (folder / "deep" / "state.json").write_text(json.dumps({"epoch": epoch, "height": height}))
                mark(run, f"saved {epoch}")
        if answer.stop:
            break


def climb_without_saving(config: dict[str, Any], run: Any) -> None:
    height = 0.0
    for epoch in range(config["epochs"]):
        height += config["rate"] * (1.0 - height)
        if run.report(epoch, accuracy=height).stop:
            return


def look_around(config: dict[str, Any], run: Any) -> None:
    """Report what a run finds in its process."""
    import torch

    calls.append(1)
    mark(run, f"pid {os.getpid()}")
    print("seen on standard output")
    drawn = {"python": random.random(), "numpy": float(np.random.rand()), "torch": torch.rand(()).item()}
    json.dumps = None  # type: ignore[assignment]  (a patch that must not be found by the next run)
    run.report(0, score=config["rate"], calls=len(calls), **drawn)


def fail(config: dict[str, Any], run: Any) -> None:
    run.report(0, accuracy=0.5)
    match config["how"]:
        case "raise":
            raise ValueError("the optimizer was given an empty list")
        case "exit":
            sys.exit(3)
        case "end":
            print("the last words", flush=True)
            os._exit(7)
        case "memory":
            raise MemoryError("no room")


def stop_by_itself(config: dict[str, Any], run: Any) -> None:
    for step in range(2):
        run.report(step, accuracy=config["rate"] * (step + 1))


def count_rows(config: dict[str, Any], run: Any) -> None:
    """Report which rows the run was given."""
    train, validation = run.train_rows, run.validation_rows
    with run.save() as folder:
        (folder / "rows").write_text(f"{len(train)} {len(validation)} {run.is_refit}")
    both = set(train["value"]) & set(validation["value"])
    run.report(0, score=config["rate"], train=len(train), validation=len(validation), both=len(both))
    if run.due(0):
        with run.save() as folder:
            (folder / "rows").write_text(f"{len(train)} {len(validation)} {run.is_refit}")


def mark(run: Any, text: str) -> None:
    """Leave a line where a test looks for it."""
    place = os.environ.get("LOOPS_MARKS")
    if place:
        with Path(place).open("a") as file:
            file.write(f"{os.getpid()} {run.folder.name} {text}\n")


def study(folder: Path, train: Any = climb, **settings: Any) -> hp.Study:
    task = settings.pop("task", None) or hp.FunctionTask(train, **settings.pop("arguments", {}))
    given = {"space": SPACE, "metric": "accuracy", "sampler": "random", **settings}
    return hp.Study("loop", task, folder=folder, **given)


if __name__ == "__main__":
    made = study(Path(sys.argv[1]), arguments={"defaults": {"rate": 0.3, "seconds": 0.1}}, checkpoint_every=0.0)
    made.run(trials=5, devices=int(sys.argv[2]), progress=False)
