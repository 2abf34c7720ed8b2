"""What the figures show, in words for those who cannot see them."""

from collections.abc import Callable, Iterable, Mapping

from hpsearch.analysis.aggregates import TrialSummary, best_so_far
from hpsearch.analysis.timeline import compute
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.figures import CONTOURED
from hpsearch.report.wording import duration, number, score, setting, signed


def history_text(content: Content) -> str:
    """Return how many trials there are, and how the best value rose."""
    text = f"{content.objective} of {len(content.summaries)} trials, in the order proposed."
    line = [
        (summary.number, value)
        for summary, value in zip(content.summaries, best_so_far(content.summaries), strict=True)
        if value is not None
    ]
    if not line or content.best is None:
        return f"{text} None is complete."
    first, value = line[0]
    return (
        f"{text} The best complete value rises from {score(value)} at trial {first} to {score(content.best.value)} at "
        f"trial {content.best.number}."
    )


def curves_text(content: Content) -> str:
    """Return where the best trial's value is read."""
    best = content.best
    if best is None:
        return f"{content.objective} and loss by epoch; no trial is complete. The table below has the numbers."
    return (
        f"{content.objective} and loss by epoch of chosen trials. The best, trial {best.number}, is read at epoch "
        f"{number(best.epoch or 0.0)} with {score(best.value)}. The table below has the numbers."
    )


def pairs_text(content: Content) -> str:
    """Return on how many folds the winner is better, by metric."""
    words = [
        f"{pair.metric}: the winner is better on {pair.won} of {len(pair.places)} runs, mean difference "
        f"{signed(pair.difference)}"
        for pair in content.pairs
    ]
    return "Winner and literature default on the same folds. " + "; ".join(words) + "."


def importance_text(content: Content) -> str:
    """Return the shares in order."""
    importance = content.importance
    if importance.why_not is not None:
        return f"No importance is stated: {importance.why_not}."
    shares = ", ".join(
        f"{name} {share:.0%}{'' if importance.stands_out(name) else ' (no more than chance)'}"
        for name, share in importance.shares.items()
    )
    return f"Share of importance by hyperparameter: {shares}."


def slices_text(content: Content) -> str:
    """Return what the panels show, and the best setting of each."""
    text = f"{content.objective} over each of {', '.join(content.ranked)}."
    return text if content.best is None else f"{text} The best trial has {_settings(content.best, content.ranked)}."


def contours_text(content: Content) -> str:
    """Return what the panels show, and where the best lies."""
    names = content.ranked[:CONTOURED]
    text = f"{content.objective} over pairs of {', '.join(names)}."
    return text if content.best is None else f"{text} The best lies at {_settings(content.best, names)}."


def parallel_text(content: Content) -> str:
    """Return what the axes are."""
    return (
        f"One line per judged trial through {', '.join(content.parameters)} to {content.objective}. The table of "
        "trials has the same numbers."
    )


def confusion_text(content: Content) -> str:
    """Return how many rows are right, and the most frequent mistake."""
    confusion = content.confusion
    if confusion is None or not confusion.rows:
        return "No out-of-fold predictions."
    right = sum(row[index] for index, row in enumerate(confusion.counts))
    text = f"{right} of {confusion.rows} held-out rows are right."
    worst = confusion.worst()
    if worst is None:
        return text
    true, predicted, count, rows = worst
    return f"{text} The most frequent mistake: {count} of {rows} rows of {true} are taken for {predicted}."


def timeline_text(content: Content) -> str:
    """Return how long training took, and how much of it went into pruned trials."""
    taken = compute(content.history, content.ends)
    pruned = sum(s.seconds for s in content.summaries if s.state is TrialState.PRUNED)
    elapsed = "" if taken.elapsed is None else f", {duration(taken.elapsed)} by the clock"
    return (
        f"{len(content.spans)} stretches of training: {duration(taken.seconds)} in all{elapsed}, {taken.epochs:.4g} "
        f"epochs of one fold. {duration(pruned)} went into pruned trials."
    )


def _settings(best: TrialSummary, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {setting(best.config[name])}" for name in names if name in best.config)


alt_texts: Mapping[str, Callable[[Content], str]] = {
    "pairs": pairs_text,
    "history": history_text,
    "curves": curves_text,
    "importance": importance_text,
    "slices": slices_text,
    "contours": contours_text,
    "parallel": parallel_text,
    "confusion": confusion_text,
    "timeline": timeline_text,
}
"""A figure's name on the page to the function that describes it."""
