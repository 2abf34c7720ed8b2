"""The seam of outputs: what becomes of a model's outputs, and of the targets that they are judged by."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hpsearch.analysis.resampling import Units, drawn_units
from hpsearch.data.ragged import Rows
from hpsearch.data.splits import Strata
from hpsearch.errors import MetricError, TaskError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Judged:
    """Whether a metric can judge some rows.

    Attributes:
        reason: Why not: it raises or gives no finite number, whatever is predicted, or always the same. None if it can.
        is_constant: Whether it always gives the same.
    """

    reason: str | None = None
    is_constant: bool = False


class Judge(ABC):
    """What a task makes of targets and outputs. It is learned from the training rows, and never changes.

    Three forms of the same rows follow each other. *Outputs* are what the model computes. What is *kept* of them is
    measured, stored and averaged (for classes the logits, for a text its summed loss): small, one entry a row,
    rectangular or ragged. *Predictions* are what the kept outputs say in the user's terms (probabilities, numbers in
    their own units); metrics, intervals and figures see these.

    Worker, refit, result, estimator, evidence, model card and report ask the judge, and know nothing of its kind. It
    travels to workers by pickle, so it holds plain values.

    Attributes:
        classes: The classes or labels in the order of their codes; () where targets are none.
        targets_are_names: Whether the one column of targets holds names: "01" is another than "1".
        takes_label_smoothing: Whether its loss can be smoothed.
        default_metric: The objective of a study that names none.
        keeps_predictions: Whether something is kept of each row; else runs report their own metrics.
    """

    classes: tuple[Any, ...] = ()
    targets_are_names: ClassVar[bool] = False
    takes_label_smoothing: ClassVar[bool] = True
    keeps_predictions: ClassVar[bool] = True
    default_metric: ClassVar[str]

    # ------------------------------------------------------------------ targets

    @classmethod
    @abstractmethod
    def learn(cls, values: Any) -> Self:
        """Return the judge of training rows with these targets, as they stand in the user's data.

        Raises:
            DataError: Nothing can be learned from them.
        """

    @abstractmethod
    def encode(self, values: Any, role: str = "train") -> Rows:
        """Return targets as the loss and the metrics read them, the first axis the rows; `role` is for errors.

        Raises:
            DataError: One is missing, or does not go with those learned from.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what the targets mean, as JSON keeps it; part of the digest of the data."""

    @property
    @abstractmethod
    def targets_text(self) -> str:
        """What is predicted, in a few words for lists: "4 classes", "2 numbers"."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the targets of a row; () where one alone needs none."""
        return ()

    @property
    @abstractmethod
    def purpose(self) -> str:
        """What a model is trained for, after "fine-tuned": "to tell 2 classes apart: ham, spam"."""

    def facts(self) -> Mapping[str, str]:
        """Return what the report says of the targets, name to text: {"classes": "ham, spam"}."""
        return {"targets": self.targets_text}

    def remarks(self, targets: Any, test_targets: Any = None) -> list[str]:
        """Return what the user should know of encoded targets, each a sentence; empty where all is well."""
        return []

    def stratified(self, parts: int) -> Self:
        """Return the judge whose `strata` are so many parts of equal size; `TaskError` where it has other strata."""
        raise TaskError(f"strata={parts!r}: folds are stratified by {self.targets_text} as they are. Leave strata out.")

    def of_class(self, label: Any) -> Self:
        """Return the judge whose metrics of one class are of this one; `TaskError` where there are not two classes."""
        raise TaskError(
            f"pos_label={label!r}: only one of two classes is the positive one, and each row has {self.targets_text}. "
            "Leave pos_label out."
        )

    def assuming(self, label: Any) -> Self:
        """Return the judge that takes this class for the positive one if nobody has said which it is; else this one."""
        return self

    def strata(self, targets: Any) -> Strata:
        """Return what folds are stratified by, for encoded targets; by default by nothing."""
        return Strata.by(np.zeros(len(targets)))

    def check_folds(  # noqa: B027  (most judges have nothing to check)
        self, targets: Any, pairs: Sequence[tuple[np.ndarray, np.ndarray]], groups: np.ndarray | None = None
    ) -> None:
        """Find folds that cannot be learned from; `DataError` names the first.

        `groups` are codes, shape (rows,), where rows are kept in groups.
        """

    def made_up(self, targets: Any) -> Iterable[Any]:
        """Yield made-up predictions of rows with these targets, right ones and wrong ones; by default none.

        By these it is found which rows a metric can judge.
        """
        return ()

    def judged(self, metric: Metric, targets: Any, weights: np.ndarray | None = None) -> "Judged":
        """Return whether a metric can tell made-up predictions of rows with these targets apart, or why not.

        Args:
            metric: The metric.
            targets: Encoded targets of the rows.
            weights: Their sample weights, or None.
        """
        values: list[float] = []
        reason: str | None = None
        for predictions in self.made_up(targets):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of a division by zero, which the value says as well
                    value = metric(targets, predictions, weights)
            except MetricError as error:
                cause = error.__cause__
                text = "its value there is no finite number" if cause is None else f"{type(cause).__name__}: {cause}"
                reason = reason or " ".join(text.split()).rstrip(".")
            else:
                if any(value != other for other in values):
                    return Judged()
                values.append(value)
        if len(values) > 1:
            return Judged(f"its value there is {values[0]:.4g} whatever is predicted", is_constant=True)
        return Judged() if values else Judged(reason)

    def remedy(self, held_out: np.ndarray, groups: np.ndarray | None) -> str:
        """Return what to do about a fold whose held-out rows a metric cannot judge."""
        return "Use fewer folds, or another metric."

    # ------------------------------------------------------------------ training

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for a row; 0 where that is the model's own matter."""
        return 0

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes that what makes a model may ask for by the names of its arguments."""
        return {"n_outputs": self.outputs}

    @property
    def outputs_text(self) -> str:
        """What outputs are needed, after "(3, 2) is needed": a remark and a full stop."""
        return "."

    def model_config(self) -> dict[str, Any]:
        """Return what a config of transformers says of the outputs: id2label, label2id, problem_type."""
        return {}

    @property
    def identity(self) -> tuple[str, int]:
        """What a model's digest says of its outputs, as JSON keeps it: what they are, how many."""
        return type(self).__name__, self.outputs

    def fitted(self, targets: Any) -> Self:
        """Return the judge of a run that trains on rows with these encoded targets, and on no others.

        What is fitted to targets (their mean and deviation) is fitted here, within the training part of each fold.
        """
        return self

    def loss_arguments(self, outputs: "Tensor", targets: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return outputs in float32, and targets, as a loss takes them; a loss of the user's own among them."""
        return outputs.float(), targets

    @abstractmethod
    def losses(self, outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
        """Return each row's loss in float32, shape (rows,)."""

    def keep(self, outputs: "Tensor", batch: "Mapping[str, Tensor]") -> "Tensor | Sequence[Tensor]":
        """Return what is kept of the outputs of a batch, still on its device, the first axis the rows.

        Computed batch by batch, so that outputs over a vocabulary never lie in memory together. Where rows differ in
        length return a list of one tensor a row.
        """
        return outputs.float()

    def own_units(self, kept: Rows) -> Rows:
        """Return what was kept in the user's units, whatever the run was fitted to: this is stored."""
        return kept

    def settle(self, model: "nn.Module", rows: int, run: "Callable[[nn.Module, np.ndarray], Rows]") -> Self:
        """Have a trained model give its outputs in the user's units, where its architecture allows; return its judge.

        There are so many training `rows`, and `run` returns what is kept of some of them. The judge returned belongs to
        the model as it is now: its `own_units` does what the model does not.
        """
        return self

    def unsettled(self) -> str:
        """Return Python that does with the `outputs` of a settled model what the model does not; empty if nothing."""
        return ""

    # ------------------------------------------------------------------ evidence

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Bytes kept of a row, at most."""

    @abstractmethod
    def predictions(self, kept: Rows) -> Any:
        """Return what kept outputs predict, as metrics and figures take it, the first axis the rows."""

    def joined(self, rows: int, parts: Sequence[tuple[np.ndarray, Any]]) -> Any:
        """Return the predictions of all rows from those of parts of them, NaN for rows that are in no part.

        Each part is (indices of rows, their predictions). A row in several of them has the mean: predictions are
        arrays unless a judge joins its own.
        """
        shown = parts[0][1] if parts else self.predictions(np.zeros((0, self.outputs)))
        shape = np.asarray(shown).shape[1:]
        total = np.zeros((rows, *shape))
        count = np.zeros((rows, *(1 for _ in shape)))
        for indices, predictions in parts:
            total[indices] += predictions
            count[indices] += 1
        with np.errstate(invalid="ignore"):
            mean: np.ndarray = total / count
        return mean

    def units(self, rows: int, groups: np.ndarray | None) -> Units:
        """Return what intervals and tests draw of so many rows: whole groups where there are any, or single rows."""
        return drawn_units(rows, groups)

    @abstractmethod
    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> Metric:
        """Return a metric by name, scorer or function, resolved for these targets and tried on a made-up example.

        Args:
            given: The metric.
            direction: What the user says; None where the metric tells.
            is_objective: Whether a search is to follow it: a function that is an error is then refused without a
                direction; of a metric that is only recorded its direction is found out.

        Raises:
            MetricError: There is no such metric, it does not suit, or it contradicts its direction.
        """

    def further_scores(self, targets: Any, predictions: Any, weights: np.ndarray | None) -> Mapping[str, float]:
        """Return scores beside the metrics that a model is tested by, name to value, such as those of each type.

        `weights` are sample weights, shape (rows,), or None. NaN where one is undefined.
        """
        return {}

    def check_reported(  # noqa: B027  (what is computed here needs no check)
        self, reported: Mapping[str, float], names: Sequence[str]
    ) -> None:
        """Check what a run that measures itself has reported; `TaskError` where a study's metric is missing."""

    def incomparable(self, metric: Metric) -> str:
        """Return why a metric cannot compare models that read the same rows as different tokens, and what to do.

        A sentence or two; empty where it can.
        """
        return ""

    def figures(self, targets: Any, predictions: Any) -> Mapping[str, Any]:
        """Return what figures show of out-of-fold predictions, name of the figure to its numbers.

        Rows that no fold held out are NaN in `predictions`. A figure without an entry here is not drawn.
        """
        return {}

    def pipeline_arguments(self) -> str:
        """Return further arguments of a call of transformers' pipeline for all that this judge reads, as Python."""
        return ""
