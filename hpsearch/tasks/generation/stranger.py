"""An exported encoder-decoder in the hands of a stranger: its own predict.py, run beside it."""

import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.tasks.stranger import ALONE, Answers, tried

if TYPE_CHECKING:
    import torch

    from hpsearch.tasks.generation.judge import AnswerTextJudge

FILE = "predict.py"
"""The name of the script in an exported folder."""

_SCRIPT = '''"""Write a text for each line: python predict.py < sources.txt"""

import sys
from pathlib import Path

from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

folder = Path(__file__).parent
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
model.generation_config = GenerationConfig.from_pretrained(folder)  # an adapter's base has settings of its own


def predict(texts):
    inputs = tokenizer([{prefix!r} + text for text in texts], padding=True, truncation=True, return_tensors="pt")
    return tokenizer.batch_decode(model.generate(**inputs.to(model.device)), skip_special_tokens=True)


if __name__ == "__main__":
    print(*(predict([line.rstrip("\\n")])[0] for line in sys.stdin), sep="\\n")
'''


def write_script(folder: Path, prefix: str) -> None:
    """Write predict.py into an exported folder."""
    (folder / FILE).write_text(_SCRIPT.format(prefix=prefix), encoding="utf-8")


def script_answers(
    folder: Path, judge: "AnswerTextJudge", texts: Sequence[str], batches: Sequence[np.ndarray], device: "torch.device"
) -> Iterator[Answers]:
    """Ask a folder's predict.py, one by one and in batches.

    Raises:
        TaskError: The folder cannot be loaded, or does not take a row.
    """
    names: dict[str, Any] = tried("be loaded", lambda: runpy.run_path(str(folder / FILE)))
    names["model"].to(device)

    def answered(together: Sequence[np.ndarray], way: str) -> Any:
        found = [""] * len(texts)
        for positions in together:
            rows = [texts[position] for position in positions]
            answers = tried(f"predict {way}", lambda rows=rows: names["predict"](rows))
            for position, answer in zip(positions, answers, strict=True):
                found[position] = answer
        return judge.from_answers(found)

    yield Answers(ALONE, judge, answered([np.array([position]) for position in range(len(texts))], ALONE))
    way = f"in batches of {max(len(positions) for positions in batches)}"
    yield Answers(way, judge, answered(batches, way))
