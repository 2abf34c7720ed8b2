"""All that figures and the page show of several studies, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hpsearch.analysis.aggregates import best_so_far
from hpsearch.analysis.significance import Evidence
from hpsearch.analysis.timeline import Compute, best_by_compute, compute
from hpsearch.report.content import Content


@dataclass(frozen=True)
class ComparedStudy:
    """One of the studies.

    Attributes:
        name: What it is called here; no other of them is called so.
        content: What its own report would show.
        test_scores: Its winner's scores on the test rows; empty where there are none, or none yet.
    """

    name: str
    content: Content
    test_scores: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def compute(self) -> Compute:
        """What its training took."""
        return compute(self.content.history, self.content.ends)

    @cached_property
    def by_trials(self) -> list[tuple[int, float]]:
        """(trials asked for, best complete value among them), from the first complete one on."""
        values = best_so_far(self.content.summaries)
        return [(index + 1, value) for index, value in enumerate(values) if value is not None]

    @cached_property
    def by_compute(self) -> list[tuple[float, float]]:
        """(epochs of one fold trained, best complete value by then), up to all that was trained."""
        steps = list(best_by_compute(self.content.history, self.content.ends, self.content.decisions))
        return [*steps, (self.compute.epochs, steps[-1][1])] if steps else []


@dataclass(frozen=True)
class Judgement:
    """What can be said of one study's winner against the reference's.

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
        studies: In the order given.
        reference: Name of the study that the others are compared with.
        judgements: Two for each other study: on the test rows, which are primary, and on the folds.
        reference_is_best: Whether the reference was taken for having the highest value, which no p-value knows of.
    """

    studies: Sequence[ComparedStudy]
    reference: str
    judgements: Sequence[Judgement] = ()
    reference_is_best: bool = False

    @property
    def objective(self) -> str:
        """The reference's objective."""
        return next(study for study in self.studies if study.name == self.reference).content.objective

    @property
    def alike(self) -> list[ComparedStudy]:
        """The studies with the reference's objective: only they can share an axis."""
        return [study for study in self.studies if study.content.objective == self.objective]
