"""Made-up measurements of first steps, and work that is to be forecast from them."""

from hpsearch.runtime.forecast import Planned, Tried, Work

SMALL = {"batch_size": 8, "freeze_layers": 6, "epochs": 1, "learning_rate": 1e-3}
LARGE = {"batch_size": 32, "freeze_layers": 0, "epochs": 1, "learning_rate": 1e-3}


def tried(config, step, **more):
    fixed = {
        "step_error": 0.0,
        "step_fixed": 0.0,
        "evaluation": 0.5,
        "evaluation_error": 0.0,
        "between": 0.01,
        "begin": 0.1,
        "end": 0.1,
        "filling": 0.0,
    }
    return Tried(config, step, **{**fixed, "peak_bytes": 10**9, "checkpoint_bytes": 10**6, **more})


def work(trials, **more):
    whole = {
        "total": len(trials), "training_rows": 320, "evaluations_per_epoch": 2, "workers": 1, "prunes": False,
        "shortest_share": 1.0, "loading": 3.0, "kept_bytes": 1000, "checkpoint_limit": 10**9, "process_bytes": 10**8,
    }  # fmt: skip
    return Work(trials, **{**whole, **more})


TRIALS = [Planned(SMALL, (1.0,) * 3), Planned(LARGE, (2.0,) * 3)]
BOTH = [tried(SMALL, 0.1), tried(LARGE, 1.0)]
