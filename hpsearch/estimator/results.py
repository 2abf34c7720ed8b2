"""A study's trials under the names of scikit-learn's `cv_results_`, and its objective as a scorer of scikit-learn's."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import UsageError
from hpsearch.metrics.metric import Metric
from hpsearch.tasks.answer_judge import AnswerJudge

if TYPE_CHECKING:
    from hpsearch.records import Trial
    from hpsearch.result.result import Result


def cv_results(result: "Result") -> dict[str, Any]:
    """Return column to array, one row per trial, in the order proposed.

    Columns are those of `GridSearchCV`: "params", "param_<name>" (masked where a configuration does not have it),
    "split<i>_test_score", "mean_test_score", "std_test_score", "rank_test_score", "mean_fit_time", "std_fit_time", and
    "mean_test_<name>" for every further metric. Beside them: "trial", "state" and "epoch". Scores are those at the
    evaluation point that the trial's value is read at; as always in scikit-learn greater is better, so what is to be
    minimised is negative. A trial that was pruned or failed has no mean and the last rank:
    its folds are not all there. Times hold training and evaluation of a fold that was begun, in seconds.
    """
    score = result.plan.objective.direction.score
    summaries = [result.summary(number) for number in result.history.trials]
    trials = list(result.history.trials.values())
    complete = np.array([summary.state.value == "complete" for summary in summaries])
    runs = max((summary.runs for summary in summaries), default=0)
    splits = np.full((len(summaries), runs), np.nan)
    for row, summary in enumerate(summaries):
        splits[row, : len(summary.folds)] = [score(value) for value in summary.folds]
    values = [summary.value if done else None for summary, done in zip(summaries, complete, strict=True)]
    means = np.array([np.nan if value is None else score(value) for value in values])
    columns: dict[str, Any] = {
        "trial": np.array([summary.number for summary in summaries]),
        "state": np.array([summary.state.value for summary in summaries]),
        "params": [dict(trial.params) for trial in trials],
    }
    for name in result.plan.space.parameters:
        absent = [name not in trial.params for trial in trials]
        column = np.array([trial.params.get(name) for trial in trials], dtype=object)
        columns[f"param_{name}"] = np.ma.MaskedArray(column, mask=absent)
    columns.update({f"split{index}_test_score": splits[:, index] for index in range(runs)})
    columns["mean_test_score"] = means
    deviations = np.array([np.std(summary.folds) if summary.folds else np.nan for summary in summaries])
    columns["std_test_score"] = np.where(complete, deviations, np.nan)
    columns["rank_test_score"] = _ranks(means)
    times = [_seconds(result, trial) for trial in trials]
    columns["mean_fit_time"] = np.array([np.mean(seconds) for seconds in times])
    columns["std_fit_time"] = np.array([np.std(seconds) for seconds in times])
    columns["epoch"] = np.array([np.nan if summary.epoch is None else summary.epoch for summary in summaries])
    for metric in result.plan.measured[1:]:
        measured = [metric.direction.score(summary.metrics.get(metric.name, np.nan)) for summary in summaries]
        columns[f"mean_test_{metric.name}"] = np.where(complete, measured, np.nan)
    return columns


def _seconds(result: "Result", trial: "Trial") -> list[float]:
    """Return the seconds of each run of a trial that was begun, or one 0 where none was."""
    begun = [result.history.of(run.key) for run in trial.runs]
    return [math.fsum(evaluation.seconds for evaluation in evaluations) for evaluations in begun if evaluations] or [
        0.0
    ]


def _ranks(means: np.ndarray) -> np.ndarray:
    """Return ranks from 1, ties sharing the lowest; what has no mean shares the last."""
    filled = np.where(np.isnan(means), -np.inf, means)
    return np.array([1 + int((filled > value).sum()) for value in filled], dtype=np.int32)


@dataclass(frozen=True)
class Scorer:
    """The objective of a study, called as scikit-learn calls a scorer: `scorer(estimator, X, y)`, greater is better.

    Attributes:
        metric: The objective.
        judge: What becomes of targets and predictions.
    """

    metric: Metric
    judge: AnswerJudge

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:  # noqa: N803  (scikit-learn's name)
        """Return the score of a fitted estimator.

        Raises:
            UsageError: y has another length than X.
            DataError: y has targets unlike those of the training rows, such as a label that they lack.
        """
        predictions = self.judge.predicted_by(estimator, X)
        if len(y) != len(predictions):
            raise UsageError(f"X has {len(predictions)} rows and y has {len(y)}: give one target per row.")
        return self.metric.direction.score(self.metric(self.judge.encode(y, "given"), predictions))
