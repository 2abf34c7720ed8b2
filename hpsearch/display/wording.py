"""How a standing is put into words and cells, the same in a terminal and in a notebook."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.display.standing import Best, Standing, Tally, UnderWay

COLUMNS = ("trial", "fold", "epoch", "", "loss", "objective", "device", "time", "left")
"""Heads of the columns of what is under way; the nameless one is the bar, the objective's goes by its own name."""

BAR_WIDTH = 8


def counts_text(tally: Tally, trials: int | None) -> str:
    """Return how many trials have ended, and how the others stand; what there is none of is left out."""
    parts = [f"{tally.ended}/{trials} trials" if trials else f"{tally.ended} trials"]
    states = {
        "done": tally.complete,
        "pruned": tally.pruned,
        "failed": tally.failed,
        "running": tally.running,
        "waiting": tally.waiting,
    }
    parts += [f"{count} {state}" for state, count in states.items() if count]
    return ", ".join(parts)


def best_text(best: Best, objective: str) -> str:
    """Return the objective of the best trial, with its interval where there is one."""
    between = "" if best.interval is None else f", 95% interval {best.interval[0]:.4f} to {best.interval[1]:.4f}"
    return f"{objective} {best.value:.4f}{between} (trial {best.number})"


def params_text(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={short(value)}" for name, value in params.items())


def time_text(standing: Standing) -> str:
    """Return how long the study has been gone on with, and how long it still takes."""
    parts = [f"{duration(standing.elapsed)} so far"]
    if standing.is_pausing:
        return f"{parts[0]}, pausing: each run ends its step and is saved (Ctrl-C again ends at once)"
    left, pauses_in = standing.left, standing.pauses_in
    if pauses_in is not None and (left is None or pauses_in < left):
        parts.append(f"pauses in {duration(pauses_in)}")
    elif left is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def devices_text(devices: Mapping[str, int]) -> str:
    return ", ".join(device if count == 1 else f"{count} x {device}" for device, count in devices.items())


def cells(each: UnderWay) -> Sequence[str]:
    """Return the cells of what is under way, as `COLUMNS` names them; the bar's is empty, for each display draws it."""
    return (
        str(each.trial),
        f"{each.fold}/{each.folds}",
        f"{each.epoch:g}/{each.epochs:g}",
        "",
        "" if each.loss is None else f"{each.loss:.4f}",
        "" if each.value is None else f"{each.value:.4f}",
        each.device,
        duration(each.elapsed),
        "" if each.left is None else duration(each.left),
    )


def share_done(each: UnderWay) -> float:
    """Return how far it is, from 0 to 1."""
    return min(1.0, each.epoch / each.epochs)


def summary_lines(standing: Standing) -> Sequence[str]:
    """Return what stays to be read when the study is no longer run: how it stands, and the best."""
    counts = counts_text(standing.tally, standing.trials)
    lines = [f"{standing.name}: {counts}, in {duration(standing.elapsed)}"]
    if standing.best is not None:
        best = standing.best
        params = params_text(best.params)
        lines.append(f"best {best_text(best, standing.objective)}{': ' if params else ''}{params}")
    return lines


def duration(seconds: float) -> str:
    """Return a duration as a person says it: 45 s, 12 min, 2.1 h."""
    minutes, hours = round(seconds / 60), seconds / 3600
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours:.1f} h"


def short(value: object) -> str:
    """Return a hyperparameter's value in a few characters, on one line."""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)
