"""Studies of a command, from beginning to end: its config file, its metrics, its checkpoints and its errors."""

import sys
from pathlib import Path
from typing import Any

import command_tool
import pandas as pd
import pytest
import yaml

import hpsearch as hp
from hpsearch.errors import TaskError, UsageError

TOOL = [sys.executable, command_tool.__file__]
BASE = {"optimizer": {"rate": 0.5, "name": "sgd"}, "epochs": 4, "fails": False}
WITH_FILE = [*TOOL, "--config", "{config}", "--out", "{folder}/out"]
SPACE = hp.Space(optimizer__rate=hp.Float(0.05, 0.9), epochs=4)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def base(folder: Path, **changed: Any) -> Path:
    file = folder / "base.yaml"
    file.write_text(yaml.safe_dump({**BASE, **changed}))
    return file


def tool(folder: Path, **settings: Any) -> hp.CommandTask:
    given = {"metrics_file": "{folder}/out/log.jsonl", "reported": "eval_accuracy", **settings}
    return hp.CommandTask(WITH_FILE, config=given.pop("config", None) or base(folder), **given)


def study(folder: Path, task: hp.CommandTask, **settings: Any) -> hp.Study:
    given = {"space": SPACE, "sampler": "random", "metric": "eval_accuracy", **settings}
    return hp.Study("command", task, folder=folder, **given)


def ran(made: hp.Study, trials: int) -> hp.Result:
    return made.run(trials=trials, devices="inline", progress=False)


def shown(result: hp.Result) -> pd.DataFrame:
    return result.table().drop(columns="seconds")


def test_a_command_with_a_config_file_is_raced_paused_and_exported(tmp_path: Path) -> None:
    task = tool(
        tmp_path, resume="--resume {checkpoint}", checkpoint="{folder}/out/checkpoint-*", exported="{folder}/out",
        defaults={"optimizer__rate": 0.5},
    )  # fmt: skip
    straight = ran(study(tmp_path / "straight", task), 4)
    assert {"complete", "pruned"} == set(straight.table()["state"])
    rate = straight.default.config["optimizer__rate"] if straight.default else 0.0
    curve = [each.metrics["eval_accuracy"] for each in straight.history.of(straight.history.trials[0].runs[0].key)]
    assert curve == pytest.approx([1 - (1 - rate) ** (epoch + 1) for epoch in range(4)])
    written = next((tmp_path / "straight" / "command" / "runs").glob("*/command/base.yaml"))
    config = yaml.safe_load(written.read_text())
    assert config["optimizer"]["name"] == "sgd" and set(config) == set(BASE)

    made = study(tmp_path / "paused", task, checkpoint_every=0.0)
    made.callbacks = (lambda stopped, trial: stopped.stop(),)
    ran(made, 4)
    made.callbacks = ()
    pd.testing.assert_frame_equal(shown(ran(made, 4)), shown(straight))
    logs = [log.read_text() for log in (tmp_path / "paused" / "command" / "runs").glob("*/output.log")]
    assert any("continued from checkpoint-" in log for log in logs)

    folder = straight.export(tmp_path / "model")
    assert float((folder / "model.txt").read_text()) == pytest.approx(straight.best.value)


def test_a_command_is_read_by_what_it_prints(tmp_path: Path) -> None:
    """Hyperparameters are words of the command; without resume= a run that is left starts again."""
    command = f"{sys.executable} {command_tool.__file__} --rate {{rate}} --out {{folder}}/out-{{seed}}"
    task = hp.CommandTask(command, pattern=r"epoch (?P<step>\d+): accuracy=(?P<accuracy>\S+)", reports=4)
    made = study(tmp_path, task, space=hp.Space(rate=hp.Categorical([0.1, 0.5])), metric="accuracy", sampler="grid")
    result = made.run(devices="inline", progress=False)
    assert result.best.config["rate"] == 0.5 and result.best.value == pytest.approx(1 - 0.5**4)
    assert "starts again from its beginning" in " ".join(result.table().attrs["warnings"])


def test_a_command_that_fails_names_its_log_and_what_it_said(tmp_path: Path) -> None:
    result = ran(study(tmp_path, tool(tmp_path, config=base(tmp_path, fails=True))), 1)
    text = "".join(log.read_text() for log in (tmp_path / "command" / "logs").glob("*.log"))
    assert "the data file has no column 'text'" in text and "exit status 5" in text and "output.log" in text
    assert "exit status 5" in str(result.history.trials[0].reason)
    missing = hp.CommandTask(["no-such-tool", "{optimizer__rate} {epochs}"], pattern=r"(?P<eval_accuracy>\d)")
    result = ran(study(tmp_path / "missing", missing, space=SPACE), 1)
    assert "'no-such-tool' cannot be started" in str(result.history.trials[0].reason)


def test_mistakes_are_found_before_anything_runs(tmp_path: Path) -> None:
    pattern = {"pattern": r"(?P<loss>\d)"}
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    rate = hp.Space(rate=hp.Float(0, 1), epochs=1)
    cases = [
        (lambda: hp.CommandTask("", **pattern), "command= is empty"),
        (lambda: hp.CommandTask("tool 'x", **pattern), "cannot be split into words"),
        (lambda: hp.CommandTask("tool"), "give one of them"),
        (lambda: hp.CommandTask("tool", pattern="("), "is no regular expression"),
        (lambda: hp.CommandTask("tool", pattern="loss"), "has no named group"),
        (lambda: hp.CommandTask("tool", resume="--go", **pattern), "belong together"),
        (lambda: hp.CommandTask("tool", config="base.ini", **pattern), "ends in '.ini'"),
        (lambda: hp.CommandTask("tool", config=tmp_path / "none.yaml", **pattern), "cannot be read"),
        (lambda: hp.CommandTask("tool", config=broken, **pattern), "is no YAML"),
        (
            lambda: hp.CommandTask("tool", config=base(tmp_path), **pattern),
            "does not name it, so nothing that is searched",
        ),
        (lambda: hp.CommandTask("tool", metrics_file="log.jsonl"), "is one place for all runs.*'{folder}/log.jsonl'"),
        (lambda: hp.CommandTask("tool", exported="out/best", **pattern), "exported='out/best' is one place"),
        (
            lambda: hp.CommandTask("tool", resume="-r {checkpoint}", checkpoint="out/checkpoint-*", **pattern),
            "checkpoint='out/checkpoint-\\*' is one place",
        ),
        (lambda: study(tmp_path, hp.CommandTask("tool", **pattern), space=rate), "is nowhere in the command"),
        (lambda: study(tmp_path, hp.CommandTask("tool {lr} {rate} {epochs}", **pattern), space=rate), "names {lr}"),
        (lambda: study(tmp_path, tool(tmp_path), space=rate), "has no key 'rate' to be replaced"),
    ]
    for mistake, message in cases:
        with pytest.raises((TaskError, UsageError), match=message):
            mistake()


def test_lines_of_fractions_of_an_epoch_are_a_report_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a Trainer logs them; and a tool's output is read as it is printed, whatever the caller's environment says."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    script = tmp_path / "tool.py"
    script.write_text(
        "import json, os, sys\n"
        "assert os.environ['PYTHONUNBUFFERED'] == '1'\n"
        "for line in range(4):\n"
        "    epoch = (line + 1) / 2\n"
        "    print(json.dumps({'epoch': epoch, 'accuracy': float(sys.argv[1]) * epoch}), file=open(sys.argv[2], 'a'))\n"
    )
    task = hp.CommandTask(
        [sys.executable, str(script), "{rate}", "{folder}/log"], metrics_file="{folder}/log", reports=4
    )
    made = study(tmp_path, task, space=hp.Space(rate=hp.Categorical([0.1])), metric="accuracy", sampler="grid")
    history = made.run(devices="inline", progress=False).history
    curve = [each.metrics["accuracy"] for each in history.of(history.trials[0].runs[0].key)]
    assert curve == pytest.approx([0.05, 0.1, 0.15, 0.2])
