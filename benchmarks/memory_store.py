"""A store that keeps nothing: for tuning, where thousands of replays are made and none is read again.

It says what the real one says, call for call; a test holds replays on both to the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.records import Action, Decision, Evaluation, History, Origin, Run, SegmentResult, Trial, TrialState
from hpsearch.records.histories import Histories
from hpsearch.records.history import decided
from hpsearch.records.optuna_rows import RunRow


class MemoryStore(Histories):
    """The part of `hpsearch.records.store.Store` that a coordinator and its asker use."""

    held = True

    def __init__(self, name: str) -> None:
        super().__init__(History())
        self.name = name

    def renew(self) -> None:
        """Nothing: there is nobody else."""

    def flush(self) -> None:
        """Nothing: nothing is kept."""

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
        self.with_trial(trial)
        return trial

    def set_state(self, trial: int, state: TrialState) -> History:
        self.with_trial(replace(self.history.trials[trial], state=state))
        return self.history

    def predictions(self, run: str, point: int) -> None:
        """Nothing: none are kept."""

    def record_evaluation(self, evaluation: Evaluation, predictions: np.ndarray | None = None) -> History:
        self.with_evaluation(evaluation)
        return self.history

    def record_result(self, result: SegmentResult) -> History:
        self.with_result(result)
        return self.history

    def apply(self, decision: Decision) -> History:
        carries = decision.reports or decision.attributes or decision.stop is not None
        if decision.action is not Action.CONTINUE or carries:
            self.with_trial(decided(self.history.trials[decision.trial], decision))
        return self.history
