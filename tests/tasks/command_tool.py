"""A tool that trains, as a command: it reads a config file, prints and writes what it measures, and can continue."""

import argparse
import json
import sys
import time
from pathlib import Path

import yaml


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path)
    given = parser.parse_args()
    settings = {"optimizer": {"rate": given.rate}, "epochs": 4, "fails": False}
    if given.config:
        settings = yaml.safe_load(given.config.read_text())
    if settings["fails"]:
        print("the data file has no column 'text'")
        sys.exit(5)
    given.out.mkdir(parents=True, exist_ok=True)
    start, height = 0, 0.0
    if given.resume:
        state = json.loads((given.resume / "state.json").read_text())
        start, height = state["epoch"] + 1, state["height"]
        print("continued from", given.resume.name)
    for epoch in range(start, settings["epochs"]):
        time.sleep(0.05)
        height += settings["optimizer"]["rate"] * (1.0 - height)
        with (given.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": epoch, "train_loss": 1.0}) + "\n")
            log.write(json.dumps({"step": epoch, "eval_accuracy": height, "note": "x"}) + "\n")
        print(f"epoch {epoch}: accuracy={height!r}", flush=True)
        folder = given.out / f"checkpoint-{epoch}"
        folder.mkdir()
        (folder / "state.json").write_text(json.dumps({"epoch": epoch, "height": height}))
    (given.out / "model.txt").write_text(repr(height))


if __name__ == "__main__":
    main()
