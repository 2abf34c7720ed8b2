"""The process of the party hpsearch in the end-to-end benchmark: `python -m benchmarks.hpsearch_search JOB`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs import Job, splitter, training_rows
from benchmarks.search_space import Complete, hpsearch_space, write_trials

if TYPE_CHECKING:
    import hpsearch as hp


def study_of(job: Job, test: Any = None, **more: Any) -> "hp.Study":
    """Return the study of a search, with what hpsearch does by default."""
    import hpsearch as hp

    task = hp.TextClassification(
        job.model, train=training_rows(Path(job.data), job.rows), test=test, text="text", label="label"
    )
    return hp.Study(
        "end-to-end", task, hpsearch_space(), cv=splitter(), metric="f1_macro", seed=job.settings["seed"],
        folder=job.folder, **more,
    )  # fmt: skip


def with_pruner(job: Job, **more: Any) -> "tuple[hp.Study, str]":
    """Return the study with the pruner that was asked for, or with the default one where there is none of that name."""
    from hpsearch.errors import UsageError

    wanted = job.settings["pruner"]
    if wanted != "default":
        try:
            return study_of(job, pruner=wanted, **more), wanted
        except UsageError as error:
            print(f"pruner {wanted!r}: {error}")
    study = study_of(job, **more)
    return study, f"{study.plan.pruner} (default)"


def main(arguments: list[str]) -> None:
    job = Job.read(arguments[0])
    found: list[Complete] = []

    def ended(study: "hp.Study", trial: Any) -> None:
        if trial.state.value == "complete":
            epochs = trial.point / study.plan.evaluations_per_epoch
            found.append(Complete(time.time(), trial.value, dict(trial.config), epochs))

    study, pruner = with_pruner(job, callbacks=[ended])
    result = study.run(timeout=max(1.0, job.settings["deadline"] - time.time()), progress=False)
    write_trials(job, found, {"pruner": pruner, "trials": len(result.history.trials), "complete": len(found)})


if __name__ == "__main__":
    main(sys.argv[1:])
