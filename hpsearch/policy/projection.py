"""What an Optuna sampler or pruner sees: an in-memory study made from History, never the database.

Waiting and pruned trials, and promoted ones that run again, are PRUNED at their last step, with their partial mean.
Trials on their first segment are RUNNING. So no trial is frozen at its first value, and a resumed study asks what it
would have asked. Diverged and out-of-memory trials are PRUNED without a report. For a sampler that learns from values
(a Parzen estimator, a Gaussian process) all PRUNED ones are COMPLETE, at values from `hpsearch.policy.imputation`.

The study always maximizes, and its values are scores. So a search and its mirror image, the negated objective in the
other direction, propose and prune exactly the same, whatever a rule does with ties and quantiles.
"""

import copy
import datetime
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.errors import SpaceError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.imputation import imputed
from hpsearch.policy.pruning_steps import reports_at_end
from hpsearch.records import History, Outcome, Trial, TrialState
from hpsearch.space import Categorical, Float, Int, Space

EPOCH = datetime.datetime(2000, 1, 1)
"""The time of every projected trial: a proposal depends on what happened, not on when."""

STUDY_NAME = "hpsearch"

QMC_COUNTER = "qmc:"
"""Prefix of the attributes in which Optuna's QMCSampler counts its points, one per search space."""


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

    Optuna refuses to store a value outside its range. So where an enqueued or default configuration has one, or lies
    off the grid of a step, the range is widened to hold it.
    """
    return {
        name: _holding(distribution(parameter), params[name])
        for name, parameter in space.parameters.items()
        if name in params
    }


def _holding(plain: BaseDistribution, value: Any) -> BaseDistribution:
    if isinstance(plain, FloatDistribution) and plain.step is not None:
        if math.isclose(math.remainder(value - plain.low, plain.step), 0.0, abs_tol=1e-8 * plain.step):
            return plain
        return FloatDistribution(min(plain.low, value), max(plain.high, value))
    if isinstance(plain, IntDistribution) and (value - plain.low) % plain.step:
        return IntDistribution(min(plain.low, value), max(plain.high, value), log=plain.log)
    if isinstance(plain, FloatDistribution) and not plain.low <= value <= plain.high:
        return FloatDistribution(min(plain.low, value), max(plain.high, value), log=plain.log)
    return plain


class StudyAttributes(dict[str, Any]):
    """What samplers and pruners keep in a study, with a quasi-random sampler's counter as it would stand by now.

    Optuna's QMCSampler counts one point per trial, except the first, which it draws at random. So the count follows
    from `trials`, the number of trials before the one that is asked for.
    """

    def __init__(self, trials: int) -> None:
        super().__init__()
        self._last_point = max(trials, 1) - 2

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, self._last_point if key.startswith(QMC_COUNTER) else default)


class ProjectedStorage(BaseStorage):
    """An Optuna storage over a list of trials, made for one question and then forgotten.

    Optuna's own in-memory storage numbers trials itself and copies each one. This one keeps the numbers of History and
    hands out the trials as they are. It writes attributes into a copy, because the next question uses the trial again.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        self._trials = {trial.number: trial for trial in trials}
        self._user_attributes: dict[str, Any] = {}
        self._system_attributes = StudyAttributes(1 + max(self._trials, default=-1))

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return 0

    def delete_study(self, study_id: int) -> None:
        self._trials.clear()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._user_attributes[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._system_attributes[key] = value

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return STUDY_NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MAXIMIZE]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._user_attributes

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._system_attributes

    def get_all_studies(self) -> list[Any]:
        return []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = 1 + max(self._trials, default=-1)
        self._trials[number] = _frozen(number, OptunaState.RUNNING, {}, {}, {})
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self._trials[trial_id]
        trial.distributions = {**trial.distributions, param_name: distribution}
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        self._trials[trial_id].state = state
        self._trials[trial_id].values = None if values is None else list(values)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._trials[trial_id].intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = copy.copy(self._trials[trial_id])
        trial.user_attrs = {**trial.user_attrs, key: value}
        self._trials[trial_id] = trial

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = copy.copy(self._trials[trial_id])
        trial.system_attrs = {**trial.system_attrs, key: value}
        self._trials[trial_id] = trial

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials.values() if states is None or trial.state in states]


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


def has_stood(history: History, trial: Trial) -> bool:
    """Return whether a trial has finished a segment: it has reached a rung or a fold's end, where trials compare.

    Such a trial may be running again because it was promoted. A sampler that counts running trials as bad, as TPE
    does, would avoid the best.
    """
    return any(outcome is Outcome.OK for run in trial.runs for outcome in history.outcomes(run))


class Projection:
    """Makes Optuna studies from History; a trial is projected again only once it has moved on.

    Args:
        steps: Returns what a trial has reported, as (step, measured value) pairs, from (history, trial, objective).
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        steps: Callable[[History, Trial, Objective], Iterable[tuple[int, float]]] = reports_at_end,
    ) -> None:
        self._space = space
        self._objective = objective
        self._reports = steps
        self._finished: dict[int, tuple[Trial, FrozenTrial]] = {}
        self._seen: History | None = None
        self._unfinished: dict[int, FrozenTrial] = {}  # as `_seen` has them

    def study(
        self, history: History, sampler: optuna.samplers.BaseSampler | None = None, *, imputes: bool = False
    ) -> optuna.Study:
        """Return an in-memory Optuna study; with `imputes`, waiting and pruned trials are complete."""
        changed = None if self._seen is None else history.changed_since(self._seen)
        self._seen = history
        for number in list(self._unfinished) if changed is None else changed:
            self._unfinished.pop(number, None)
        trials = [self._known(trial) or self._as_seen(history, trial) for trial in history.trials.values()]
        storage = ProjectedStorage(imputed(trials) if imputes else trials)
        return optuna.Study(study_name=STUDY_NAME, storage=storage, sampler=sampler)

    def _as_seen(self, history: History, trial: Trial) -> FrozenTrial:
        if trial.state.is_finished:
            return self.trial(history, trial)
        if trial.number not in self._unfinished:
            self._unfinished[trial.number] = self._project(history, trial)
        return self._unfinished[trial.number]

    def reporting(self, history: History, trial: Trial) -> FrozenTrial:
        """Return a trial as the pruner that judges it sees it: running, with every step that it has reached.

        A waiting trial looks the same, so that a restart changes no decision.
        """
        return self._shown(trial, OptunaState.RUNNING, self._steps(history, trial))

    def trial(self, history: History, trial: Trial) -> FrozenTrial:
        """Return one trial as a sampler sees it, or a pruner that judges another."""
        known = self._known(trial)
        if known is not None:
            return known
        frozen = self._project(history, trial)
        if trial.state.is_finished:
            self._finished[trial.number] = trial, frozen
        return frozen

    def _known(self, trial: Trial) -> FrozenTrial | None:
        """Return a finished trial as it was projected, if it was; each question looks up a thousand of them."""
        known = self._finished.get(trial.number)
        return known[1] if known is not None and known[0] is trial else None

    def _project(self, history: History, trial: Trial) -> FrozenTrial:
        steps = self._steps(history, trial)
        begun = bool(steps) and (trial.state is TrialState.WAITING or has_stood(history, trial))
        match trial.state:
            case TrialState.COMPLETE if trial.value is not None and math.isfinite(trial.value):
                return self._shown(trial, OptunaState.COMPLETE, steps, self._objective.direction.score(trial.value))
            case TrialState.RUNNING | TrialState.WAITING if not begun:
                return self._shown(trial, OptunaState.RUNNING, steps)  # nothing to judge it by yet
            case TrialState.PRUNED if trial.value is None:
                return self._shown(trial, OptunaState.PRUNED, {})
            case TrialState.PRUNED | TrialState.WAITING | TrialState.RUNNING:
                return self._shown(trial, OptunaState.PRUNED, dict(list(steps.items())[-1:]))
        return self._shown(trial, OptunaState.FAIL, {})

    def _shown(
        self, trial: Trial, state: OptunaState, steps: Mapping[int, float], value: float | None = None
    ) -> FrozenTrial:
        kinds = distributions(self._space, trial.params)
        params = {name: trial.params[name] for name in kinds}
        return _frozen(trial.number, state, params, kinds, steps, value)

    def _steps(self, history: History, trial: Trial) -> dict[int, float]:
        pairs = self._reports(history, trial, self._objective)
        score = self._objective.direction.score
        return {step: score(value) for step, value in pairs if math.isfinite(value)}
