"""Studies whose workers share the outputs of frozen layers: the same numbers as without."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks_samples import review_rows, save_text_model
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.plan.paths import cache_folder
from hpsearch.records import TrialState
from hpsearch.runtime.refit import refit
from hpsearch.runtime.study_run import workload_of
from hpsearch.training.features.store import CHECKSUM_BYTES, DONE, NEW, VALUES, FeatureEntry, FeatureStore
from hpsearch.training.fine_tune import FineTune

SPACE = hp.Space(freeze_layers=hp.Categorical([1, "all"]), batch_size=8, learning_rate=3e-3, epochs=2, warmup_ratio=0.1)


def study(folder: Path, model: Path, space: hp.Space = SPACE, **settings: Any) -> hp.Study:
    task = {"kind": "text", "model": str(model), "train": review_rows(40), "text": "text", "label": "label"}
    return toy_study(folder, task, space=space, cv=2, **settings)


def test_a_study_that_shares_features_equals_one_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trials in two folds; two workers fill the same entries at once."""
    model = save_text_model(tmp_path / "model")
    result = study(tmp_path / "cached", model).run(devices=2, progress=False)
    folder = cache_folder() / "features"
    entries = FeatureStore(folder, 0).entries()
    assert len(entries) == 2
    for digest in entries:
        assert states_of(folder / digest, 1) == [DONE]
    monkeypatch.setattr(FeatureStore, "entry", lambda *_: pytest.fail("a study without a cache reads no other's"))
    plain = study(tmp_path / "plain", model, feature_cache_bytes=0).run(devices="inline", progress=False)
    for part in ("evaluations", "predictions"):
        assert known_of(tmp_path / "plain")[part] == known_of(tmp_path / "cached")[part]
    monkeypatch.undo()
    refits = [
        refit(workload_of(each.plan, each.record.numerics()), each.plan.complete(result.best.config), 2)
        for each in (result, plain)
    ]
    states = [each.model.state_dict() for each in refits]
    assert refits[0].train_loss == refits[1].train_loss
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert "forward" not in {name for module in refits[0].model.modules() for name in vars(module)}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(content)


def test_flipped_bits_in_rows_or_features_change_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In another study of the same rows, which finds them and the features in the cache."""
    model = save_text_model(tmp_path / "model")
    study(tmp_path / "first", model).run(devices="inline", progress=False)
    rows = [path for path in cache_folder().rglob("*.npy") if path.stat().st_size > 128 and "features" not in str(path)]
    features = list(cache_folder().rglob(VALUES))
    assert len(rows) >= 3
    assert len(features) == 2
    for path in rows:
        flip(path, 128)  # the first value, behind the header
    for path in features:
        flip(path, path.stat().st_size // 3)
    study(tmp_path / "second", model).run(devices="inline", progress=False)
    for part in ("evaluations", "predictions"):
        assert known_of(tmp_path / "second")[part] == known_of(tmp_path / "first")[part]
    assert "the prepared dataset in" in caplog.text
    assert "is damaged" in caplog.text
    assert "parts of the kept outputs of frozen layers" in caplog.text


@pytest.mark.parametrize("trained", [False, True], ids=["new", "from a checkpoint"])
def test_a_pause_while_features_are_computed_keeps_those_that_are(trained: bool, tmp_path: Path) -> None:
    """In a run's first segment, or in one that goes on from a checkpoint after the features were lost."""
    model, rows = save_text_model(tmp_path / "model"), review_rows(300)
    space = hp.Space(freeze_layers=1, batch_size=8, learning_rate=3e-3, epochs=2, default={"epochs": 2})

    def started(name: str) -> hp.Study:
        task = {"kind": "text", "model": str(model), "train": rows, "text": "text", "label": "label"}
        return toy_study(tmp_path / name, task, space=space, cv=2, sampler="random")

    def run(study: hp.Study) -> hp.Result:
        return study.run(trials=1, devices="inline", progress=False)

    run(started("straight"))
    folder = cache_folder() / "features"
    study = started("paused")
    if trained:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(FineTune, "_measure", stopping(study, FineTune._measure))
            run(study)
        assert list((study.folder / "checkpoints").iterdir())
    before = {path: path.read_bytes() for path in (study.folder / "checkpoints").rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    study = started("paused")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FeatureEntry, "write", stopping(study, FeatureEntry.write))
        patched.setattr("hpsearch.runtime.coordinator.WAIT_SECONDS", 0.0)  # told at once, however short a block is
        run(study)
    (entry,) = FeatureStore(folder, 0).entries()
    assert states_of(folder / entry, 3) == [DONE, DONE, NEW]  # the one under way when it was told was the last
    assert study.store().history.trials[0].state is TrialState.WAITING
    after = {path: path.read_bytes() for path in (study.folder / "checkpoints").rglob("*") if path.is_file()}
    assert after == before  # nothing was trained, so there is nothing to write
    study.store().close()
    run(started("paused"))
    for part in ("evaluations", "predictions"):
        assert known_of(tmp_path / "paused")[part] == known_of(tmp_path / "straight")[part]


def states_of(entry: Path, blocks: int) -> list[int]:
    """Return the states of an entry's blocks, as they are on the disk: between the values and the checksums."""
    return list((entry / VALUES).read_bytes()[-blocks * (1 + CHECKSUM_BYTES) :][:blocks])


def stopping(study: hp.Study, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that stops the study after the other's first call."""

    def called(*given: Any) -> Any:
        found = real(*given)
        study.stop()
        return found

    return called


def test_an_argument_that_is_no_number_of_bytes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="feature_cache_bytes=-1 must be a whole number of at least 0"):
        toy_study(tmp_path, feature_cache_bytes=-1)
