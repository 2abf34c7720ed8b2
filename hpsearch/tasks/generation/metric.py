"""Metrics of tokens and of generated texts, each a function of sums over rows; or a user's function of the texts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import accepts
from hpsearch.metrics.metric import RESERVED, Metric, OnDraws, checked_metric, metric_name
from hpsearch.metrics.resolving import MadeUp, check_name, resolve
from hpsearch.tasks.generation import corpus
from hpsearch.tasks.generation.predictions import TokenPredictions
from hpsearch.tasks.generation.rouge import rouge_l
from hpsearch.tasks.generation.texts import as_bytes, as_texts

OF_TOKENS = (RESERVED, "perplexity", "token_accuracy")
"""Metrics that need no generated text."""

OF_TEXTS = ("bleu", "chrf", "exact_match", "rouge_l")
"""Metrics of generated texts."""

NAMES = tuple(sorted((*OF_TOKENS, *OF_TEXTS)))

_LARGEST_EXPONENT = 700.0
"""Of a loss above this the perplexity is no float any more."""


@dataclass(frozen=True)
class TokenMetric(Metric):
    """A metric of rows of tokens: targets are references as bytes, predictions `TokenPredictions`."""

    @property
    def is_sparse(self) -> bool:
        return self.needs_answers

    @property
    def needs_answers(self) -> bool:
        return self.name not in OF_TOKENS or self.function is not None

    @property
    def signature(self) -> str:
        return corpus.signature(self.name) if self.function is None and self.name in corpus.NAMES else ""

    def may_take_weights(self) -> bool:
        """BLEU and chrF count n-grams of a whole corpus, unweighted, so that others get the same score."""
        return accepts(self.function, "sample_weight") if self.function is not None else self.name not in corpus.NAMES

    def _compute(self, targets: Ragged, predictions: TokenPredictions, weight: np.ndarray | None) -> Any:
        if self.function is None:
            return self._of_sums(self._statistics(targets, predictions, weight).sum(axis=0))
        arguments = {} if weight is None else {"sample_weight": weight}
        return self.function(as_texts(targets), _texts(predictions), **arguments)

    def on_draws(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None) -> OnDraws | None:
        """See `Metric.on_draws`: every metric that has a name is a function of sums over rows."""
        if self.function is not None:
            return None
        statistics = self._statistics(targets, predictions, sample_weight if self.weighted else None)

        def values(draws: Sequence[np.ndarray]) -> np.ndarray:
            return np.array([self._of_sums(statistics[rows].sum(axis=0)) for rows in draws])

        return values

    def _statistics(self, targets: Ragged, predictions: TokenPredictions, weight: np.ndarray | None) -> np.ndarray:
        """Return numbers of each row whose sums give the metric, shape (rows, numbers)."""
        shares = np.ones(len(predictions)) if weight is None else np.asarray(weight, dtype=np.float64)
        if not self.needs_answers:
            summed = predictions.correct if self.name == "token_accuracy" else predictions.loss_sums
            return np.stack([shares * summed, shares * predictions.tokens], axis=1)
        references, texts = as_texts(targets), _texts(predictions)
        if self.name in corpus.NAMES:
            return corpus.statistics(self.name, references, texts)
        score = rouge_l if self.name == "rouge_l" else _is_same
        scores = [score(reference, text) for reference, text in zip(references, texts, strict=True)]
        return np.stack([shares * np.array(scores), shares], axis=1)

    def _of_sums(self, sums: np.ndarray) -> float:
        if self.needs_answers and self.name in corpus.NAMES:
            return corpus.score(self.name, sums)
        mean = float(sums[0] / sums[1]) if sums[1] else math.nan
        if self.name != "perplexity":
            return mean
        return math.exp(mean) if mean < _LARGEST_EXPONENT else math.inf

    def _remedy(self) -> str:
        if self.function is None:
            return "Measure 'loss' too, which is defined for every row with a trained token."
        return (
            "Fix the function: it is called as f(references, texts) with two lists of str of the same length, and "
            "returns a number; a text may be empty."
        )


def _texts(predictions: TokenPredictions) -> list[str]:
    if predictions.texts is None:
        raise ValueError("no answers were generated for these rows")
    return ["" if text is None else str(text) for text in predictions.texts]


def _is_same(reference: str, text: str) -> float:
    """Return 1 where two texts are the same but for white space at their ends."""
    return float(reference.strip() == text.strip())


def resolve_metric(given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> TokenMetric:
    """Return a metric of language tasks, tried on made-up texts.

    Args:
        given: "loss" (a token), "perplexity", "token_accuracy"; of generated answers "exact_match", "chrf", "bleu",
            "rouge_l"; or a function `f(references, texts)` of two lists of str, given `sample_weight` too where it has
            a parameter of that name.
        direction: What the user says, or None.
        is_objective: Whether a search is to follow it.

    Raises:
        MetricError: No such metric, a package is missing, or its direction contradicts itself.
    """
    given = checked_metric(given)
    name = metric_name(given)
    if isinstance(given, str):
        check_name(name, NAMES, lambda _: None, measured="texts", targets="generated texts", fitting=lambda: NAMES)
        if name in corpus.NAMES:
            corpus.signature(name)  # a missing package is one sentence, whatever is tried below
    metric = TokenMetric(name, function=None if isinstance(given, str) else given)
    return resolve(metric, _made_up(), direction, is_objective=is_objective)


_SENTENCES = (
    "the cat sat on the mat", "a dog ran over the hill", "two men are reading the paper", "it rains in the north today",
    "she bought bread and some milk", "our train leaves at half past nine",
)  # fmt: skip


def _made_up() -> MadeUp:
    """Return six rows that are answered in right and in wrong ways."""
    tokens = np.array([float(len(text.split())) for text in _SENTENCES])

    def predicted(texts: Sequence[str], loss: float, right: float) -> TokenPredictions:
        answers = np.empty(len(texts), dtype=object)
        answers[:] = texts
        return TokenPredictions(loss * tokens, tokens, np.floor(right * tokens), answers)

    def wrong() -> Iterator[TokenPredictions]:
        yield predicted([*_SENTENCES[1:], _SENTENCES[0]], 3.0, 0.0)
        yield predicted([""] * len(_SENTENCES), 8.0, 0.0)
        yield predicted(["no"] * len(_SENTENCES), 2.0, 0.2)
        yield predicted([text[: len(text) // 2] for text in _SENTENCES], 1.0, 0.5)

    halves = [text if place % 2 else text.replace("the", "a") for place, text in enumerate(_SENTENCES)]
    targets = as_bytes(_SENTENCES)
    nearly = predicted(halves, 0.5, 0.8)
    return MadeUp((targets, nearly), targets, predicted(_SENTENCES, 0.1, 1.0), nearly, wrong)


def check_answers(metric: TokenMetric, *, are_generated: bool) -> TokenMetric:
    """Return a metric; `MetricError` where it is of answers, and the task generates none."""
    if metric.needs_answers and not are_generated:
        raise MetricError(
            f"metric {metric.name!r} is of generated answers, and this task generates none. Choose one of "
            f"{', '.join(OF_TOKENS)}."
        )
    return metric
