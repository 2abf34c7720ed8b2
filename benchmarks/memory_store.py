"""A store that keeps nothing: for tuning, where thousands of replays are made and none is read again.

It says what the real one says, call for call; a test holds replays on both to the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.records import Action, Decision, Evaluation, History, Origin, Run, SegmentResult, Trial, TrialState
from hpsearch.records.optuna_rows import RunRow


class MemoryStore:
    """The part of `hpsearch.records.store.Store` that a coordinator and its asker use."""

    held = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.history = History()

    def renew(self) -> None:
        """Nothing: there is nobody else."""

    def queued(self) -> list[dict[str, Any]]:
        return []

    def add_trial(
        self,
        config: Mapping[str, Any],
        params: Mapping[str, Any],
        distributions: Mapping[str, Any],
        training_config: Mapping[str, Any],
        runs: Sequence[RunRow],
        origin: Origin,
    ) -> Trial:
        made = tuple(Run(key, training_config, *more) for key, *more in runs)
        trial = Trial(len(self.history.trials), config, params, TrialState.RUNNING, origin, made)
        self.history = self.history.with_trial(trial)
        return trial

    def set_state(self, trial: int, state: TrialState) -> History:
        self.history = self.history.with_trial(replace(self.history.trials[trial], state=state))
        return self.history

    def predictions(self, run: str, point: int) -> None:
        """Nothing: none are kept."""

    def record_evaluation(self, evaluation: Evaluation, predictions: np.ndarray | None = None) -> History:
        self.history = self.history.with_evaluation(evaluation)
        return self.history

    def record_result(self, result: SegmentResult) -> History:
        self.history = self.history.with_result(result)
        return self.history

    def apply(self, decision: Decision) -> History:
        carries = decision.reports or decision.attributes or decision.stop is not None
        if decision.action is not Action.CONTINUE or carries:
            self.history = self.history.with_decision(decision)
        return self.history
