"""What a person is told about a paused study: a command that can be pasted, wherever one is enough."""

import dataclasses
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpsearch.plan.description import Description
from hpsearch.plan.resume_command import how_to_resume
from hpsearch.policy.duration import parse_duration


def description(**changes: Any) -> Description:
    """Return a description of which only what decides about resuming is filled in."""
    values: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Description))
    values |= {"task": {"task": "toy_task:ToyTask"}, "sampler": "bayesian", "pruner": "median", "callables": {}}
    return Description(**{**values, **changes})


def pasted(sentence: str) -> list[str]:
    assert sentence.startswith("Continue with: ")
    return shlex.split(sentence.removeprefix("Continue with: "))


def test_the_command_names_the_folder_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "my runs" / "emotion's"
    words = pasted(how_to_resume(description(), folder, None))
    assert words == [sys.executable, "-m", "hpsearch", "resume", str(folder)]
    done = subprocess.run([*words[:3], "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_hpsearch_is_named_alone_only_where_it_is_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        script = tmp_path / folder / "hpsearch"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "here" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert pasted(how_to_resume(description(), tmp_path, None))[1:3] == ["-m", "hpsearch"]
    monkeypatch.setenv("PATH", str(tmp_path / "here"))
    assert pasted(how_to_resume(description(), tmp_path, None)) == ["hpsearch", "resume", str(tmp_path)]


@pytest.mark.parametrize("timeout", [0.5, 90.25, 7200.0, 1234567.0], ids=str)
def test_a_timeout_that_alone_ends_the_study_is_given_again(tmp_path: Path, timeout: float) -> None:
    words = pasted(how_to_resume(description(), tmp_path, None, timeout))
    assert words[-2] == "--timeout"
    assert parse_duration(words[-1]) == timeout


def test_a_database_is_named_without_its_password(tmp_path: Path) -> None:
    url = "sqlite:///shared.db"
    assert pasted(how_to_resume(description(), tmp_path, url))[-2:] == ["--storage", url]
    secret = how_to_resume(description(), tmp_path, "postgresql+psycopg://me:hunter2@host/studies")
    assert "hunter2" not in secret
    assert "--storage URL" in secret


@pytest.mark.parametrize(
    "changes",
    [
        {"task": {"task": "__main__:MyTask"}},
        {"task": {"task": "__hpsearch__:MyTask"}},
        {"task": {"task": "tests.sample:make.<locals>.MyTask"}},
        {"sampler": "<TPESampler>"},
        {"pruner": "MedianPruner(n_startup_trials=5)"},
        {"callables": {"cost": None}},
    ],
)
def test_what_was_made_in_a_script_continues_with_the_script(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert "running the same script" in how_to_resume(description(**changes), tmp_path, None)


@pytest.mark.parametrize("changes", [{"sampler": "Grid(points=4)"}, {"callables": {"cost": "package.module:cost"}}])
def test_what_can_be_imported_continues_by_the_command(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert pasted(how_to_resume(description(**changes), tmp_path, None))[-2:] == ["resume", str(tmp_path)]
