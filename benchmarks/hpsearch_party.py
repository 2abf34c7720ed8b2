"""The process of the party hpsearch, `python -m benchmarks.hpsearch_party JOB`: what a user writes."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs import Findings, Job, splitter, training_rows

if TYPE_CHECKING:
    import hpsearch as hp


def study_of(job: Job, metric: Any = "f1_macro") -> "hp.Study":
    """Return the study of a job: its configurations enqueued, nothing pruned or stopped early."""
    import hpsearch as hp

    configs = job.configs
    searched = {name: _choices(configs, name) for name in configs[0]}
    space = hp.Space(
        default={name: configs[0][name] for name, values in searched.items() if len(values) > 1},
        **{name: hp.Categorical(values) if len(values) > 1 else values[0] for name, values in searched.items()},
    )
    task = hp.TextClassification(job.model, train=training_rows(Path(job.data), job.rows), text="text", label="label")
    study = hp.Study(
        "systems", task, space, sampler="random", cv=splitter(), metric=metric, pruner="none", early_stopping=None,
        evaluations_per_epoch=1, seed=0, folder=job.folder,
    )  # fmt: skip
    for config in configs:
        study.enqueue(config)
    return study


def _choices(configs: Any, name: str) -> list[Any]:
    return list(dict.fromkeys(config[name] for config in configs))


def findings(job: Job, result: "hp.Result", finished: float) -> Findings:
    """Return what a study that has ended knows of its times and scores."""
    from hpsearch.analysis.timeline import spans

    history, objective = result.history, result.plan.objective.name
    scores, seconds = [], {}  # of an evaluation that several runs share, once
    for trial in history.trials.values():
        at = next(index for index, config in enumerate(job.configs) if _same(config, trial.config))
        for run in trial.runs:
            evaluations = history.of(run.key)
            seconds |= {(run.fold, each.point, each.seconds): each.seconds for each in evaluations}
            scores.append((at, run.fold, float(evaluations[-1].metrics[objective])))
    segments = result.record.store.results()
    began = min(span.begin for span in spans(segments, history))
    return Findings(
        finished, began, scores, sum(seconds.values()), notes={"evaluations": len(seconds), "workers": workers(job)}
    )


def workers(job: Job) -> int:
    """Return how many workers there were."""
    from hpsearch.runtime.devices import inventory, slots

    devices = job.settings.get("devices", "auto")
    if str(devices).startswith("ray:"):
        return int(devices.partition(":")[2])
    return len(slots(devices, inventory()))


def _same(config: Any, other: Any) -> bool:
    return all(other.get(name) == value for name, value in config.items())


def main(arguments: list[str]) -> None:
    job = Job.read(arguments[0])
    os.environ |= {"HPSEARCH_CACHE": job.settings["cache"]} if "cache" in job.settings else {}
    metric: Any = "f1_macro"
    profile = Path(job.folder) / "profile"
    if job.settings.get("profile"):
        from benchmarks import worker_profile

        metric = worker_profile.f1_macro
        profile.mkdir()
        os.environ[worker_profile.FOLDER_VARIABLE] = str(profile)  # from here on: the workers look, this process not
    study = study_of(job, metric)
    result = study.run(trials=len(job.configs), devices=job.settings.get("devices", "auto"), progress=False)
    finished = time.time()
    found = findings(job, result, finished)
    if job.settings.get("profile"):
        found = replace(found, notes={**found.notes, "profile": worker_profile.profiles(profile)})
    found.write(job)


if __name__ == "__main__":
    main(sys.argv[1:])
