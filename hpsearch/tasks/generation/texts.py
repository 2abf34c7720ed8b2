"""Texts as rows of bytes: so they are stored, travel, and are read again without a tokenizer or a pickle."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged

UTF8 = "utf-8"


def as_bytes(texts: Sequence[str]) -> Ragged:
    """Return texts as UTF-8, one row each, uint8. What Unicode cannot encode (half of a pair) becomes "?"."""
    rows = [np.frombuffer(text.encode(UTF8, "replace"), dtype=np.uint8) for text in texts]
    return Ragged.of(rows) if rows else Ragged(np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int64))


def as_texts(rows: Any) -> list[str]:
    """Return the texts of what `as_bytes` gave."""
    return [rows.row(index).tobytes().decode(UTF8) for index in range(len(rows))]


def shortened(text: str, most: int) -> bytes:
    """Return a text as UTF-8, cut after the last whole character that fits into so many bytes."""
    return text.encode(UTF8, "replace")[:most].decode(UTF8, "ignore").encode(UTF8)
