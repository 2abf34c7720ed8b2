"""Weights & Biases: one run per trial, grouped under the study."""

import os
from typing import Any

from hpsearch.callbacks.tracking import Tracking, required_package
from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord
from hpsearch.errors import UsageError
from hpsearch.records import TrialState

OURS = ("config", "id", "job_type", "name", "reinit", "resume")
"""Arguments of `wandb.init` that come from the trial."""


class WandbCallback(Tracking):
    """Shows each ended trial as a run on Weights & Biases, and the study as one more.

    A trial's run has its configuration, every metric by epoch for each fold and their mean, and in its summary the
    final value, its folds, its interval, state and reason. Its tags are its state and who proposed it. The study's name
    groups all runs; a run of job type "study" gets the best trial at the end.

    Args:
        project: The project on W&B.
        **init: Further arguments of `wandb.init`, such as `entity`, `mode="offline"`, `dir`, `group` or `tags`.

    Raises:
        UsageError: The package wandb is missing, nobody is logged in, or an argument is in `OURS`.
    """

    def __init__(self, project: str, **init: Any) -> None:
        super().__init__()
        taken = sorted(set(init) & set(OURS))
        if taken:
            raise UsageError(
                f"WandbCallback(..., {taken[0]}={init[taken[0]]!r}): a run's {taken[0]} comes from its trial; leave it "
                "out. Words of your own go into tags=, notes= or group=."
            )
        self._wandb: Any = required_package("wandb", "wandb", "WandbCallback")
        self._project, self._init = project, init
        if (init.get("mode") or os.environ.get("WANDB_MODE") or "online") == "online":
            self._log_in()

    @property
    def service(self) -> str:
        return "W&B"

    @property
    def destination(self) -> str:
        return f"{self._init.get('entity') or os.environ.get('WANDB_ENTITY', '')}/{self._project}"

    def send(self, record: TrialRecord) -> None:
        tags = (record.state.value, record.origin.value)
        run = self._begin(record.id, record.name, "trial", record.study, record.config, tags)
        is_whole = False
        try:
            run.define_metric("*", step_metric="epoch")
            for measured in record.curves:
                run.log({"epoch": measured.epoch, **measured.values}, step=measured.point)
            run.summary.update(_summary(record))
            is_whole = True
        finally:
            run.finish(exit_code=1 if record.state is TrialState.FAIL or not is_whole else 0)

    def finish(self, record: StudyRecord) -> None:
        run = self._begin(record.id, record.study, "study", record.study, {}, ())
        try:
            run.summary.update({f"trials.{state}": count for state, count in record.states.items()})
            if record.best is not None:
                best = record.best
                summary = {**_summary(best), "trial": best.number, "config": dict(best.config)}
                run.summary.update({f"best.{name}": value for name, value in summary.items()})
        finally:
            run.finish()

    def _begin(self, key: str, name: str, job_type: str, study: str, config: Any, tags: tuple[str, ...]) -> Any:
        """Begin a run, or continue the one of this id."""
        quiet = {"silent": True, "console": "off", "x_disable_stats": True}  # the process's own output is not a trial's
        arguments = {"group": study, **self._init, "tags": [*(self._init.get("tags") or ()), *tags]}
        arguments["settings"] = {**quiet, **dict(arguments.get("settings") or {})}
        return self._wandb.init(
            project=self._project,
            id=key,
            name=name,
            job_type=job_type,
            config=dict(config),
            resume="allow",
            reinit="create_new",
            **arguments,
        )

    def _log_in(self) -> None:
        try:
            is_in = self._wandb.login()
        except self._wandb.errors.Error as error:
            raise UsageError(self._not_logged_in(f" ({error})")) from error
        if not is_in:
            raise UsageError(self._not_logged_in(""))

    def _not_logged_in(self, why: str) -> str:
        return (
            f"WandbCallback({self._project!r}) cannot log in to W&B{why}. Run `wandb login`, set WANDB_API_KEY, or "
            "give mode='offline' to keep the runs on this machine until `wandb sync`."
        )


def _summary(record: TrialRecord) -> dict[str, Any]:
    """Return a trial's final values; its metrics at its point replace those logged last."""
    summary: dict[str, Any] = {f"{name}/mean": value for name, value in record.metrics.items()}
    summary |= {
        "objective": record.objective,
        "direction": record.direction.value,
        "value": record.value,
        "folds": list(record.folds),
        "state": record.state.value,
        "reason": record.reason or "",
        "seconds": record.seconds,
    }
    if record.interval is not None:
        summary |= {"interval.low": record.interval[0], "interval.high": record.interval[1]}
    return summary
