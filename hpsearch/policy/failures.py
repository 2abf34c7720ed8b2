"""What happens to a trial when one of its runs diverges, fails, runs out of memory, or loses its worker."""

from collections.abc import Sequence

from hpsearch.records import Action, Decision, History, Outcome, Run, SegmentResult, Trial

LOST_LIMIT = 3
"""A trial fails after this many dead or hung workers in a row, none of which got the run further."""

_FRAME = '  File "'

LONGEST_REASON = 200
"""A trial's reason quotes at most this many characters of an exception's message."""


def after_bad_outcome(history: History, trial: Trial) -> Decision | None:
    """Return the decision for a trial with a segment that ended badly, or None where none did."""
    for run in trial.runs:
        outcomes = history.outcomes(run)
        if not outcomes:
            continue
        where = f"on fold {run.fold}, after point {history.point(run)} of {run.horizon}"
        if outcomes[-1].is_bad_luck:
            words = "diverged" if outcomes[-1] is Outcome.DIVERGED else "ran out of memory"
            return Decision(trial.number, Action.PRUNE, f"{words} {where}", stop=trial.stop)
        if outcomes[-1] is Outcome.FAILED:
            reason = f"failed {where}{_said(history, run)}"
            return Decision(trial.number, Action.FAIL, reason, stop=trial.stop)
        if _lost_in_a_row(history.results[run.key]) >= LOST_LIMIT:
            reason = f"its worker was lost {LOST_LIMIT} times {where}{_said(history, run)}"
            return Decision(trial.number, Action.FAIL, reason, stop=trial.stop)
    return None


def failure(results: Sequence[SegmentResult]) -> Outcome | None:
    """Return how a run's segments ended badly, so that it gets no further; None where it may go on."""
    if not results:
        return None
    outcome = results[-1].outcome
    if outcome.is_bad_luck or outcome is Outcome.FAILED:
        return outcome
    return outcome if outcome.is_loss and _lost_in_a_row(results) >= LOST_LIMIT else None


def _said(history: History, run: Run) -> str:
    """Return what the log of a run's last segment comes to, as the end of a sentence."""
    words = last_words(history.results[run.key][-1].log)
    return f": {words}" if words else ""


def last_words(log: str) -> str:
    """Return what a log comes to: the exception of a traceback, else the last line."""
    lines = log.strip().splitlines()
    if not lines:
        return ""
    frames = [number for number, line in enumerate(lines) if line.startswith(_FRAME)]
    after = [line for line in lines[frames[-1] + 1 :] if not line[:1].isspace()] if frames else []
    said = after[0] if after else lines[-1]  # CUDA's errors have a paragraph of advice below their first line
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}..."


def _lost_in_a_row(results: Sequence[SegmentResult]) -> int:
    """Count the last workers in a row that were lost or hung without getting the run further; pauses do not count.

    One that was lost after it had left a checkpoint got the run further: its result is a pause with a log.
    """
    count = 0
    for result in reversed(results):
        if result.point > result.segment.start:
            break
        if result.outcome.is_loss:
            count += 1
        elif result.outcome is not Outcome.PAUSED or result.log:
            break
    return count
