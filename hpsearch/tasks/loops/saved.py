"""What a run has saved as the files of a checkpoint, and back: any folder, under names that checkpoints may have."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hpsearch.training.run_checkpoint import unusable

FACTS_FILE = "run.json"
"""The file of a checkpoint that says of which run it is, and what its other files are called."""


@dataclass(frozen=True)
class State:
    """What a run has saved.

    Attributes:
        identity: Digest of all that the run is.
        point: How many reports are a part of it.
        step: The step it was saved at.
    """

    identity: str
    point: int
    step: int


def paths_in(folder: Path) -> list[str]:
    """Return the files in a folder and those below it, relative to it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in paths]


def packed(state: State, folder: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint, name to bytes."""
    names = {f"file-{number}": path for number, path in enumerate(paths_in(folder))}
    facts = {"identity": state.identity, "point": state.point, "step": state.step, "files": names}
    files = {name: (folder / path).read_bytes() for name, path in names.items()}
    return {FACTS_FILE: json.dumps(facts).encode(), **files}


def unpacked(identity: str, files: Mapping[str, bytes], folder: Path) -> State:
    """Write the files of a checkpoint into an empty folder, and say what they are.

    Raises:
        CheckpointError: It is damaged, or of another run; then nothing is written.
    """
    try:
        facts = json.loads(files[FACTS_FILE])
        names = {str(name): PurePosixPath(path) for name, path in facts["files"].items()}
        state = State(str(facts["identity"]), int(facts["point"]), int(facts["step"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise unusable(f"{FACTS_FILE} cannot be read ({error})") from error
    if state.identity != identity:
        raise unusable("it belongs to another run")
    if any(path.is_absolute() or ".." in path.parts for path in names.values()) or not set(names) <= set(files):
        raise unusable("its files are not those that were saved")
    folder.mkdir(parents=True)
    for name, path in names.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[name])
    return state
