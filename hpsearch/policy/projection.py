"""What an Optuna sampler or pruner is shown: an in-memory study made from History, never the database.

Trials that are waiting or were pruned appear as PRUNED at their last step with their partial mean; those in flight
as RUNNING; so a waiting trial neither repels TPE nor is frozen by it, and a resumed study asks what it would have
asked. Diverged and out-of-memory trials are PRUNED without a report, which is how TPE learns to keep away.
"""

import datetime
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.errors import SpaceError
from hpsearch.policy.axis import reports
from hpsearch.records import History, Trial, TrialState
from hpsearch.space import Categorical, Float, Int, Space

EPOCH = datetime.datetime(2000, 1, 1)
"""The time every projected trial carries: a proposal depends on what happened, not on when."""


def distribution(parameter: Float | Int | Categorical) -> BaseDistribution:
    """Return Optuna's distribution for a parameter of ours."""
    match parameter:
        case Float():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case Int():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case Categorical():
            return CategoricalDistribution(parameter.choices)
    raise SpaceError(f"A parameter must be an hp.Float, hp.Int or hp.Categorical, not {parameter!r}.")


def distributions(space: Space, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return the distributions of the searched parameters in `params`, in the space's order.

    A value outside its own range (an enqueued or default configuration may lie off the grid of a step) gets the
    range widened to hold it, because Optuna refuses to store it otherwise.
    """
    found = {}
    for name, parameter in space.parameters.items():
        if name in params:
            found[name] = _holding(distribution(parameter), params[name])
    return found


def _holding(plain: BaseDistribution, value: Any) -> BaseDistribution:
    if isinstance(plain, FloatDistribution) and plain.step is not None:
        if math.isclose(math.remainder(value - plain.low, plain.step), 0.0, abs_tol=1e-8 * plain.step):
            return plain
        return FloatDistribution(min(plain.low, value), max(plain.high, value))
    if isinstance(plain, IntDistribution) and (value - plain.low) % plain.step:
        return IntDistribution(min(plain.low, value), max(plain.high, value), log=plain.log)
    return plain


class ProjectedStorage(BaseStorage):
    """An Optuna storage over a list of trials that exists for one question and is then forgotten.

    Optuna's own in-memory storage numbers trials itself and copies each one; this one keeps the numbers of
    History and hands out the trials as they are.
    """

    def __init__(self, trials: Sequence[FrozenTrial], name: str) -> None:
        self._trials = list(trials)
        self._by_id = {trial._trial_id: trial for trial in self._trials}
        self._name = name
        self._study_user: dict[str, Any] = {}
        self._study_system: dict[str, Any] = {}

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return 0

    def delete_study(self, study_id: int) -> None:
        self._trials.clear()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study_user[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study_system[key] = value

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MAXIMIZE]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_user

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_system

    def get_all_studies(self) -> list[Any]:
        return []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = 1 + max((trial.number for trial in self._trials), default=-1)
        trial = _frozen(number, OptunaState.RUNNING, {}, {}, {})
        self._trials.append(trial)
        self._by_id[number] = trial
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self._by_id[trial_id]
        trial.distributions = {**trial.distributions, param_name: distribution}
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        self._by_id[trial_id].state = state
        self._by_id[trial_id].values = None if values is None else list(values)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._by_id[trial_id].intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._by_id[trial_id].user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._by_id[trial_id].system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._by_id[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def _frozen(
    number: int,
    state: OptunaState,
    params: Mapping[str, Any],
    param_distributions: Mapping[str, BaseDistribution],
    intermediate: Mapping[int, float],
    value: float | None = None,
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        state=state,
        value=value,
        datetime_start=EPOCH,
        datetime_complete=EPOCH if state.is_finished() else None,
        params=dict(params),
        distributions=dict(param_distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values=dict(intermediate),
        trial_id=number,
    )


class Projection:
    """Makes Optuna studies from History; a finished trial is projected once and kept."""

    def __init__(self, space: Space, objective: str, name: str = "hpsearch") -> None:
        self._space = space
        self._objective = objective
        self._name = name
        self._finished: dict[int, FrozenTrial] = {}

    def study(self, history: History, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
        """Return an in-memory Optuna study of what has happened so far."""
        known = self._finished
        trials = [known.get(number) or self.trial(history, trial) for number, trial in history.trials.items()]
        storage = ProjectedStorage(trials, self._name)
        return optuna.Study(study_name=self._name, storage=storage, sampler=sampler)

    def trial(self, history: History, trial: Trial) -> FrozenTrial:
        """Return one trial as a sampler or pruner sees it."""
        if trial.state.is_finished and trial.number in self._finished:
            return self._finished[trial.number]
        frozen = self._project(history, trial)
        if trial.state.is_finished:
            self._finished[trial.number] = frozen
        return frozen

    def _project(self, history: History, trial: Trial) -> FrozenTrial:
        found = distributions(self._space, trial.params)
        params = {name: trial.params[name] for name in found}
        steps = {step: value for step, value in reports(history, trial, self._objective) if math.isfinite(value)}
        match trial.state:
            case TrialState.COMPLETE if trial.value is not None and math.isfinite(trial.value):
                return _frozen(trial.number, OptunaState.COMPLETE, params, found, steps, trial.value)
            case TrialState.RUNNING:
                return _frozen(trial.number, OptunaState.RUNNING, params, found, steps)
            case TrialState.PRUNED if trial.value is None:
                return _frozen(trial.number, OptunaState.PRUNED, params, found, {})
            case TrialState.PRUNED | TrialState.WAITING:
                last = dict(list(steps.items())[-1:])
                return _frozen(trial.number, OptunaState.PRUNED, params, found, last)
        return _frozen(trial.number, OptunaState.FAIL, params, found, {})
