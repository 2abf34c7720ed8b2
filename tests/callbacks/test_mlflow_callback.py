"""MLflow, for real: a store in SQLite, written by the callback and read back with MLflow's own client."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from callback_studies import records, run, study

import hpsearch as hp

mlflow = pytest.importorskip("mlflow", reason='mlflow is not installed (pip install "hpsearch[mlflow]")')
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs(uri: str, kind: str) -> list[Any]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("toys")
    found = client.search_runs([experiment.experiment_id], filter_string=f"tags.`hpsearch.kind` = '{kind}'")
    return sorted(found, key=lambda each: int(each.data.tags.get("hpsearch.trial", 0)))


def test_each_trial_is_a_run_below_the_studys(tmp_path: Path, uri: str) -> None:
    made = run(study(tmp_path, hp.MLflowCallback("toys", uri)))
    (parent,) = runs(uri, "study")
    found = runs(uri, "trial")
    client = mlflow.MlflowClient(tracking_uri=uri)
    known = records(made)
    assert len(found) == len(known) == 2
    for each, record in zip(found, known.values(), strict=True):
        assert each.info.run_name == record.name
        assert each.info.status == "FINISHED"
        assert each.data.params == {name: str(value) for name, value in record.config.items()}
        assert each.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert each.data.tags["hpsearch.state"] == "complete"
        assert each.data.metrics["value"] == record.value
        assert record.interval is not None
        assert (each.data.metrics["interval.low"], each.data.metrics["interval.high"]) == record.interval
        assert [each.data.metrics[f"value/{fold}"] for fold in range(3)] == list(record.folds)
        curve = client.get_metric_history(each.info.run_id, "loss/fold_1")
        assert [(m.step, m.value) for m in curve] == [(p.point, p.values["loss/fold_1"]) for p in record.curves]
        assert [m.value for m in client.get_metric_history(each.info.run_id, "epoch")] == [0.6, 1.0, 1.6, 2.0]
    best = made.result.best
    assert parent.info.run_name == "toy"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best.value"] == best.value
    assert parent.data.tags["hpsearch.best.trial"] == str(best.number)
    assert json.loads(parent.data.tags["hpsearch.best.config"]) == best.config
    assert parent.data.tags["hpsearch.trials.complete"] == "2"


def test_a_resumed_study_has_no_run_twice_not_even_without_its_ledger(tmp_path: Path, uri: str) -> None:
    made = run(study(tmp_path, hp.MLflowCallback("toys", uri)), 1)
    first = runs(uri, "trial")[0]
    made.store().close()
    for path in (made.folder / "callbacks").iterdir():
        path.unlink()
    run(study(tmp_path, hp.MLflowCallback("toys", uri)), 2)
    found = runs(uri, "trial")
    assert [each.data.tags["hpsearch.trial"] for each in found] == ["0", "1"]
    assert found[0].info.run_id == first.info.run_id
    assert len(runs(uri, "study")) == 1


def test_a_run_that_a_killed_process_left_half_written_is_written_anew(tmp_path: Path, uri: str) -> None:
    made = run(study(tmp_path), 1)
    record = records(made)[0]
    callback = hp.MLflowCallback("toys", uri)
    half = callback._create_run(record.id, record.name, {"hpsearch.kind": "trial"})
    callback.send(record)
    (found,) = runs(uri, "trial")
    assert found.info.run_id != half
    assert found.data.metrics["value"] == record.value


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_failed_and_pruned_trials_say_so(tmp_path: Path, uri: str) -> None:
    import dataclasses

    record = records(run(study(tmp_path), 1))[0]
    callback = hp.MLflowCallback("toys", uri)
    for state in ("pruned", "fail"):
        callback.send(dataclasses.replace(record, id=state, state=state, value=math.nan, reason="because"))
    found = runs(uri, "trial")
    assert {each.info.status for each in found} == {"KILLED", "FAILED"}
    assert {each.data.tags["hpsearch.reason"] for each in found} == {"because"}
    assert all(math.isnan(each.data.metrics["value"]) for each in found)
