"""ROUGE-L: how much of a reference's words an answer has, in the same order."""

import re
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")


def rouge_l(reference: str, text: str) -> float:
    """Return the F-measure of the longest common subsequence of words, from 0 to 1 (Lin 2004, section 3, beta of 1).

    Words are runs of letters and digits of any script, lowercased, not stemmed. Two texts without words are the same.
    """
    wanted, given = (_WORD.findall(each.lower()) for each in (reference, text))
    if not wanted or not given:
        return float(wanted == given)
    common = _common(wanted, given)
    return 2.0 * common / (len(wanted) + len(given))


def _common(wanted: Sequence[str], given: Sequence[str]) -> int:
    """Return the length of the longest common subsequence; one row of the table of lengths is held at a time."""
    codes = {word: code for code, word in enumerate(dict.fromkeys(wanted))}
    columns = np.array([codes[word] for word in wanted])
    lengths = np.zeros(len(columns) + 1, dtype=np.int64)
    for word in given:
        longer = lengths[:-1] + (columns == codes.get(word, -1))
        lengths[1:] = np.maximum.accumulate(np.maximum(lengths[1:], longer))
    return int(lengths[-1])
