"""Numbers as targets: standardised within each training part, predicted and judged in the user's units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.analysis.predicted import predicted_targets
from hpsearch.data.ragged import Rows
from hpsearch.data.splits import Strata
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric
from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.judge import Judged
from hpsearch.tasks.numbers.metric import NumberMetric, Range, resolve_metric
from hpsearch.tasks.numbers.remarks import range_remarks, target_remarks
from hpsearch.tasks.numbers.strata import others, quantile_bins
from hpsearch.tasks.numbers.targets import UNNAMED, called, check_differ, numbers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_ROUNDING = 1e-3
"""Standard deviations by which a number may be off that the same model computes in another batch. An error as large as
the target's own spread (R² of 0) changes by less than a thousandth of itself."""


@dataclass(frozen=True)
class NumberJudge(AnswerJudge):
    """One number a row, or several.

    A run trains on standardised targets: less the mean and over the standard deviation of its training rows, each row
    counted once whatever its weight. Targets are float64 throughout, for float32 cannot tell 1e9 from 1e9 + 1.

    Attributes:
        names: The targets' names; one that comes without a name is "".
        ranges: Where the training targets lie.
        bins: Into how many parts of equal size the rows are sorted, by their (first) target, for folds that have rows
            of each. None: folds are drawn without looking at the targets, unless most are the same number.
        mean: Of the training rows of a run, shape (targets,); () while no run is fitted.
        scale: Their standard deviation, shape (targets,).
        is_settled: Whether the outputs of the run's model are in the user's units already.
    """

    takes_label_smoothing: ClassVar[bool] = False
    default_metric: ClassVar[str] = "r2"

    names: tuple[str, ...]
    ranges: Range
    bins: int | None = None
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    is_settled: bool = False

    # ------------------------------------------------------------------ targets

    @classmethod
    def learn(cls, values: Any) -> Self:
        """See `Judge.learn`; `values` as `numbers_of` takes them."""
        names, numbers = numbers_of(values, None, "train")
        check_differ(names, numbers, "train rows", "Check the column, or leave this target out.")
        return cls(names, Range(tuple(numbers.min(axis=0).tolist()), tuple(numbers.max(axis=0).tolist())))

    @classmethod
    def estimator_targets(cls, y: Any) -> np.ndarray:
        """Return numbers of shape (rows,), or (rows, targets)."""
        from sklearn.utils import check_array

        checked: np.ndarray = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        return checked

    def encode(self, values: Any, role: str = "train") -> np.ndarray:
        """Return float64 targets, (rows,), or (rows, targets) of several; test rows must not all be the same."""
        numbers = numbers_of(values, self.names, role)[1]
        if role == "test":  # found now, and not when the winner is scored
            check_differ(self.names, numbers, "test rows", "Give test rows with different numbers, or none.")
        return self._shaped(numbers)

    def _shaped(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[:, 0] if len(self.names) == 1 else numbers

    def placeholders(self, rows: int) -> Any:
        return self._shaped(np.zeros((rows, len(self.names))))

    def to_json(self) -> dict[str, Any]:
        return {"numbers": list(self.names)}

    @property
    def targets_text(self) -> str:
        return f"{len(self.names)} number{'' if len(self.names) == 1 else 's'}"

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(name or UNNAMED for name in self.names)

    @property
    def purpose(self) -> str:
        what = "a number" if len(self.names) == 1 else f"{len(self.names)} numbers"
        return f"to predict {what}" + (f": {', '.join(self.names)}" if any(self.names) else "")

    def facts(self) -> Mapping[str, str]:
        ranges = zip(self.names, self.ranges.low, self.ranges.high, strict=True)
        return {
            "targets": "; ".join(f"{name} {low + 0.0:.6g} to {high + 0.0:.6g}".strip() for name, low, high in ranges)
        }

    def remarks(self, targets: np.ndarray, test_targets: np.ndarray | None = None) -> list[str]:
        columns = _columns(targets)
        named = zip(self.names, columns.T, strict=True)
        sentences = [text for name, column in named for text in target_remarks(name, column)]
        if test_targets is not None:
            tests = zip(self.names, columns.T, _columns(test_targets).T, strict=True)
            sentences += [text for name, column, test in tests for text in range_remarks(name, column, test)]
        return sentences

    def stratified(self, parts: int) -> Self:
        return replace(self, bins=parts)

    def strata(self, targets: np.ndarray) -> Strata:
        columns = _columns(targets)
        return Strata.by(others(columns) if self.bins is None else quantile_bins(columns[:, 0], self.bins))

    def check_folds(
        self, targets: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]], groups: np.ndarray | None = None
    ) -> None:
        """Find a fold whose training rows have one number only."""
        numbers = _columns(targets)
        for fold, (training, held_out) in enumerate(pairs):
            check_differ(self.names, numbers[training], f"training rows of fold {fold}", _remedy(held_out, groups))

    def made_up(self, targets: np.ndarray) -> Iterator[np.ndarray]:
        numbers = _columns(targets)
        width = np.array(self.ranges.high) - np.array(self.ranges.low)
        far = np.linspace(0.5, 1.5, len(numbers))[:, None] * width
        for share in (0.01, 0.5):
            yield self._shaped(numbers + share * far)
        yield self._shaped(np.full(numbers.shape, np.array(self.ranges.low) + 0.5 * width))
        yield self._shaped(numbers)

    def judged(self, metric: Metric, targets: np.ndarray, weights: np.ndarray | None = None) -> Judged:
        """See `Judge.judged`; of several targets each must be judged."""
        numbers = _columns(targets)
        for place, (name, column) in enumerate(zip(self.names, numbers.T, strict=True)):
            if column.min() == column.max() and not self._is_judged(metric, numbers, place):
                return Judged(f"{called(name)} is {float(column[0])!r} in each of the {len(column)}")
        return super().judged(metric, targets, weights)

    def remedy(self, held_out: np.ndarray, groups: np.ndarray | None) -> str:
        return f"{_remedy(held_out, groups)} Or measure errors instead, such as 'rmse' and 'mae'."

    def _is_judged(self, metric: Metric, numbers: np.ndarray, place: int) -> bool:
        """Return whether a metric tells near predictions of one target from far ones on these rows."""
        far = np.zeros(numbers.shape)
        far[:, place] = np.linspace(0.5, 1.5, len(numbers)) * (self.ranges.high[place] - self.ranges.low[place])
        targets = self._shaped(numbers)
        try:
            near_value, far_value = (metric(targets, self._shaped(numbers + share * far)) for share in (0.01, 0.5))
        except MetricError:
            return False
        return near_value != far_value

    # ------------------------------------------------------------------ training

    @property
    def outputs(self) -> int:
        return len(self.names)

    def model_config(self) -> dict[str, Any]:
        names = self.target_names
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: place for place, name in enumerate(names)},
            "problem_type": "regression",
        }

    @property
    def identity(self) -> tuple[str, int]:
        return "numbers", len(self.names)

    def fitted(self, targets: np.ndarray) -> Self:
        numbers = _columns(targets)
        check_differ(self.names, numbers, "training rows", "Use fewer folds, or strata=.")
        return replace(self, mean=tuple(numbers.mean(axis=0).tolist()), scale=tuple(numbers.std(axis=0).tolist()))

    def loss_arguments(self, outputs: "Tensor", targets: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return outputs and targets standardised, float32, both of shape (rows, targets)."""
        standardised = self._standardised(targets.reshape(len(targets), -1))
        return self._standardised(outputs.to(targets.dtype)) if self.is_settled else outputs.float(), standardised

    def losses(self, outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
        """Return the squared error of each row on standardised targets, of several the mean over them."""
        predicted, true = self.loss_arguments(outputs, targets)
        return (predicted - true).square().mean(dim=1)

    def _standardised(self, numbers: "Tensor") -> "Tensor":
        if not self.mean:
            return numbers.float()
        mean, scale = (numbers.new_tensor(values) for values in (self.mean, self.scale))
        return ((numbers - mean) / scale).float()

    def own_units(self, kept: Rows) -> Rows:
        """Return float64 numbers in the user's units, shape (rows, targets)."""
        numbers = np.asarray(kept, dtype=np.float64)
        return numbers * np.array(self.scale) + np.array(self.mean) if self.needs_rescaling else numbers

    @property
    def needs_rescaling(self) -> bool:
        """Whether a run's model gives standardised numbers."""
        return bool(self.mean) and not self.is_settled

    def settle(self, model: "nn.Module", rows: int, run: "Callable[[nn.Module, np.ndarray], Rows]") -> Self:
        """Put mean and scale into the model's last linear layer, where float32 can hold them; return its judge.

        Else `target_mean` and `target_scale` are in its config, and the judge returned applies them.
        """
        from hpsearch.tasks.numbers.rescaling import rescale, tell_config

        is_settled = rescale(model, rows, run, mean=self.mean, scale=self.scale)
        tell_config(model, None if is_settled else {"target_mean": self.mean, "target_scale": self.scale})
        return replace(self, is_settled=is_settled)

    def unsettled(self) -> str:
        if not self.needs_rescaling:
            return ""
        mean, scale = (f"torch.tensor({list(values)}, dtype=torch.float64)" for values in (self.mean, self.scale))
        return f"numbers = outputs.double() * {scale} + {mean}"

    # ------------------------------------------------------------------ evidence

    @property
    def row_bytes(self) -> int:
        return 8 * len(self.names)

    def predictions(self, kept: Rows) -> np.ndarray:
        """Return float64 numbers of shape (rows,), or (rows, targets) of several."""
        return self._shaped(np.asarray(kept, dtype=np.float64))

    def pipeline_settings(self) -> Mapping[str, Any]:
        return {**super().pipeline_settings(), "function_to_apply": "none"}

    def from_pipeline(self, scores: np.ndarray) -> np.ndarray:
        return self.predictions(self.own_units(scores))

    def differing(self, scored: np.ndarray, answered: np.ndarray) -> np.ndarray:
        """See `ReadBackJudge.differing`: a number may be off by a thousandth of its target's standard deviation."""
        apart = np.abs(_columns(scored) - _columns(answered))
        return np.asarray(~(apart <= _ROUNDING * np.array(self.scale)).all(axis=1))

    def prediction_text(self, predictions: np.ndarray, row: int) -> str:
        return ", ".join(f"{number:.6g}" for number in _columns(predictions)[row])

    def answers(self, predictions: Any, like: np.ndarray) -> np.ndarray:
        """Return float64 numbers in the shape of y: (rows,), or (rows, targets), of one target too."""
        return np.asarray(predictions, dtype=np.float64).reshape(len(predictions), *like.shape[1:])

    def predicted_by(self, estimator: Any, rows: Any) -> np.ndarray:
        predicted = np.asarray(estimator.predict(rows), dtype=np.float64)
        return self._shaped(_columns(predicted))

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> NumberMetric:
        """See `resolve_metric` for what is taken."""
        return resolve_metric(given, self.ranges, direction, is_objective=is_objective)

    def figures(self, targets: np.ndarray, predictions: Any) -> Mapping[str, Any]:
        drawn = predicted_targets(self.names, targets, predictions)
        return {} if drawn is None else {"predicted_against_true": drawn}


def _columns(numbers: np.ndarray) -> np.ndarray:
    """Return targets as (rows, targets)."""
    return np.asarray(numbers).reshape(len(numbers), -1)


def _remedy(held_out: np.ndarray, groups: np.ndarray | None) -> str:
    """Return what to do about a fold on one side of which all targets are the same."""
    if groups is None:
        return "Use fewer folds, or strata= so that each has small and large targets."
    there, everywhere = len(np.unique(groups[held_out])), len(np.unique(groups))
    return (
        f"The fold holds out {there} of {everywhere} groups, which are kept whole. Use fewer folds so that each has "
        "groups of different targets, or leave out group= if these are no groups."
    )
