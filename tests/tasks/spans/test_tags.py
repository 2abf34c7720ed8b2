"""Tags of tokens: from spans and back, as transformers' pipeline reads them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.tasks.spans.tags import Tags, alone, read_spans

TAGS = Tags(("city", "name"))


def places(text: str, *tokens: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where tokens start and end in a text."""
    starts, at = [], 0
    for token in tokens:
        at = text.index(token, at)
        starts.append(at)
        at += len(token)
    return np.array(starts), np.array(starts) + [len(token) for token in tokens]


def named(codes: Any) -> list[str]:
    return [TAGS.names[code] for code in codes]


def test_each_token_with_a_character_of_a_span_has_its_tag() -> None:
    starts, ends = places("Anna Lee, Oslo", "Ann", "a", "Lee", ",", "Os", "lo")
    spans = [(0, 8, "name"), (10, 14, "city")]
    assert TAGS.names == ("O", "B-city", "I-city", "B-name", "I-name")
    assert named(TAGS.codes(starts, ends, spans)) == ["B-name", "I-name", "I-name", "O", "B-city", "I-city"]
    assert named(TAGS.codes(starts, ends, [(2, 4, "name")])) == ["B-name", "I-name", "O", "O", "O", "O"]
    assert named(TAGS.codes(starts, ends, [])) == ["O"] * 6


def test_neighbours_begin_anew_and_a_token_of_two_spans_is_in_the_first() -> None:
    starts, ends = places("Ann Bo", "Ann", "Bo")
    assert named(TAGS.codes(starts, ends, [(0, 3, "name"), (4, 6, "name")])) == ["B-name", "B-name"]
    starts, ends = places("AnnBo Lee", "AnnBo", "Lee")
    assert named(TAGS.codes(starts, ends, [(3, 9, "city"), (0, 3, "name")])) == ["B-name", "B-city"]


def test_a_token_of_white_space_is_in_a_span_only_within_it() -> None:
    starts, ends = np.array([0, 4, 4, 7, 7]), np.array([3, 3, 6, 6, 8])  # "Ann", " ", "Bo", " ", "x"
    assert named(TAGS.codes(starts, ends, [(0, 6, "name")])) == ["B-name", "I-name", "I-name", "O", "O"]
    assert named(TAGS.codes(starts, ends, [(4, 6, "name")])) == ["O", "O", "B-name", "O", "O"]


def test_of_spans_that_overlap_the_longest_is_left() -> None:
    spans = [(0, 4, "a"), (0, 4, "b"), (2, 9, "c"), (8, 12, "d"), (9, 12, "e")]
    assert sorted(alone(spans)) == [(2, 9, "c"), (9, 12, "e")]
    assert alone([(5, 9, "b"), (0, 4, "a"), (0, 4, "b")]) == [(0, 4, "a"), (5, 9, "b")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=5))
def test_spans_are_read_as_the_pipeline_reads_them(rows: list[list[int]]) -> None:
    """Any tags that a model may predict, an I- after another type among them."""
    pipeline = transformers.TokenClassificationPipeline.__new__(transformers.TokenClassificationPipeline)
    pipeline.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(TAGS.names))))
    pipeline.tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)
    expected = []
    for row, codes in enumerate(rows):
        tokens = [
            {"scores": np.eye(5)[code], "start": 3 * at, "end": 3 * at + 2, "word": "x", "index": at}
            for at, code in enumerate(codes)
        ]
        groups = pipeline.aggregate(tokens, transformers.pipelines.token_classification.AggregationStrategy.SIMPLE)
        expected += [
            (row, group["start"], group["end"], group["entity_group"])
            for group in groups
            if group["entity_group"] != "O"
        ]
    codes = np.concatenate([np.array(row) for row in rows])
    of_row = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    starts = np.concatenate([3 * np.arange(len(row)) for row in rows])
    found = read_spans(codes, of_row, starts, starts + 2)
    columns = zip(found.rows, found.starts, found.ends, found.types, strict=True)
    assert [(row, start, end, TAGS.types[kind]) for row, start, end, kind in columns] == expected
    assert np.array_equal(found.scores, np.ones(len(expected)))


def test_a_span_bears_the_mean_score_of_its_tokens_and_white_space_is_none() -> None:
    starts, ends = np.array([0, 4, 9, 9]), np.array([3, 8, 8, 12])
    found = read_spans(np.array([1, 2, 0, 3]), np.zeros(4, dtype=int), starts, ends, np.array([0.5, 0.9, 0.1, 0.8]))
    assert found.scores.tolist() == [0.7, 0.8]
    assert (found.starts.tolist(), found.ends.tolist()) == ([0, 9], [8, 12])
    assert len(read_spans(np.array([0, 0, 1, 0]), np.zeros(4, dtype=int), starts, ends).rows) == 0
