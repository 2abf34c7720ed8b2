"""The command line: the same things as from Python, for a shell.

Nothing heavy is imported here: what a command needs, it imports when it runs.
"""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.budget_options import (
    DeviceSeconds,
    DeviceSecondsPerTrial,
    DistinctTrials,
    Epochs,
    EpochsPerTrial,
    Patience,
    Target,
    budget_of_options,
    limits_among,
)
from hpsearch.cli.errors import reported_errors, say
from hpsearch.cli.listing import list_rows, show_text, uncollected
from hpsearch.cli.running import forecast_studies, run_studies
from hpsearch.cli.study_files import file_named, find_local_modules, is_file, page_of, results_of, studies_of
from hpsearch.errors import UsageError
from hpsearch.plan.paths import shown_folder, storage_shown
from hpsearch.provenance.packages import __version__
from hpsearch.runtime.signals import NOTICE_PERIOD

EPILOG = (
    "Exit codes: 0 done, 1 an error, 2 the command, the study file or the data cannot be used, 3 another process is "
    "running the study, 75 paused by SIGTERM or SIGUSR1, 130 paused by Ctrl-C: run the same command to continue. "
    "Errors go to standard error, in one paragraph that says what was wrong and what to do."
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
Folder = Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds the studies.")]
Storage = Annotated[
    str | None, typer.Option(metavar="URL", help="SQLAlchemy URL of the database, if it is not in the study's folder.")
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="Trials in total, including those of earlier calls.")]
Timeout = Annotated[str | None, typer.Option(metavar="TIME", help="Pause after this time: 2h, 90m, 1h30m, or seconds.")]
DevicesOption = Annotated[
    str,
    typer.Option(
        metavar="DEVICES",
        help="auto, inline, gpu, cuda, mps, cpu, some GPUs (cuda:0,2), some workers on the CPU (cpu:4), or a number.",
    ),
]
TrialsPerDeviceOption = Annotated[
    str,
    typer.Option(metavar="N", help="Trials that share a GPU; auto: as many as pay, by what is measured."),
]
Progress = Annotated[
    str, typer.Option(metavar="HOW", help="What to show: auto, plain (one line per finished trial), or none.")
]
VirtualSlots = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Segments that the plan of a reproducible study trains side by side, whatever the workers; its table "
        "depends on it. May be raised later.",
    ),
]
NoticePeriod = Annotated[
    str, typer.Option(metavar="TIME", help="Time from SIGTERM or SIGUSR1 to the end at the latest; exit code 75.")
]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
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
    distinct_trials: DistinctTrials = None,
    device_seconds: DeviceSeconds = None,
    epochs: Epochs = None,
    epochs_per_trial: EpochsPerTrial = None,
    device_seconds_per_trial: DeviceSecondsPerTrial = None,
    target: Target = None,
    patience: Patience = None,
    devices: DevicesOption = "auto",
    trials_per_device: TrialsPerDeviceOption = "1",
    progress: Progress = "auto",
    notice_period: NoticePeriod = f"{NOTICE_PERIOD:g}s",
    virtual_slots: VirtualSlots = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train a few steps only, and say what the study will take.")
    ] = False,
) -> None:
    """Run the study that a Python file defines, or its studies together.

    The file is plain Python. At its top level it makes a study,
    study = hp.Study(...), or several that share the devices fairly,
    studies = [...]. Run it again to continue where it stopped.

    Ctrl-C pauses all with checkpoints and says how to continue. So do SIGTERM
    and SIGUSR1, within the notice period.
    """
    options = limits_among(locals())
    with reported_errors():
        if dry_run:
            forecast_studies(
                studies_of(file), trials=trials, timeout=timeout, budget=budget_of_options(options), devices=devices,
                trials_per_device=trials_per_device, progress=progress,
            )  # fmt: skip
            return
        run_studies(
            studies_of(file), file, trials=trials, timeout=timeout, budget=budget_of_options(options), devices=devices,
            trials_per_device=trials_per_device, progress=progress, notice_period=notice_period,
            virtual_slots=virtual_slots,
        )  # fmt: skip


@app.command()
def resume(
    name: Name,
    folder: Folder = Path("runs"),
    storage: Storage = None,
    trials: Trials = None,
    timeout: Timeout = None,
    distinct_trials: DistinctTrials = None,
    device_seconds: DeviceSeconds = None,
    epochs: Epochs = None,
    epochs_per_trial: EpochsPerTrial = None,
    device_seconds_per_trial: DeviceSecondsPerTrial = None,
    target: Target = None,
    patience: Patience = None,
    devices: DevicesOption = "auto",
    trials_per_device: TrialsPerDeviceOption = "1",
    progress: Progress = "auto",
    notice_period: NoticePeriod = f"{NOTICE_PERIOD:g}s",
    virtual_slots: VirtualSlots = None,
) -> None:
    """Continue a study where it stopped, without its script.

    Without --trials or another limit, it continues up to the limits that it
    was last run for.
    """
    options = limits_among(locals())
    with reported_errors():
        from hpsearch.study_loading import load, read

        description = read(name, folder=folder, storage=storage).description
        if description.needs_its_script:
            raise UsageError(
                f"The study {description.name!r} needs the script or notebook that made it, because its task, a "
                "metric, the sampler or the pruner was made there. Run that script again, or the same command, to "
                "continue where the study stopped."
            )
        goal = description.goal or {}
        find_local_modules()
        study = load(name, folder=folder, storage=storage)
        total = trials if trials is not None else goal.get("trials")
        run_studies(
            [study], trials=total, timeout=timeout, budget=budget_of_options(options, goal), devices=devices,
            trials_per_device=trials_per_device, progress=progress, notice_period=notice_period,
            virtual_slots=virtual_slots,
        )  # fmt: skip


@app.command("list")
def list_studies(folder: Folder = Path("runs"), storage: Storage = None) -> None:
    """List the studies in a folder: trials by state, and the best value."""
    with reported_errors(), uncollected():
        from hpsearch.result.summary import aligned

        rows = [["study", "trials", "best", "states"], *list_rows(folder, storage)]
        if len(rows) == 1:
            say(f"There are no studies in {storage_shown(storage) if storage else folder}.")
        else:
            say("\n".join(aligned(rows)))


@app.command()
def show(name: NameOrFile, folder: Folder = Path("runs"), storage: Storage = None) -> None:
    """Print a study's trials and the best of them, also while it runs.

    It needs neither the study's script nor its data.
    """
    with reported_errors(), uncollected():
        if not is_file(name, folder):
            say(show_text(name, folder, storage))
            return
        for study in studies_of(Path(name)):
            study.store()  # says so where it has not been run
            say(show_text(str(shown_folder(study.folder)), folder, study.plan.storage))


@app.command()
def report(
    name: NameOrFile,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The page; by default report.html in the study's folder, or where that may not be written to, "
            "STUDY-report.html here.",
        ),
    ] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
) -> None:
    """Write the report: one self-contained page that opens offline.

    If the task has test rows and the study has ended, the winner and the
    literature default are trained once on all training rows and scored on
    the test rows. The first time, that takes as long as two trainings.

    If the study's metric or task is made in its FILE.py, give that file.
    If the file has several studies, each report goes to its own folder.
    """
    with reported_errors():
        results = results_of("report", name, folder, storage)
        if output is not None and len(results) > 1:
            raise UsageError(
                f"{name} defines {len(results)} studies: leave out --output, because each has its own page."
            )
        for result in results:
            say(result.report(output or page_of(result)))


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
            help="The study that the others are tested against; the first by default. 'best' takes the one with the "
            "best value, which makes the p-values optimistic.",
        ),
    ] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
) -> None:
    """Compare studies side by side: one self-contained page that opens offline.

    If the studies share their test rows and have ended, their winners are
    trained on all training rows and scored on the test rows, the first time.
    """
    with reported_errors():
        from hpsearch.result.comparison import Comparison

        results = [result for name in names for result in results_of("compare", name, folder, storage)]
        say(Comparison(results, against=against).report(output))


@app.command()
def export(
    name: NameOrFile,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Folder for the model.")],
    trial: Annotated[int | None, typer.Option(metavar="N", help="A complete trial other than the best.")] = None,
    folder: Folder = Path("runs"),
    storage: Storage = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target if it exists.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge/--no-merge", help="Add adapters to the weights, or write them alone.")
    ] = True,
) -> None:
    """Train the best configuration on all training rows and save the model.

    The folder loads with from_pretrained and pipeline of transformers, and
    holds a model card. If a FILE.py has several studies, each model goes to
    a folder in the target with its study's name.
    """
    with reported_errors():
        results = results_of("export", name, folder, storage)
        for result in results:
            place = target if len(results) == 1 else target / result.plan.name
            with file_named("export", result):
                say(result.export(place, number=trial, overwrite=overwrite, merge=merge))


@app.command()
def spaces(
    name: Annotated[str | None, typer.Argument(metavar="SPACE", help="A shipped space, or a TOML file.")] = None,
) -> None:
    """List the shipped search spaces, or print one with the source of each number."""
    with reported_errors():
        from hpsearch.space import Space, list_spaces
        from hpsearch.space.shipped import list_text

        say(list_text(list_spaces()) if name is None else str(Space.load(name)))


@app.command()
def doctor() -> None:
    """Check this machine: versions, devices, memory, disk, database, worker.

    It really starts a worker process, which takes some seconds.
    """
    with reported_errors():
        from hpsearch.cli.doctor import examine
        from hpsearch.result.summary import aligned

        findings = examine()
        rows = [["ok" if finding.is_good else "BAD", finding.subject, finding.text] for finding in findings]
        say("\n".join(aligned(rows)))
        if not all(finding.is_good for finding in findings):
            raise typer.Exit(1)
