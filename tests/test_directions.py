"""Studies that minimize: each is the mirror image of one that maximizes, and shows its values as they were measured."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas
import pytest
from sklearn.metrics import make_scorer, roc_auc_score
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import MetricError, StoreError, StudyChangedError, UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records.types import LOSS, TrialState
from hpsearch.study import Study

Metric = Callable[[Any, Any], float]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def agreement(y_true: Any, y_pred: Any) -> float:
    """Return a score of the user's own: right rows count one, those of the last class count twice."""
    truth = np.asarray(y_true)
    return float(np.mean((truth == np.asarray(y_pred)) * np.where(truth == sorted(truth)[-1], 2.0, 1.0)))


def disagreement(y_true: Any, y_pred: Any) -> float:
    """Return its negative."""
    return -agreement(y_true, y_pred)


SETTINGS: dict[str, Any] = {
    "space": hp.Space(learning_rate=hp.Float(1e-3, 1.0, log=True), batch_size=hp.Categorical([8, 16]), epochs=2),
    "sampler": "bayesian",
    "pruner": hp.Racing(forgiving=True),
    "early_stopping": EarlyStopping(1.0, "objective"),
    "cv": 3,
    "metrics": ["accuracy", "neg_log_loss"],
}


def made(folder: Path, metric: Metric, direction: str | None = None, **settings: Any) -> Study:
    return toy_study(folder, {"rows": 60}, metric=metric, direction=direction, **{**SETTINGS, **settings})


def run(study: Study, trials: int = 16) -> hp.Result:
    return study.run(trials=trials, devices="inline", progress=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[hp.Result, hp.Result]:
    """A study and its mirror image."""
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        return run(made(folder / "up", agreement)), run(made(folder / "down", disagreement, "minimize"))


def unsigned(reason: Any) -> str:
    return re.sub(r"-(?=[0-9])", "", str(reason))


def test_the_mirror_image_of_a_study_comes_to_the_same_table(pair: tuple[hp.Result, hp.Result]) -> None:
    up, down = (result.table() for result in pair)
    assert list(up["value"]) == list(-down["value"])  # to the last bit
    assert list(up["interval_low"].dropna()) == list(-down["interval_high"].dropna())
    measured = ["value", "interval_low", "interval_high", "agreement", "disagreement", "reason", "seconds"]
    same = [frame.drop(columns=measured, errors="ignore") for frame in (up, down)]
    pandas.testing.assert_frame_equal(*same, check_exact=True)
    assert list(map(unsigned, up["reason"])) == list(map(unsigned, down["reason"]))
    assert {"complete", "pruned"} == set(down["state"])
    assert pair[0].best.number == pair[1].best.number
    assert pair[1].best.value == down["value"][down["state"] == "complete"].min() == -pair[0].best.value


UPSIDE_DOWN = make_scorer(roc_auc_score, greater_is_better=False, response_method="predict_proba", multi_class="ovr")


@pytest.mark.parametrize(
    ("score", "error", "said"),
    [("neg_log_loss", "log_loss", None), ("roc_auc_ovr", UPSIDE_DOWN, "minimize")],
    ids=["log_loss", "roc_auc"],
)
def test_the_direction_follows_from_the_metric_and_the_winner_is_the_same(
    score: str, error: Any, said: str | None, tmp_path: Path
) -> None:
    up, down = run(made(tmp_path / "up", score), 10), run(made(tmp_path / "down", error, said), 10)
    assert (up.history.direction, down.history.direction) == (Direction.MAXIMIZE, Direction.MINIMIZE)
    assert down.best.number == up.best.number
    assert down.best.config == up.best.config
    for one, other in zip(up.history.trials.values(), down.history.trials.values(), strict=True):
        assert (one.state, one.config, one.point, one.stop) == (other.state, other.config, other.point, other.stop)
        assert one.value == (None if other.value is None else -other.value)
    assert down.best.interval is None or down.best.interval == tuple(-end for end in reversed(up.best.interval or ()))


def test_optuna_minimizes_values_as_they_were_measured(pair: tuple[hp.Result, hp.Result]) -> None:
    ups, downs = (result.study.optuna for result in pair)
    assert ups.direction is optuna.study.StudyDirection.MAXIMIZE
    assert downs.direction is optuna.study.StudyDirection.MINIMIZE
    assert downs.best_value == pair[1].best.value < 0
    assert downs.best_trial.number == pair[1].best.number
    for one, other in zip(ups.trials, downs.trials, strict=True):
        assert one.state is other.state
        assert one.params == other.params
        assert one.intermediate_values == {step: -value for step, value in other.intermediate_values.items()}
        assert one.value == (None if other.value is None else -other.value)


def test_evidence_and_report_judge_by_the_direction(pair: tuple[hp.Result, hp.Result], tmp_path: Path) -> None:
    up, down = (result.content(with_test=False) for result in pair)
    assert up.evidence is not None
    assert down.evidence is not None
    assert down.evidence.verdict == up.evidence.verdict
    assert down.evidence.difference == -up.evidence.difference
    assert down.evidence.p_value == up.evidence.p_value
    assert [scores.won for scores in down.pairs] == [scores.won for scores in up.pairs]
    assert [scores.metric for scores in down.pairs] == ["disagreement", "accuracy", "neg_log_loss", "loss"]
    assert down.direction(LOSS) is Direction.MINIMIZE
    assert down.direction("accuracy") is Direction.MAXIMIZE
    assert down.importance == up.importance
    assert down.leading(5) == up.leading(5)
    page = pair[1].report(tmp_path / "down.html").read_text(encoding="utf-8")
    assert "Best disagreement (lower is better)" in page
    assert "The best complete value falls from" in page
    page = pair[0].report(tmp_path / "up.html").read_text(encoding="utf-8")
    assert "Best agreement</h2>" in page
    assert "The best complete value rises from" in page


def test_a_study_is_continued_and_loaded_with_its_direction(tmp_path: Path) -> None:
    run(made(tmp_path, disagreement, "minimize"), 3)
    loaded = hp.load("toy", folder=tmp_path)
    assert loaded.objective.direction is Direction.MINIMIZE
    assert loaded.result.history.direction is Direction.MINIMIZE
    assert len(run(loaded, 4).history.trials) == 4
    complete = loaded.result.history.finished(TrialState.COMPLETE)
    assert loaded.result.best.value == min(trial.value for trial in complete if trial.value is not None)


def predicted_share(y_true: Any, y_pred: Any) -> float:
    """Return how often the last class is predicted, of which neither more nor less is right."""
    return float(np.mean(np.asarray(y_pred) == sorted(np.asarray(y_true))[-1]))


def test_another_direction_under_the_name_is_an_error_that_names_it(tmp_path: Path) -> None:
    run(made(tmp_path, predicted_share, "maximize"), 1)
    with pytest.raises(
        StudyChangedError, match="the direction of the objective, which was 'maximize' and is 'minimize'"
    ):
        _ = made(tmp_path, predicted_share, "minimize").result
    assert made(tmp_path, predicted_share).result.history.direction is Direction.MAXIMIZE  # it is only read
    with pytest.raises(MetricError, match='Say it: direction="maximize" or direction="minimize"'):
        run(made(tmp_path, predicted_share), 2)


def test_a_direction_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="direction='min' is unknown: give 'minimize', 'maximize', or None"):
        made(tmp_path, agreement, "min")


def test_an_optuna_study_of_the_other_direction_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    optuna.create_study(study_name="toy", storage=url, direction="maximize")._storage.remove_session()
    with pytest.raises(StoreError, match=r"'toy' exists that does not minimize one value \(its directions: .*MAXIMIZE"):
        run(made(tmp_path, disagreement, "minimize", storage=url), 1)


def test_studies_of_two_directions_are_not_compared(pair: tuple[hp.Result, hp.Result], tmp_path: Path) -> None:
    other = run(made(tmp_path, disagreement, "minimize", seed=5), 4)
    comparison = hp.compare([pair[1], other], against="best")
    assert comparison.reference == min(comparison.results, key=lambda name: comparison.results[name].best.value)
    with pytest.raises(UsageError, match="studies of one objective"):
        hp.compare(pair, against="best")
