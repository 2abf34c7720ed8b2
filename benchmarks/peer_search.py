"""The peer in the end-to-end benchmark: Optuna's TPE and Hyperband over folds times epochs, with `Trainer` at its best.

`python -m benchmarks.peer_search JOB` starts a process a core, of one thread each, that share one study.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import FOLDS, Job
from benchmarks.peer import STUDY, storage
from benchmarks.search_space import DEFAULT, EPOCHS, Complete, suggested, write_trials
from benchmarks.trainer import FoldTrainer, tuned


class Search(FoldTrainer):
    """The objective: reports the mean of the finished folds and the current one after every epoch of every fold.

    Attributes:
        complete: Trials that were not pruned.
        asked: Trials begun.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job, tuned(job.settings["processes"]))
        self.complete: list[Complete] = []
        self.asked = 0

    def objective(self, trial: Any) -> float:
        import optuna

        self.asked += 1
        config = suggested(trial)
        scores: list[float] = []
        for fold in range(FOLDS):
            watch = pruning(trial, fold * config["epochs"], scores, self.job.settings["deadline"])
            found = self.train(config, fold, [watch])
            if watch.is_pruned:
                raise optuna.TrialPruned
            scores.append(found[-1])
        value = sum(scores) / len(scores)
        self.complete.append(Complete(time.time(), value, config, float(config["epochs"])))
        return value


def pruning(trial: Any, before: int, scores: Sequence[float], deadline: float) -> Any:
    """Return a callback of Trainer that reports to Optuna and stops what is to be pruned, or has no time left.

    Args:
        trial: Optuna's.
        before: Epochs of the folds before.
        scores: Their scores.
        deadline: When all ends, in seconds since 1970.
    """
    from transformers import TrainerCallback

    class Pruning(TrainerCallback):
        is_pruned = False

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **more: Any) -> None:
            value = (sum(scores) + metrics["eval_f1_macro"]) / (len(scores) + 1)
            trial.report(value, before + round(state.epoch))
            if trial.should_prune():
                self.is_pruned = control.should_training_stop = True

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if time.time() >= deadline:
                self.is_pruned = control.should_training_stop = True

    return Pruning()


def search_part(job: Job, index: int) -> None:
    import optuna
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = Search(job)
    search.tokenized()
    study = optuna.create_study(
        storage=storage(job), study_name=STUDY, direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=1000 * job.settings["seed"] + index, constant_liar=True),
        pruner=optuna.pruners.HyperbandPruner(min_resource=2, max_resource=FOLDS * EPOCHS[1], reduction_factor=2),
    )  # fmt: skip
    if index == 0:
        study.enqueue_trial(dict(DEFAULT))
    study.optimize(search.objective, timeout=max(1.0, job.settings["deadline"] - time.time()))
    write_trials(job, search.complete, {"trials": search.asked, "complete": len(search.complete)}, index)


def main(arguments: Sequence[str]) -> None:
    job = Job.read(arguments[0])
    if len(arguments) > 1:
        search_part(job, int(arguments[1]))
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "benchmarks.peer_search", str(Path(job.folder) / "job.json")]
    started = [subprocess.Popen([*command, str(index)]) for index in range(job.settings["processes"])]
    statuses = [process.wait() for process in started]
    if any(statuses):
        sys.exit("A process of the peer failed; its error is above.")


if __name__ == "__main__":
    main(sys.argv[1:])
