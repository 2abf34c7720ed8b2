"""Plain lines, one per ended trial, for files and pipes, and for those who prefer them."""

import sys
from typing import TextIO

from hpsearch.display.standing import Standing, Watch
from hpsearch.display.stream import SteadyStream
from hpsearch.display.wording import duration, params_text
from hpsearch.errors import printable
from hpsearch.records import History, Trial, TrialState


class PlainLines:
    """Prints a line as each trial ends, by default to standard error: standard output belongs to the script."""

    def __init__(self, watch: Watch, stream: TextIO | None = None) -> None:
        self._watch = watch
        self._stream = SteadyStream(stream or sys.stderr)

    def observe(self, history: History, trial: Trial | None) -> None:
        self._watch.observe(history, trial)
        if trial is not None:
            standing = self._watch.standing()
            ending = _ending(trial, standing.objective)
            self._stream.write(printable(f"{standing.name}: {ending}; {', '.join(_so_far(standing))}") + "\n")

    def close(self) -> None:
        """Nothing is left to print."""


def _ending(trial: Trial, objective: str) -> str:
    value = "" if trial.value is None else f", {objective} {trial.value:.4f}"
    reason = f" ({trial.reason})" if trial.reason and trial.state is not TrialState.COMPLETE else ""
    return f"trial {trial.number} {trial.state.value}{value}{reason}"


def _so_far(standing: Standing) -> list[str]:
    tally, best = standing.tally, standing.best
    parts = [f"{tally.ended}/{standing.trials} trials" if standing.trials else f"{tally.ended} trials"]
    parts += [f"{tally.pruned} pruned"] if tally.pruned else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    parts += [f"{tally.repeats} repeating an earlier one"] if tally.repeats else []
    if best is not None:
        params = f": {params_text(best.params)}" if best.params else ""
        parts.append(f"best {standing.objective} {best.value:.4f} (trial {best.number}{params})")
    parts += [f"about {duration(standing.left)} left"] if standing.left is not None else []
    return parts
