"""W&B, for real, offline: what the callback wrote is read back from the files that `wandb sync` would send."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from callback_studies import records, run, study

import hpsearch as hp
from hpsearch.errors import UsageError

wandb = pytest.importorskip("wandb", reason='wandb is not installed (pip install "hpsearch[wandb]")')
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def callback(folder: Path, **more: Any) -> hp.WandbCallback:
    return hp.WandbCallback("toys", mode="offline", dir=str(folder), **more)


def scanned(content: bytes) -> Iterator[bytes]:
    """Yield the records of a file: LevelDB's log format, blocks of 32 KiB after a header of seven bytes."""
    assert content.startswith(b":W&B")
    place, whole = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # too little for a header: the block is filled up with zeros
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield whole
            whole = b""


def written(folder: Path) -> list[Mapping[str, Any]]:
    """Return, a run, what is in its file: who it is, its config, its history and its last summary."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for path in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        each: dict[str, Any] = {"history": [], "summary": {}, "config": {}}
        for data in scanned(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                each |= {
                    "id": run.run_id, "name": run.display_name, "group": run.run_group, "type": run.job_type,
                    "project": run.project, "tags": set(run.tags),
                }  # fmt: skip
                each["config"] |= {i.key: json.loads(i.value_json) for i in run.config.update}
            elif kind == "history":
                items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                each["history"].append({**items, "step": record.history.step.num})
            elif kind == "summary":
                items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update}
                each["summary"] |= items
            elif kind == "exit":
                each["exit"] = record.exit.exit_code
        found.append(each)
    return found


def test_each_trial_is_a_run_grouped_under_the_study(tmp_path: Path) -> None:
    made = run(study(tmp_path, callback(tmp_path, tags=["mine"])))
    found = written(tmp_path)
    trials = [each for each in found if each["type"] == "trial"]
    known = records(made)
    assert [each["id"] for each in trials] == [record.id for record in known.values()]
    for each, record in zip(trials, known.values(), strict=True):
        assert (each["name"], each["group"], each["project"], each["exit"]) == (record.name, "toy", "toys", 0)
        assert each["tags"] == {"mine", record.state.value, record.origin.value}
        assert {name: each["config"][name] for name in record.config} == record.config
        assert [row["step"] for row in each["history"]] == [1, 2, 3, 4]
        for row, point in zip(each["history"], record.curves, strict=True):
            assert row["epoch"] == point.epoch
            assert {name: row[name] for name in point.values} == point.values
        summary = each["summary"]
        assert (summary["value"], tuple(summary["folds"])) == (record.value, record.folds)
        assert (summary["interval.low"], summary["interval.high"]) == record.interval
        assert (summary["state"], summary["reason"]) == (record.state.value, record.reason)
    (whole,) = [each for each in found if each["type"] == "study"]
    best = made.result.best
    assert (whole["summary"]["best.value"], whole["summary"]["best.trial"]) == (best.value, best.number)
    assert whole["summary"]["trials.complete"] == 2


def test_a_resumed_study_has_no_run_twice(tmp_path: Path) -> None:
    made = run(study(tmp_path, callback(tmp_path)), 1)
    made.store().close()
    run(study(tmp_path, callback(tmp_path)), 2)
    found = written(tmp_path)
    assert sorted(each["name"] for each in found if each["type"] == "trial") == ["toy-0", "toy-1"]
    assert len({each["id"] for each in found if each["type"] == "study"}) == 1


def test_arguments_that_are_the_trials_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name='x'\): a run's name comes from its trial"):
        callback(tmp_path, name="x")


def test_who_is_not_logged_in_hears_of_it_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"cannot log in to W&B.*mode='offline'"):
        hp.WandbCallback("toys")
