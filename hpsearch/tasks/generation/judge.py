"""The judge of language tasks: what is kept of a row is its summed loss, never its logits; texts where asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.data.ragged import Ragged, Rows
from hpsearch.errors import DataError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric
from hpsearch.tasks.generation.metric import TokenMetric, check_answers, resolve_metric
from hpsearch.tasks.generation.predictions import TokenPredictions, joined, row_bytes
from hpsearch.tasks.generation.texts import as_bytes, as_texts, shortened
from hpsearch.tasks.judge import Judge, Judged
from hpsearch.tasks.read_back_judge import ReadBackJudge

if TYPE_CHECKING:
    from torch import Tensor

BYTES_A_TOKEN = 8
"""Bytes that an answer may take for each token that may be generated. Tokens of subword vocabularies take some 4 to 6
in any script; only an answer that repeats very long ones is cut."""

SHOWN_CHARACTERS = 60
"""Of a text that is read back otherwise, characters that a message shows."""

JUDGED_ROWS = 200
"""Rows by which it is found whether a metric can judge a set of them, at most."""


@dataclass(frozen=True)
class TokenJudge(Judge):
    """The judge of models that are trained on tokens, one after the other.

    Outputs of a row are [summed loss, summed loss against the mean over the vocabulary, tokens predicted right]. Kept
    are [summed loss, trained tokens, tokens predicted right] in float64, shape (rows, 3); where answers are generated,
    rows of bytes of different lengths: these numbers, then the answer as UTF-8. So no tokenizer is needed to read what
    is stored. Targets are references, as rows of UTF-8 too; an empty one where a row has none.

    Attributes:
        max_new_tokens: Most tokens of a generated answer; 0 where the task generates none.
    """

    default_metric: ClassVar[str] = "loss"

    max_new_tokens: int = 0

    # ------------------------------------------------------------------ targets

    @classmethod
    def learn(cls, _values: Any) -> Self:
        return cls()

    def encode(self, values: Any, role: str = "train") -> Ragged:
        """Return references as UTF-8, uint8."""
        texts = list(values)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"row {row} of the {role} rows has {text!r} in the place of a text. Give a text.")
        return as_bytes(texts)

    def to_json(self) -> dict[str, Any]:
        return {"tokens": self.max_new_tokens}

    @property
    def targets_text(self) -> str:
        return "a text"

    @property
    def purpose(self) -> str:
        return "to write texts"

    def facts(self) -> Mapping[str, str]:
        return {"targets": "texts, judged token by token"} | (
            {"answers": f"generated greedily, up to {self.max_new_tokens} tokens"} if self.max_new_tokens else {}
        )

    # ------------------------------------------------------------------ training

    def losses(self, outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
        """Return the mean loss of each row's trained tokens, 0 where it has none; `targets` are how many it has.

        Smoothing spreads its share over the whole vocabulary, as `torch.nn.functional.cross_entropy` does.
        """
        sums = outputs[:, 0]
        if label_smoothing:
            sums = (1.0 - label_smoothing) * sums + label_smoothing * outputs[:, 1]
        return (sums / targets.clamp(min=1)).float()

    def own_units(self, kept: Rows) -> Rows:
        return kept if isinstance(kept, Ragged) else np.asarray(kept, dtype=np.float64)

    # ------------------------------------------------------------------ evidence

    @property
    def text_bytes(self) -> int:
        """Bytes that are kept of a generated answer, at most."""
        return BYTES_A_TOKEN * self.max_new_tokens

    @property
    def row_bytes(self) -> int:
        return row_bytes(self.text_bytes)

    def predictions(self, kept: Rows) -> TokenPredictions:
        return TokenPredictions.of(kept)

    def joined(self, rows: int, parts: Sequence[tuple[np.ndarray, Any]]) -> TokenPredictions:
        return joined(rows, parts)

    def made_up(self, targets: Any) -> Iterator[TokenPredictions]:
        """Yield predictions that are right, with a low loss, and others that are not."""
        references, tokens = as_texts(targets), np.ones(len(targets))
        for loss, right, answers in ((0.1, 1.0, references), (2.0, 0.0, ["" if text else "?" for text in references])):
            texts = np.empty(len(references), dtype=object)
            texts[:] = answers
            yield TokenPredictions(loss * tokens, tokens, right * tokens, texts)

    def judged(self, metric: Metric, targets: Any, weights: np.ndarray | None = None) -> Judged:
        """See `Judge.judged`; of a few rows, for n-grams take time. A user's function is not asked, which may cost."""
        if metric.function is not None:
            return Judged()
        some = np.arange(min(len(targets), JUDGED_ROWS))
        return super().judged(metric, targets[some], None if weights is None else weights[some])

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> TokenMetric:
        """See `resolve_metric` for what is taken."""
        metric = resolve_metric(given, direction, is_objective=is_objective)
        return check_answers(metric, are_generated=bool(self.max_new_tokens))

    def incomparable(self, metric: Metric) -> str:
        """See `Judge.incomparable`: what is counted by tokens depends on what a token is."""
        if not isinstance(metric, TokenMetric) or metric.needs_answers:
            return ""
        return (
            f"metric {metric.name!r} is counted by tokens, and the models that the space chooses among read the rows "
            "as different tokens: a model with longer ones has the greater loss and may be the better one. Compare "
            'generated answers (metric="chrf" or "exact_match", with max_new_tokens= on the task), or search each '
            "model in a study of its own."
        )


@dataclass(frozen=True)
class AnswerTextJudge(TokenJudge, ReadBackJudge):
    """The judge of models that answer each row with a text: an exported one must write what was scored."""

    @property
    def purpose(self) -> str:
        return "to write a text for a text"

    def from_answers(self, answers: Sequence[Any]) -> TokenPredictions:
        """Return predictions with these texts, kept as those of an evaluation are, and without losses."""
        texts = np.empty(len(answers), dtype=object)
        texts[:] = [shortened(str(answer), self.text_bytes).decode() for answer in answers]
        unknown = np.full(len(answers), np.nan)
        return TokenPredictions(unknown, unknown, unknown, texts)

    def differing(self, scored: TokenPredictions, answered: TokenPredictions) -> np.ndarray:
        if scored.texts is None or answered.texts is None:
            return np.zeros(len(scored), dtype=bool)
        return np.asarray(scored.texts != answered.texts, dtype=bool)

    def prediction_text(self, predictions: TokenPredictions, row: int) -> str:
        text = "" if predictions.texts is None else str(predictions.texts[row])
        return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")
