"""Histories with trials in every state, made by hand or grown by a sampler."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from samples import trial

import hpsearch as hp
from hpsearch.records import Evaluation, History, Origin, TrialState

STATES = (
    "complete",
    "pruned",
    "complete",
    "diverged",
    "complete",
    "waiting",
    "complete",
    "failed",
    "complete",
    "fresh",
)
"""The states that trials of `grown` end in, over and over; a fresh one waits and has shown nothing."""


def score(space: hp.Space, params: Mapping[str, Any]) -> float:
    """Return a value from 0 to 1, best in the middle of every range and at every first choice."""
    losses = []
    for name, value in params.items():
        parameter = space.parameters[name]
        if isinstance(parameter, hp.Categorical):
            losses.append(parameter.choices.index(value) / len(parameter.choices))
        elif parameter.low < parameter.high:
            ends = [math.log(each) if parameter.log else each for each in (parameter.low, parameter.high, value)]
            losses.append(2 * abs((ends[2] - ends[0]) / (ends[1] - ends[0]) - 0.5))
    return 1.0 - sum(losses) / max(len(losses), 1)


def asked(history: History, space: hp.Space, params: Mapping[str, Any], origin: Origin = Origin.SAMPLER) -> History:
    """Add a trial, running."""
    number = 1 + max(history.trials, default=-1)
    new = replace(trial(number, {"epochs": 2}, folds=1), config=space.config(params), params=dict(params))
    return history.with_trial(replace(new, origin=origin))


def told(history: History, space: hp.Space, number: int, state: str) -> History:
    """Bring a trial into a state; one that is not trained to its end has come to half of its value."""
    new = history.trials[number]
    value = score(space, new.params)
    shown = {"complete": [value / 2, value], "pruned": [value / 2], "waiting": [value / 2]}.get(state, [])
    for point, each in enumerate(shown, 1):
        found = Evaluation(new.runs[0].key, point, point / 2, 1.0, {"f1": each, "loss": 1.0}, 1e-3, point)
        history = history.with_evaluation(found)
    changes = {
        "complete": {"state": TrialState.COMPLETE, "value": value, "stop": 2},
        "pruned": {"state": TrialState.PRUNED, "value": value / 2, "point": 1},
        "diverged": {"state": TrialState.PRUNED},
        "waiting": {"state": TrialState.WAITING},
        "fresh": {"state": TrialState.WAITING},
        "failed": {"state": TrialState.FAIL},
        "running": {},
    }[state]
    return history.with_trial(replace(new, **changes))


def grown(
    sampler: Any, space: hp.Space, count: int, history: History | None = None, states: Sequence[str] = STATES
) -> History:
    """Let a sampler propose trials, each of which ends in the next of `states` before the next is asked for."""
    history = history or History()
    for _ in range(count):
        params = sampler.propose(history)
        if params is None:
            break
        number = len(history.trials)
        history = told(asked(history, space, params), space, number, states[number % len(states)])
    return history


def before(history: History, number: int) -> History:
    """Return what `grown` had grown when it asked for a trial."""
    return replace(history, trials={each: trial for each, trial in history.trials.items() if each < number})
