"""Studies of a plain Trainer, from beginning to end: raced, paused, refused and exported."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import trainer_samples as samples

import hpsearch as hp
from hpsearch.errors import StudyFailedError, TaskError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOOPS_MARKS", str(tmp_path / "marks"))


def study(folder: Path, task: Any, **settings: Any) -> hp.Study:
    given = {"space": samples.SPACE, "sampler": "random", "metric": "eval_accuracy", **settings}
    return hp.Study("trainer", task, folder=folder, **given)


@pytest.mark.long
def test_a_trainer_is_raced_paused_and_exported(tmp_path: Path) -> None:
    """A run that is paused within an epoch goes on with its schedule, and ends as it would have."""
    straight = study(tmp_path / "straight", samples.task(), checkpoint_every=0.0).run(
        trials=2, devices="inline", progress=False
    )
    table = straight.table()
    assert "accuracy" in table and "loss" in table and not {"runtime", "eval_accuracy"} & set(table)
    points = straight.history.of(straight.history.trials[0].runs[0].key)
    assert [evaluation.epoch for evaluation in points] == [1.0, 2.0, 3.0, 4.0]

    made = study(tmp_path / "paused", samples.task(), checkpoint_every=0.0)
    made.callbacks = (lambda stopped, trial: stopped.stop(),)
    made.run(trials=1, devices="inline", progress=False)
    made.callbacks = ()
    result = made.run(trials=2, devices="inline", progress=False)
    pd.testing.assert_frame_equal(result.table().drop(columns="seconds"), table.drop(columns="seconds"))
    assert "start True" in (tmp_path / "marks").read_text(), "no run went on from a checkpoint"
    assert not list((tmp_path / "paused").glob("trainer/checkpoints/*/training_args.bin"))

    folder = straight.export(tmp_path / "model")
    from transformers import AutoModelForSequenceClassification

    assert AutoModelForSequenceClassification.from_pretrained(folder).num_labels == 2
    assert not (folder / "training_args.bin").exists()


@pytest.mark.extended
def test_what_fights_a_study_is_overridden_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        made = study(tmp_path, samples.task(samples.make_fighting_trainer))
        result = made.run(trials=1, devices="inline", progress=False)
    for words in ("load_best_model_at_end=True", "save_total_limit=1", "seed=7", "data_seed=3", "Patience"):
        assert f"{words} of the trainer is not used" in caplog.text
    assert len(result.history.of(result.history.trials[0].runs[0].key)) == 4


def make_with_captured_model() -> Any:
    model = samples.tiny_model()

    def make_trainer(config: Any, train_rows: Any, validation_rows: Any, run: Any) -> Any:
        trainer = samples.make_trainer(config, train_rows, validation_rows, run)
        trainer.model = samples.wrapped(model)
        return trainer

    return make_trainer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_with_captured_model, "made before it was called: each run would begin with what that model has learned"),
        pytest.param(lambda: samples.make_lookalike, "is no trainer: it has no args", marks=pytest.mark.extended),
        pytest.param(
            lambda: samples.make_blind_trainer,
            "has no eval_dataset, so it cannot be compared",
            marks=pytest.mark.extended,
        ),
    ],
)
def test_what_is_no_trainer_of_the_runs_own_is_refused(tmp_path: Path, make: Any, message: str) -> None:
    made = study(tmp_path, samples.task(make()), space=hp.Space(learning_rate=1e-3, epochs=hp.Int(1, 3), batch_size=16))
    result = made.run(trials=1, devices="inline", progress=False)
    assert message in str(result.history.trials[0].reason) or message in "".join(
        log.read_text() for log in (tmp_path / "trainer" / "logs").glob("*.log")
    )


def test_rows_are_checked_before_anything_runs(tmp_path: Path) -> None:
    cases = [
        ({"train": "train.csv"}, "train= is a str: give a DataFrame"),
        ({"train": []}, "train= is a list without rows"),
        ({"train": None}, "validation= is given without train="),
        ({"train": [object()]}, "holds a object, whose content cannot be compared"),
    ]
    for given, message in cases:
        with pytest.raises(TaskError, match=message):
            study(tmp_path, samples.task(**given)).run(trials=1, devices="inline", progress=False)
    with pytest.raises(StudyFailedError, match="makes 3 steps, and the study evaluates each run 9 times"):
        study(
            tmp_path, samples.task(), space=hp.Space(learning_rate=1e-3, epochs=1, batch_size=hp.Categorical([16])),
            evaluations_per_epoch=9,
        ).run(trials=3, devices="inline", progress=False)  # fmt: skip
