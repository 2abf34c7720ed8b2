"""A step of the wall clock, as the processes of a study see it: the machine's own stays as it is."""

import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HOUR = 3600


class SteppedClock:
    """A library put before the C library of each process, and the file that says by how much it moves the clock.

    The times of files are the system's, and do not move.
    """

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "clock", folder / "stepped_clock.so"
        self._offset = 0
        self.step(0)
        source = Path(__file__).with_name("stepped_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        self.variables: Mapping[str, str] = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._file)}
        self._try()

    @staticmethod
    def missing() -> str | None:
        """Return why no process's clock can be stepped here, or None."""
        return None if shutil.which("cc") else "there is no C compiler (cc) to build the clock that can be stepped"

    def _try(self) -> None:
        """Check that the clock of a process moves: the loader only warns where it cannot load a library."""
        words = [sys.executable, "-S", "-c", "import time; print(time.time())"]
        self.step(HOUR)
        seen = subprocess.run(words, env={**os.environ, **self.variables}, check=True, capture_output=True, text=True)
        assert abs(float(seen.stdout) - time.time() - HOUR) < HOUR / 2, seen
        self.step(-HOUR)

    def step(self, seconds: int) -> None:
        """Move the clock of all its processes at once."""
        self._offset += seconds
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("<q", self._offset))
