"""The studies that a shell names: by name or folder, or by the FILE.py that defines them."""

import contextlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpsearch.errors import HpsearchError, StudyNotFoundError, UsageError


def is_file(name: str, folder: Path) -> bool:
    """Return whether a study is named by the file that defines it."""
    return name.endswith(".py") and not Path(name).is_dir() and not (folder / name).is_dir()


def results_of(command: str, name: str, folder: Path, storage: str | None) -> list[Any]:
    """Return the result of a study, or of every study that a file defines."""
    from hpsearch.study_loading import load, read

    if is_file(name, folder):
        return [study.result for study in studies_of(Path(name))]
    find_local_modules()
    try:
        return [load(name, folder=folder, storage=storage).result]
    except UsageError as error:
        if not read(name, folder=folder, storage=storage).description.needs_its_script:
            raise
        raise _with_file(error, command) from error


@contextlib.contextmanager
def file_named(command: str, result: Any) -> Iterator[None]:
    """Where a study can only be read, say what its script can be used for in a shell."""
    try:
        yield
    except UsageError as error:
        if error is not result.plan.missing:
            raise
        raise _with_file(error, command) from error


def _with_file(error: UsageError, command: str) -> UsageError:
    target = " TARGET" if command == "export" else ""
    return UsageError(f"{error} In a shell, name the file that defines the study: hpsearch {command} FILE.py{target}.")


def page_of(result: Any) -> Path:
    """Return where a study's report is written: into its folder, or where this process may not, here."""
    folder: Path = result.plan.folder
    return folder / "report.html" if result.record.is_writable else Path(f"{folder.name}-report.html")


def studies_of(file: Path) -> list[Any]:
    """Run a study file and return the studies that it defines.

    Raises:
        StudyNotFoundError: There is no such file, or it defines no study.
        UsageError: It cannot be run; the message names the line.
    """
    from hpsearch.study import Study

    if not file.is_file():
        raise StudyNotFoundError(f"There is no file {file}. Name a Python file that defines `study`.")
    names = _executed(file)
    defined = names.get("studies", names.get("study"))
    studies = list(defined) if isinstance(defined, (list, tuple)) else [defined]
    alone = names.get("study")
    if isinstance(alone, Study) and all(study is not alone for study in studies):
        raise UsageError(f"{file} defines a `study` that is none of its `studies`. Keep one of the two names.")
    if not studies or not all(isinstance(study, Study) for study in studies):
        raise StudyNotFoundError(
            f"{file} defines no study: at its top level, write `study = hp.Study(...)`, or `studies = [...]`."
        )
    return studies


def find_local_modules() -> None:
    """Let tasks and metrics of modules in the working directory be found, as `python -m hpsearch` would."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _executed(file: Path) -> dict[str, Any]:
    """Return the names that a Python file defines, run as a script of its own folder and without arguments."""
    from hpsearch.provenance.modules import SCRIPTS
    from hpsearch.study import is_read_by_command

    find_local_modules()
    sys.path.insert(0, str(file.resolve().parent))
    arguments, sys.argv = sys.argv, [str(file)]
    reading = is_read_by_command.set(True)
    try:
        return runpy.run_path(str(file), run_name=SCRIPTS[1])
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        reason = error.msg.rstrip(".")
        raise UsageError(f"{error.filename or file}{line}: {reason}. Fix the file; it is read as Python.") from error
    except HpsearchError as error:
        raise type(error)(f"{_line_of(error, file)}: {error}") from error
    except Exception as error:
        raise UsageError(
            f"{_line_of(error, file)}: {type(error).__name__}: {error}. Fix the file; `python {file}` shows the whole "
            "traceback."
        ) from error
    finally:
        is_read_by_command.reset(reading)
        sys.argv = arguments


def _line_of(error: BaseException, file: Path) -> str:
    """Return where in a file an error arose: the innermost of its lines."""
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(file):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f"{file}, line {line}"
