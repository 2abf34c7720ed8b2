"""Spans as they stand in a user's data; what is wrong is named by row and column."""

from typing import Any

import numpy as np
import pytest

from hpsearch.errors import DataError
from hpsearch.tasks.spans.reading import spans_of, spans_of_tags, without_space

TEXT = "a table for 2 at 8 tonight"
PEOPLE, TIME = (12, 13, "people"), (17, 26, "time")


def read(*cells: Any, may_overlap: bool = False) -> tuple[list[Any], list[str]]:
    return spans_of(cells, [TEXT] * len(cells), "labels", "train", may_overlap=may_overlap)


@pytest.mark.parametrize(
    "cell",
    [
        [{"start": 17, "end": 26, "label": "time"}, {"start": 12, "end": 13, "label": "people"}],
        [PEOPLE, TIME],
        [list(PEOPLE), list(TIME)],
        '[[12, 13, "people"], {"start": 17, "end": 26, "label": "time"}]',
        np.array([{"start": 12, "end": 13, "label": "people"}, {"start": 17, "end": 26, "label": "time"}]),
        [{"start": 12.0, "end": 13.0, "entity_group": "people", "score": 0.9, "word": "2"}, TIME],
        [{"start": np.int64(12), "end": 13, "type": "people"}, (17, 26, "time")],
        {"start": [12, 17], "end": np.array([13, 26]), "label": ["people", "time"]},
    ],
)
def test_the_same_spans_in_each_form(cell: Any) -> None:
    assert read(cell, []) == ([[PEOPLE, TIME], []], [])


def test_white_space_at_their_ends_is_left_out_and_said() -> None:
    found, remarks = read([], [(11, 14, "people"), TIME])
    assert found == [[], [PEOPLE, TIME]]
    assert remarks == [
        "White space at the ends of 1 train span was left out; ' 2 ' in row 1 is the first.",
    ]
    assert without_space((2, 3, "x"), "a  b") == (3, 3, "x")


def test_spans_that_overlap_are_refused_or_said() -> None:
    overlapping = [TIME, (19, 26, "date"), PEOPLE]
    with pytest.raises(DataError, match=r"row 1 .* column 'labels' two spans that overlap: '8 tonight' \('time', 17"):
        read([], overlapping)
    found, remarks = read([], overlapping, may_overlap=True)
    assert found[1] == [PEOPLE, TIME, (19, 26, "date")]
    assert len(remarks) == 1
    assert "Spans overlap in 1 train row; row 1 is the first." in remarks[0]
    assert read([(0, 1, "a"), (1, 2, "a")[:0] or (2, 7, "b")])[0] == [[(0, 1, "a"), (2, 7, "b")]]
    with pytest.raises(DataError, match="overlap"):  # the first reaches over the second to the third
        read([(0, 20, "a"), (2, 4, "b"), (12, 13, "c")])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, r"no list of spans. A row without any has an empty list, \[\]"),
        (float("nan"), "no list of spans"),
        ("12 to 13", "the text '12 to 13' where a list of spans is needed"),
        ({"start": 12, "end": 13, "label": "people"}, "a dict, .* where a list of spans is needed"),
        ({"start": [12], "end": [13, 14]}, "lists of different lengths, {'start': 1, 'end': 2}"),
        ([12, 13], "12, which is no span"),
        ([(12, 13)], r"\(12, 13\), which is no span"),
        ([{"begin": 12, "end": 13, "slot": "people"}], "a span without 'start' and 'label': it has 'begin', 'end'"),
        ([("12", 13, "people")], "a span whose start is '12'. It must be a whole number"),
        ([(12, 12.5, "people")], "a span whose end is 12.5"),
        ([(True, 13, "people")], "a span whose start is True"),
        ([(12, 27, "people")], "from 12 to 27 .* the text has 26 characters. Offsets count characters"),
        ([(-1, 3, "people")], "from -1 to 3"),
        ([(13, 12, "people")], "an empty span, from 13 to 12"),
        ([(11, 12, "people")], "an empty span, from 11 to 12"),
        ([(12, 13, "O")], r"the label 'O' \('O' is the tag of what is in no span\)"),
        ([(12, 13, 3)], "the label 3"),
        ([(12, 13, " ")], "the label ' '"),
        ([PEOPLE, PEOPLE], r"the span '2' \('people', 12 to 13\) twice"),
    ],
)
def test_what_is_no_span_is_named_by_row_and_column(cell: Any, message: str) -> None:
    with pytest.raises(
        DataError, match=rf"row 1 \(counted from 0\) of the train data has in column 'labels' .*{message}"
    ):
        read([PEOPLE], cell)


# ---------------------------------------------------------------------------------------- words with tags


def tagged(words: Any, tags: Any) -> Any:
    return spans_of_tags([["in"], words], [["O"], tags], ("tokens", "ner"), "test")


def test_words_are_joined_and_tags_become_spans() -> None:
    words = ["Ann", "Lee", "Bo", "left", "New", "York"]
    texts, spans = tagged(words, ["B-name", "I-name", "B-name", "O", "B-city", "I-city"])
    assert texts == ["in", "Ann Lee Bo left New York"]
    assert spans[0] == []
    assert [(texts[1][start:end], name) for start, end, name in spans[1]] == [
        ("Ann Lee", "name"),
        ("Bo", "name"),
        ("New York", "city"),
    ]
    assert tagged(np.array(words), np.array(["O"] * 6)) == (texts, [[], []])


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ("Ann left", ["O"], "'tokens' 'Ann left', a str. A list of words is needed"),
        ([], [], "'tokens' no words"),
        (["Ann", ""], ["O", "O"], "'tokens' the word ''"),
        (["Ann", 3], ["O", "O"], "'tokens' the word 3"),
        (["Ann", " left"], ["O", "O"], "'tokens' the word ' left'"),
        (["Ann"], None, "'ner' None, a NoneType"),
        (["Ann", "left"], ["O"], "'ner' 1 tag, and 2 words in 'tokens'"),
        (["Ann"], [3], "'ner' the tag 3, a int. Tags are names. A datasets.Dataset has them"),
        (["Ann"], ["name"], "'ner' the tag 'name'"),
        (["Ann"], ["S-name"], "'ner' the tag 'S-name'"),
        (["Ann"], ["B-"], "'ner' the tag 'B-'"),
        (["Ann"], ["I-name"], "'ner' the tag 'I-name' after 'O'. A span begins with 'B-': write 'B-name'"),
        (["Ann", "Lee"], ["B-city", "I-name"], "'ner' the tag 'I-name' after 'B-city'"),
    ],
)
def test_what_is_no_tag_is_named_by_row_and_column(words: Any, tags: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"row 1 \(counted from 0\) of the test data has in column {message}"):
        tagged(words, tags)
