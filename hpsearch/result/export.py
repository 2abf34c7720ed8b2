"""Where an exported model goes: whole or not there, and never over what is not an earlier export."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.atomic_write import partial_path, writing
from hpsearch.errors import UsageError
from hpsearch.plan.plan import Plan

if TYPE_CHECKING:
    from hpsearch.runtime.refit import Refit

FACTS_FILE = "hpsearch.json"
"""What marks a folder as a model that was exported from a study."""


class ExportFolder:
    """The folder that a model is exported to.

    Args:
        folder: As the user names it. A link stays one, and leads to the new model.
        study_folder: The study's own folder, which is never replaced.
        overwrite: Whether an earlier export that is there is replaced.

    Raises:
        UsageError: The folder is there and may not be replaced.
    """

    def __init__(self, folder: str | Path, study_folder: Path, *, overwrite: bool) -> None:
        self._given = folder
        self._target = Path(folder).resolve()
        self._study_folder = study_folder
        self._overwrite = overwrite
        self._check()

    def make_parent(self) -> None:
        """Make the folder that it is to lie in; what the disk refuses is a StoreError."""
        with writing(self._given):
            self._target.parent.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Yield a temporary folder, which takes the target's place once everything in it is written."""
        target = self._target
        with writing(self._given):
            partial = partial_path(target)
            partial.mkdir(mode=0o700)
            try:
                yield partial
                partial.chmod(0o755)  # a temporary folder is for its owner only; a model is for all who may read here
                self._check()  # training took its time
                _replace_folder(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _check(self) -> None:
        target, given = self._target, self._given
        if not target.exists():
            return
        if not target.is_dir():
            raise UsageError(f"{given} is a file; the model needs a folder of its own.")
        for folder, words in ((Path.cwd(), "the working directory"), (self._study_folder, "the study")):
            if folder.resolve().is_relative_to(target):
                raise UsageError(f"{given} holds {words} ({folder}) and is not replaced; choose a folder of its own.")
        if not any(target.iterdir()):
            return
        if not self._overwrite:
            raise UsageError(
                f"{given} exists and is not empty; choose another folder, or give overwrite=True (--overwrite)."
            )
        if not (target / FACTS_FILE).is_file():
            raise UsageError(
                f"{given} is not an earlier export: it has no {FACTS_FILE}. It is not replaced; choose another "
                "folder, or remove it yourself."
            )


def check_merge(plan: Plan, config: Mapping[str, Any], number: int, *, merge: bool) -> None:
    """Raise UsageError where adapters are to be written alone, and a trial has none."""
    if not merge and plan.task.adapter_of(config) is None:
        raise UsageError(
            f"merge=False (--no-merge) writes an adapter alone, and trial {number} has none: it trained the weights "
            "themselves. Leave it out, or choose a trial with lora_r."
        )


def save_trained(plan: Plan, refit: "Refit", folder: Path, *, merge: bool) -> None:
    """Write a refit's model into a folder as `from_pretrained` reads it, or with `merge=False` its adapters alone."""
    task, prepared = plan.task, plan.prepared_for(refit.config)
    task.save(task.to_export(refit.model, prepared, merge=merge), folder, prepared)


def _replace_folder(new: Path, target: Path) -> None:
    """Rename `new` to `target`; what is there is set aside before and removed after, so that one of both always is."""
    if not target.exists():
        new.rename(target)
        return
    aside = new.with_name(f"{new.name}-replaced")
    target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    aside.rename(new)  # a name that is removed by whoever comes next, should this process be killed now
