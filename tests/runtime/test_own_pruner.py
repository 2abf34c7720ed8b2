"""A pruner of the user's own in a real study: it prunes, promotes, and a resumed study decides as a straight one."""

from pathlib import Path
from typing import Any

import pytest
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.pruning_steps import reports
from hpsearch.records import History, Trial, TrialState
from hpsearch.study import Study

TRIALS = 12


class BestThird(hp.Pruner):
    """Lets a trial go past its first fold once it is in the best third of those that came there."""

    def __init__(self, least: float = 0.15) -> None:
        self.least = least

    def _first_fold(self, history: History, trial: Trial) -> float | None:
        return dict(reports(history, trial, "f1_macro")).get(4)

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        value = self._first_fold(history, trial)
        return f"{value:.3f} is below {self.least}" if value is not None and value < self.least else None

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        shown = [self._first_fold(history, other) for other in history.trials.values()]
        values = sorted(value for value in shown if value is not None)
        own = self._first_fold(history, trial)
        return 4 if own is None or own < values[-1 - len(values) // 3] else None


def study(folder: Path, **settings: Any) -> Study:
    space = hp.Space(learning_rate=hp.Float(1e-3, 1.0, log=True), batch_size=hp.Categorical([8, 16]), epochs=2)
    return toy_study(folder, {"rows": 60}, space=space, sampler="random", cv=3, pruner=BestThird(), **settings)


def test_it_prunes_and_promotes_and_a_resumed_study_decides_as_a_straight_one(tmp_path: Path) -> None:
    result = study(tmp_path / "straight").run(trials=TRIALS, devices="inline", progress=False)
    states = [trial.state for trial in result.history.trials.values()]
    assert {TrialState.COMPLETE, TrialState.PRUNED} == set(states)
    reasons = {str(trial.reason) for trial in result.history.finished(TrialState.PRUNED)}
    assert "not promoted after step 4" in reasons

    def stop(running: Study, trial: Trial) -> None:
        if trial.number in (2, 5, 8):
            running.stop()

    for _ in range(4):  # each time in a new object, as in a new process
        study(tmp_path / "resumed", callbacks=[stop]).run(trials=TRIALS, devices="inline", progress=False)
    assert known_of(tmp_path / "resumed") == known_of(tmp_path / "straight")


def test_a_study_found_by_its_name_can_be_read_and_goes_on_with_the_pruner_given_again(tmp_path: Path) -> None:
    study(tmp_path).run(trials=2, devices="inline", progress=False)
    loaded = hp.load("toy", folder=tmp_path)
    assert len(loaded.result.history.trials) == 2  # reading needs no pruner
    with pytest.raises(UsageError, match=r"was an object, <BestThird>.*hp\.load\(\.\.\., pruner=\.\.\.\)"):
        loaded.run(trials=3, devices="inline", progress=False)
    again = hp.load("toy", folder=tmp_path, pruner=BestThird())
    assert len(again.run(trials=3, devices="inline", progress=False).history.trials) == 3
