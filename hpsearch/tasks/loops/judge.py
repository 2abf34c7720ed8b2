"""The judge of runs that measure themselves: it knows metrics by name, and sees neither targets nor predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpsearch.data.ragged import Rows
from hpsearch.errors import MetricError, TaskError, UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import known_direction
from hpsearch.metrics.metric import Metric
from hpsearch.records.types import LOSS
from hpsearch.tasks.judge import Judge

PREFIXES = ("eval_", "validation_", "valid_", "val_", "test_")
"""What reported names may begin with, before the name of a metric."""

_MINIMIZED = (LOSS, "perplexity", "error", "wer", "cer", "ter")
_MAXIMIZED = ("acc", "bleu", "sacrebleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum", "exact_match", "reward")


def reported_direction(name: str) -> Direction | None:
    """Return the direction of a reported metric by its name, None where it tells nothing."""
    bare = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
    if bare in _MAXIMIZED:
        return Direction.MAXIMIZE
    if bare in _MINIMIZED or bare.endswith(("_loss", "_error", "_perplexity")):
        return Direction.MINIMIZE
    return known_direction(bare)


@dataclass(frozen=True)
class ReportedMetric(Metric):
    """A metric that runs report: it has a name and a direction, and is computed by nobody else."""

    def _compute(self, targets: Any, predictions: Any, weight: Any) -> Any:
        raise LookupError("it is what a run reports, and is computed from no predictions")


@dataclass(frozen=True)
class ReportedJudge(Judge):
    """The judge of a task whose runs report their own metrics; nothing is kept of single rows.

    Attributes:
        reporter: What reports them, in messages: "train".
        objective: The metric that a study follows where it names none; "" where it has to.
        reads_rows: Whether the study has the rows, and not the user's code alone.
        prefix: What a study's metric may begin with, and reported ones do not: "eval_".
    """

    reporter: str
    objective: str = ""
    reads_rows: bool = False
    prefix: str = ""

    keeps_predictions: ClassVar[bool] = False
    takes_label_smoothing: ClassVar[bool] = False

    @property
    def default_metric(self) -> str:  # type: ignore[override]
        return self.objective

    @classmethod
    def learn(cls, values: Any) -> Self:  # noqa: ARG003  (it learns nothing of them)
        return cls("train")

    def encode(self, values: Any, role: str = "train") -> Rows:
        return np.zeros(len(values), dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"reported by": self.reporter, "objective": self.objective}

    @property
    def targets_text(self) -> str:
        return f"what {self.reporter} reports"

    @property
    def purpose(self) -> str:
        return f"by {self.reporter}"

    def facts(self) -> Mapping[str, str]:
        rows = {} if self.reads_rows else {"training rows": f"those that {self.reporter} reads"}
        return {**rows, "measured": f"by {self.reporter}; no predictions of single rows are kept"}

    def losses(self, outputs: Any, targets: Any, label_smoothing: float) -> Any:
        raise TaskError(f"{self.reporter} trains by itself: there is no loss of a row.")

    @property
    def row_bytes(self) -> int:
        return 0

    def predictions(self, kept: Rows) -> Any:
        return kept

    def joined(self, rows: int, parts: Sequence[tuple[np.ndarray, Any]]) -> Any:
        raise UsageError(
            f"{self.reporter} reports its metrics, and no predictions of single rows are kept: there are none out of "
            "fold, and no confusion. Have it write into run.folder what you want to see of them."
        )

    def check_reported(self, reported: Mapping[str, float], names: Sequence[str]) -> None:
        lacking = next((name for name in names if name not in reported), None)
        if lacking is not None:
            raise TaskError(
                f"{self.reporter} reports {', '.join(reported)}, and not {lacking!r}, which the study measures. Report "
                f"it each time, run.report(step, {lacking}=...), or name another metric."
            )

    def metric(self, given: Any, direction: Direction | None = None, *, is_objective: bool = True) -> Metric:
        if isinstance(given, Metric):
            given = given.name
        if not isinstance(given, str):
            raise MetricError(
                f"metric {given!r} is a {type(given).__name__}, and {self.reporter} measures by itself: give the name "
                "of one of the numbers that it reports, metric='accuracy'."
            )
        if not given:
            raise MetricError(
                f"metric= is not given. Name the number that {self.reporter} reports and the search is to follow: "
                "metric='accuracy', and where its name is not known, direction='maximize' or 'minimize'."
            )
        given = given.removeprefix(self.prefix)
        known = reported_direction(given)
        if direction is None and known is None and is_objective:
            raise MetricError(
                f"metric={given!r}: nothing is known of this name, so say which way it is better: "
                "direction='maximize' or direction='minimize'."
            )
        return ReportedMetric(given, direction=direction or known or Direction.MAXIMIZE)
