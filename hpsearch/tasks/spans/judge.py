"""Spans as targets: what is kept of the logits of tokens, and what it says of spans."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.data.ragged import Ragged, Rows
from hpsearch.data.splits import Strata
from hpsearch.data.wording import counted, listed
from hpsearch.errors import DataError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric
from hpsearch.tasks.read_back_judge import ReadBackJudge
from hpsearch.tasks.spans.counts import HEADER, NONE, spans_in, strict_counts, taken_for
from hpsearch.tasks.spans.metric import resolve_metric, scores_by_type
from hpsearch.tasks.spans.reading import Span
from hpsearch.tasks.spans.tags import UNTAGGED, Tags, read_spans

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 4
"""Numbers of an element that is kept."""

_RARE = 10
_TIE, _ROUNDING = 1e-4, 1e-3
"""Probabilities that are as near count as equal; those that are further apart are no rounding."""


@dataclass(frozen=True)
class SpanJudge(ReadBackJudge):
    """Spans of some types, none of which overlaps another where they are predicted.

    Targets are the spans of a row, int32 (spans, 3): start, end, place of its type. What is kept of a row, and
    predicted, is float32 (1 + spans, 4). Its first element: the summed loss of its tagged tokens, their number, those
    whose tag is right, and the least margin of a tag's probability over the next one's. Then an element for each
    predicted span: start, end, place of its type, and its score, the mean probability of its tags.

    Attributes:
        types: The labels of spans, in the order of their codes.
        counts: How many training spans have each.
        longest: Tagged tokens of the longest row.
    """

    default_metric: ClassVar[str] = "f1"

    types: tuple[str, ...]
    counts: tuple[int, ...]
    longest: int = 0

    # ------------------------------------------------------------------ targets

    @classmethod
    def learn(cls, values: Any) -> Self:
        """See `Judge.learn`; `values` are lists of spans, as `reading` gives them."""
        labels = [name for spans in values for _, _, name in spans]
        if not labels:
            raise DataError(
                f"none of the {len(values)} training rows has a span: there is nothing to learn. Check the columns."
            )
        types = tuple(sorted(set(labels)))
        return cls(types, tuple(labels.count(name) for name in types))

    @property
    def tags(self) -> Tags:
        return Tags(self.types)

    def encode(self, values: Sequence[Sequence[Span]], role: str = "train") -> Ragged:
        """Return int32 targets; `DataError` where a label is none of the training rows'."""
        places = {name: place for place, name in enumerate(self.types)}
        unknown = [(row, name) for row, spans in enumerate(values) for _, _, name in spans if name not in places]
        if unknown:
            row, name = unknown[0]
            raise DataError(
                f"no training row has the label of {counted(len(unknown), f'{role} span')}: {name!r} in row {row} "
                f"(counted from 0) is the first. The training rows have {listed(self.types, 20)}. Correct the labels, "
                "or leave these spans out."
            )
        rows = [np.array([(start, end, places[name]) for start, end, name in spans], np.int32) for spans in values]
        return Ragged.of([row.reshape(-1, 3) for row in rows])

    def to_json(self) -> dict[str, Any]:
        return {"spans": list(self.types)}

    @property
    def targets_text(self) -> str:
        return f"spans of {counted(len(self.types), 'type')}"

    @property
    def target_names(self) -> tuple[str, ...]:
        return self.types

    @property
    def purpose(self) -> str:
        return f"to find spans of {counted(len(self.types), 'type')}: {', '.join(self.types)}"

    def facts(self) -> Mapping[str, str]:
        named = zip(self.types, self.counts, strict=True)
        return {"types of spans": ", ".join(f"{name} ({count:,})" for name, count in named)}

    def remarks(self, targets: Ragged, test_targets: Ragged | None = None) -> list[str]:
        named = zip(self.types, self.counts, strict=True)
        rare = [f"{name!r} ({count})" for name, count in named if count < _RARE]
        if not rare:
            return []
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        return [
            f"{len(rare)} of {len(self.types)} types have fewer than {_RARE} training spans: {', '.join(rare[:5])}"
            f"{more}. Their scores will be uncertain."
        ]

    def strata(self, targets: Ragged) -> Strata:
        """Stratify by which types a row has."""
        rows, spans = spans_in(targets)
        has = np.zeros((len(targets), len(self.types)), dtype=bool)
        has[rows, spans[:, 2]] = True
        return Strata.by(np.unique(has, axis=0, return_inverse=True)[1].reshape(-1))

    def check_folds(
        self, targets: Ragged, pairs: Sequence[tuple[np.ndarray, np.ndarray]], groups: np.ndarray | None = None
    ) -> None:
        """Find a fold whose training rows have no span."""
        for fold, (training, _) in enumerate(pairs):
            if not len(targets[training].elements):
                raise DataError(
                    f"the training rows of fold {fold} have no span, so nothing would be learned there. Use fewer "
                    "folds" + ("." if groups is None else ", or leave out group=.")
                )

    def made_up(self, targets: Ragged) -> Iterator[Ragged]:
        """Yield the right spans, every second of them, none, and two kinds of wrong ones of each type in each row."""
        rows, spans = spans_in(targets)
        yield _predicted(len(targets), rows, spans, right=1)
        yield _predicted(len(targets), rows[::2], spans[::2], right=1)
        yield _predicted(len(targets), rows[:0], spans[:0], right=0)
        count, beyond = len(self.types), int(spans[:, 1].max(initial=0)) + 1
        for far in (beyond, beyond + 1):
            wrong = np.array([(far + place, far + place + 1, place) for place in range(count)])
            each = np.repeat(np.arange(len(targets)), count)
            yield _predicted(len(targets), each, np.tile(wrong, (len(targets), 1)), right=0)

    # ------------------------------------------------------------------ training

    def model_config(self) -> dict[str, Any]:
        names = self.tags.names
        return {"id2label": dict(enumerate(names)), "label2id": {name: code for code, name in enumerate(names)}}

    @property
    def identity(self) -> tuple[str, int]:
        return "tags", len(self.tags.names)

    def losses(self, outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
        """Return the mean cross-entropy of each row's tagged tokens; 0 of a row without any.

        Args:
            outputs: Logits, shape (rows, tokens, tags).
            targets: Codes of tags, int64, shape (rows, tokens).
            label_smoothing: As of classes.
        """
        from torch.nn import functional

        losses = functional.cross_entropy(
            outputs.float().transpose(1, 2),
            targets,
            ignore_index=UNTAGGED,
            reduction="none",
            label_smoothing=label_smoothing,
        )
        return losses.sum(dim=1) / (targets != UNTAGGED).sum(dim=1).clamp(min=1)

    def kept(
        self,
        logits: np.ndarray,
        *,
        codes: np.ndarray,
        rows: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        count: int,
    ) -> Ragged:
        """Return what is kept of tagged tokens, given one after the other.

        Args:
            logits: Shape (tokens, tags).
            codes: The codes of their tags.
            rows: The place of the row of each, from 0, in order.
            starts: Where each starts in its text, without white space.
            ends: The first place after it.
            count: How many rows there are.
        """
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True) if len(shifted) else 0.0
        sums = np.exp(shifted).sum(axis=1)
        predicted = shifted.argmax(axis=1) if len(shifted) else np.zeros(0, dtype=np.int64)
        places = np.arange(len(codes))
        losses = np.log(sums) - shifted[places, codes]
        probability = 1.0 / sums  # the greatest logit is 0 now
        shifted[places, predicted] = -np.inf
        margins = probability - np.exp(shifted.max(axis=1)) / sums if len(shifted) else np.zeros(0)
        header = np.zeros((count, WIDTH))
        header[:, 0] = np.bincount(rows, losses, count)
        header[:, 1] = np.bincount(rows, minlength=count)
        header[:, 2] = np.bincount(rows, predicted == codes, count)
        header[:, 3] = 1.0
        np.minimum.at(header[:, 3], rows, margins)
        found = read_spans(predicted, rows, starts, ends, probability)
        spans = np.stack([found.starts, found.ends, found.types, found.scores], axis=1)
        return _headed(header, found.rows, spans)

    # ------------------------------------------------------------------ evidence

    @property
    def row_bytes(self) -> int:
        return 4 * WIDTH * (HEADER + self.longest)

    def predictions(self, kept: Rows) -> Ragged:
        """Return what was kept: it says spans as they are."""
        assert isinstance(kept, Ragged)
        return kept

    def joined(self, rows: int, parts: Sequence[tuple[np.ndarray, Ragged]]) -> Ragged:
        """See `Judge.joined`: a span that more than half of the predictions of a row have, with its mean score.

        The first element of a row that is in no part is not a number.
        """
        found: list[list[np.ndarray]] = [[] for _ in range(rows)]
        for indices, predictions in parts:
            for place, row in enumerate(indices):
                found[row].append(predictions.row(place))
        return Ragged.of([_agreed(each) for each in found])

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> Metric:
        """See `resolve_metric`."""
        return resolve_metric(given, self.types, direction, is_objective=is_objective)

    def further_scores(self, targets: Ragged, predictions: Ragged, weights: np.ndarray | None) -> Mapping[str, float]:
        """Return precision, recall and F1 of each type, "f1:city" to its value."""
        return scores_by_type(strict_counts(targets, predictions, len(self.types)), self.types, weights)

    def figures(self, targets: Ragged, predictions: Ragged) -> Mapping[str, Any]:
        """Return which types are taken for which, and the counts of each type, by the names of the figures."""
        is_predicted = np.isfinite(predictions.elements[predictions.offsets[:-1], 0])
        if not is_predicted.any():
            return {}
        counts = strict_counts(targets[is_predicted], predictions[is_predicted], len(self.types))
        totals = counts.stacked().sum(axis=1).astype(int).T.tolist()
        by_type = {name: tuple(of_type) for name, of_type in zip(self.types, totals, strict=True)}
        return {"confusion": taken_for(targets, predictions, self.types), "spans": by_type}

    # ------------------------------------------------------------------ of an exported model

    def pipeline_settings(self) -> Mapping[str, Any]:
        return {"aggregation_strategy": "simple"}

    def from_answers(self, answers: Sequence[Any]) -> Ragged:
        """See `ReadBackJudge.from_answers`; an answer is a list of the pipeline's groups of tokens."""
        places = {name: place for place, name in enumerate(self.types)}
        rows = [
            [(one["start"], one["end"], places[one["entity_group"]], one["score"]) for one in answer]
            for answer in answers
        ]
        return Ragged.of([np.array([(0, 0, 0, 0), *row], dtype=np.float32) for row in rows])

    def differing(self, scored: Ragged, answered: Ragged) -> np.ndarray:
        """See `ReadBackJudge.differing`: other spans, unless two tags of a token were as likely; or another score."""
        return np.array([self._differs(scored.row(row), answered.row(row)) for row in range(len(scored))], dtype=bool)

    def _differs(self, scored: np.ndarray, answered: np.ndarray) -> bool:
        one, other = (sorted(row[HEADER:].tolist()) for row in (scored, answered))
        if [span[:3] for span in one] != [span[:3] for span in other]:
            return bool(scored[0, 3] > _TIE)
        return any(not abs(span[3] - same[3]) <= _ROUNDING for span, same in zip(one, other, strict=True))

    def prediction_text(self, predictions: Ragged, row: int) -> str:
        spans = predictions.row(row)[HEADER:].tolist()
        said = [f"{self.types[int(kind)]} {int(start)}-{int(end)} ({score:.4f})" for start, end, kind, score in spans]
        return ", ".join(said) or NONE


def _headed(header: np.ndarray, rows: np.ndarray, spans: np.ndarray) -> Ragged:
    """Return rows of a header and their spans, float32; `rows` are those of the spans, in order."""
    of_element = np.concatenate([np.arange(len(header)), rows])
    order = np.argsort(of_element, kind="stable")  # the header is first of each row
    elements = np.concatenate([header, spans.reshape(-1, WIDTH)])[order].astype(np.float32)
    return Ragged(elements, np.concatenate([[0], np.cumsum(np.bincount(of_element, minlength=len(header)))]))


def _predicted(count: int, rows: np.ndarray, spans: np.ndarray, right: int) -> Ragged:
    """Return made-up predictions: spans with a score of 1, of rows of one tagged token, whose tag is right or not."""
    header = np.tile([0.0, 1.0, right, 1.0], (count, 1))
    return _headed(header, rows, np.column_stack([spans, np.ones(len(spans))]))


def _agreed(predicted: Sequence[np.ndarray]) -> np.ndarray:
    """Return a row's prediction out of several."""
    if len(predicted) < 2:
        return predicted[0] if predicted else np.full((1, WIDTH), np.nan, dtype=np.float32)
    votes: dict[tuple[float, ...], list[float]] = {}
    for row in predicted:
        for *span, score in row[HEADER:].tolist():
            votes.setdefault(tuple(span), []).append(score)
    spans = [(*span, float(np.mean(scores))) for span, scores in votes.items() if 2 * len(scores) > len(predicted)]
    header = np.mean([row[0] for row in predicted], axis=0)
    return np.array([header, *sorted(spans)], dtype=np.float32)
