"""What happened: frozen record types, the read model, and the store (which only the coordinator imports)."""

from hpsearch.records.digest import ask_seed, digest, run_key, run_seed
from hpsearch.records.fit import Fit, Fits, ModelMemory, Savings, Shape, shape_of, thriftiest
from hpsearch.records.history import History
from hpsearch.records.types import (
    LOSS,
    Action,
    Decision,
    Evaluation,
    Origin,
    Outcome,
    Run,
    Segment,
    SegmentResult,
    Slot,
    Trial,
    TrialState,
)

__all__ = [
    "LOSS",
    "Action",
    "Decision",
    "Evaluation",
    "Fit",
    "Fits",
    "History",
    "ModelMemory",
    "Origin",
    "Outcome",
    "Run",
    "Savings",
    "Segment",
    "SegmentResult",
    "Shape",
    "Slot",
    "Trial",
    "TrialState",
    "ask_seed",
    "digest",
    "run_key",
    "run_seed",
    "shape_of",
    "thriftiest",
]
