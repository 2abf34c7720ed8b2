"""How long a person waits before anything happens: `import hpsearch` and `hpsearch --help`, in new processes.

    python -m benchmarks startup [--repeats 10]

The goal is half a second each.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.measurements import machine, write_measurements

GOAL_SECONDS = 0.5
COMMANDS = {
    "import hpsearch": ["-c", "import hpsearch"],
    "hpsearch --help": ["-m", "hpsearch", "--help"],
}


def seconds_of(command: Sequence[str]) -> float:
    """Return how long a Python process takes, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10, help="how often each is started (default: 10)")
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        seconds_of(command)  # the first one finds cold caches of the disk
        seconds = [seconds_of(command) for _ in range(given.repeats)]
        median = statistics.median(seconds)
        found[name] = {"median": median, "longest": max(seconds), "goal": GOAL_SECONDS}
        verdict = "met" if median < GOAL_SECONDS else "MISSED"
        print(f"{name:<18}{median:>7.3f} s, longest {max(seconds):.3f} s, goal {GOAL_SECONDS} s: {verdict}")
    write_measurements("startup", {"machine": machine(), "repeats": given.repeats, "seconds": found})
    return found


if __name__ == "__main__":
    main()
