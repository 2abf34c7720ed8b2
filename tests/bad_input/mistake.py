"""A mistake as a person makes it: a study file, the world it stands in, and the call or the command that meets it."""

import contextlib
import functools
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks_samples import review_rows, save_base, save_image_folder, save_text_model
from typer.testing import CliRunner

from hpsearch.cli.commands import app
from hpsearch.errors import HpsearchError

ROOT = Path(__file__).parents[2]
FILE = "study.py"
TEXT = 'hp.TextClassification("model", train="train.csv")'
TOY = "ToyTask()"
SPACE = "hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), epochs=1, batch_size=8, warmup_ratio=0.1)"
RUN = "study.run(trials=2, devices=1, progress=False)"
PREFIX = "hpsearch: "
COMMAND = "run study.py --trials 2 --devices inline"

World = Callable[[Path], object]


def as_it_is(_: Path) -> None:
    """Leave the world as every mistake finds it: a tiny model, a table, a folder of images."""


@dataclass(frozen=True)
class Mistake:
    """One mistake, and what must be said of it.

    Attributes:
        what: The mistake in plain words, and what was written where that shows it better.
        says: Words that the message must hold: the value, the remedy.
        error: The class of the error in Python.
        task, space, settings: Code of the study file: the task, the space, further arguments of `hp.Study`.
        body: The whole file, where it is another.
        world: Called with the working folder before the file is run.
        call: Code that meets the mistake in Python, with `study` and `hp` at hand, where making the study does not;
            empty where only a command can make it.
        command: The same on the command line; empty where there is no such command.
        code: The exit code of that command.
        within: A context in which the file is run and the call is made.
        leaves: Whether the study is there afterwards: what was wrong is known only once it has been made.
        trains: Whether trials are there too: what was wrong is known only in training.
        says_otherwise: Whether the command puts it in words of its own.
        quotes: Whether the message quotes another package, whose words change with its version.
        process: Whether the command is tried as a real process too.
    """

    what: str
    says: tuple[str, ...]
    error: type[HpsearchError]
    task: str = TOY
    space: str = SPACE
    settings: str = ""
    body: str = ""
    world: World = as_it_is
    call: str = RUN
    command: str = COMMAND
    code: int = 2
    within: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    leaves: bool = False
    trains: bool = False
    says_otherwise: bool = False
    quotes: bool = False
    process: bool = False

    @property
    def text(self) -> str:
        """The study file."""
        settings = f", {self.settings}" if self.settings else ""
        made = f'study = hp.Study("mine", {self.task}, {self.space}, cv=2, pruner="none"{settings})\n'
        if "cv=" in self.settings:
            made = made.replace(" cv=2,", "", 1)
        if "pruner=" in self.settings:
            made = made.replace(', pruner="none"', "", 1)
        return self.body or f"import hpsearch as hp\nfrom toy_task import ToyTask\n\n{made}"


@dataclass(frozen=True)
class Outcome:
    """What came of a mistake.

    Attributes:
        error: What was raised in Python, or None.
        message: Its message, without what differs from run to run.
        studies: Names of the studies that are there and were not before.
        trials: Trials that were begun.
        workers: Pools of worker processes that were made.
        answer: What the command came to, or None where there is none.
    """

    error: BaseException | None
    message: str
    studies: tuple[str, ...]
    trials: int
    workers: int
    answer: "Answer | None"


@dataclass(frozen=True)
class Answer:
    """What a command came to: exit code, standard output, standard error."""

    code: int
    output: str
    errors: str


@functools.cache
def _samples() -> Path:
    """Return a folder with the model, the table and the images that every world begins with."""
    place = Path(tempfile.mkdtemp(prefix="hpsearch-mistakes-"))
    save_text_model(place / "model")
    save_base("vit", place / "image-model")
    review_rows(24).to_csv(place / "train.csv", index=False)
    review_rows(10, seed=1).to_csv(place / "test.csv", index=False)
    save_image_folder(place / "images", rows=8, size=(16, 16))
    return place


@contextlib.contextmanager
def world_of(mistake: Mistake) -> Iterator[Path]:
    """Stand in a new folder that holds the mistake's file and all that it needs."""
    before, paths, variables = Path.cwd(), list(sys.path), dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        shutil.copytree(_samples(), place, dirs_exist_ok=True)
        os.chdir(place)
        os.environ["HPSEARCH_CACHE"] = str(place / "cache")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "runtime")])
        try:
            (place / FILE).write_text(mistake.text, encoding="utf-8")
            mistake.world(place)
            with mistake.within():
                yield place
        finally:
            os.chdir(before)
            sys.path[:] = paths
            os.environ.clear()
            os.environ.update(variables)


def run_earlier(place: Path, text: str | None = None, trials: int = 1) -> None:
    """Run a study file as it was before the mistake."""
    now = (place / FILE).read_text(encoding="utf-8")
    study = _defined(place, text if text is not None else now)
    study.run(trials=trials, devices="inline", progress=False)
    study.store().close()
    (place / FILE).write_text(now, encoding="utf-8")


def _defined(place: Path, text: str) -> Any:
    (place / FILE).write_text(text, encoding="utf-8")
    return runpy.run_path(FILE)["study"]


@functools.cache
def made(mistake: Mistake) -> Outcome:
    """Make a mistake in Python and on the command line, once, and return what came of it.

    Both are done in one place, unless the first one leaves something there.
    """
    answer = None
    error: BaseException | None = None
    with world_of(mistake) as place, _counted_pools() as pools:
        earlier = _trials(place)
        if mistake.call:
            try:
                exec(mistake.call, runpy.run_path(FILE))
            except Exception as found:  # noqa: BLE001  (whatever a mistake raises is looked at)
                error = found
        now, message = _trials(place), told(str(error), place)
        if mistake.command and not (mistake.leaves and mistake.call):
            answer = _answered(mistake, place)
            now = _trials(place)
    if mistake.command and answer is None:
        with world_of(mistake) as place:
            answer = _answered(mistake, place)
    studies = tuple(sorted(set(now) - set(earlier)))
    return Outcome(error, message, studies, sum(now.values()) - sum(earlier.values()), len(pools), answer)


def _answered(mistake: Mistake, place: Path) -> Answer:
    done = CliRunner().invoke(app, mistake.command.split())
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Answer(done.exit_code, done.stdout, told(done.stderr, place))


def in_a_process(mistake: Mistake) -> Answer:
    """Make a mistake on the command line, as a process of its own."""
    with world_of(mistake) as place:
        command = [sys.executable, "-m", "hpsearch", *mistake.command.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout, told(done.stderr, place))


def said(mistake: Mistake) -> str:
    """Return what hpsearch says of a mistake, as one paragraph."""
    outcome = made(mistake)
    text = outcome.message if mistake.call else paragraph(outcome.answer)
    return text.partition("\n\n")[0]


def paragraph(answer: Answer | None) -> str:
    """Return the error on a command's standard error, without the program's name."""
    lines = [] if answer is None else answer.errors.splitlines()
    found = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
    return found[-1] if found else ""


def told(message: str, place: Path) -> str:
    """Return a message without what differs from run to run: the place, processes, times, random names."""
    text = message.replace(str(place), "~/project")
    for pattern, word in _VOLATILE:
        text = re.sub(pattern, word, text)
    return text


_VOLATILE = (
    (r"process \d+ on host \S+, since [-0-9]+ [:0-9]+[-+:0-9]*", "process 4711 on host here, since 2030-01-01 12:00"),
    (r"\.[\w-]+\.\d+\.[0-9a-f]{8}\.partial", ".partial"),
    (r"0x[0-9a-f]{8,}", "0x7f"),
    (r"fingerprint is [0-9a-f]{32}, and [0-9a-f]{32}", "fingerprint is 1f3a..., and 9c07..."),
    (r"\b[0-9a-f]{32}\b", "1f3a..."),
    (r"\b127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:6379"),
)


def _trials(place: Path) -> dict[str, int]:
    """Return the studies below a folder, each with its number of trials."""
    import sqlite3

    found = {}
    for path in sorted((place / "runs").glob("*/study.db")) if (place / "runs").is_dir() else []:
        try:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                count = connection.execute("select count(*) from trials").fetchone()[0]
                names = connection.execute("select count(*) from hpsearch_studies").fetchone()[0]
        except sqlite3.Error:
            continue
        if names:
            found[path.parent.name] = int(count)
    return found


@contextlib.contextmanager
def _counted_pools() -> Iterator[list[object]]:
    """Count the pools of worker processes that are made; they are made all the same."""
    from hpsearch.runtime.pools.local import LocalPool

    pools: list[object] = []
    real = LocalPool.__init__

    def counted(self: Any, *arguments: Any, **named: Any) -> None:
        pools.append(self)
        real(self, *arguments, **named)

    LocalPool.__init__ = counted  # type: ignore[method-assign]
    try:
        yield pools
    finally:
        LocalPool.__init__ = real  # type: ignore[method-assign]


def changed_table(**columns: Any) -> World:
    """Return a world whose train.csv has other columns; None drops one."""

    def change(place: Path) -> None:
        table = review_rows(24)
        for name, values in columns.items():
            if values is None:
                table = table.drop(columns=name)
            else:
                table[name] = values(table) if callable(values) else values
        table.to_csv(place / "train.csv", index=False)

    return change


def written(name: str, content: str | bytes) -> World:
    """Return a world with a file of this content."""

    def write(place: Path) -> None:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write
