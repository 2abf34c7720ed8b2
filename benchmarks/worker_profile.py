"""Where a worker's time goes, from samples of its stack: a metric that, imported in a worker, begins to look.

The metric is macro F1, as the name "f1_macro" would compute it. Importing this module in a process whose environment
names a folder (`FOLDER_VARIABLE`) starts a thread that looks a hundred times a second at what the main thread is doing
and keeps count in a file of that folder. The rows add up to the time since the process began.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "HPSEARCH_BENCHMARK_PROFILE"
LOOK_SECONDS, KEEP_SECONDS = 0.01, 0.25

PARTS: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (
    ("features", (("training/features/", ""),)),
    ("evaluation", (("training/prediction.py", ""), ("runtime/worker.py", "_evaluated"), ("fine_tune.py", "_measure"))),
    ("training", (("training/gradients.py", ""), ("fine_tune.py", "_train"), ("fine_tune.py", "_item"))),
    ("making runs ready", (("training/", ""), ("runtime/worker.py", "_segment"), ("runtime/worker.py", "_base"))),
    ("preparing the study", (("runtime/worker.py", "prepare"), ("worker_process.py", "_prepare"))),
    ("waiting for the coordinator", (("worker_process.py", ""), ("runtime/worker.py", ""))),
)
"""Part to (end of a file's path, or a part of it; function), the innermost meaning first. "" is any function."""


def f1_macro(targets: Any, predicted: Any) -> float:
    """Return macro F1."""
    from sklearn.metrics import f1_score

    return float(f1_score(targets, predicted, average="macro"))


def part_of(stack: Iterable[tuple[str, str]]) -> str:
    """Return what a stack of (file, function) is doing; "starting" where nothing of hpsearch's work is on it."""
    frames = [(path.replace(os.sep, "/"), function) for path, function in stack]
    for part, places in PARTS:
        for path, function in frames:
            if any(place in path and wanted in ("", function) for place, wanted in places):
                return part
    return "starting"


class Sampler(threading.Thread):
    """Looks at the main thread and counts its parts, in seconds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="benchmark-profile", daemon=True)
        self._path = folder / f"{os.getpid()}.json"
        self._seconds: Counter[str] = Counter()

    def run(self) -> None:
        import psutil

        main = threading.main_thread().ident
        born = psutil.Process().create_time()
        self._seconds["starting"] = time.time() - born
        last = kept = time.perf_counter()
        while True:
            time.sleep(LOOK_SECONDS)
            now = time.perf_counter()
            frame = sys._current_frames().get(main or 0)
            stack = []
            while frame is not None:
                stack.append((frame.f_code.co_filename, frame.f_code.co_name))
                frame = frame.f_back
            self._seconds[part_of(stack)] += now - last
            last = now
            if now - kept >= KEEP_SECONDS:
                self._keep()
                kept = now

    def _keep(self) -> None:
        temporary = self._path.with_suffix(".partial")
        temporary.write_text(json.dumps(self._seconds), encoding="utf-8")
        temporary.replace(self._path)


def profiles(folder: Path) -> list[dict[str, float]]:
    """Return the seconds by part of every worker."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


if FOLDER_VARIABLE in os.environ:
    Sampler(Path(os.environ[FOLDER_VARIABLE])).start()
