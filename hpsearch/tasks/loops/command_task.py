"""A search over the settings of a command: any tool that trains and writes down what it measures."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import TaskError
from hpsearch.tasks.loops.command_config import PLACEHOLDER, read_config, unknown_keys
from hpsearch.tasks.loops.task import LoopTask

if TYPE_CHECKING:
    from hpsearch.tasks.loops.run import Run

OWN_PLACES = ("config", "folder", "seed", "device", "checkpoint")
"""What a command may name besides hyperparameters: its config file, and what its run has."""


@dataclass(frozen=True, eq=False)
class CommandTask(LoopTask):
    """Search the settings of a command, with everything but the training done by the study.

        hp.CommandTask("axolotl train {config}", config="base.yaml", metrics_file="{folder}/log.jsonl", reports=4)

    The command is started in a fresh process for each run, without a shell. In braces it may name hyperparameters,
    `{config}` (the file with its keys overridden), `{folder}` (a folder of its own, empty at first), `{seed}` and
    `{device}`. What it prints goes to `output.log` beside that folder. Each line of its metrics is a report; the study
    may hold the command there, and end it.

    A command that cannot continue starts again where it was left. With `resume` and `checkpoint` it goes on from the
    last checkpoint that it has written, and loses what came after that.

    Attributes:
        command: What to run, as one text or as its words.
        config: A YAML or JSON file. Hyperparameters that the command does not name replace its keys; model__lr is the
            key lr of model.
        metrics_file: A file of JSON lines that the command writes, such as "{folder}/log.jsonl".
        reported: The key that makes a line a report, where the file has others; None: each line is one.
        pattern: A regular expression with named groups, for a line of the command's output. Each match is a report of
            its groups; a group called step is the step.
        resume: What to add to the command to continue, such as "--resume {checkpoint}".
        checkpoint: Where it writes checkpoints, such as "{folder}/out/checkpoint-*"; their names end in their step, and
            reports have one.
        exported: The folder that it leaves a trained model in, such as "{folder}/out": what `Result.export` copies.
    """

    command: Any
    config: Any = field(default=None, kw_only=True)
    metrics_file: str | None = field(default=None, kw_only=True)
    reported: str | None = field(default=None, kw_only=True)
    pattern: str | None = field(default=None, kw_only=True)
    resume: str | None = field(default=None, kw_only=True)
    checkpoint: str | None = field(default=None, kw_only=True)
    exported: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("command", _words(self.command))
        if self.train is not None:
            raise TaskError("train= is given, and a command reads its own rows: leave it out.")
        if self.config is not None:
            self._set("config", str(Path(self.config)))
            self._content  # noqa: B018  (an unreadable file is found now)
            if not any("{config}" in word for word in self.command):
                raise TaskError(
                    f"config={self.config!r} is given, and the command {' '.join(self.command)!r} does not name it, so "
                    "nothing that is searched would reach it. Write {config} where the command takes its config file."
                )
        for name in ("metrics_file", "checkpoint", "exported"):
            given = getattr(self, name)
            if given is not None and "{folder}" not in given:
                raise TaskError(
                    f"{name}={given!r} is one place for all runs, which would write over each other. Have the command "
                    f"write into the run's own folder, and name that: {name}='{{folder}}/{Path(given).name}'."
                )
        self._check_metrics()
        if (self.resume is None) != (self.checkpoint is None):
            raise TaskError(
                "resume= and checkpoint= belong together: what to add to the command, resume='--resume {checkpoint}', "
                "and where its checkpoints are, checkpoint='{folder}/checkpoint-*'."
            )

    def _check_metrics(self) -> None:
        if (self.metrics_file is None) == (self.pattern is None):
            raise TaskError(
                "A command reports by metrics_file= (a file of JSON lines) or by pattern= (a regular expression over "
                "its output): give one of them."
            )
        if self.pattern is None:
            return
        try:
            groups = set(re.compile(self.pattern).groupindex) - {"step"}
        except re.error as error:
            raise TaskError(f"pattern={self.pattern!r} is no regular expression: {error}.") from error
        if not groups:
            raise TaskError(
                f"pattern={self.pattern!r} has no named group, so nothing says what was measured: write "
                "(?P<eval_loss>[0-9.]+)."
            )

    @property
    def _content(self) -> Any:
        return None if self.config is None else read_config(Path(self.config))

    @property
    def model(self) -> str:
        return Path(self.command[0]).name

    @property
    def code(self) -> Any:
        return [self.command, self._content, self.metrics_file, self.reported, self.pattern]

    @property
    def _named(self) -> set[str]:
        """The hyperparameters that the command itself names."""
        return {name for word in self.command for name in PLACEHOLDER.findall(word)} - set(OWN_PLACES)

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """See `LoopTask.complete`; a hyperparameter that reaches the command in no way is an error."""
        whole = super().complete(config)
        given, named = self.given(whole), self._named
        lost = [name for name in given if name not in named] if self.config is None else []
        if lost:
            raise TaskError(
                f"The hyperparameter {lost[0]!r} is nowhere in the command {' '.join(self.command)!r}. Name it in "
                f"braces, {{{lost[0]}}}, or give the config file that it is a key of: config='base.yaml'."
            )
        lacking = sorted(named - set(given))
        if lacking:
            raise TaskError(
                f"The command names {{{lacking[0]}}}, and neither the space nor defaults= has it. Besides "
                f"hyperparameters it may name {', '.join(f'{{{name}}}' for name in OWN_PLACES)}."
            )
        unknown = unknown_keys(self._content, [name for name in given if name not in named])
        if unknown:
            raise TaskError(
                f"{self.config!r} has no key {unknown!r} to be replaced. Write it into the file, or call the "
                "hyperparameter as the file does; within a section it is section__key."
            )
        return whole

    def call(self, config: Mapping[str, Any]) -> "Callable[[Run], None]":
        from hpsearch.tasks.loops.command import CommandCall

        return CommandCall(
            words=tuple(self.command),
            values=dict(config),
            config=None if self.config is None else (Path(self.config).name, self._content),
            metrics_file=self.metrics_file,
            reported=self.reported,
            pattern=self.pattern,
            resume=None if self.resume is None else tuple(shlex.split(self.resume)),
            checkpoint=self.checkpoint,
            exported=self.exported,
        )

    def warnings(self) -> tuple[str, ...]:
        if self.resume is not None:
            return ()
        return (f"{self.model} has no resume=: where a run is left, it starts again from its beginning.",)


def _words(command: Any) -> list[str]:
    """Return a command as its words."""
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except (ValueError, TypeError) as error:
        raise TaskError(f"command={command!r} cannot be split into words: {error}.") from error
    if not words:
        raise TaskError("command= is empty: give what to run, such as 'python train.py --lr {lr}'.")
    return words
