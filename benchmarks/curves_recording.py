"""Records what `python -m benchmarks curves` replays: real fine-tunes, every one trained on every fold to its end.

The task is the quickstart's, a small vision transformer that knows the digits 0 to 4 and learns 5 to 9, from twenty
labelled images each; the space is the quickstart's with three and a half decades of learning rates instead of two.
Configurations are drawn at random, nothing is pruned and nothing stops early, so that any sampler and any pruner can
be replayed on them.

    python -m benchmarks.curves_recording [--configurations 280] [--timeout 15m] [--folder runs]
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hpsearch as hp
from benchmarks.measurements import machine

RECORDED = Path(__file__).parent / "data" / "digits-curves.json"
LABELS_PER_DIGIT = 20
OBJECTIVE = "f1_macro"


def space() -> hp.Space:
    """Return the quickstart's space, its learning rates from far too low to far too high."""
    return hp.Space(
        learning_rate=hp.Float(1e-5, 3e-2, log=True),
        batch_size=hp.Categorical([8, 16, 32, 64]),
        epochs=hp.Int(5, 30),
        weight_decay=hp.Float(1e-5, 0.3, log=True),
        freeze_layers=hp.Int(0, 4),
        warmup_ratio=0.1,
        lr_scheduler_type="cosine",
    )


def study(folder: Path) -> hp.Study:
    """Return the exhaustive study."""
    from studies import quickstart

    quickstart.LABELS_PER_DIGIT = LABELS_PER_DIGIT
    train, test = quickstart.few_labels(0)
    task = hp.ImageClassification(str(quickstart.pretrained_model()), train=train, test=test)
    return hp.Study(
        "digits-curves", task, space(), sampler="random", cv=3, metric=OBJECTIVE, pruner="none", early_stopping=None,
        evaluations_per_epoch=1, seed=0, folder=folder,
    )  # fmt: skip


def recorded(study: hp.Study) -> dict[str, Any]:
    """Return the table: of each trial its parameters, its value, and a curve of objective and loss a fold."""
    history = study.store().history
    rows = [
        {
            "params": dict(trial.params),
            "value": trial.value,
            "folds": [
                {
                    OBJECTIVE: [evaluation.metrics[OBJECTIVE] for evaluation in history.of(run.key)],
                    "loss": [float(f"{evaluation.metrics['loss']:.5g}") for evaluation in history.of(run.key)],
                }
                for run in trial.runs
            ],
        }
        for trial in history.trials.values()
        if trial.value is not None
    ]
    left_out = len(history.trials) - len(rows)
    return {
        "made by": "python -m benchmarks.curves_recording",
        "machine": machine(),
        "task": "digits 5 to 9 by a small vision transformer pretrained on 0 to 4, as in studies/quickstart.py",
        "labels a digit": LABELS_PER_DIGIT,
        "evaluations an epoch": study.plan.evaluations_per_epoch,
        "numerics": study.record.numerics().to_dict(),
        "trials without a value, left out": left_out,
        "space": space().to_json(),
        "trials": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves_recording", description=__doc__.splitlines()[0])
    parser.add_argument("--configurations", type=int, default=280)
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where the study is kept, to be gone on with")
    parser.add_argument("--timeout", default=None, help="what is recorded by then is the table")
    parser.add_argument("--devices", default="inline")
    given = parser.parse_args(arguments)
    made = study(given.folder)
    made.run(trials=given.configurations, timeout=given.timeout, devices=given.devices, progress=False)
    found = recorded(made)
    rows = found.pop("trials")
    text = json.dumps(found, indent=1)[:-2] + ',\n "trials": [\n' + ",\n".join(map(json.dumps, rows)) + "\n ]\n}\n"
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(text, encoding="utf-8")
    print(f"{len(rows)} configurations, {len(text) / 1e6:.2f} MB: {RECORDED}")


if __name__ == "__main__":
    main()
