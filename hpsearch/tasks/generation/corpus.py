"""BLEU and chrF, as sacrebleu computes them: from statistics of rows that add up, so that a bootstrap is fast."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from hpsearch.errors import MetricError

NAMES = ("bleu", "chrf")


def statistics(name: str, references: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Return the counts of n-grams of each row, shape (rows, counts), whose sums give the score of a corpus."""
    scorer = _scorer(name)
    return np.asarray(scorer._extract_corpus_statistics(list(texts), [list(references)]), dtype=np.float64)


def score(name: str, sums: np.ndarray) -> float:
    """Return the score of a corpus, from 0 to 100, from the sums of its rows' counts."""
    return float(_scorer(name)._compute_score_from_stats([int(count) for count in sums]).score)


def signature(name: str) -> str:
    """Return sacrebleu's signature: all that another needs to compute the same score."""
    scorer = _scorer(name)
    scorer.corpus_score(["a"], [["a"]])  # the number of references is part of it, and known only then
    return str(scorer.get_signature())


@cache
def _scorer(name: str) -> Any:
    """Return sacrebleu's metric with its default settings; `MetricError` where it is not installed."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise MetricError(
            f"metric {name!r} is computed by sacrebleu, which is not installed. Install it: pip install sacrebleu "
            "(or hpsearch[text-metrics]); 'exact_match' and 'rouge_l' need no package."
        ) from error
    return BLEU() if name == "bleu" else CHRF()
