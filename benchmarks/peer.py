"""The peer: Optuna and transformers' `Trainer`, as people write it and at its best. `python -m benchmarks.peer JOB`.

As people write it is what the guides of transformers show, in a loop over folds: the tokenizer with truncation,
`DataCollatorWithPadding` (every batch padded to its longest row), a model by `from_pretrained` and a `Trainer` for
each fold, evaluated after every epoch, everything else left as it is by default; nothing is saved, which is kinder than
the guides. The tuned peer has whatever was found to make it faster (`TUNED`); its processes share one Optuna study.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.jobs import Findings, Job
from benchmarks.trainer import WRITTEN, FoldTrainer, PeerSettings, tuned

STUDY, STORAGE = "systems", "optuna.log"


def settings_of(job: Job) -> PeerSettings:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return replace(tuned(cores) if job.party == "tuned" else WRITTEN, **job.settings)


class Peer(FoldTrainer):
    """The objective of the Optuna study.

    Attributes:
        scores: (index of the configuration, fold, objective) so far.
    """

    def __init__(self, job: Job, settings: PeerSettings) -> None:
        super().__init__(job, settings)
        self.scores: list[tuple[int, int, float]] = []

    def objective(self, trial: Any) -> float:
        """Return the mean score over the folds of the trial's configuration, after the last epoch."""
        index = trial.suggest_int("config", 0, len(self.job.configs) - 1)
        self.forget()
        found = [self.train(self.job.configs[index], fold)[-1] for fold in range(len(self.folds))]
        self.scores += [(index, fold, score) for fold, score in enumerate(found)]
        return sum(found) / len(found)


def search_alone(job: Job, settings: PeerSettings) -> None:
    """Run the whole list in this process."""
    import optuna

    peer = Peer(job, settings)
    study = optuna.create_study(direction="maximize")
    for index in range(len(job.configs)):
        study.enqueue_trial({"config": index})
    study.optimize(peer.objective, n_trials=len(job.configs))
    write_findings(job, peer)


def search_shared(job: Job, settings: PeerSettings) -> None:
    """Start the processes, make the study that they share meanwhile, and wait for them."""
    started = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.peer", str(Path(job.folder) / "job.json"), str(index)])
        for index in range(settings.processes)
    ]
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage(job), study_name=STUDY, direction="maximize")
    for index in range(len(job.configs)):
        study.enqueue_trial({"config": index})
    (Path(job.folder) / "ready").touch()
    statuses = [process.wait() for process in started]
    if any(statuses):
        sys.exit("A process of the tuned peer failed; its error is above.")


def storage(job: Job) -> Any:
    """Return the storage that processes share: Optuna's journal, the quickest of those that several can write to."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(Path(job.folder) / STORAGE)))


def search_part(job: Job, settings: PeerSettings, index: int) -> None:
    """Take trials from the shared study until none is left."""
    import optuna
    import torch
    import transformers

    if settings.threads:
        torch.set_num_threads(settings.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    peer = Peer(job, settings)
    peer.tokenized()
    while not (Path(job.folder) / "ready").exists():
        time.sleep(0.01)
    study = optuna.load_study(storage=storage(job), study_name=STUDY)
    for trial in taken(study, len(job.configs)):
        study.tell(trial, peer.objective(trial))
    if peer.scores:
        write_findings(job, peer, index)


def taken(study: Any, count: int) -> Iterator[Any]:
    """Yield the enqueued trials that this process gets, of the first `count` of the study."""
    import optuna

    while True:
        trial = study.ask()
        if trial.number >= count:  # the queue is empty, and the sampler was asked
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        yield trial


def write_findings(job: Job, peer: Peer, index: int = 0) -> None:
    finished = time.time()
    training = peer.seconds["train"] - peer.seconds["eval"]
    notes = {"settings": asdict(peer.settings)}
    Findings(finished, peer.began or finished, peer.scores, training, peer.seconds["eval"], notes).write(job, index)


def main(arguments: Sequence[str]) -> None:
    job = Job.read(arguments[0])
    settings = settings_of(job)
    if settings.threads:  # before torch starts, here and in the processes that are started from here
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(settings.threads)
    if len(arguments) > 1:
        search_part(job, settings, int(arguments[1]))
    elif settings.processes:
        search_shared(job, settings)
    else:
        search_alone(job, settings)


if __name__ == "__main__":
    main(sys.argv[1:])
