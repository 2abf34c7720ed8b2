"""Trains a small model of every architecture, exports it, and reads the folder back as a stranger would.

`python tests/architectures/sweep.py` writes docs/architectures.md; with names, it prints their rows only.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architectures.md"

if __name__ == "__main__":  # pytest has set all this before
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / room) for room in ("architectures", "tasks"))]

import torch  # noqa: E402
import transformers  # noqa: E402
from small_models import IMAGES, NOT_BUILT, READS_PADDING, REFUSED, SIZE, TEXTS, save_small  # noqa: E402
from tasks_samples import image_arrays, review_rows  # noqa: E402

import hpsearch as hp  # noqa: E402
from hpsearch.result.read_back import Check, read_back  # noqa: E402
from hpsearch.runtime.messages import Workload  # noqa: E402
from hpsearch.runtime.refit import Refit, refit  # noqa: E402
from hpsearch.tasks.base import Task  # noqa: E402
from hpsearch.tasks.classes import judge  # noqa: E402
from hpsearch.training.gradient_checkpointing import can_checkpoint  # noqa: E402
from hpsearch.training.numerics import detect_environment, resolve_numerics, same_bits  # noqa: E402

ROWS = 24
EXACT = 1e-5
"""The largest difference of a probability that rounding in float32 explains in models this small."""


HEAD = """# Architectures

Every architecture that transformers {version} can classify texts or images with, made small from its config, trained
for three steps, exported, and read back as a stranger would: loaded by `pipeline` from the folder alone, and asked for
the same rows one by one and in batches. `python tests/architectures/sweep.py` writes this page, and
`tests/architectures/test_architectures.py` holds it.

- *exact*: every probability is as it was scored, to within 1e-5.
- *differs*: it is not, and `export` says so and states no score. A row's prediction depends on its padding there,
  in transformers as in hpsearch, so no score holds for every use.
- *refused*: the model does not take the rows, which is found before any training.
- *not built*: it needs a package that is not here, or takes other inputs.

"Left" says what becomes of rows that are padded on the other side than the exported tokenizer pads on: *same*, or
*differs*. Leave the tokenizer's `padding_side` as it is exported.
"""


@dataclass(frozen=True)
class Outcome:
    """What came of an architecture.

    Attributes:
        name: As a config's `model_type` has it.
        kind: "text" or "image".
        state: "exact", "differs" (and export says so), "refused" (before any training) or "not built".
        text: What export or the error says.
        other_side: What becomes of rows padded on the other side: "same", "differs", or "" of images.
    """

    name: str
    kind: str
    state: str
    text: str = ""
    other_side: str = ""


def expected_of(name: str, kind: str) -> tuple[str, str]:
    """Return what is to come of an architecture, and why it is not "exact"."""
    for state, reasons in (("not built", NOT_BUILT), ("refused", REFUSED), ("differs", READS_PADDING)):
        if name in reasons:
            return state, reasons[name]
    return "exact", ""


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


def checkpointing_changes(name: str, kind: str, folder: Path) -> list[str] | None:
    """Return the tensors that gradient checkpointing changes in any bit; None of a model that offers none."""
    workload, plain = trained(task_over(kind, save_small(name, kind, folder / "model")), folder / "cache")
    expected = {name: tensor.clone() for name, tensor in plain.model.state_dict().items()}
    if not can_checkpoint(plain.model.train()):
        return None
    numerics = replace(workload.numerics, gradient_checkpointing=True)
    other = refit(replace(workload, numerics=numerics), plain.config, 1).model.state_dict()
    return [name for name, tensor in expected.items() if not same_bits(tensor, other[name])]


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
    model = save_small(name, kind, folder / "model")
    try:
        check = checked(kind, model, folder)
    except hp.HpsearchError as error:
        return Outcome(name, kind, "refused", str(error))
    sides = ["differs" if way.differences else "same" for way in check.ways if not way.as_exported]
    return Outcome(name, kind, "exact" if check.agrees else "differs", check.text(), *sides)


def architectures() -> Iterator[tuple[str, str]]:
    yield from ((name, "text") for name in TEXTS)
    yield from ((name, "image") for name in IMAGES)


def page(outcomes: list[Outcome]) -> str:
    """Return the page: one table of texts and one of images."""
    parts = [HEAD.format(version=transformers.__version__)]
    for kind, title in (("text", "Texts"), ("image", "Images")):
        rows = [found for found in outcomes if found.kind == kind]
        counts = ", ".join(
            f"{count} {state}"
            for state in ("exact", "differs", "refused", "not built")
            if (count := sum(found.state == state for found in rows))
        )
        left = " left |" if kind == "text" else ""
        parts.append(f"## {title}: {len(rows)} architectures, {counts}\n")
        parts.append(f"| architecture | outcome |{left} reason |\n|---|---|{'---|' if left else ''}---|")
        for found in rows:
            side = f" {found.other_side} |" if left else ""
            parts.append(f"| {found.name} | {found.state} |{side} {expected_of(found.name, kind)[1]} |")
        parts.append("")
    return "\n".join(parts)


def main(names: list[str]) -> None:
    judge._ROUNDING = EXACT
    torch.set_num_threads(1)
    outcomes = []
    for name, kind in architectures():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(name, kind, Path(folder))
        outcomes.append(found)
        remark = "" if found.state == expected_of(name, kind)[0] else f" (not as expected: {found.text})"
        print(f"{name} {kind} {found.state}{remark}", flush=True)
    if not names:
        PAGE.write_text(page(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
