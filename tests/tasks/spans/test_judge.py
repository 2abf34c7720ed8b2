"""What is kept of tokens, what it says, and how several predictions are joined."""

import numpy as np
import pytest
import torch
from span_samples import TYPES, judge, predicted, true

from hpsearch.data.ragged import Ragged
from hpsearch.errors import DataError
from hpsearch.provenance.plain_values import as_json, from_json
from hpsearch.tasks.spans.counts import NONE
from hpsearch.tasks.spans.judge import SpanJudge
from hpsearch.tasks.spans.tags import UNTAGGED

ROWS = [[(0, 4, "name"), (5, 9, "city")], [], [(2, 3, "city")]]


def test_types_are_learned_in_the_order_of_their_names() -> None:
    found = SpanJudge.learn(ROWS)
    assert (found.types, found.counts) == (("city", "name"), (2, 1))
    assert found.tags.names == ("O", "B-city", "I-city", "B-name", "I-name")
    assert found.model_config()["label2id"]["I-name"] == 4
    assert found.facts() == {"types of spans": "city (2), name (1)"}
    assert (found.targets_text, found.identity) == ("spans of 2 types", ("tags", 5))
    assert from_json(as_json(found)) == found
    with pytest.raises(DataError, match="none of the 2 training rows has a span"):
        SpanJudge.learn([[], []])


def test_targets_are_spans_and_a_label_that_is_new_is_named_by_row() -> None:
    targets = SpanJudge.learn(ROWS).encode(ROWS)
    assert targets.elements.dtype == np.int32
    assert [targets.row(row).tolist() for row in range(3)] == [[[0, 4, 1], [5, 9, 0]], [], [[2, 3, 0]]]
    assert judge().encode([[], []]).elements.shape == (0, 3)
    with pytest.raises(DataError, match=r"label of 1 test span: 'thing' in row 1 .* The training rows have 'city'"):
        judge().encode([[], [(0, 1, "thing")]], "test")


def test_rare_types_are_said() -> None:
    assert SpanJudge(("a", "b"), (9, 10)).remarks(true())[0].startswith("1 of 2 types have fewer than 10")
    assert judge().remarks(true()) == []


def test_folds_are_stratified_by_the_types_that_a_row_has() -> None:
    strata = judge().strata(true([(0, 1, "city")], [], [(2, 3, "city"), (4, 5, "city")], [(0, 1, "name")], []))
    assert (strata.codes == strata.codes[[0, 1, 0, 3, 1]]).all()
    assert len(set(strata.codes.tolist())) == 3
    pairs = [(np.array([0, 3]), np.array([1])), (np.array([1, 4]), np.array([0]))]
    with pytest.raises(DataError, match="training rows of fold 1 have no span"):
        judge().check_folds(true(*[[(0, 1, "city")], [], [], [], []]), pairs)


def test_rows_without_a_span_cannot_be_judged() -> None:
    metric = judge().metric("f1")
    assert judge().judged(metric, true(*ROWS)).reason is None
    assert judge().judged(metric, true([], [])).reason is not None
    assert judge().judged(judge().metric("f1:time"), true(*ROWS)).reason is not None


def test_the_loss_of_a_row_is_the_mean_over_its_tagged_tokens() -> None:
    outputs = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[UNTAGGED, 1, 2, 0], [UNTAGGED, 3, UNTAGGED, UNTAGGED], [UNTAGGED] * 4])
    losses = judge().losses(outputs, targets, 0.0)
    each = torch.nn.functional.cross_entropy(outputs.reshape(-1, 7), targets.reshape(-1), reduction="none").reshape(
        3, 4
    )
    assert torch.allclose(losses, torch.stack([each[0, 1:].mean(), each[1, 1], torch.tensor(0.0)]))
    smooth = judge().losses(outputs, targets, 0.1)
    uniform = -outputs.log_softmax(dim=2).mean(dim=2)
    assert torch.allclose(smooth[1], 0.9 * each[1, 1] + 0.1 * uniform[1, 1])


def test_what_is_kept_says_loss_tokens_margin_and_spans() -> None:
    logits = np.log(np.array([[0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2], [0.45, 0.1, 0.45]]))
    kept = SpanJudge(("a",), (1,), longest=3).kept(
        logits,
        codes=np.array([1, 2, 1, 0]),
        rows=np.array([0, 0, 0, 2]),
        starts=np.array([0, 4, 6, 0]),
        ends=np.array([3, 5, 9, 2]),
        count=3,
    )
    assert kept.offsets.tolist() == [0, 2, 3, 4]
    losses = -np.log([0.7 * 0.6 * 0.3, 1.0, 0.45])
    assert kept.elements[kept.offsets[:-1]] == pytest.approx(
        np.array([[losses[0], 3, 2, 0.2], [0, 0, 0, 1], [losses[2], 1, 1, 0]]), abs=1e-6
    )
    assert kept.row(0)[1] == pytest.approx([0, 5, 0, 0.65])
    assert kept.elements.dtype == np.float32


def test_nothing_tagged_is_kept_as_nothing() -> None:
    none = np.zeros(0, dtype=int)
    kept = judge().kept(np.zeros((0, 7), dtype=np.float32), codes=none, rows=none, starts=none, ends=none, count=2)
    assert [kept.row(row).tolist() for row in range(2)] == [[[0, 0, 0, 1]]] * 2


def test_the_most_that_is_kept_is_told_beforehand() -> None:
    longest = 6
    codes = np.ones(longest, dtype=int)  # each token a span
    kept = judge(longest=longest).kept(
        np.eye(7)[codes],
        codes=codes,
        rows=np.zeros(longest, dtype=int),
        starts=np.arange(longest),
        ends=np.arange(longest) + 1,
        count=1,
    )
    assert kept.elements.nbytes == judge(longest=longest).row_bytes


def test_a_span_that_more_than_half_predict_is_joined() -> None:
    one, two, three = (
        predicted([(0, 3, "city"), (5, 7, "name")]),
        predicted([(0, 3, "city"), (5, 8, "name")]),
        predicted([(0, 3, "time"), (5, 8, "name")]),
    )
    joined = judge().joined(2, [(np.array([1]), one), (np.array([1]), two), (np.array([1]), three)])
    assert np.isnan(joined.row(0)).all()
    assert len(joined.row(0)) == 1
    assert joined.row(1)[1:, :3].tolist() == [[0, 3, 0], [5, 8, 1]]
    assert joined.row(1)[1:, 3] == pytest.approx([0.9, 0.9])
    half = judge().joined(1, [(np.array([0]), one), (np.array([0]), two)])
    assert half.row(0)[1:, :3].tolist() == [[0, 3, 0]]


def test_figures_count_the_rows_that_were_predicted() -> None:
    found = judge().joined(3, [(np.array([0, 1]), predicted([(0, 4, "name"), (5, 9, "name")], [(1, 2, "city")]))])
    figures = judge().figures(true(*ROWS), found)
    assert figures["spans"] == {"city": (0, 1, 1), "name": (1, 2, 1), "time": (0, 0, 0)}
    assert figures["confusion"].counts[0] == (0, 1, 0, 0)
    assert figures["confusion"].counts[3] == (1, 0, 0, 0)
    assert judge().figures(true(*ROWS), judge().joined(3, [])) == {}


def test_answers_of_a_pipeline_are_compared_as_spans() -> None:
    scored = predicted([(0, 4, "name")], [], [(2, 3, "city")])
    answer = {"entity_group": "name", "start": 0, "end": 4, "score": 0.9, "word": "x"}
    other = {**answer, "entity_group": "city", "start": 2, "end": 3}
    read = judge().from_answers([[answer], [], [other]])
    assert judge().differing(scored, read).tolist() == [False] * 3
    moved = judge().from_answers([[{**answer, "end": 3}], [answer], [{**other, "score": 0.88}]])
    assert judge().differing(scored, moved).tolist() == [True] * 3
    tied = Ragged(scored.elements.copy(), scored.offsets)
    tied.elements[scored.offsets[:-1], 3] = 1e-5  # two tags of a token were as likely
    assert judge().differing(tied, moved).tolist() == [False, False, True]
    assert judge().prediction_text(scored, 0) == "name 0-4 (0.9000)"
    assert judge().prediction_text(scored, 1) == NONE
    assert TYPES[0] in judge().purpose
