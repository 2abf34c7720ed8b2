"""What a reader is told of whether the same script gives the same table (docs/decisions/virtual-time.md)."""

from collections.abc import Collection, Sequence

from hpsearch.records import History
from hpsearch.records.order_log import Entry, Happening

HEADING = "Not repeatable from the seed alone:"
"""What stands above the disturbances of a study."""

_SUBJECTS = {
    "hpsearch": "the version of hpsearch",
    "planned cost": "the version of the planned cost",
    "sampler": "the sampler",
    "pruner": "the pruner",
    "enqueued": "the number of enqueued configurations",
    "virtual slots": "the number of virtual slots",
}
"""What a call is given, in words, where its name does not say it."""

_SECONDS = "device-seconds"
"""How the reason of a trial ends that took longer than it may (`hpsearch.policy.trial_limit`)."""

_BLIND_SAMPLERS = ("random", "qmc", "grid", "Grid(")
"""How the texts of samplers begin that do not look at results."""

_LIMITS_IN_ORDER = ("distinct_trials", "epochs_per_trial")
"""Limits among those that a study keeps that do not depend on which worker was faster."""


def disturbances(entries: Sequence[Entry], history: History) -> list[str]:
    """Return what another run of the same script may lack, one sentence each, with the place where it took effect.

    Args:
        entries: The order that a study was decided in; none of one that decides on arrival.
        history: Its trials, some of which a limit on seconds may have ended.
    """
    if not entries:
        return []
    sentences, trials = [], 0
    for entry in entries:
        if entry.happening is Happening.ASKED:
            trials = max(trials, entry.trial + 1)
        elif entry.is_disturbance:
            sentences.append(_sentence(entry, trials))
    timed = {
        number: trial.reason for number, trial in history.trials.items() if (trial.reason or "").endswith(_SECONDS)
    }
    return [*sentences, *(f"trial {number} was {reason}" for number, reason in timed.items())]


def _sentence(entry: Entry, trials: int) -> str:
    """Return a disturbance in words; `trials` is how many had been asked for."""
    if entry.happening is Happening.GIVEN:
        name, _, value = entry.words.partition(": ")
        now = "no longer given" if value == "none" else value
        return f"from trial {trials} on: {_SUBJECTS.get(name, name)} is {now}"
    if entry.words.startswith("trial "):
        return entry.words
    return f"{f'after trial {trials - 1}' if trials else 'before the first trial'}: {entry.words}"


def decided(entries: Sequence[Entry], sampler: str, pruner: str, limits: Collection[str] = ()) -> str:
    """Return in what order a study is decided, and what follows from it, in words that follow "decided".

    Args:
        entries: As in `disturbances`.
        sampler: The sampler as the study keeps it; so is the pruner.
        limits: Names of the limits that the study keeps, besides its trials.
    """
    slots = [entry.number for entry in entries if entry.happening is Happening.SLOTS]
    if slots:
        said = f"in virtual time with {slots[-1]} slots: the same script gives the same table"
        return f"{said}, but for what is said below it" if any(entry.is_disturbance for entry in entries) else said
    is_blind = sampler.startswith(_BLIND_SAMPLERS)
    if is_blind and pruner == "none" and set(limits) <= set(_LIMITS_IN_ORDER):
        return "on arrival, on which nothing in it depends: the same script gives the same table"
    return "on arrival: the table may differ from run to run"
