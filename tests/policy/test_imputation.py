import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from sampled_histories import asked, grown, told
from samples import F1

import hpsearch as hp
from hpsearch.policy.imputation import imputed, imputed_values
from hpsearch.policy.optuna_sampler import OptunaSampler
from hpsearch.policy.projection import EPOCH, Projection
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import History

SPACE = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True), weight_decay=hp.Float(0.0, 0.3))


def frozen(number: int, state: OptunaState, steps: dict[int, float], value: float | None = None):
    return optuna.trial.FrozenTrial(
        number, state, value, EPOCH, EPOCH if state.is_finished() else None, {}, {}, {}, {}, steps, number
    )


def complete(number: int, steps: dict[int, float], value: float):
    return frozen(number, OptunaState.COMPLETE, steps, value)


def pruned(number: int, steps: dict[int, float]):
    return frozen(number, OptunaState.PRUNED, steps)


THREE = [
    complete(0, {1: 0.2, 2: 0.4, 4: 0.8}, 0.8),
    complete(1, {1: 0.3, 2: 0.4, 4: 0.6}, 0.6),
    complete(2, {1: 0.1, 2: 0.5, 4: 0.7}, 0.7),
]


def test_a_pruned_trial_gains_what_complete_ones_gained_from_its_step_on_in_the_median():
    values = imputed_values([*THREE, pruned(3, {1: 0.1}), pruned(4, {2: 0.3})])
    assert values == pytest.approx({0: 0.8, 1: 0.6, 2: 0.7, 3: 0.7, 4: 0.5})  # gains 0.6, 0.3, 0.6 and 0.4, 0.2, 0.2


def test_no_extrapolation_passes_the_best_that_was_measured():
    assert imputed_values([*THREE, pruned(3, {1: 0.7})])[3] == 0.8


def test_a_step_that_a_complete_trial_jumped_over_counts_from_the_one_before():
    values = imputed_values([complete(0, {1: 0.2, 4: 0.8}, 0.8), pruned(1, {2: 0.1})])
    assert values[1] == pytest.approx(0.7)
    values = imputed_values([complete(0, {4: 0.8}, 0.8), pruned(1, {2: 0.1})])
    assert values[1] == 0.1  # of a gain nothing is known


def test_a_trial_that_diverged_has_the_worst_value_of_all():
    values = imputed_values([*THREE, pruned(3, {1: 0.0}), pruned(4, {})])
    assert values[4] == min(values.values()) == values[3] == pytest.approx(0.6)


def test_without_a_complete_trial_the_partial_values_are_all_there_is():
    assert imputed_values([pruned(0, {1: 0.3}), pruned(1, {})]) == {0: 0.3, 1: 0.3}
    assert imputed_values([pruned(1, {})]) == {}


def test_trials_in_flight_and_failed_ones_have_no_value():
    others = [frozen(3, OptunaState.RUNNING, {1: 0.9}), frozen(4, OptunaState.FAIL, {})]
    assert set(imputed_values([*THREE, *others])) == {0, 1, 2}
    assert imputed([*THREE, *others]) == [*THREE, *others]


def test_what_is_shown_is_complete_and_what_was_given_is_left_as_it_was():
    given = [*THREE, pruned(3, {2: 0.3})]
    shown = imputed(given)
    assert (shown[3].state, shown[3].value) == (OptunaState.COMPLETE, pytest.approx(0.5))
    assert (given[3].state, given[3].value) == (OptunaState.PRUNED, None)
    assert all(one is other for one, other in zip(shown[:3], THREE, strict=True))


def test_the_projection_shows_waiting_trials_too_and_one_that_has_shown_nothing_as_in_flight():
    history = grown(resolve_sampler("random", SPACE, F1, 0), SPACE, 10)  # one of each in `STATES`
    states = [trial.state.name for trial in Projection(SPACE, F1).study(history, imputes=True).trials]
    assert states == ["COMPLETE"] * 7 + ["FAIL", "COMPLETE", "RUNNING"]
    states = [trial.state.name for trial in Projection(SPACE, F1).study(history).trials]
    assert states == ["COMPLETE", "PRUNED"] * 3 + ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]


def test_a_gaussian_process_keeps_away_from_where_trials_diverge():
    """Above a learning rate of 1e-3 every trial diverges; plain Optuna's sampler would not hear of it."""
    space = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True))
    history = History()
    for number in range(16):
        rate = 1e-5 * 1000 ** (number / 15)
        history = told(
            asked(history, space, {"learning_rate": rate}), space, number, "diverged" if rate > 1e-3 else "complete"
        )
    proposals = [resolve_sampler("gp", space, F1, seed).propose(history)["learning_rate"] for seed in range(2)]
    assert max(proposals) < 1.5e-3


class Looking(optuna.samplers.TPESampler):
    """Keeps what it is shown."""

    def infer_relative_search_space(self, study, trial):
        self.shown = [(each.state.name, each.value) for each in study.get_trials(deepcopy=False) if each != trial]
        return super().infer_relative_search_space(study, trial)


def test_a_parzen_estimator_is_told_of_waiting_trials_at_their_imputed_values():
    """Optuna's own rule puts every pruned trial behind every complete one, however good it looks."""
    history = grown(resolve_sampler("random", SPACE, F1, 0), SPACE, 30)
    own = Looking()
    resolve_sampler(own, SPACE, F1, 0).propose(history)
    expected = [
        (trial.state.name, trial.value if trial.state is OptunaState.COMPLETE else None)
        for trial in Projection(SPACE, F1).study(history, imputes=True).trials
    ]
    assert [(state, value if state == "COMPLETE" else None) for state, value in own.shown] == expected
    assert sum(state == "COMPLETE" for state, _ in own.shown) == 24


def test_bayesian_is_the_parzen_estimator_that_is_told_of_them():
    def with_imputation(imputes):
        return OptunaSampler(SPACE, F1, 0, lambda ask: optuna.samplers.TPESampler(seed=ask), imputes=imputes)

    history = grown(resolve_sampler("random", SPACE, F1, 0), SPACE, 40, states=(*["waiting"] * 7, "complete"))
    proposed = resolve_sampler("bayesian", SPACE, F1, 0).propose(history)
    assert proposed == with_imputation(True).propose(history)
    assert proposed != with_imputation(False).propose(history)
