"""What a history has taken, and what its next segments will."""

from dataclasses import replace

from samples import trial

from hpsearch.policy.costs import Costs
from hpsearch.records import Evaluation, History, Segment


def test_a_resumed_study_knows_the_pace_of_runs_that_were_replaced() -> None:
    """Runs that ran out of memory are trained otherwise; their seconds stay what is known of their pace."""
    first = trial(0)
    first = replace(first, runs=tuple(replace(run, steps_per_epoch=5) for run in first.runs))
    measured = Evaluation(first.runs[0].key, 1, 0.5, 1.0, {"f1": 0.5, "loss": 1.0}, 1e-3, 1, 2.0)
    history, live, resumed = History().with_trial(first), Costs(), Costs()
    live.look_at(history)
    history = history.with_evaluation(measured)
    live.look_at(history)
    runs = tuple(replace(run, key=f"{run.key}-in-parts") for run in first.runs)
    history = history.with_trial(replace(first, runs=runs, former=first.runs))
    live.look_at(history)
    resumed.look_at(history)
    segment = Segment(runs[0], 0, runs[0].horizon)
    assert live.seconds_of(segment) == resumed.seconds_of(segment) == 2.0 * runs[0].horizon
