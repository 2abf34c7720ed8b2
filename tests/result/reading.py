"""What a study has to tell, as plain values; run as a script, it is read by a process that may write nothing in it."""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hpsearch as hp

_OVERRIDES = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: what makes root read and write everything
_DROP_FROM_BOUNDING_SET = 24


def told(result: hp.Result, pages: Path) -> dict[str, Any]:
    """Return table, best, summary, curves and figures as digests, and the words of report and comparison."""
    table = result.table()
    figures = {name: getattr(result.figures, name) for name in ("history", "learning_curves", "confusion")}
    report = result.report(pages / "report.html").read_text(encoding="utf-8")
    return {
        "table": json.loads(table.to_json()),
        "best": [result.best.number, result.best.value, result.best.config, result.best.curve],
        "summary": repr(result.summary(0)),
        "curves": len(result.curves()),
        "figures": {name: hashlib.sha256(draw().to_json().encode()).hexdigest() for name, draw in figures.items()},
        "text": result.text(),
        "evidence": repr(result.evidence()),
        "report": hashlib.sha256(report.encode()).hexdigest(),
    }


def prints(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and time of each file and folder; SQLite's shared-memory file apart."""
    places = [folder, *sorted(folder.rglob("*"))]
    return {
        str(place.relative_to(folder)): (
            hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else "",
            place.stat().st_mtime_ns,
        )
        for place in places
        if not place.name.endswith("-shm")
    }


def give_to_another_user(folder: Path) -> None:
    """Have a folder be of a user whose files this process may read only."""
    for place in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        place.chmod(0o555 if place.is_dir() else 0o444)


def as_another_user(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python as a user without root's right to write everywhere; `cwd` is its own."""

    def drop_overrides() -> None:
        if os.geteuid() == 0:
            for capability in _OVERRIDES:
                ctypes.CDLL(None).prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)

    here = Path(__file__).parents[1]
    paths = [str(here.parent), str(here), str(here / "runtime"), str(here / "tasks")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, preexec_fn=drop_overrides, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def commands(folder: str) -> dict[str, tuple[int, str]]:
    """Return exit code and words of what a shell would ask of a study."""
    from typer.testing import CliRunner

    from hpsearch.cli.commands import app

    asked = {
        "show": ["show", folder],
        "list": ["list", "--folder", str(Path(folder).parent)],
        "report": ["report", folder],
        "export": ["export", folder, "model"],
        "resume": ["resume", folder, "--trials", "9", "--devices", "inline"],
    }
    ran = {name: CliRunner().invoke(app, arguments) for name, arguments in asked.items()}
    return {name: (one.exit_code, one.output) for name, one in ran.items()}


if __name__ == "__main__":
    print(json.dumps({"told": told(hp.load(sys.argv[1]).result, Path.cwd()), "commands": commands(sys.argv[1])}))
