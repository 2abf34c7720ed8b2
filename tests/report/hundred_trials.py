"""A real study of a hundred small trials and its report, to look at: python tests/report/hundred_trials.py FOLDER.

A second and third study over the same folds make a comparison. It takes some minutes; running it again continues it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from toy_task import ToyTask

import hpsearch as hp

SPACE = hp.Space(
    default={
        "learning_rate": 1e-3,
        "batch_size": 32,
        "epochs": 2,
        "weight_decay": 0.01,
        "dropout": 0.1,
        "lr_scheduler_type": "linear",
    },
    learning_rate=hp.Float(1e-4, 3e-1, log=True),
    batch_size=hp.Categorical([8, 16, 32]),
    epochs=hp.Int(1, 5),
    weight_decay=hp.Float(1e-5, 0.3, log=True),
    dropout=hp.Float(0.0, 0.5),
    lr_scheduler_type=hp.Categorical(["linear", "cosine", "warmup_stable_decay"]),
    decay_ratio=hp.Float(0.1, 0.5).when(lr_scheduler_type="warmup_stable_decay"),
    warmup_ratio=0.1,
)


def study(folder: Path, name: str, sampler: str, pruner: str) -> hp.Study:
    return hp.Study(
        name,
        ToyTask(rows=240),
        SPACE,
        folder=folder,
        sampler=sampler,
        pruner=pruner,
        metrics=["accuracy", "neg_log_loss"],
    )


def main(folder: Path) -> None:
    settings = (("bayesian", "median", 100), ("random", "none", 40), ("random", "median", 40))
    results = []
    for sampler, pruner, trials in settings:
        made = study(folder, f"{sampler}-{pruner}", sampler, pruner)
        results.append(made.run(trials=trials, devices=2 if trials == 100 else "inline"))
    print(results[0].report(folder / "report.html"))
    print(hp.compare(results).report(folder / "compare.html"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
