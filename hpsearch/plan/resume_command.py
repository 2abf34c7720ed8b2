"""How a paused study is continued, in words to read or paste."""

import shlex
import shutil
import sys
from pathlib import Path

from hpsearch.plan.description import Description


def how_to_resume(description: Description, folder: Path, storage: str | None, timeout: float | None = None) -> str:
    """Return a sentence that says how to continue a paused study: a command to paste, wherever one is enough.

    A database's password, or what else of its URL may be a secret, is not printed. `timeout`, in seconds, is
    what the command has to give again, because it alone ends the study, and a study keeps all limits but that.
    """
    from hpsearch.records.urls import is_open

    if description.needs_its_script:
        return "Continue by running the same script or command again: it starts where it stopped."
    words = [*_program(), "resume", str(folder), *([] if timeout is None else ["--timeout", f"{timeout:.10g}"])]
    if storage is None:
        return f"Continue with: {shlex.join(words)}"
    if not is_open(storage):
        return f"Continue with: {shlex.join(words)} --storage URL (of the same database)"
    return f"Continue with: {shlex.join([*words, '--storage', storage])}"


def _program() -> list[str]:
    """Return the words that start hpsearch in this shell: by its name only where that is this environment's."""
    command = shutil.which("hpsearch")
    if command is not None and Path(command).parent == Path(sys.executable).parent:
        return ["hpsearch"]
    return [sys.executable, "-m", "hpsearch"]
