"""From spans to the tags of tokens, and from tags to spans: BIO, every token of a word tagged.

Only special tokens have no tag. A model that is trained so is read by transformers' pipeline with the aggregation
"simple": neighbouring tokens of one type are one span, which begins anew with each "B-" (and with an "I-" of another
type, which a model may predict).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.tasks.spans.reading import OUTSIDE, Span

UNTAGGED = -100
"""The code of a token that has no tag: it is in no loss, and nothing is read off it."""


@dataclass(frozen=True)
class Tags:
    """The tags of some types of spans; a tag's code is its place in `names`.

    Attributes:
        types: The labels of spans.
    """

    types: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tags in the order of their codes: "O", "B-city", "I-city", ..."""
        return OUTSIDE, *(f"{part}-{name}" for name in self.types for part in "BI")

    def codes(self, starts: np.ndarray, ends: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
        """Return the code of each token of a row, int16, shape (tokens,).

        A token is in the first span of which it has a character; a token of white space alone, where it stands within
        one. Of spans that overlap the longest counts, of equal ones the first.

        Args:
            starts: The place of the first character of each token, shape (tokens,).
            ends: That of the first after it; at most `starts` where it has white space only.
            spans: Those of the row.
        """
        codes = np.zeros(len(starts), dtype=np.int16)
        is_space = ends <= starts
        for start, end, name in sorted(alone(spans)):
            inside = np.where(is_space, (start < starts) & (starts < end), (starts < end) & (ends > start))
            places = np.flatnonzero(inside & (codes == 0))
            place = 1 + 2 * self.types.index(name)
            codes[places] = place + 1
            codes[places[:1]] = place
        return codes


def alone(spans: Sequence[Span]) -> list[Span]:
    """Return spans of which none overlaps another: the longest first, of equal ones the first in the text."""
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        if all(span[1] <= other[0] or other[1] <= span[0] for other in chosen):
            chosen.append(span)
    return chosen


@dataclass(frozen=True, eq=False)
class Found:
    """Spans that tags say.

    Attributes:
        rows: The row of each span, int64, shape (spans,), in order.
        starts: Where it starts in its text, in characters, shape (spans,).
        ends: The first place after it.
        types: The place of its type in `Tags.types`.
        scores: The mean of what its tokens bear, float64.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    types: np.ndarray
    scores: np.ndarray


def read_spans(
    codes: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray | None = None
) -> Found:
    """Return the spans that the tags of tokens say, as the pipeline's aggregation "simple" reads them.

    A span of white space alone is none.

    Args:
        codes: Codes of tags, of all tagged tokens one after the other, shape (tokens,).
        rows: The row of each token, in order.
        starts: The place of its first character, without white space.
        ends: The first place after it.
        scores: What it bears, such as the probability of its tag; None for ones.
    """
    types = (codes.astype(np.int64) + 1) // 2
    is_in = types > 0
    goes_on = np.zeros(len(codes), dtype=bool)  # whether a token belongs to the span of the one before it
    goes_on[1:] = is_in[1:] & (codes[1:] % 2 == 0) & (types[1:] == types[:-1]) & (rows[1:] == rows[:-1])
    first = np.flatnonzero(is_in & ~goes_on)
    last = np.flatnonzero(is_in & ~np.append(goes_on[1:], [False]))
    of_token = np.cumsum(is_in & ~goes_on) - 1
    given = np.ones(len(codes)) if scores is None else scores
    sums = np.bincount(of_token[is_in], given[is_in], len(first))
    found = Found(rows[first], starts[first], ends[last], types[first] - 1, sums / (last - first + 1))
    return chosen(found, found.ends > found.starts)


def chosen(found: Found, places: Any) -> Found:
    """Return some of these spans."""
    return Found(*(getattr(found, name)[places] for name in ("rows", "starts", "ends", "types", "scores")))
