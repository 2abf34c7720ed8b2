"""With every sampler, a study that was stopped and resumed is the study that was never stopped."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.policy.samplers import Sampler, resolve_sampler
from hpsearch.records import History, TrialState
from hpsearch.study import Study

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = hp.Space(
    learning_rate=hp.Float(1e-3, 1.0, log=True),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 2),
    weight_decay=hp.Float(1e-3, 0.3, log=True),
    warmup_ratio=0.1,
)
TRIALS = 13
"""Of the first ten or so, a Gaussian process learns."""

SAMPLERS: Mapping[str, Callable[[], Any]] = {
    **{name: (lambda name=name: name) for name in ("random", "bayesian", "gp", "qmc")},
    "grid": lambda: hp.Grid(points=3),
    "TPE object": lambda: optuna.samplers.TPESampler(n_startup_trials=3, multivariate=True),
    "QMC object": lambda: optuna.samplers.QMCSampler(seed=1, scramble=True),
}
BLIND = ("random", "grid", "qmc")
"""They do not look at results, so that it does not matter which worker is faster."""


def study(folder: Path, name: str, **settings: Any) -> Study:
    chosen = {"space": SPACE, "sampler": SAMPLERS[name](), "cv": 2, "pruner": "median", **settings}
    return toy_study(folder, {"rows": 18}, **chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_resumed_study_is_the_one_that_was_never_stopped(name: str, tmp_path: Path) -> None:
    study(tmp_path / "straight", name).run(trials=TRIALS, devices="inline", progress=False)

    def stop(running: Study, trial: Any) -> None:
        if trial.number in (4, 10):
            running.stop()

    for _ in range(3):  # each time in a new object, as in a new process
        study(tmp_path / "resumed", name, callbacks=[stop]).run(trials=TRIALS, devices="inline", progress=False)
    straight, resumed = known_of(tmp_path / "straight"), known_of(tmp_path / "resumed")
    assert len(straight["trials"]) == TRIALS
    assert resumed == straight


@pytest.mark.extended
def test_two_workers_try_what_one_would_with_samplers_that_do_not_look_at_results(tmp_path: Path) -> None:
    for name in BLIND:
        study(tmp_path / name, name, pruner="none").run(trials=5, devices="inline", progress=False)
        study(tmp_path / f"{name} of two", name, pruner="none").run(trials=5, devices=2, progress=False)
        one, two = known_of(tmp_path / name), known_of(tmp_path / f"{name} of two")
        assert one == two


class Recording:
    """A sampler that keeps what it was asked and what it said."""

    def __init__(self, sampler: Sampler) -> None:
        self.is_finite = sampler.is_finite
        self.answers: list[tuple[History, Any]] = []
        self._sampler = sampler

    def propose(self, history: History) -> Any:
        params = self._sampler.propose(history)
        self.answers.append((history, params))
        return params


@pytest.mark.extended
@pytest.mark.parametrize("name", ["bayesian", "gp"])
def test_two_workers_try_what_a_new_sampler_would_propose_of_what_was_known_then(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Recording] = []

    def recording(*arguments: Any) -> Recording:
        made.append(Recording(resolve_sampler(*arguments)))
        return made[-1]

    monkeypatch.setattr("hpsearch.policy.samplers.resolve_sampler", recording)
    running = study(tmp_path, name)
    running.run(trials=TRIALS, devices=2, progress=False)
    answers = made[-1].answers  # the first was made only to see whether there is such a sampler
    assert len(answers) == TRIALS - 1  # the first is the literature default
    for history, params in answers:
        assert resolve_sampler(name, SPACE, running.plan.aim, running.seed).propose(history) == params
    assert any(trial.state is TrialState.RUNNING for history, _ in answers for trial in history.trials.values())
