"""Rows of spans, as targets and as predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged
from hpsearch.tasks.spans.judge import SpanJudge

TYPES = ("city", "name", "time")


def judge(**settings: Any) -> SpanJudge:
    return SpanJudge(TYPES, (30, 20, 10), **settings)


def true(*rows: Sequence[tuple[int, int, str]]) -> Ragged:
    return judge().encode(rows)


def predicted(*rows: Sequence[tuple[int, int, str]], right: Sequence[int] = (), tokens: int = 10) -> Ragged:
    """Return predictions; of `tokens` tagged tokens a row, `right` have the right tag."""
    found = []
    for row, spans in enumerate(rows):
        header = (0.0, tokens, right[row] if right else tokens, 1.0)
        found.append(np.array([header, *((start, end, TYPES.index(name), 0.9) for start, end, name in spans)]))
    return Ragged.of([row.astype(np.float32) for row in found])


def drawn(rows: int, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """Return spans, and predictions of them: some right, some of another type or with other boundaries, some new."""
    random = np.random.default_rng(seed)
    spans, found = [], []
    for _ in range(rows):
        edges = np.sort(random.choice(40, size=2 * random.integers(0, 5), replace=False)).reshape(-1, 2)
        one = [(int(start), int(end), str(random.choice(TYPES))) for start, end in edges]
        other = []
        for start, end, name in one:
            change = random.integers(6)
            if change == 1:
                other.append((start, end, str(random.choice(TYPES))))
            elif change == 2:
                other.append((start, start + 1, name))
            elif change != 3:
                other.append((start, end, name))
        if random.random() < 0.3:
            other.append((50, 53, str(random.choice(TYPES))))
        spans.append(one)
        found.append(other)
    return spans, found
