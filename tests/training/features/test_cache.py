"""Models of many architectures, as tasks load them, with and without the cache: equal in every bit."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from feature_learners import cached, run_of, store
from tasks_samples import image_arrays, review_rows, save_base, save_text_model, save_tokenizer
from torch.utils.flop_counter import FlopCounterMode
from training_learners import (
    CPU,
    PRECISIONS,
    assert_same_measurements,
    assert_same_state,
    everything,
    measured,
    numerics,
)

import hpsearch as hp
from hpsearch.tasks.pretrained import quiet
from hpsearch.training.base_model import BaseModel
from hpsearch.training.features.store import CHECKSUM_BYTES, DONE, NEW, VALUES

ROWS = 30
MODELS: dict[str, tuple[Any, ...]] = {
    "bert": (1, 2, 3, "all"),
    "vit": (1, 3, "all"),
    "roberta": (2,),
    "distilbert": (2,),
    "deberta": (2,),
    "gpt2": (2, "all"),
    "llama": (2,),
    "albert": (1,),
    "resnet": (1,),
    "swin": (1,),
}
"""Architecture to the numbers of frozen layers it is tried with."""

IMAGES = ("vit", "resnet", "swin")
WITHOUT_DROPOUT = ("resnet",)
ENDING = ("bart", "t5")  # which look for the end token in each row


def save_llama(folder: Path) -> Path:
    """Write a model that the samples of tasks have no config for."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.LlamaConfig(**sizes, vocab_size=40, num_key_value_heads=1, attention_dropout=0.1)
    with quiet():
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return save_tokenizer(folder, pairs=False)


def task_of(name: str, folder: Path) -> hp.TextClassification | hp.ImageClassification:
    if name in IMAGES:
        return hp.ImageClassification(str(save_base(name, folder)), train=image_arrays(ROWS))
    if name == "llama":
        save_llama(folder)
    else:
        save_text_model(folder, name, ends=name in ENDING)
    return hp.TextClassification(str(folder), train=review_rows(ROWS, 3), text="text", label="label")


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_is_equal_with_its_frozen_layers_left_out(name: str, tmp_path: Path) -> None:
    task = task_of(name, tmp_path / "model")
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    plain = BaseModel(learner, CPU)
    base = cached(learner, store(tmp_path), [prepared.model_digest, prepared.data_digest])
    dropout = {"dropout": None} if name in WITHOUT_DROPOUT else {}
    for precision in PRECISIONS:
        for layers in MODELS[name]:
            given = {"learning_rate": 3e-3, "batch_size": 8, "epochs": 2, "dropout": 0.2, "freeze_layers": layers}
            config = task.complete({**given, **dropout})
            expected, run = (run_of(learner, each, config, numerics(precision), ROWS) for each in (plain, base))
            assert_same_measurements(measured(expected), measured(run))
            assert_same_state(everything(expected), everything(run))
            assert run._features is not None, (precision, layers)
            assert run._features._recordings and all(run._features._recordings.values()), (precision, layers)


@pytest.mark.parametrize("name", ["bert", "resnet"])
def test_frozen_layers_cost_no_arithmetic(name: str, tmp_path: Path) -> None:
    """Operations of a whole run, counted: with everything frozen a tenth is left, for the pooler and the head."""
    task = task_of(name, tmp_path / "model")
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    base = cached(learner, store(tmp_path), [prepared.model_digest, prepared.data_digest])
    config = task.complete({"batch_size": 8, "freeze_layers": "all", "epochs": 1})
    counts = []
    for each in (BaseModel(learner, CPU), base, base):
        with FlopCounterMode(display=False) as counter:
            measured(run_of(learner, each, config, rows=ROWS))
        counts.append(counter.get_total_flops())
    assert counts[2] < counts[0] / 10 and counts[2] < counts[1]


@pytest.mark.parametrize(("name", "reason"), [("bart", "random numbers are drawn"), ("t5", "more than the output")])
def test_what_is_no_stack_is_computed_and_the_log_says_so(
    name: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = task_of(name, tmp_path / "model")
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    base = cached(learner, store(tmp_path), [prepared.model_digest, prepared.data_digest])
    caplog.set_level(logging.WARNING, "hpsearch")
    config = task.complete({"learning_rate": 3e-3, "batch_size": 8, "freeze_layers": 1, "epochs": 1})
    plain = BaseModel(learner, CPU)
    expected = run_of(learner, plain, config, rows=ROWS)
    run = run_of(learner, base, config, rows=ROWS)
    assert_same_measurements(measured(expected), measured(run))
    assert_same_state(everything(expected), everything(run))
    assert run._features is None
    assert len([each for each in caplog.records if reason in each.message and "not kept" in each.message]) == 1


def test_between_two_blocks_a_run_stands_at_its_beginning_and_can_be_left(tmp_path: Path) -> None:
    save_text_model(tmp_path / "model", "bert")
    rows = review_rows(300, 3)
    task = hp.TextClassification(str(tmp_path / "model"), train=rows, text="text", label="label")
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    config = task.complete({"learning_rate": 3e-3, "batch_size": 8, "epochs": 1, "freeze_layers": 1})
    expected = measured(run_of(learner, BaseModel(learner, CPU), config, rows=len(rows)))
    base = cached(learner, store(tmp_path), [prepared.model_digest, prepared.data_digest])
    left = run_of(learner, base, config, rows=len(rows))
    items = left.advance(left.horizon)
    modes, before = [module.training for module in left.model.modules()], torch.get_rng_state()
    assert next(items) is None
    assert (left.step, left.point) == (0, 0)
    assert [module.training for module in left.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before) and torch.is_grad_enabled()
    torch.rand(1)  # somebody else's
    assert next(items) is None
    assert left.step == 0
    del items
    kept = store(tmp_path)
    (entry,) = kept.entries()
    behind_values = (kept.folder / entry / VALUES).read_bytes()[-3 * (1 + CHECKSUM_BYTES) :]
    assert list(behind_values[:3]) == [DONE, DONE, NEW]
    run = run_of(learner, base, config, rows=len(rows))
    assert_same_measurements(expected, measured(run))
    assert run._features is not None
