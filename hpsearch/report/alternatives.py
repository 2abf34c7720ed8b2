"""What the figures show, in a sentence each, for those who cannot see them."""

from collections.abc import Sequence

from hpsearch.analysis import best_so_far, compute
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.wording import duration, score, setting, signed


def history(content: Content) -> str:
    """Return how many trials there are, and how the best value rose."""
    text = f"{content.objective} of {len(content.summaries)} trials in the order of asking."
    line = [
        (summary.number, value)
        for summary, value in zip(content.summaries, best_so_far(content.summaries), strict=True)
        if value is not None
    ]
    if not line or content.best is None:
        return f"{text} None is complete."
    number, value = line[0]
    return (
        f"{text} The best complete value rises from {score(value)} at trial {number} to {score(content.best.value)} at "
        f"trial {content.best.number}."
    )


def curves(content: Content) -> str:
    """Return where the best trial's value is read."""
    best = content.best
    if best is None:
        return f"{content.objective} and loss by epoch; no trial is complete. The table below has the numbers."
    return (
        f"{content.objective} and loss by epoch of chosen trials. The best, trial {best.number}, is read at epoch "
        f"{setting(best.epoch)} with {score(best.value)}. The table below has the numbers."
    )


def pairs(content: Content) -> str:
    """Return on how many folds the winner is better, by metric."""
    words = [
        f"{pair.metric}: the winner is better on {pair.won} of {len(pair.places)} runs, mean difference "
        f"{signed(pair.difference)}"
        for pair in content.pairs
    ]
    return "Winner and literature default on the same folds. " + "; ".join(words) + "."


def importance(content: Content) -> str:
    """Return the shares in order."""
    found = content.importance
    if found.why_not is not None:
        return f"No importance is stated: {found.why_not}."
    shares = ", ".join(
        f"{name} {share:.0%}{'' if found.stands_out(name) else ' (no more than chance)'}"
        for name, share in found.shares.items()
    )
    return f"Share of importance by hyperparameter: {shares}."


def slices(content: Content) -> str:
    """Return what the panels are of, and the best setting of each."""
    best = content.best
    settings = (
        ""
        if best is None
        else ", ".join(f"{name} {setting(best.config[name])}" for name in content.ranked if name in best.config)
    )
    text = f"{content.objective} over each of {', '.join(content.ranked)}."
    return text if best is None else f"{text} The best trial has {settings}."


def contours(content: Content, names: Sequence[str]) -> str:
    """Return what the panels are of, and where the best lies."""
    best = content.best
    text = f"{content.objective} over pairs of {', '.join(names)}."
    if best is None:
        return text
    return f"{text} The best lies at {', '.join(f'{n} {setting(best.config[n])}' for n in names if n in best.config)}."


def parallel(content: Content) -> str:
    """Return what the axes are."""
    return (
        f"A line a judged trial through {', '.join(content.parameters)} to {content.objective}. The table of trials "
        "has the same numbers."
    )


def confusion(content: Content) -> str:
    """Return how many rows are right, and the most frequent mistake."""
    found = content.confusion
    if found is None or not found.rows:
        return "No out-of-fold predictions."
    right = sum(row[index] for index, row in enumerate(found.counts))
    text = f"{right} of {found.rows} held-out rows are right."
    worst = found.worst()
    if worst is None:
        return text
    true, predicted, count, rows = worst
    return f"{text} The most frequent mistake: {count} of {rows} rows of {true} are taken for {predicted}."


def timeline(content: Content) -> str:
    """Return how long training took, and how much of it ended in pruned trials."""
    taken = compute(content.history, content.ends)
    pruned = sum(s.seconds for s in content.summaries if s.state is TrialState.PRUNED)
    elapsed = "" if taken.elapsed is None else f" within {duration(taken.elapsed)} by the clock"
    return (
        f"{len(content.spans)} stretches of training, {duration(taken.seconds)} in all{elapsed}, {taken.epochs:.4g} "
        f"epochs of one fold; {duration(pruned)} went into pruned trials."
    )
