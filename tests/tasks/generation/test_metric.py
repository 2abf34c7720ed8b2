import math
import sys

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from hpsearch.analysis.significance import paired_bootstrap
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import bounds
from hpsearch.tasks.generation import corpus
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.generation.metric import NAMES, OF_TEXTS, OF_TOKENS
from hpsearch.tasks.generation.predictions import TokenPredictions
from hpsearch.tasks.generation.rouge import rouge_l
from hpsearch.tasks.generation.texts import as_bytes

REFERENCES = ["The cat sat on the mat.", "Two dogs ran across a field", "Straße im Regen", "no"]
TEXTS = ["The cat sat on a mat.", "Two dogs run over the field", "Straße im Regen ", ""]
JUDGE = TokenJudge(max_new_tokens=16)


def predictions(texts=TEXTS, losses=(2.0, 8.0, 1.0, 3.0)):
    answers = np.empty(len(texts), dtype=object)
    answers[:] = texts
    return TokenPredictions(np.array(losses), np.array([4.0, 5.0, 3.0, 1.0]), np.array([3.0, 1.0, 3.0, 0.0]), answers)


def value(name, weights=None):
    return JUDGE.metric(name)(as_bytes(REFERENCES), predictions(), weights)


def test_losses_are_of_tokens_and_weighed_by_rows():
    weights = np.array([1.0, 0.0, 2.0, 0.0])
    assert value("loss") == pytest.approx(14 / 13) and value("loss", weights) == pytest.approx(4 / 10)
    assert value("perplexity") == pytest.approx(math.exp(14 / 13))
    assert value("token_accuracy") == pytest.approx(7 / 13)
    assert value("exact_match") == 0.25 and value("exact_match", weights) == pytest.approx(2 / 3)


def test_bleu_and_chrf_are_sacrebleus_and_unweighted():
    assert value("chrf") == pytest.approx(CHRF().corpus_score(TEXTS, [REFERENCES]).score)
    assert value("bleu") == pytest.approx(BLEU().corpus_score(TEXTS, [REFERENCES]).score)
    assert value("chrf", np.array([1.0, 9.0, 9.0, 9.0])) == value("chrf")
    assert JUDGE.metric("chrf").signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert JUDGE.metric("loss").signature == ""


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence():
    # Lin (2004, section 3.1): both candidates have "police ... the gunman" of the reference "police killed the gunman"
    # or less, in order.
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)
    assert rouge_l("police killed the gunman", "the gunman kill police") == pytest.approx(0.5)
    assert rouge_l("A b, c!", "a B c") == 1.0
    assert rouge_l("a a b", "a b b a") == pytest.approx(4 / 7)
    assert (rouge_l("", ""), rouge_l("a", ""), rouge_l("...", "a")) == (1.0, 0.0, 0.0)
    assert value("rouge_l") == pytest.approx(np.mean([rouge_l(*pair) for pair in zip(REFERENCES, TEXTS, strict=True)]))


@pytest.mark.parametrize("name", NAMES)
def test_every_named_metric_has_its_direction_and_bounds(name):
    metric = JUDGE.metric(name)
    assert metric.direction is (Direction.MINIMIZE if name in ("loss", "perplexity") else Direction.MAXIMIZE)
    low, high = bounds(name)
    assert (low, high) == (0.0, math.inf) if name == "perplexity" else low in (0.0, -math.inf)
    assert metric.needs_answers is (name in OF_TEXTS)


def test_functions_see_texts():
    def same_length(references, texts):
        return sum(len(one) == len(other) for one, other in zip(references, texts, strict=True)) / len(texts)

    metric = JUDGE.metric(same_length)
    assert metric(as_bytes(REFERENCES), predictions()) == 0.25
    assert metric.direction is Direction.MAXIMIZE and metric.needs_answers
    with pytest.raises(MetricError, match="is an error, not a score"):
        JUDGE.metric(lambda references, texts: float(references != texts))
    with pytest.raises(MetricError, match=r"called as f\(references, texts\) with two lists of str"):
        JUDGE.metric(lambda references, texts: references.sum())


def test_what_cannot_be_measured_is_said():
    with pytest.raises(MetricError, match=r"no metric called 'chrF'. Did you mean 'chrf'\?"):
        JUDGE.metric("chrF")
    with pytest.raises(MetricError, match="'accuracy' cannot be used on generated texts: it measures classes"):
        JUDGE.metric("accuracy")
    with pytest.raises(MetricError, match="'rouge_l' is of generated answers, and this task generates none"):
        TokenJudge().metric("rouge_l")
    assert [TokenJudge().metric(name).name for name in OF_TOKENS] == list(OF_TOKENS)
    metric = JUDGE.metric("rouge_l")
    with pytest.raises(MetricError, match="no answers were generated"):
        metric(as_bytes(REFERENCES), TokenPredictions(*np.ones((3, 4))))


def test_without_sacrebleu_the_package_is_named(monkeypatch):
    corpus._scorer.cache_clear()
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    try:
        with pytest.raises(MetricError, match=r"sacrebleu, which is not installed\. Install it: pip install sacrebleu"):
            JUDGE.metric("chrf")
    finally:
        corpus._scorer.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_on_draws_it_is_what_it_is_on_each(name):
    metric, targets, given = JUDGE.metric(name), as_bytes(REFERENCES), predictions()
    weights = np.array([1.0, 2.0, 0.5, 1.0])
    draws = [np.array([0, 0, 2, 3]), np.array([1, 2, 2, 2]), np.arange(4)]
    found = metric.on_draws(targets, given, weights)(draws)
    wanted = [metric(targets[rows], given[rows], weights[rows]) for rows in draws]
    assert found.tolist() == pytest.approx(wanted)


def test_a_bootstrap_of_a_corpus_metric_finds_the_better_of_two():
    random = np.random.default_rng(0)
    words = np.array(list("abcdefghijklmnop"))
    references = [" ".join(random.choice(words, size=12)) for _ in range(120)]
    near = [text.replace("a", "z") for text in references]
    far = [text.replace("a", "z").replace("b", "y").replace("c", "x") for text in references]
    sides = []
    for texts in (near, far):
        answers = np.empty(len(texts), dtype=object)
        answers[:] = texts
        sides.append(TokenPredictions(*np.ones((3, len(texts))), answers))
    evidence = paired_bootstrap(JUDGE.metric("chrf"), as_bytes(references), *sides, resamples=300)
    assert evidence.verdict == "better" and evidence.interval[0] < evidence.difference < evidence.interval[1]
