"""Conversations for the benchmarks of language models: instructions with answers, and translation as a chat."""

import json
from pathlib import Path
from typing import Any

DATA = Path("../shared/data")


def conversation(question: str, answer: str) -> list[dict[str, str]]:
    """Return two messages."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def instructions(folder: Path) -> Any:
    """Return a table of conversations from instructions/seed_tasks.jsonl (Wang et al. 2022), those with an answer."""
    import pandas

    lines = (folder / "instructions" / "seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for task in map(json.loads, lines):
        first = task["instances"][0]
        question = "\n\n".join(text for text in (task["instruction"].strip(), first["input"].strip()) if text)
        if first["output"].strip():
            found.append(conversation(question, first["output"].strip()))
    return pandas.DataFrame({"messages": found})


def translations(folder: Path, rows: int, split: str = "train") -> Any:
    """Return a table of conversations from the first rows of Multi30K (Elliott et al. 2016): English, then German."""
    import pandas

    table = pandas.read_csv(folder / "multi30k-en-de" / f"{split}.csv").iloc[:rows]
    pairs = zip(table["source"].tolist(), table["target"].tolist(), strict=True)
    found = [conversation(f"Translate into German: {source}", target) for source, target in pairs]
    return pandas.DataFrame({"messages": found})
