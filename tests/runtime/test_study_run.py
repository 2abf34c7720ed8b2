"""What a study finds out before its first trial, on real models."""

import html
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tasks_samples import image_arrays, review_rows, save_base, save_text_model

import hpsearch as hp
from hpsearch.cli.listing import show_text
from hpsearch.errors import TaskError
from hpsearch.records import TrialState
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.training.numerics import detect_environment

HAS_BF16 = bool(detect_environment("cpu")["bf16"])
SPACE = hp.Space(learning_rate=hp.Float(1e-4, 1e-3, log=True), batch_size=8, epochs=1)


@pytest.fixture(scope="module")
def deberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeBERTa of the first version fills with a number that bf16 cannot hold."""
    return save_text_model(tmp_path_factory.mktemp("deberta"), "deberta-v1")


def study(task: Any, folder: Path, space: hp.Space = SPACE, **settings: Any) -> hp.Study:
    return hp.Study(
        name="tried", task=task, space=space, sampler="random", folder=folder, cv=2, pruner="none", **settings
    )


def run(study: hp.Study, trials: int = 2) -> hp.Result:
    return study.run(trials=trials, devices="inline", progress=False)


def test_a_model_that_cannot_be_trained_in_bf16_is_trained_in_fp32(
    deberta: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = hp.TextClassification(str(deberta), train=review_rows(24))
    result = run(study(task, tmp_path))
    assert {trial.state for trial in result.history.trials.values()} == {TrialState.COMPLETE}
    assert result.record.numerics().precision == "fp32"
    if HAS_BF16:
        assert "DebertaForSequenceClassification cannot be trained in bf16" in caplog.text
        assert "The study is trained in fp32" in caplog.text
        assert "The study is trained in fp32" in result.text()
    monkeypatch.setattr(InlinePool, "probe", None)  # tried once, and kept with the study
    again = run(study(task, tmp_path), trials=3)
    assert len(again.history.trials) == 3
    assert not HAS_BF16 or "The study is trained in fp32" in again.text()


def test_bf16_that_was_asked_for_is_an_error_that_names_fp32(deberta: Path, tmp_path: Path) -> None:
    task = hp.TextClassification(str(deberta), train=review_rows(24))
    with pytest.raises(TaskError, match=r"precision='bf16': Deberta.* give precision='fp32'"):
        run(study(task, tmp_path, precision="bf16"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 that computes numbers which fp16 cannot hold, as the large ones do; transformers limits what comes of it."""
    folder = save_text_model(tmp_path_factory.mktemp("t5"), "t5", ends=True)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.endswith("DenseReluDense.wo.weight"):
            weights[name] *= 1e5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_where_fp16_is_native_a_model_is_trained_in_it_if_it_can_be(
    t5: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = InlinePool.environment
    monkeypatch.setattr(InlinePool, "environment", lambda pool: {**here(pool), "bf16": False, "fp16": True})  # a T4's
    bert = save_text_model(tmp_path / "bert")
    for model, name, precision in ((bert, "bert", "fp16"), (t5, "t5", "fp32")):
        caplog.clear()
        result = run(study(hp.TextClassification(str(model), train=review_rows(24)), tmp_path / name))
        assert {trial.state for trial in result.history.trials.values()} == {TrialState.COMPLETE}
        assert result.record.numerics().precision == precision
        says = "T5ForSequenceClassification cannot be trained in fp16: it computes numbers"
        assert (says in caplog.text) == (says in result.text()) == (precision == "fp32")
        result.export(tmp_path / "exported" / name)
        weights = load_file(tmp_path / "exported" / name / "model.safetensors")
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_fp16_that_was_asked_for_is_an_error_that_names_fp32(t5: Path, tmp_path: Path) -> None:
    task = hp.TextClassification(str(t5), train=review_rows(24))
    with pytest.raises(TaskError, match=r"precision='fp16': T5.* the greatest of fp16.* give precision='fp32'"):
        run(study(task, tmp_path, precision="fp16"))


def test_one_model_of_several_is_enough(deberta: Path, tmp_path: Path) -> None:
    bert = save_text_model(tmp_path / "bert")
    space = hp.Space(model=hp.Categorical([str(bert), str(deberta)]), learning_rate=1e-3, batch_size=8, epochs=1)
    task = hp.TextClassification(str(bert), train=review_rows(24))
    assert run(study(task, tmp_path, space)).record.numerics().precision == "fp32"


def test_what_is_warned_of_stands_in_the_run_the_table_and_the_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bert = save_text_model(tmp_path / "bert")
    (bert / "model.safetensors").rename(bert / "weights.safetensors")
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-3), batch_size=8, epochs=2, warmup_steps=1000)
    result = run(study(hp.TextClassification(str(bert), train=review_rows(24)), tmp_path, space))
    page = html.unescape(result.report(tmp_path / "report.html").read_text())
    for words in ("under names that transformers does not read", "warmup_steps=1000, and the longest run of the space"):
        assert words in caplog.text
        assert words in result.text()
        assert any(words in text for text in result.table().attrs["warnings"])
        assert words in page
        assert words in show_text("tried", tmp_path, None)
    note = "ends in its warmup: the learning rate rises to 0.003 of learning_rate in 4 steps"
    assert result.table()["note"].tolist() == [note] * 2
    assert result.text().count(note) == page.count(note) == 2


@pytest.mark.parametrize("kind", ["image", "custom"])
def test_a_last_batch_of_one_row_ends_neither_search_nor_export(kind: str, tmp_path: Path) -> None:
    """17 rows in two folds of 9 and 8, and batches of 8: the refit and one of the folds have a batch of one row."""
    if kind == "image":
        images, labels = image_arrays(17, 32)
        task: Any = hp.ImageClassification(save_base("mobilenet", tmp_path / "model"), train=(images, labels))
    else:
        inputs = np.random.default_rng(0).normal(size=(17, 4)).astype(np.float32)
        task = hp.CustomTask(_normed, train=(inputs, np.arange(17) % 2))
    result = run(study(task, tmp_path, precision="fp32"))
    assert {trial.state for trial in result.history.trials.values()} == {TrialState.COMPLETE}
    result.export(tmp_path / "exported")
    assert (tmp_path / "exported" / "model.safetensors").is_file()


def test_batches_of_one_row_throughout_are_refused_before_any_trial(tmp_path: Path) -> None:
    task = hp.CustomTask(_normed, train=(np.zeros((16, 4), dtype=np.float32), np.arange(16) % 2))
    space = hp.Space(learning_rate=1e-3, batch_size=hp.Categorical([8, 1]), epochs=1)
    started = study(task, tmp_path, space)
    with pytest.raises(TaskError, match=r"cannot be trained on one row at a time.*batch_size=1"):
        run(started)
    assert not started.record.store.history.trials


def _normed() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
