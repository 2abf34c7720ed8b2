"""Studies whose workers share the outputs of frozen layers: the same numbers as without."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tasks_samples import review_rows, save_text_model
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.places import cache_folder
from hpsearch.training.feature_store import BLOCKS, FeatureStore

SPACE = hp.Space(freeze_layers=hp.Categorical([1, "all"]), batch_size=8, learning_rate=3e-3, epochs=2, warmup_ratio=0.1)


def study(folder: Path, model: Path, **settings: Any) -> hp.Study:
    task = {"kind": "text", "model": str(model), "train": review_rows(40), "text": "text", "label": "label"}
    return toy_study(folder, task, space=SPACE, cv=2, **settings)


def test_a_study_that_shares_features_equals_one_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trials in two folds; two workers fill the same entries at once."""
    model = save_text_model(tmp_path / "model")
    result = study(tmp_path / "cached", model).run(devices=2, progress=False)
    folder = cache_folder() / "features"
    entries = FeatureStore(folder, 0).entries()
    assert len(entries) == 2
    for digest in entries:
        content = (folder / digest / BLOCKS).read_bytes()
        assert set(content[len(content) // 2 :]) == {1}  # all blocks are done
    monkeypatch.setattr(FeatureStore, "find", lambda *_: pytest.fail("a study without a cache reads no other's"))
    plain = study(tmp_path / "plain", model, feature_cache_bytes=0).run(devices="inline", progress=False)
    for part in ("evaluations", "predictions"):
        assert known_of(tmp_path / "plain")[part] == known_of(tmp_path / "cached")[part]
    monkeypatch.undo()
    refits = [each.study.refit(result.best.config, 2) for each in (result, plain)]
    states = [each.model.state_dict() for each in refits]
    assert refits[0].train_loss == refits[1].train_loss
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert "forward" not in {name for module in refits[0].model.modules() for name in vars(module)}


def test_an_argument_that_is_no_number_of_bytes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="feature_cache_bytes=-1 must be a whole number of at least 0"):
        toy_study(tmp_path, feature_cache_bytes=-1)
