"""Spans as they stand in a user's data: character offsets, or words with BIO tags. What is wrong is said by row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hpsearch.data.unicode import fault_in
from hpsearch.data.wording import counted, listed, shortened
from hpsearch.errors import DataError

OUTSIDE = "O"
"""The tag of a word in no span."""

_LABEL_KEYS = ("label", "entity_group", "entity", "type")
_KEYS = f"'start', 'end' and {' or '.join(map(repr, _LABEL_KEYS))}"
_FORMS = '{"start": 0, "end": 5, "label": "city"}, or (0, 5, "city")'

Span = tuple[int, int, str]
"""Start and end in characters of the text (the end is the first character after it), and the label."""


@dataclass(frozen=True)
class Place:
    """A cell of a user's table, for errors."""

    row: int
    column: str
    role: str

    def fault(self, what: str, remedy: str) -> DataError:
        """Return the error that says what is wrong there, and what to do."""
        return DataError(
            f"row {self.row} (counted from 0) of the {self.role} data has in column {self.column!r} {what}. {remedy}"
        )


def spans_of(
    cells: Sequence[Any], texts: Sequence[str], column: str, role: str, *, may_overlap: bool
) -> tuple[list[list[Span]], list[str]]:
    """Return the spans of each row in the order of the text, without white space at their ends; and remarks.

    Args:
        cells: One a row: a list of mappings or triples, or the same as JSON text.
        texts: The text of each row.
        column: The column of the spans.
        role: "train" or "test".
        may_overlap: Whether spans of a row may overlap.

    Raises:
        DataError: A cell is no list of spans, or a span is empty, outside its text, there twice or overlaps another.
    """
    rows, trimmed, overlapping = [], [], []
    for row, (cell, text) in enumerate(zip(cells, texts, strict=True)):
        place = Place(row, column, role)
        spans = []
        for given in _cell(cell, place):
            whole = _span(given, text, place)
            span = without_space(whole, text)
            if span != whole:
                trimmed.append((row, text[whole[0] : whole[1]]))
            spans.append(span)
        spans.sort()
        twice = [one for one, other in pairwise(spans) if one == other]
        if twice:
            raise place.fault(f"the span {_shown(twice[0], text)} twice", "Remove one of them.")
        overlaps = list(_overlaps(spans))
        if overlaps and not may_overlap:
            one, other = overlaps[0]
            raise place.fault(
                f"two spans that overlap: {_shown(one, text)} and {_shown(other, text)}",
                "A token has one tag only. Remove one of them, or give overlapping='longest' to train on the longer.",
            )
        if overlaps:
            overlapping.append(row)
        rows.append(spans)
    return rows, _remarks(trimmed, overlapping, role)


def _remarks(trimmed: Sequence[tuple[int, str]], overlapping: Sequence[int], role: str) -> list[str]:
    remarks = []
    if trimmed:
        row, text = trimmed[0]
        remarks.append(
            f"White space at the ends of {counted(len(trimmed), f'{role} span')} was left out; {text!r} in row {row} "
            "is the first."
        )
    if overlapping:
        remarks.append(
            f"Spans overlap in {counted(len(overlapping), f'{role} row')}; row {overlapping[0]} is the first. The "
            "longest is trained on, and the others count as missed."
        )
    return remarks


def _cell(cell: Any, place: Place) -> Sequence[Any]:
    """Return the spans of a cell as they stand there."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (json.JSONDecodeError, RecursionError):
            raise place.fault(
                f"the text {shortened(cell)!r} where a list of spans is needed",
                f"Give a list, or a JSON text of one; each span is {_FORMS}.",
            ) from None
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, list | tuple):
        return cell
    if (
        isinstance(cell, Mapping)
        and cell
        and all(isinstance(part, list | tuple | np.ndarray) for part in cell.values())
    ):
        return _turned(cell, place)
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        raise place.fault("no list of spans", "A row without any has an empty list, [].")
    raise place.fault(
        f"a {type(cell).__name__}, {shortened(repr(cell))}, where a list of spans is needed",
        f"Each span is {_FORMS}.",
    )


def _turned(cell: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """Return the spans of a mapping of lists, as `datasets` may keep a list of mappings."""
    lengths = {key: len(part) for key, part in cell.items()}
    if len(set(lengths.values())) > 1:
        raise place.fault(f"lists of different lengths, {lengths}", "Give each span a start, an end and a label.")
    return [dict(zip(cell, parts, strict=True)) for parts in zip(*cell.values(), strict=True)]


def _span(given: Any, text: str, place: Place) -> Span:
    """Return one span, checked against its text."""
    start, end, label = _parts(given, place)
    for name, value in (("start", start), ("end", end)):
        is_whole = isinstance(value, int | np.integer) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not is_whole:
            raise place.fault(
                f"a span whose {name} is {value!r}", "It must be a whole number: a place in the text, in characters."
            )
    if not isinstance(label, str) or not label.strip() or label == OUTSIDE or fault_in(label, is_name=True):
        why = f" ({OUTSIDE!r} is the tag of what is in no span)" if label == OUTSIDE else ""
        raise place.fault(f"a span with the label {label!r}{why}", "Give each span the name of what it is, as text.")
    span = int(start), int(end), label
    if not 0 <= span[0] <= len(text) or span[1] > len(text):
        raise place.fault(
            f"a span from {span[0]} to {span[1]} ({label!r}), and the text has {len(text)} characters",
            "Offsets count characters from 0, not bytes or words; check that they belong to this text.",
        )
    if span[0] >= span[1] or not text[span[0] : span[1]].strip():
        raise place.fault(
            f"an empty span, from {span[0]} to {span[1]} ({label!r})",
            "The end is the place of the first character after the span. Correct it, or remove the span.",
        )
    return span


def _parts(given: Any, place: Place) -> tuple[Any, Any, Any]:
    """Return start, end and label of a span as a user writes it."""
    if isinstance(given, Mapping):
        name = next((key for key in _LABEL_KEYS if given.get(key) is not None), None)
        missing = [key for key in ("start", "end") if given.get(key) is None] + ([] if name else ["label"])
        if missing:
            raise place.fault(
                f"a span without {' and '.join(map(repr, missing))}: it has {listed(given, 8)}",
                f"A span has the keys {_KEYS}.",
            )
        return given["start"], given["end"], given[name]
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise place.fault(f"{shortened(repr(given))}, which is no span", f"A span is {_FORMS}.")
    start, end, label = given
    return start, end, label


def without_space(span: Span, text: str) -> Span:
    """Return a span without the white space at its ends; one of white space only is empty."""
    start, end, label = span
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, max(start + left, end - (len(part) - len(part.rstrip()))), label


def _overlaps(spans: Sequence[Span]) -> Iterator[tuple[Span, Span]]:
    """Yield overlapping spans of a sorted row: each that begins before another ends, with that one."""
    reaching: Span | None = None
    for span in spans:
        if reaching is not None and span[0] < reaching[1]:
            yield reaching, span
        reaching = span if reaching is None or span[1] > reaching[1] else reaching


def _shown(span: Span, text: str) -> str:
    return f"{text[span[0] : span[1]]!r} ({span[2]!r}, {span[0]} to {span[1]})"


# ---------------------------------------------------------------------------------------- words with tags


def spans_of_tags(
    words: Sequence[Any], tags: Sequence[Any], columns: tuple[str, str], role: str
) -> tuple[list[str], list[list[Span]]]:
    """Return the text of each row, its words joined by spaces, and the spans that its BIO tags say.

    Args:
        words: A list of words a row.
        tags: As many tags: "O", or "B-" (the span begins) or "I-" (it goes on) before the label.
        columns: The columns of words and of tags.
        role: "train" or "test".

    Raises:
        DataError: A cell is no list of texts, the lengths differ, or a tag is unknown or follows from nothing.
    """
    texts, rows = [], []
    for row, (given_words, given_tags) in enumerate(zip(words, tags, strict=True)):
        word_place, tag_place = (Place(row, column, role) for column in columns)
        named, tagged = _words(given_words, word_place), _tags(given_tags, tag_place)
        if len(named) != len(tagged):
            raise tag_place.fault(
                f"{counted(len(tagged), 'tag')}, and {counted(len(named), 'word')} in {columns[0]!r}",
                "Give each word one tag.",
            )
        ends = np.cumsum([len(word) + 1 for word in named]) - 1
        texts.append(" ".join(named))
        rows.append(list(_spans(tagged, ends - [len(word) for word in named], ends)))
    return texts, rows


def _list(cell: Any, place: Place, what: str) -> list[Any]:
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if not isinstance(cell, list | tuple):
        raise place.fault(
            f"{shortened(repr(cell))}, a {type(cell).__name__}", f"A list of {what} is needed, one for each word."
        )
    return list(cell)


def _words(cell: Any, place: Place) -> list[str]:
    words = _list(cell, place, "words")
    if not words:
        raise place.fault("no words", "Remove the row.")
    for word in words:
        fault = fault_in(word)
        if fault:
            raise place.fault(f"the word {shortened(ascii(word))}: {fault.rstrip('.')}", "Correct the word.")
        if not isinstance(word, str) or word != word.strip() or not word:
            raise place.fault(
                f"the word {word!r}", "A word is a text without white space at its ends, with something in it."
            )
    return words


def _tags(cell: Any, place: Place) -> list[str]:
    tags = _list(cell, place, "tags")
    before = OUTSIDE
    for tag in tags:
        if not isinstance(tag, str):
            raise place.fault(
                f"the tag {tag!r}, a {type(tag).__name__}",
                "Tags are names. A datasets.Dataset has them in dataset.features[column].feature.names, and they are "
                "read where it is given as it is.",
            )
        if tag != OUTSIDE and (tag[:2] not in ("B-", "I-") or not tag[2:].strip() or tag[2:] == OUTSIDE):
            raise place.fault(
                f"the tag {tag!r}",
                "A tag is 'O' for a word in no span, or 'B-' (a span begins) or 'I-' (it goes on) before a label, such "
                "as 'B-city'.",
            )
        if tag[:2] == "I-" and before[2:] != tag[2:]:
            raise place.fault(
                f"the tag {tag!r} after {before!r}",
                f"A span begins with 'B-': write {'B-' + tag[2:]!r} for its first word.",
            )
        before = tag
    return tags


def _spans(tags: Sequence[str], starts: np.ndarray, ends: np.ndarray) -> Iterator[Span]:
    """Yield the spans of checked tags, by where each word starts and ends."""
    first = None
    for place, tag in enumerate([*tags, OUTSIDE]):
        if first is not None and tag[:2] != "I-":
            yield int(starts[first]), int(ends[place - 1]), tags[first][2:]
            first = None
        if tag[:2] == "B-":
            first = place
