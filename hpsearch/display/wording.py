"""A standing in words, the same in every display."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.display.standing import BestSoFar, Standing, Tally
from hpsearch.policy.budget import EXPECTED
from hpsearch.space.wording import spelled

NODES_SHOWN = 4
"""So many nodes of a cluster are named in a line; of more it says how many there are."""


def counts_text(tally: Tally, trials: int | None) -> str:
    """Return how many trials have ended, and the count of each state that has any."""
    parts = [f"{tally.ended}/{trials} trials" if trials else f"{tally.ended} trials"]
    states = {
        "done": tally.complete,
        "pruned": tally.pruned,
        "failed": tally.failed,
        "running": tally.running,
        "waiting": tally.waiting,
        "repeating an earlier one": tally.repeats,
    }
    parts += [f"{count} {state}" for state, count in states.items() if count]
    return ", ".join(parts)


def best_text(best: BestSoFar, objective: str) -> str:
    interval = "" if best.interval is None else f", 95% interval {best.interval[0]:.4f} to {best.interval[1]:.4f}"
    return f"{objective} {best.value:.4f}{interval} (trial {best.number})"


def params_text(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={short(value)}" for name, value in params.items())


def time_text(standing: Standing) -> str:
    """Return how long this call has run, and how long it still takes."""
    text = f"{duration(standing.elapsed)} so far"
    left, pauses_in = standing.left, standing.pauses_in
    if standing.is_pausing:
        return f"{text}, pausing: every run finishes its step and is saved (Ctrl-C again ends at once)"
    if standing.waits_for is not None:
        return f"{text}, waiting for {standing.waits_for}"
    if pauses_in is not None and (left is None or pauses_in < left):
        return f"{text}, pauses in {duration(pauses_in)}"
    return text if left is None else f"{text}, about {duration(left)} left"


def devices_text(devices: Mapping[str, int]) -> str:
    """Return what is trained on, and how often where more than once: of a cluster each node's GPUs together."""
    counts = Counter[str]()
    for device, count in devices.items():
        node, slash, kind = device.rpartition("/")
        counts[f"{node}/{kind.partition(':')[0]}" if slash else device] += count
    nodes = {device.rpartition("/")[0] for device in counts if "/" in device}
    if len(nodes) > NODES_SHOWN:
        kinds = Counter[str]()
        for device, count in counts.items():
            kinds[device.rpartition("/")[2]] += count
        return f"{', '.join(f'{count} x {kind}' for kind, count in kinds.items())} of {len(nodes)} nodes"
    return ", ".join(device if count == 1 else f"{count} x {device}" for device, count in counts.items())


def summary_lines(standing: Standing) -> Sequence[str]:
    """Return what stays to read when the study has stopped."""
    counts = counts_text(standing.tally, standing.trials)
    ending = standing.ending
    why = "" if ending is None or ending.limit in EXPECTED else f"; ended by {ending.limit}: {ending.reason}"
    lines = [f"{standing.name}: {counts}, in {duration(standing.elapsed)}{why}"]
    if standing.best is not None:
        params = params_text(standing.best.params)
        lines.append(f"best {best_text(standing.best, standing.objective)}{': ' if params else ''}{params}")
    return lines


def duration(seconds: float) -> str:
    """Return a duration as a person says it: 45 s, 12 min, 2.1 h."""
    minutes, hours = round(seconds / 60), seconds / 3600
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours:.1f} h"


def short(value: object) -> str:
    """Return a hyperparameter's value in a few characters, on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in spelled(value, digits=3))
