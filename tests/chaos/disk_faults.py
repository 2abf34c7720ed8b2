"""A full disk: a small file system in memory that holds the study, and a file that takes what is left of it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from disturbed_study import DisturbedStudy

MEGABYTES = 48
BALLAST = "ballast"
FULL_SECONDS = 120.0
"""Seconds within which a study has ended whose disk is full."""


def missing() -> str | None:
    """Return why no file system can be made here, or None."""
    return None if os.name == "posix" and os.geteuid() == 0 else "only root may mount a file system"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Have a folder on a file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "hpsearch-chaos", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(study: DisturbedStudy) -> None:
    """The study ends and says why; with room again it goes on."""
    victims = study.victims(everybody=True)
    started, ballast = study.started(), study.place.study_folder.parent / BALLAST
    study.hit(victims.values())
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    code = study.process.wait(FULL_SECONDS)
    assert code != 0, "a study ended well on a full disk"
    assert "disk" in study.process.text(), study.process.text()
    ballast.unlink()
    study.begin_again(started)
