"""What becomes of class logits: one class of several a row, or several labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.analysis.confusion import confusion
from hpsearch.data.splits import Strata
from hpsearch.data.wording import listed, row_list
from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric
from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.classes.labels import (
    LabelEncoding,
    TargetKind,
    alike,
    learn_labels,
    predicted_codes,
    probabilities,
)
from hpsearch.tasks.classes.metric import ClassMetric, resolve_metric
from hpsearch.tasks.classes.positive import positive_code
from hpsearch.tasks.judge import Judged

if TYPE_CHECKING:
    from torch import Tensor

_RARE_ROWS = 10
_MISSING = ("", "nan", "<na>", "nat")
"""What pandas writes for a missing value that became text."""

_TIE = 1e-4
"""Two classes whose probabilities are within this are as likely; rounding may choose either."""

_ROUNDING = 1e-3
"""How far apart a probability may be that the same model computes in another batch, or on another device."""


@dataclass(frozen=True)
class ClassJudge(AnswerJudge):
    """Keeps the logits, and predicts probabilities.

    Attributes:
        kind: "binary" for two classes (two outputs and a softmax), "multiclass" for more, "multilabel" for labels that
            may apply together (a sigmoid each).
        classes: Labels as plain Python values, sorted, by code; of a multilabel task the names of the columns.
        positive: The code of the positive class of two, where somebody says which it is.
    """

    targets_are_names: ClassVar[bool] = True
    default_metric: ClassVar[str] = "f1_macro"

    kind: TargetKind
    classes: tuple[Any, ...] = ()
    positive: int | None = None

    # ------------------------------------------------------------------ targets

    @classmethod
    def learn(cls, values: Any) -> Self:
        """See `Judge.learn`, and `learn_labels` for what labels may be."""
        encoding = learn_labels(values)
        return cls(encoding.kind, encoding.classes)

    @classmethod
    def estimator_targets(cls, y: Any) -> np.ndarray:
        """Return labels of shape (rows,), of two classes at least."""
        from sklearn.utils import assert_all_finite
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import column_or_1d

        targets: np.ndarray = column_or_1d(y, warn=True)
        assert_all_finite(targets, input_name="y")
        missing = [row for row, label in enumerate(targets.tolist()) if label is None]
        if missing:
            raise UsageError(f"y has no label in {row_list(missing)}. Give each row one, or remove it.")
        check_classification_targets(targets)
        classes = np.unique(targets).tolist()
        if len(classes) == 1:
            raise UsageError(f"y has one class only, {classes[0]!r}: a classifier needs at least two to tell apart.")
        return targets

    def encode(self, values: Any, role: str = "train") -> np.ndarray:
        """Return int64 codes of shape (rows,), or float32 indicators of shape (rows, labels)."""
        return LabelEncoding(self.kind, self.classes).encode(values, role)

    def placeholders(self, rows: int) -> Any:
        """Return the first class for every row; of several labels, none."""
        if self._has_several:
            return np.zeros((rows, len(self.classes)), dtype=np.int64)
        return np.asarray(self.classes)[np.zeros(rows, dtype=np.int64)]

    def to_json(self) -> dict[str, Any]:
        return LabelEncoding(self.kind, self.classes).to_json()

    @property
    def targets_text(self) -> str:
        return f"{len(self.classes)} {'labels' if self._has_several else 'classes'}"

    @property
    def purpose(self) -> str:
        names = ", ".join(str(name) for name in self.classes)
        if self._has_several:
            return f"to tell which of {len(self.classes)} labels apply: {names}"
        return f"to tell {len(self.classes)} classes apart: {names}"

    def facts(self) -> Mapping[str, str]:
        return {"classes": ", ".join(str(name) for name in self.classes)}

    def remarks(self, targets: np.ndarray, test_targets: np.ndarray | None = None) -> list[str]:
        """Return warnings of classes with few rows, labels that may exclude each other, classes without a test row."""
        remarks = [*self._rare(targets), *self._exclusive(targets), *self._doubtful()]
        if test_targets is not None:
            counts = zip(self.classes, self._counts(test_targets), strict=True)
            absent = [name for name, count in counts if count == 0]
            remarks += [f"the test rows have none of the class {listed(absent)}."] if absent else []
        return remarks

    def of_class(self, label: Any) -> Self:
        if self._has_several:
            return super().of_class(label)
        return replace(self, positive=positive_code(label, self.classes))

    def assuming(self, label: Any) -> Self:
        is_open = self.kind == "binary" and self.positive is None and str(label) in map(str, self.classes)
        return self.of_class(label) if is_open else self

    def made_up(self, targets: np.ndarray) -> Iterator[np.ndarray]:
        random, shape = np.random.default_rng(0), (len(targets), len(self.classes))
        right = np.asarray(targets) if self._has_several else np.eye(len(self.classes))[np.asarray(targets, np.int64)]
        for chances in (*random.random((4, *shape)), 0.1 + 0.8 * right, 0.1 + 0.8 * np.roll(right, 1, axis=1)):
            yield chances if self._has_several else chances / chances.sum(axis=1, keepdims=True)

    def judged(self, metric: Metric, targets: np.ndarray, weights: np.ndarray | None = None) -> Judged:
        judged = super().judged(metric, targets, weights)
        counts = zip(self.classes, self._counts(np.asarray(targets, np.int64)), strict=True)
        absent = [name for name, count in counts if count == 0]
        if judged.reason is None or not absent:
            return judged
        return replace(judged, reason=f"none of these {len(targets)} rows is of {listed(absent)} ({judged.reason})")

    def remedy(self, held_out: np.ndarray, groups: np.ndarray | None) -> str:
        return "Use fewer folds, or folds that have rows of every class each, or another metric, such as 'accuracy'."

    def strata(self, targets: np.ndarray) -> Strata:
        """Return the classes, each of which every fold must have, or combinations of labels."""
        targets = np.asarray(targets)
        if self._has_several:
            members = targets > 0
            codes = np.unique(members, axis=0, return_inverse=True)[1].reshape(-1)
            return Strata(codes, members, self.classes, "label", are_pooled=True)
        codes = targets.astype(np.int64)
        return Strata(codes, codes[:, None] == np.arange(len(self.classes)), self.classes)

    # ------------------------------------------------------------------ training

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def sizes(self) -> Mapping[str, int]:
        return {**super().sizes, "n_classes": len(self.classes)}

    @property
    def outputs_text(self) -> str:
        two = " A binary task has two outputs, with a softmax over them." if self.kind == "binary" else ""
        return f", numbers before any softmax or sigmoid.{two}"

    def model_config(self) -> dict[str, Any]:
        names = [str(label) for label in self.classes]
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: code for code, name in enumerate(names)},
            "problem_type": f"{'multi' if self._has_several else 'single'}_label_classification",
        }

    @property
    def identity(self) -> tuple[str, int]:
        return self.kind, len(self.classes)

    def losses(
        self, outputs: "Tensor", targets: "Tensor", label_smoothing: float, positives: "Tensor | None" = None
    ) -> "Tensor":
        """Return each row's loss in float32, shape (rows,).

        Cross-entropy, the target's share `label_smoothing` spread over all classes (Szegedy et al. 2016, section 7);
        of a multilabel task the mean over its labels of binary cross-entropy, each target drawn towards 1/2 by that
        share. `positives` are then the weights of the positives of each label, shape (labels,).
        """
        from torch.nn import functional

        scores = outputs.float()
        if not self._has_several:
            return functional.cross_entropy(scores, targets, reduction="none", label_smoothing=label_smoothing)
        smoothed = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
        losses = functional.binary_cross_entropy_with_logits(scores, smoothed, pos_weight=positives, reduction="none")
        return losses.mean(dim=1)

    # ------------------------------------------------------------------ evidence

    @property
    def row_bytes(self) -> int:
        return 4 * len(self.classes)

    def predictions(self, kept: Any) -> np.ndarray:
        """Return probabilities, float64, shape (rows, classes or labels)."""
        return probabilities(kept, self.kind)

    def from_pipeline(self, scores: np.ndarray) -> np.ndarray:
        return scores  # the pipeline has applied softmax or sigmoid

    def differing(self, scored: np.ndarray, answered: np.ndarray) -> np.ndarray:
        """See `ReadBackJudge.differing`: another class, unless the two best are as likely; or a probability far off.

        A probability is too: a wrong one that changes no class of a sample changes some among all rows.
        """
        codes = [predicted_codes(found, self.kind) for found in (scored, answered)]
        if self._has_several:
            gap = np.abs(2 * scored - 1)
            is_other = ((codes[0] != codes[1]) & (gap > _TIE)).any(axis=1)
        else:
            best = np.sort(scored, axis=1)
            is_other = (codes[0] != codes[1]) & (best[:, -1] - best[:, -2] > _TIE)
        is_near = (np.abs(scored - answered) <= _ROUNDING).all(axis=1)  # of what is not a number, not
        return np.asarray(is_other | ~is_near)

    def prediction_text(self, predictions: np.ndarray, row: int) -> str:
        shown = predictions[row]
        if self._has_several:
            return ", ".join(f"{name} {share:.4f}" for name, share in zip(self.classes, shown, strict=True))
        code = int(shown.argmax())
        return f"{self.classes[code]} ({shown[code]:.4f})"

    def attributes(self, y: np.ndarray) -> Mapping[str, Any]:
        return {"classes_": np.asarray(self.classes, dtype=y.dtype)}  # in the order of the outputs

    def answers(self, predictions: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return the likeliest class of each row, shape (rows,), or 0/1 indicators, shape (rows, labels)."""
        codes = predicted_codes(predictions, self.kind)
        return codes if self._has_several else np.asarray(self.classes, dtype=like.dtype)[codes]

    def predicted_by(self, estimator: Any, rows: Any) -> np.ndarray:
        """Return the estimator's probabilities, their columns in the order of these classes."""
        columns = {str(label): column for column, label in enumerate(estimator.classes_.tolist())}
        return np.asarray(estimator.predict_proba(rows)[:, [columns[str(label)] for label in self.classes]])

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> ClassMetric:
        """See `Judge.metric` and `resolve_metric`."""
        return resolve_metric(
            given, self.kind, self.classes, direction, is_objective=is_objective, positive=self.positive
        )

    def figures(self, targets: np.ndarray, predictions: np.ndarray) -> Mapping[str, Any]:
        """Return the confusion matrix; nothing with several labels a row."""
        if self._has_several:
            return {}
        return {"confusion": confusion(targets, predictions, [str(name) for name in self.classes])}

    def pipeline_arguments(self) -> str:
        return f", top_k={len(self.classes)}" if self._has_several else ""

    # ------------------------------------------------------------------ inside

    @property
    def _has_several(self) -> bool:
        return self.kind == "multilabel"

    def _counts(self, targets: np.ndarray) -> list[int]:
        if self._has_several:
            return [int(count) for count in targets.sum(axis=0)]
        return [int(count) for count in np.bincount(targets, minlength=len(self.classes))]

    def _rare(self, targets: np.ndarray) -> list[str]:
        """Return a warning where classes have so few training rows that scores will be uncertain."""
        counts = zip(self.classes, self._counts(targets), strict=True)
        rare = [f"{name!r} ({count})" for name, count in counts if count < _RARE_ROWS]
        if not rare:
            return []
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        return [
            f"{len(rare)} of {len(self.classes)} classes have fewer than {_RARE_ROWS} training rows: "
            f"{', '.join(rare[:5])}{more}. Scores that average over classes will be uncertain."
        ]

    def _doubtful(self) -> Iterator[str]:
        """Yield warnings where classes may be one class in two spellings, or missing values that became text."""
        spellings: dict[str, list[Any]] = {}
        for name in () if self._has_several else self.classes:
            spellings.setdefault(alike(name), []).append(name)
        twins = [names for names in spellings.values() if len(names) > 1]
        if twins:
            more = f", and so do {len(twins) - 1} more" if len(twins) > 1 else ""
            yield (
                f"the labels {' and '.join(map(ascii, twins[0]))} differ in their spelling only{more}: each is a class "
                "of its own. Write them alike if they are one."
            )
        missing = [names[0] for text, names in spellings.items() if text in _MISSING]
        if missing:
            yield (
                f"the label {listed(missing)} is a class like others: only an empty cell is missing. If rows with that "
                "label have none, remove them."
            )

    def _exclusive(self, targets: np.ndarray) -> list[str]:
        if not self._has_several or not (targets.sum(axis=1) == 1).all():
            return []
        return [
            f"every training row has exactly one of the {len(self.classes)} labels, and they are taken for labels that "
            "may apply together. If they exclude each other, give one class a row instead of 0/1 columns."
        ]
