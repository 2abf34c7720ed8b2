"""The command line: the same things as from Python, for a shell.

Nothing heavy is imported here: what a command needs, it imports when it runs.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.errors import HpsearchError, LeaseHeldError, StudyFailedError, StudyNotFoundError, UsageError, nearest
from hpsearch.provenance.packages import __version__

EXIT_CODES = {UsageError: 2, LeaseHeldError: 3}
"""Exit codes by kind of error; every other error of ours is 1, and a pause by Ctrl-C or SIGTERM is 130."""

SHOW_TRACEBACK = "HPSEARCH_TRACEBACK"
"""Environment variable that lets an error that is none of ours through, with its traceback."""

EPILOG = (
    "Exit codes: 0 done, 1 an error, 2 something in the command, the study file or the data cannot be used as it is, "
    "3 another process is running the study, 130 paused by Ctrl-C or SIGTERM. Errors go to standard error, in one "
    "paragraph that says what was wrong and what to do."
)

app = typer.Typer(
    name="hpsearch",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name, or its folder.")]
NameOrFile = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study's name, its folder, or the FILE.py that defines it."),
]
Folder = Annotated[Path, typer.Option(metavar="DIR", help="Where studies are kept.")]
Storage = Annotated[
    str | None, typer.Option(metavar="URL", help="SQLAlchemy URL of the database, if it is not in the study's folder.")
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="Trials in total, those of earlier calls included.")]
Timeout = Annotated[str | None, typer.Option(metavar="TIME", help="Pause after this time: 2h, 90m, 1h30m, or seconds.")]
DevicesOption = Annotated[
    str,
    typer.Option(
        metavar="DEVICES",
        help="auto, inline, cpu, mps, cuda, cuda:0, GPUs such as 0,1, or a number of workers.",
    ),
]
Progress = Annotated[
    str, typer.Option(metavar="HOW", help="auto, plain (a line an ended trial), line (a single line), or none.")
]

PROGRESS: Mapping[str, bool | str] = {"auto": True, "plain": "plain", "line": "line", "none": False}
"""What `--progress` may be, and what `Study.run` calls it."""


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Say what went wrong in one paragraph, without a traceback, and end with its exit code."""
    try:
        yield
    except HpsearchError as error:
        typer.echo(f"hpsearch: {error}", err=True)
        code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
        raise typer.Exit(code) from error
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo("hpsearch: interrupted. What was recorded is kept; the same command goes on.", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        if os.environ.get(SHOW_TRACEBACK):
            raise
        typer.echo(f"hpsearch: {_unforeseen(error)}", err=True)
        raise typer.Exit(1) from error


def _unforeseen(error: Exception) -> str:
    """Return one paragraph about an error that is none of ours: what the system refused, or a defect."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Check that it is there, and that this process may use it."
    reason = " ".join(str(error).split())
    return (
        f"{type(error).__name__}: {reason}. This was not foreseen: it is a defect of hpsearch or of your code. What "
        f"was recorded is kept. The same command with {SHOW_TRACEBACK}=1 in the environment shows where it came from."
    )


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Hyperparameter search for fine-tuning: cross-validated, exactly resumable, and with evidence."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="A Python file that defines study, or studies.")],
    trials: Trials = None,
    timeout: Timeout = None,
    devices: DevicesOption = "auto",
    progress: Progress = "auto",
) -> None:
    """Run the study that a Python file defines.

    The file is plain Python. At its top level it makes a study,
    study = hp.Study(...), or several that run one after the other,
    studies = [...]. Run again, it goes on where it stood.

    Ctrl-C pauses it with checkpoints and says how to go on.
    """
    with _errors():
        for study in _studies_of(file):
            _run(study, trials, timeout, devices, progress, file)


@app.command()
def resume(
    name: Name,
    folder: Folder = Path("runs"),
    storage: Storage = None,
    trials: Trials = None,
    timeout: Timeout = None,
    devices: DevicesOption = "auto",
    progress: Progress = "auto",
) -> None:
    """Go on with a study where it stood, without its script.

    Without --trials, it goes up to the number of trials that it was last
    run for.
    """
    with _errors():
        from hpsearch.loading import load, read

        description = read(name, folder=folder, storage=storage).description
        if description.needs_its_script:
            raise UsageError(
                f"The study {description.name!r} cannot go on without the script or notebook that made it, because its "
                "task, a metric, the sampler or the pruner was made there. Run that script again (or `hpsearch run "
                "FILE.py`): it goes on where the study stood."
            )
        goal = description.goal or {}
        _find_local_modules()
        study = load(name, folder=folder, storage=storage)
        _run(study, trials if trials is not None else goal.get("trials"), timeout, devices, progress)


@app.command("list")
def list_studies(folder: Folder = Path("runs"), storage: Storage = None) -> None:
    """List the studies in a folder: trials by state, and the best value."""
    with _errors():
        from hpsearch.result.text import aligned

        rows = [["study", "trials", "best", "states"], *_listed(folder, storage)]
        if len(rows) == 1:
            typer.echo(f"There are no studies in {storage or folder}.")
        else:
            typer.echo("\n".join(aligned(rows)))


@app.command()
def show(name: NameOrFile, folder: Folder = Path("runs"), storage: Storage = None) -> None:
    """Print a study's trials and the best of them, also while it runs.

    Neither its script nor its data need be there.
    """
    with _errors():
        if not _is_file(name, folder):
            _show(name, folder, storage)
            return
        for study in _studies_of(Path(name)):
            study.store()  # says so where it has not been run
            _show(str(_shown(study.folder)), folder, study.plan.storage)


def _show(name: str, folder: Path, storage: str | None) -> None:
    from hpsearch.loading import read
    from hpsearch.result.text import outcome_text
    from hpsearch.space import Space

    found = read(name, folder=folder, storage=storage)
    description, facts = found.description, found.description.facts
    task = str(description.task["task"]).partition(":")[2]
    typer.echo(
        f"{description.name}: {task} on {facts['rows']} rows, {len(facts['classes'])} classes, {facts['folds']} "
        f"fold(s); sampler {description.sampler}, pruner {description.pruner}, seed {description.seed}"
    )
    searched = Space.from_json(description.space).parameters
    typer.echo(outcome_text(found.history, description.metric, found.test_shares, searched))
    logs = sorted((found.folder / "logs").glob("*.log"))
    if logs:
        typer.echo(f"logs: {', '.join(str(log) for log in logs)}")


@app.command()
def report(
    name: NameOrFile,
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The page; report.html in the study's folder by default.")
    ] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
) -> None:
    """Write the report: one self-contained page that opens offline.

    Where the task has test rows and the study has ended, the winner and the
    literature default are trained once on all training rows and scored on
    them; that takes as long as two trainings, the first time.

    A study with a metric or task made in its FILE.py is named by that file;
    of several in it, each has its report in its own folder.
    """
    with _errors():
        results = _results("report", name, folder, storage)
        if output is not None and len(results) > 1:
            raise UsageError(f"{name} defines {len(results)} studies: leave out --output, for each has its own page.")
        for result in results:
            typer.echo(result.report(output or result.plan.folder / "report.html"))


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Names, folders or FILE.py of two or more studies."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The page.")] = Path("compare.html"),
    against: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="The study that the others are tested against; else the first. 'best' takes the one with the "
            "highest value, and p-values against it lean.",
        ),
    ] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
) -> None:
    """Compare studies side by side: one self-contained page that opens offline.

    Where studies share their test rows and have ended, their winners are
    trained once on all training rows and scored on them, the first time.
    """
    with _errors():
        from hpsearch.result.comparison import Comparison

        results = [result for name in names for result in _results("compare", name, folder, storage)]
        typer.echo(Comparison(results, against=against).report(output))


@app.command()
def export(
    name: NameOrFile,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Folder for the model.")],
    trial: Annotated[int | None, typer.Option(metavar="N", help="Another complete trial than the best.")] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target if it is there.")] = False,
) -> None:
    """Train the best configuration on all training rows and save the model.

    The folder loads with from_pretrained and pipeline of transformers, and
    holds a model card. Of a FILE.py with several studies, each model gets a
    folder of its study's name in the target.
    """
    with _errors():
        results = _results("export", name, folder, storage)
        for result in results:
            place = target if len(results) == 1 else target / result.plan.name
            typer.echo(result.export(place, number=trial, overwrite=overwrite))


@app.command()
def spaces(
    name: Annotated[str | None, typer.Argument(metavar="SPACE", help="A shipped space, or a TOML file.")] = None,
) -> None:
    """List the shipped search spaces, or print one with the source of each number."""
    with _errors():
        from hpsearch.space import Space, list_spaces
        from hpsearch.space.shipped import list_text

        typer.echo(list_text(list_spaces()) if name is None else str(Space.load(name)))


@app.command()
def doctor() -> None:
    """Check this machine: versions, devices, memory, disk, database, worker.

    It starts one worker process for real, which takes some seconds.
    """
    with _errors():
        from hpsearch.cli.doctor import examine
        from hpsearch.result.text import aligned

        findings = examine()
        rows = [["ok" if finding.is_good else "BAD", finding.subject, finding.text] for finding in findings]
        typer.echo("\n".join(aligned(rows)))
        if not all(finding.is_good for finding in findings):
            raise typer.Exit(1)


def _listed(folder: Path, storage: str | None) -> Iterator[list[str]]:
    """Yield a row a study; of one that cannot be read, why."""
    from hpsearch.analysis import best_trial
    from hpsearch.loading import read, study_folders

    if storage is None:
        names: list[str] = [str(place) for place in study_folders(folder)]
    else:
        from hpsearch.records.store import Store

        names = Store.names(storage)
    for name in names:
        try:
            found = read(name, folder=folder, storage=storage)
        except HpsearchError as error:
            yield [Path(name).name, "", "", str(error)]
            continue
        states: dict[str, int] = {}
        for trial in found.history.trials.values():
            states[trial.state.value] = states.get(trial.state.value, 0) + 1
        best = best_trial(found.history)
        value = "" if best is None else f"{found.description.metric} {best.value:.4f} (trial {best.number})"
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        yield [found.description.name, str(len(found.history.trials)), value, counts]


def _find_local_modules() -> None:
    """Let tasks and metrics of modules in the working directory be found, as `python -m hpsearch` would."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _is_file(name: str, folder: Path) -> bool:
    """Return whether a study is named by the file that defines it."""
    return name.endswith(".py") and not Path(name).is_dir() and not (folder / name).is_dir()


def _results(command: str, name: str, folder: Path, storage: str | None) -> list[Any]:
    """Return the result of a study, or of each that a file defines."""
    from hpsearch.loading import load, read

    if _is_file(name, folder):
        return [study.result for study in _studies_of(Path(name))]
    _find_local_modules()
    try:
        return [load(name, folder=folder, storage=storage).result]
    except UsageError as error:
        if not read(name, folder=folder, storage=storage).description.needs_its_script:
            raise
        raise UsageError(
            f"{error} In a shell, name the file that defines the study: hpsearch {command} FILE.py"
            f"{' TARGET' if command == 'export' else ''}."
        ) from error


def _run(
    study: Any, trials: int | None, timeout: str | None, devices: str, progress: str, file: Path | None = None
) -> None:
    from hpsearch.records import TrialState

    if progress not in PROGRESS:
        raise UsageError(
            f"--progress {progress!r} is not understood.{nearest(progress, PROGRESS)} Say auto for what fits where it "
            "is run, plain for a line an ended trial, line for a single line, or none."
        )
    result = study.run(trials=trials, timeout=timeout, devices=_devices(devices), progress=PROGRESS[progress])
    typer.echo(result.text())
    if study.was_interrupted:
        raise typer.Exit(130)
    if result.has_ended and not result.history.finished(TrialState.COMPLETE):
        raise StudyFailedError(
            f"None of the {len(result.history.trials)} trials of {study.name!r} is complete, so there is no best one: "
            f"the table says why each ended{_logs_of(study.folder)}. Mend the cause, or widen the space, and run it "
            "again under a new name."
        )
    by_file = file is not None and study.record.description.needs_its_script
    can_be_named = study.plan.storage is None or by_file
    if can_be_named and not result.history.unfinished() and result.history.finished(TrialState.COMPLETE):
        words = shlex.quote(str(file if by_file else _shown(study.folder)))
        typer.echo(f"Next: hpsearch report {words}, or hpsearch export {words} best-model", err=True)


def _logs_of(folder: Path) -> str:
    logs = folder / "logs"
    return f", and {_shown(logs)} what they said" if logs.is_dir() else ""


def _shown(folder: Path) -> Path:
    """Return a folder relative to where the user is, if it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _devices(text: str) -> Any:
    """Return devices as `Study.run` takes them: a number alone counts workers, in a list it is a GPU's."""
    if text.isdigit():
        return int(text)
    names = [name.strip() for name in text.split(",")]
    return [int(name) if name.isdigit() else name for name in names] if len(names) > 1 else text


def _studies_of(file: Path) -> list[Any]:
    """Run a study file and return the studies that it defines.

    Raises:
        StudyNotFoundError: There is no such file, or it defines no study.
        UsageError: It cannot be run; the message names the line.
    """
    from hpsearch.study import Study

    if not file.is_file():
        raise StudyNotFoundError(f"There is no file {file}. Name a Python file that defines `study`.")
    names = _executed(file)
    found = names.get("studies", names.get("study"))
    listed = list(found) if isinstance(found, (list, tuple)) else [found]
    if not listed or not all(isinstance(study, Study) for study in listed):
        raise StudyNotFoundError(
            f"{file} defines no study: at its top level, write `study = hp.Study(...)`, or `studies = [...]`."
        )
    return listed


def _executed(file: Path) -> dict[str, Any]:
    """Return the names that a Python file defines, run as a script of its own folder and without arguments."""
    import runpy

    from hpsearch.provenance.definitions import SCRIPTS

    _find_local_modules()
    sys.path.insert(0, str(file.resolve().parent))
    arguments, sys.argv = sys.argv, [str(file)]
    try:
        return runpy.run_path(str(file), run_name=SCRIPTS[1])
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        reason = error.msg.rstrip(".")
        raise UsageError(f"{error.filename or file}{line}: {reason}. Mend the file; it is read as Python.") from error
    except HpsearchError as error:
        raise type(error)(f"{_line_of(error, file)}: {error}") from error
    except Exception as error:
        raise UsageError(
            f"{_line_of(error, file)}: {type(error).__name__}: {error}. Mend the file; `python {file}` shows the whole "
            "traceback."
        ) from error
    finally:
        sys.argv = arguments


def _line_of(error: BaseException, file: Path) -> str:
    """Return where in a file an error came to pass: the innermost of its lines."""
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(file):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f"{file}, line {line}"
