"""Mistakes in spans of texts: offsets, labels, words and tags, and tokenizers that do not say where a token stands."""

import json
from pathlib import Path
from typing import Any

import transformers
from mistake import Mistake, World
from tasks_samples import booking_rows, save_base

from hpsearch.errors import DataError, MetricError, TaskError

SPANS = 'hp.TokenClassification("model", train="rows.jsonl")'
TAGGED = 'hp.TokenClassification("model", train="rows.jsonl", words="words", tags="tags")'
TEXT = "the plot was great of it"


def _rows(spans: Any, text: str = TEXT, name: str = "rows.jsonl") -> World:
    """Return what writes rows of which the fourth is this one."""
    rows = booking_rows(20)[["text", "spans"]].to_dict("records")
    rows[3] = {"text": text, "spans": spans}
    return lambda place: _write(place / name, rows)


def _tagged(words: Any, tags: Any) -> World:
    rows = [{"words": ["a", "great", "film"], "tags": ["O", "B-praise", "O"]} for _ in range(12)]
    rows[3] = {"words": words, "tags": tags}
    return lambda place: _write(place / "rows.jsonl", rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _both(place: Path) -> None:
    _rows([])(place)
    _rows([{"start": 4, "end": 8, "label": "story"}], name="test.jsonl")(place)


def _slow(place: Path) -> None:
    _rows([])(place)
    save_base("canine", place / "slow")
    transformers.CanineTokenizer().save_pretrained(place / "slow")


def _conll(place: Path) -> None:
    (place / "rows.conll").write_text("a O\ngreat\nfilm O\n")


def _no_spans(place: Path) -> None:
    _write(place / "rows.jsonl", [{"text": TEXT, "spans": []} for _ in range(8)])


MISTAKES = [
    Mistake(
        "a span that reaches beyond its text",
        ("row 3 (counted from 0) of the train data has in column 'spans'", "from 13 to 40", "24 characters"),
        DataError,
        task=SPANS,
        world=_rows([{"start": 13, "end": 40, "label": "praise"}]),
        process=True,
    ),
    Mistake(
        "an empty span: start and end are the same",
        ("row 3", "an empty span, from 13 to 13", "the first character after the span"),
        DataError,
        task=SPANS,
        world=_rows([{"start": 13, "end": 13, "label": "praise"}]),
    ),
    Mistake(
        "spans that overlap",
        ("row 3", "two spans that overlap: 'great of it'", "overlapping='longest'"),
        DataError,
        task=SPANS,
        world=_rows([{"start": 13, "end": 24, "label": "praise"}, {"start": 19, "end": 24, "label": "time"}]),
    ),
    Mistake(
        'spans with other names: `{"from": 13, "to": 24, "label": "praise"}`',
        ("row 3", "a span without 'start' and 'end': it has 'from', 'to', 'label'", "'entity_group'"),
        DataError,
        task=SPANS,
        world=_rows([{"from": 13, "to": 24, "label": "praise"}]),
    ),
    Mistake(
        "a place in the text that is no whole number",
        ("row 3", "a span whose start is '13'", "whole number"),
        DataError,
        task=SPANS,
        world=_rows([{"start": "13", "end": 24, "label": "praise"}]),
    ),
    Mistake(
        "no list of spans where a row has none",
        ("row 3", "no list of spans", "an empty list, []"),
        DataError,
        task=SPANS,
        world=_rows(None),
    ),
    Mistake(
        "rows without a single span",
        ("none of the 8 training rows has a span", "Check the columns"),
        DataError,
        task=SPANS,
        world=_no_spans,
    ),
    Mistake(
        "a label of test rows that no training row has",
        ("no training row has the label of 1 test span", "'story' in row 3", "'blame', 'praise', 'time'"),
        DataError,
        task='hp.TokenClassification("model", train="rows.jsonl", test="test.jsonl")',
        world=_both,
    ),
    Mistake(
        "another name for the column of spans",
        ("no column 'span'", "Did you mean 'spans'?"),
        DataError,
        task='hp.TokenClassification("model", train="rows.jsonl", spans="span")',
        world=_rows([]),
    ),
    Mistake(
        "fewer tags than words",
        ("row 3 (counted from 0) of the train data has in column 'tags' 2 tags, and 3 words in 'words'",),
        DataError,
        task=TAGGED,
        world=_tagged(["a", "dull", "film"], ["O", "O"]),
    ),
    Mistake(
        "a tag that is none: `praise` in place of `B-praise`",
        ("row 3", "the tag 'praise'", "'B-' (a span begins)"),
        DataError,
        task=TAGGED,
        world=_tagged(["a", "great", "film"], ["O", "praise", "O"]),
    ),
    Mistake(
        "a span of tags that does not begin: `I-praise` after `O`",
        ("row 3", "the tag 'I-praise' after 'O'", "write 'B-praise'"),
        DataError,
        task=TAGGED,
        world=_tagged(["a", "great", "film"], ["O", "I-praise", "O"]),
    ),
    Mistake(
        "numbers in place of tags, as `datasets` keeps them",
        ("row 3", "the tag 0, a int", "dataset.features[column].feature.names"),
        DataError,
        task=TAGGED,
        world=_tagged(["a", "great", "film"], [0, 1, 0]),
    ),
    Mistake(
        "a column of words without one of tags",
        ("words='words' and tags=None", "give both columns"),
        TaskError,
        task='hp.TokenClassification("model", train="rows.jsonl", words="words")',
        world=_rows([]),
    ),
    Mistake(
        "a CoNLL file with a line of one column",
        ("line 2 of the train file 'rows.conll' has one column, 'great'", "a word and its tag"),
        DataError,
        task='hp.TokenClassification("model", train="rows.conll")',
        world=_conll,
    ),
    Mistake(
        "spans with a model whose tokenizer does not say where a token stands",
        ("(CanineTokenizer) does not say where in the text each token stands", "tokenizer.json"),
        TaskError,
        task='hp.TokenClassification("slow", train="rows.jsonl")',
        world=_slow,
    ),
    Mistake(
        'a metric of classes for spans: `metric="accuracy"`',
        ("metric 'accuracy' cannot be used on spans: it measures classes, not spans", "token_accuracy"),
        MetricError,
        task=SPANS,
        settings='metric="accuracy"',
        world=_rows([]),
    ),
]

GROUPS = {"Spans": MISTAKES}
