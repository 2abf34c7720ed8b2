"""What a service is told of a trial is what the study knows of it, under an id that a resume does not change."""

import dataclasses
import math
from pathlib import Path

import pytest
from callback_studies import records, run, study

from hpsearch.callbacks.trial_record import trial_record
from hpsearch.metrics.direction import Direction
from hpsearch.records import TrialState


def test_a_record_says_what_the_study_knows(tmp_path: Path) -> None:
    made = run(study(tmp_path))
    result = made.result
    for number, record in records(made).items():
        summary = result.summary(number)
        assert (record.value, record.folds, record.interval) == (summary.value, summary.folds, summary.interval)
        assert record.interval is not None
        assert record.config == summary.config
        assert record.state is TrialState.COMPLETE
        assert record.name == f"toy-{number}"
        assert [point.epoch for point in record.curves] == [0.6, 1.0, 1.6, 2.0]
        last = record.curves[-1].values
        names = {name.partition("/")[0] for name in last}
        assert names == {"f1_macro", "accuracy", "loss", "train_loss", "learning_rate"}
        folds = [last[f"f1_macro/fold_{fold}"] for fold in range(3)]
        assert last["f1_macro/mean"] == pytest.approx(math.fsum(folds) / 3)


def test_the_id_is_the_same_in_every_process_and_another_for_every_trial(tmp_path: Path) -> None:
    once, again = run(study(tmp_path / "once")), run(study(tmp_path / "again"))
    other = run(study(tmp_path / "other", seed=4))
    found = [{number: record.id for number, record in records(each).items()} for each in (once, again, other)]
    assert found[0] == found[1]
    assert len({*found[0].values(), *found[2].values()}) == 4


def test_of_a_trial_whose_folds_got_unlike_far_no_mean_is_made_up(tmp_path: Path) -> None:
    made = study(tmp_path)
    run(made, 1)
    history = made.store().history
    trial = history.trials[0]
    cut = history.evaluations.copy()
    cut[trial.runs[1].key] = cut[trial.runs[1].key][:2]
    cut[trial.runs[2].key] = ()
    record = trial_record(made, dataclasses.replace(history, evaluations=cut), trial)
    assert ["loss/mean" in point.values for point in record.curves] == [True, True, False, False]
    assert ["loss/fold_1" in point.values for point in record.curves] == [True, True, False, False]
    assert not any("loss/fold_2" in point.values for point in record.curves)


def test_a_record_says_which_way_its_value_is_better(tmp_path: Path) -> None:
    made = run(study(tmp_path), 1)
    history = made.store().history
    image = dataclasses.replace(history, direction=Direction.MINIMIZE)
    directions = [trial_record(made, each, each.trials[0]).direction for each in (history, image)]
    assert directions == [Direction.MAXIMIZE, Direction.MINIMIZE]
