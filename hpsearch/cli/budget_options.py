"""The limits of `hp.Budget` as options of `run` and `resume`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from hpsearch.policy.budget import Budget

LIMITS = tuple(each.name for each in fields(Budget) if each.name not in ("trials", "timeout"))
"""The limits that are options of their own here, by the names that commands give them."""

DistinctTrials = Annotated[
    int | None, typer.Option(metavar="N", help="Different configurations in total, of earlier calls too.")
]
DeviceSeconds = Annotated[
    str | None, typer.Option(metavar="TIME", help="Training of all workers in total, of earlier calls too: 10h.")
]
Epochs = Annotated[
    float | None, typer.Option(metavar="N", help="Epochs of all folds and trials in total, of earlier calls too.")
]
EpochsPerTrial = Annotated[float | None, typer.Option(metavar="N", help="Epochs of a trial, after which it is pruned.")]
DeviceSecondsPerTrial = Annotated[
    str | None, typer.Option(metavar="TIME", help="Training of a trial, after which it is pruned: 30m.")
]
Target = Annotated[
    float | None, typer.Option(metavar="VALUE", help="End once a cross-validated trial is as good as this value.")
]
Patience = Annotated[
    int | None, typer.Option(metavar="N", help="End after so many trials that were no better than the best.")
]


def limits_among(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits of this module that are given among a command's arguments."""
    return {name: arguments[name] for name in LIMITS if arguments[name] is not None}


def budget_of_options(limits: Mapping[str, Any], goal: Mapping[str, Any] | None = None) -> Budget | None:
    """Return the budget of the limits given, or None where there is none; `goal` is that of the study's last run."""
    kept = (goal or {}).get("budget") or {}
    return Budget(**{**kept, **limits}) if kept or limits else None
