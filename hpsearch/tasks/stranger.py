"""An exported folder in the hands of a stranger, who has nothing else: loaded on its own, and asked about some rows."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import TaskError
from hpsearch.tasks.pretrained import LOADING_ERRORS, first_line, quiet

if TYPE_CHECKING:
    import torch

    from hpsearch.tasks.read_back_judge import ReadBackJudge

BATCH = 16
ALONE = "one by one"
FAILURES = (*LOADING_ERRORS, IndexError, AssertionError, NotImplementedError)
"""What loading and asking raise where a folder cannot be used."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the folder predicts when it is asked in one way.

    Attributes:
        way: "one by one", "in batches of 16, padded on the right".
        judge: That of the model.
        predictions: Those of the judge, in the order of the rows asked about.
        as_exported: Whether the folder itself says to be used so; False where its user changes a setting.
    """

    way: str
    judge: "ReadBackJudge"
    predictions: Any
    as_exported: bool = True


def mixed(lengths: np.ndarray) -> list[np.ndarray]:
    """Return the positions of rows in batches of at most `BATCH`, each with long and short ones."""
    order = np.argsort(lengths, kind="stable")
    batches = -(-len(order) // BATCH)
    return [order[start::batches] for start in range(batches)]


def pipeline_answers(
    kind: str,
    folder: Path,
    judge: "ReadBackJudge",
    inputs: Sequence[Any],
    *,
    batches: Sequence[np.ndarray],
    device: "torch.device",
    settings: Mapping[str, Any],
) -> Iterator[Answers]:
    """Ask a transformers pipeline over the folder: one by one, in batches, and padded on the other side.

    Args:
        kind: The pipeline's name.
        folder: What was exported.
        judge: That of the model.
        inputs: Rows as the pipeline takes them.
        batches: Positions of rows that are asked about together.
        device: Where the model is loaded.
        settings: Further arguments of the call.

    Raises:
        TaskError: The folder cannot be loaded, or does not take a row.
    """
    import transformers

    load: Any = transformers.pipeline  # whose overloads know each kind by its literal name
    ask = tried("be loaded", lambda: load(kind, device=device, **_as_loaded(folder)))
    call = {**settings, **judge.pipeline_settings()}

    def answered(together: Sequence[np.ndarray], way: str) -> Any:
        found: list[Any] = [None] * len(inputs)
        for positions in together:
            rows = [inputs[position] for position in positions]
            answers = tried(f"predict {way}", lambda rows=rows: ask(rows, batch_size=len(rows), **call))
            for position, answer in zip(positions, answers, strict=True):
                found[position] = answer
        return judge.from_answers(found)

    yield Answers(ALONE, judge, answered([np.array([position]) for position in range(len(inputs))], ALONE))
    size = max(len(positions) for positions in batches)
    if ask.tokenizer is None:
        yield Answers(f"in batches of {size}", judge, answered(batches, f"in batches of {size}"))
        return
    own = ask.tokenizer.padding_side
    way = f"in batches of {size}, padded on the {own}"
    yield Answers(way, judge, answered(batches, way))
    other = ask.tokenizer.padding_side = "left" if own == "right" else "right"
    way = f"in batches of {size}, padded on the {other}"
    with contextlib.suppress(TaskError):  # nobody has to pad so
        yield Answers(way, judge, answered(batches, way), as_exported=False)


def _as_loaded(folder: Path) -> dict[str, Any]:
    """Return what a pipeline is made of: the folder, or of an adapter the model on its base, with what lies beside."""
    from hpsearch.tasks.adapters.export import is_adapter_folder, load_exported

    if not is_adapter_folder(folder):
        return {"model": str(folder)}
    beside = "image_processor" if (folder / "preprocessor_config.json").is_file() else "tokenizer"
    return {"model": load_exported(folder), beside: str(folder)}


def tried(what: str, action: Any) -> Any:
    """Return what an action returns; `TaskError` with "it cannot" and `what` where it fails."""
    with quiet():
        try:
            return action()
        except FAILURES as error:
            raise TaskError(f"it cannot {what}: {first_line(error)}") from error
