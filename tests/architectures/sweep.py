"""Trains a small model of every architecture, exports it, and reads the folder back as a stranger would.

`python tests/architectures/sweep.py` writes docs/architectures.md; with names, it prints their rows only.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architectures.md"

if __name__ == "__main__":  # pytest has set all this before
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / room) for room in ("architectures", "tasks"))]

import torch  # noqa: E402
from small_models import IMAGES, NOT_BUILT, SIZE, TEXTS, save_small  # noqa: E402
from tasks_samples import image_arrays, review_rows  # noqa: E402

import hpsearch as hp  # noqa: E402
from hpsearch.result.read_back import Check, read_back  # noqa: E402
from hpsearch.runtime.messages import Workload  # noqa: E402
from hpsearch.runtime.refit import Refit, refit  # noqa: E402
from hpsearch.tasks.base import Task  # noqa: E402
from hpsearch.training.numerics import detect_environment, resolve_numerics  # noqa: E402

ROWS = 24
EXACT = 1e-5
"""The largest difference of a probability that rounding in float32 explains in models this small."""


@dataclass(frozen=True)
class Outcome:
    """What came of an architecture.

    Attributes:
        name: As a config's `model_type` has it.
        kind: "text" or "image".
        state: "exact", "differs" (and export says so), "refused" (before any training) or "not built".
        reason: Why it is not exact.
    """

    name: str
    kind: str
    state: str
    reason: str = ""


def task_over(kind: str, model: Path) -> Task:
    """Return the task that is trained: rows of 3 to 29 words in no order, or images of two sizes."""
    if kind == "text":
        return hp.TextClassification(str(model), train=review_rows(ROWS, classes=3))
    return hp.ImageClassification(str(model), train=image_arrays(ROWS, size=SIZE))


def trained(task: Task, cache: Path) -> tuple[Workload, Refit]:
    """Return a model after three steps, and what it was trained with."""
    prepared = task.prepare(cache)
    workload = Workload(
        study="sweep",
        task=task,
        prepared=prepared,
        folds=(),
        metrics=(),
        seed=0,
        evaluations_per_epoch=1,
        early_stopping=None,
        numerics=resolve_numerics(detect_environment("cpu"), "fp32", attention=prepared.attention),
        checkpoint_every=1e9,
    )
    config = task.complete({"learning_rate": 1e-2, "batch_size": 8, "epochs": 1, "warmup_ratio": 0.0})
    return workload, refit(workload, config, 1)


def checked(kind: str, model: Path, folder: Path) -> Check:
    """Train a model of a folder, export it into `folder`, and return what comes of reading it back."""
    task = task_over(kind, model)
    workload, made = trained(task, folder / "cache")
    task.save(made.model, folder / "exported", workload.prepared)
    check = read_back(workload, made, folder / "exported", None)
    assert check is not None
    return check


def outcome(name: str, kind: str, folder: Path) -> Outcome:
    """Return what comes of an architecture, in an empty folder."""
    if name in NOT_BUILT:
        return Outcome(name, kind, "not built", NOT_BUILT[name])
    model = save_small(name, folder / "model")
    try:
        check = checked(kind, model, folder)
    except hp.HpsearchError as error:
        return Outcome(name, kind, "refused", str(error).replace(str(folder), ""))
    if check.agrees:
        return Outcome(name, kind, "exact", " ".join(check._advice()))
    return Outcome(name, kind, "differs", check.text())


def architectures() -> Iterator[tuple[str, str]]:
    yield from ((name, "text") for name in TEXTS)
    yield from ((name, "image") for name in IMAGES)


def main(names: list[str]) -> None:
    from hpsearch.tasks.classes import judge

    judge._ROUNDING = EXACT
    torch.set_num_threads(1)
    for name, kind in architectures():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(outcome(name, kind, Path(folder)), flush=True)
            except (TypeError, ValueError, KeyError, IndexError, RuntimeError, ImportError, AttributeError) as error:
                print("BROKEN", name, kind, repr(error)[:300], flush=True)
                if names:
                    traceback.print_exc()


if __name__ == "__main__":
    main(sys.argv[1:])
