"""MLflow: one run per trial, below one for the study."""

import json
import time
from functools import cached_property
from typing import Any

from hpsearch.callbacks.tracking import Tracking, required_package
from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord

RUN_TAG, KIND_TAG = "hpsearch.id", "hpsearch.kind"
"""Tags that find our runs again, because MLflow numbers runs itself."""

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}
"""A trial's state to MLflow's status of its run."""

METRICS_A_BATCH, PARAMS_A_BATCH, PARAM_LENGTH = 1000, 100, 6000
"""MLflow's limits."""


class MLflowCallback(Tracking):
    """Shows each ended trial as a run of an MLflow experiment, all below one run for the study.

    A trial's run holds its configuration as parameters; as metrics, every metric by evaluation point for each fold and
    their mean, the final value, its interval and the value of each fold; as tags, state, reason and origin. A pruned
    trial's run is KILLED, a failed one's FAILED. The study's run gets the best trial at the end.

    Args:
        experiment: Name of the experiment, made if there is none.
        tracking_uri: A server's address, or sqlite:///mlflow.db; by default what MLFLOW_TRACKING_URI says.

    Raises:
        UsageError: The package mlflow is missing.
    """

    def __init__(self, experiment: str, tracking_uri: str | None = None) -> None:
        super().__init__()
        self._mlflow: Any = required_package("mlflow", "mlflow", "MLflowCallback")
        self._experiment = experiment
        self._uri = tracking_uri or str(self._mlflow.get_tracking_uri())

    @property
    def service(self) -> str:
        return "MLflow"

    @property
    def destination(self) -> str:
        return f"{self._uri}/{self._experiment}"

    def send(self, record: TrialRecord) -> None:
        tags = {
            KIND_TAG: "trial",
            "hpsearch.study": record.study,
            "hpsearch.trial": str(record.number),
            "hpsearch.state": record.state.value,
            "hpsearch.origin": record.origin.value,
            "hpsearch.reason": record.reason or "",
            "hpsearch.direction": record.direction.value,
            "mlflow.parentRunId": self._study_run(record.study_id, record.study),
        }
        for earlier in self._runs_tagged(record.id):
            if earlier.info.status != "RUNNING":
                return  # already sent; the file that said so is gone
            self._client.delete_run(earlier.info.run_id)  # half sent by a process that was killed
        run = self._create_run(record.id, record.name, tags)
        self._write_params(run, record.config)
        curves = {
            (name, measured.point): value
            for measured in record.curves
            for name, value in [("epoch", measured.epoch), *measured.values.items()]
        }
        self._write_metrics(run, {**curves, **{(name, 0): value for name, value in _final(record).items()}})
        self._client.set_terminated(run, STATUS[record.state.value])

    def finish(self, record: StudyRecord) -> None:
        run = self._study_run(record.id, record.study)
        for state, count in record.states.items():
            self._client.set_tag(run, f"hpsearch.trials.{state}", str(count))
        if record.best is not None:
            best = record.best
            self._write_metrics(run, {(f"best.{name}", 0): value for name, value in _final(best).items()})
            self._client.set_tag(run, "hpsearch.best.trial", str(best.number))
            self._client.set_tag(run, "hpsearch.best.config", json.dumps(dict(best.config), default=str))
        self._client.set_terminated(run)

    @cached_property
    def _client(self) -> Any:
        """The client, made in the thread that sends."""
        return self._mlflow.MlflowClient(tracking_uri=self._uri)

    @cached_property
    def _experiment_id(self) -> Any:
        existing = self._client.get_experiment_by_name(self._experiment)
        return self._client.create_experiment(self._experiment) if existing is None else existing.experiment_id

    def _runs_tagged(self, key: str) -> Any:
        return self._client.search_runs([self._experiment_id], filter_string=f"tags.`{RUN_TAG}` = '{key}'")

    def _create_run(self, key: str, name: str, tags: dict[str, str]) -> str:
        run = self._client.create_run(self._experiment_id, run_name=name, tags={RUN_TAG: key, **tags})
        return str(run.info.run_id)

    def _study_run(self, key: str, study: str) -> str:
        """Return the id of the study's run, made if there is none."""
        for earlier in self._runs_tagged(key):
            return str(earlier.info.run_id)
        return self._create_run(key, study, {KIND_TAG: "study", "hpsearch.study": study})

    def _write_params(self, run: str, config: Any) -> None:
        param = self._mlflow.entities.Param
        params = [param(name, str(value)[:PARAM_LENGTH]) for name, value in config.items()]
        for start in range(0, len(params), PARAMS_A_BATCH):
            self._client.log_batch(run, params=params[start : start + PARAMS_A_BATCH])

    def _write_metrics(self, run: str, values: dict[tuple[str, int], float]) -> None:
        metric, now = self._mlflow.entities.Metric, int(1000 * time.time())
        metrics = [metric(name, value, now, step) for (name, step), value in values.items()]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self._client.log_batch(run, metrics=metrics[start : start + METRICS_A_BATCH])


def _final(record: TrialRecord) -> dict[str, float]:
    numbers = {} if record.value is None else {"value": record.value}
    numbers |= {f"value/{fold}": value for fold, value in enumerate(record.folds)}
    if record.interval is not None:
        numbers |= {"interval.low": record.interval[0], "interval.high": record.interval[1]}
    return {**numbers, "seconds": record.seconds}
