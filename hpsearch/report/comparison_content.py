"""All that figures and page show of several studies, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hpsearch.analysis.aggregates import best_so_far
from hpsearch.analysis.significance import Evidence
from hpsearch.analysis.timeline import Compute, best_by_compute, compute
from hpsearch.metrics.direction import Direction
from hpsearch.report.content import Content


@dataclass(frozen=True)
class ComparedStudy:
    """One of the studies.

    Attributes:
        name: Its name here, which no other has.
        content: What its own report would show.
        test_scores: Its winner's scores on the test rows; empty where there are none, or none yet.
    """

    name: str
    content: Content
    test_scores: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def compute(self) -> Compute:
        return compute(self.content.history, self.content.ends)

    @cached_property
    def by_trials(self) -> list[tuple[int, float]]:
        """(trials asked for, best complete value among them), from the first complete one on."""
        values = best_so_far(self.content.summaries, self.content.history.direction)
        return [(index + 1, value) for index, value in enumerate(values) if value is not None]

    @cached_property
    def by_compute(self) -> list[tuple[float, float]]:
        """(epochs of one fold trained, best complete value by then), up to all that was trained."""
        steps = list(best_by_compute(self.content.history, self.content.ends, self.content.decisions))
        return [*steps, (self.compute.epochs, steps[-1][1])] if steps else []


@dataclass(frozen=True)
class Judgement:
    """How one study's winner compares with the reference's.

    Attributes:
        study, reference: Names of the two.
        ground: What they were compared on: "test rows" or "folds".
        evidence: The answer; the difference is study minus reference. None where they cannot be compared.
        why_not: Why they cannot be compared, in words; None where they can.
    """

    study: str
    reference: str
    ground: str
    evidence: Evidence | None = None
    why_not: str | None = None


@dataclass(frozen=True)
class ComparisonContent:
    """Several studies and what was tested between them.

    Attributes:
        reference: Name of the study that the others are compared with.
        judgements: Two for each other study: on the test rows, which are primary, and on the folds.
        reference_is_best: Whether the reference was chosen for its best value, which no p-value accounts for.
    """

    studies: Sequence[ComparedStudy]
    reference: str
    judgements: Sequence[Judgement] = ()
    reference_is_best: bool = False

    @property
    def objective(self) -> str:
        return self._content.objective

    @property
    def direction(self) -> Direction:
        """Whether more or less of the objective is better."""
        return self._content.history.direction

    @property
    def alike(self) -> list[ComparedStudy]:
        """The studies with the reference's objective, of one direction: only they can share an axis."""
        wanted = self.objective, self.direction
        return [study for study in self.studies if (study.content.objective, study.content.history.direction) == wanted]

    @property
    def _content(self) -> Content:
        return next(study for study in self.studies if study.name == self.reference).content
