"""`list` and `show`: what is stored of studies, as text."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpsearch.errors import HpsearchError


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles in what a short command makes: it lives to the command's end, and a fifth of the time went."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def list_rows(folder: Path, storage: str | None) -> Iterator[list[str]]:
    """Yield a row per study, by the name that commands take: its folder's, or its own in a database.

    For one that cannot be read, the row says why.
    """
    from hpsearch.metrics.direction import Direction
    from hpsearch.records import TrialState
    from hpsearch.study_loading import read_outcomes, study_folders

    if storage is None:
        names: list[str] = [str(place) for place in study_folders(folder)]
    else:
        from hpsearch.records.store import Store

        names = Store.names(storage)
    for name in names:
        try:
            description, outcomes = read_outcomes(name, folder=folder, storage=storage)
        except HpsearchError as error:
            yield [Path(name).name, "", "", str(error)]
            continue
        states = Counter(state.value for state, _ in outcomes.values())
        score = Direction(description.direction).score
        complete = {
            number: value
            for number, (state, value) in outcomes.items()
            if state is TrialState.COMPLETE and value is not None  # None: another tool has ended it
        }
        best = max(complete, key=lambda number: (score(complete[number]), -number), default=None)
        value = "" if best is None else f"{description.metric} {complete[best]:.4f} (trial {best})"
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        counts += f" (the study is called {description.name!r})" if description.name != Path(name).name else ""
        yield [Path(name).name, str(len(outcomes)), value, counts]


def show_text(name: str, folder: Path, storage: str | None) -> str:
    """Return a study's facts, its trials, the best of them, and where the logs of failed ones are."""
    from hpsearch.analysis.repeatability import disturbances
    from hpsearch.plan.stored_keys import stored_key
    from hpsearch.result.summary import outcome_text
    from hpsearch.space import Space
    from hpsearch.study_loading import read

    stored = read(name, folder=folder, storage=storage)
    description, facts = stored.description, stored.description.facts
    targets = facts.get("targets") or f"{len(facts['classes'])} classes"  # as earlier versions kept it
    with stored_key("space", stored.database):
        searched = Space.from_json(description.space).parameters
    lines = [
        f"{description.name}: {description.task_name} on {facts['rows']} rows, {targets}, "
        f"{description.split_text}; sampler {description.sampler}, pruner {description.pruner}, "
        f"seed {description.seed}",
        outcome_text(
            stored.history,
            description.metric,
            stored.test_shares,
            searched,
            description.every_warning,
            description.pos_label,
            description.ending,
            disturbances(stored.entries, stored.history),
        ),
    ]
    logs = sorted((stored.folder / "logs").glob("*.log"))
    if logs:
        lines.append(f"logs: {', '.join(str(log) for log in logs)}")
    return "\n".join(lines)
