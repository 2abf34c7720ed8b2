"""Digests: names made from content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of `value` as canonical JSON.

    Python writes a float as the shortest text that reads back to the same bits, so equal values have equal digests on
    every machine.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def run_key(
    config: Mapping[str, Any], fold: int, repeat: int, seed: int, data: str, model: str, numerics: Mapping[str, Any]
) -> str:
    """Return the key of a run. `data` and `model` are digests; `data` covers rows, labels, weights and folds."""
    return digest([dict(config), fold, repeat, seed, data, model, dict(numerics)])


def run_seed(study_seed: int, fold: int, repeat: int) -> int:
    """Return the seed of a run, the same for every config on this fold and repeat (common random numbers)."""
    return int(digest(["run", study_seed, fold, repeat])[:8], 16)


def ask_seed(study_seed: int, number: int) -> int:
    """Return the sampler's seed for trial `number`."""
    return int(digest(["ask", study_seed, number])[:8], 16)
