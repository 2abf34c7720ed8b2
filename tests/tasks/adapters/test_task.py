"""Runs with adapters keep what every run keeps: they resume, share workers and read frozen layers, to the bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from adapter_samples import ADAPTERS, base_of, learner_of, run_of, text_task
from feature_learners import store
from training_learners import PRECISIONS, assert_same_measurements, assert_same_state, everything, measured

import hpsearch
import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.run_checkpoint import TENSORS

ALL_PRECISIONS = [*PRECISIONS, "fp16"]


@pytest.mark.parametrize("precision", ALL_PRECISIONS)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_run_resumed_after_every_point_is_the_straight_one(learner, kind, precision):
    straight = run_of(base_of(learner, precision), ADAPTERS[kind], precision)
    expected = measured(straight)
    base, found, files = base_of(learner, precision), [], None
    for point in range(1, straight.horizon + 1):
        resumed = run_of(base, ADAPTERS[kind], precision)
        if files is not None:
            resumed.restore(files)
        found += measured(resumed, point)
        files = resumed.checkpoint()
        run_of(base, {"lora_r": 7, "lora_target_modules": "key"}, precision)  # another one takes the base
    assert_same_measurements(expected, found)
    assert files[TENSORS] == straight.checkpoint()[TENSORS]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_after_others_is_the_run_alone(learner, precision):
    alone = run_of(base_of(learner, precision), ADAPTERS["lora"], precision)
    expected = measured(alone)
    base = base_of(learner, precision)
    for other in ({"lora_r": 8}, {"lora_r": 1, "lora_variant": "dora"}, ADAPTERS["query,value"]):
        measured(run_of(base, other, precision, seed=9), 2)
        again = run_of(base, ADAPTERS["lora"], precision)
        assert_same_measurements(expected, measured(again))
        assert_same_state(everything(alone), everything(again))


@pytest.mark.extended
@pytest.mark.slow
def test_a_run_resumed_in_another_process_is_the_straight_one(learner, bert_folder, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(hpsearch.__file__).parents[1])}
    expected = {}
    for precision in PRECISIONS:
        run = run_of(base_of(learner, precision), ADAPTERS["dora"], precision)
        measured(run, 2)
        (tmp_path / precision).mkdir()
        for name, data in run.checkpoint().items():
            (tmp_path / precision / name).write_bytes(data)
        measured(run)
        expected[precision] = run.checkpoint()[TENSORS]
    script = Path(__file__).with_name("resume_adapter.py")
    command = [sys.executable, str(script), str(bert_folder), str(tmp_path), *PRECISIONS]
    subprocess.run(command, check=True, timeout=300, env=environment)
    for precision, data in expected.items():
        assert (tmp_path / precision / TENSORS).read_bytes() == data


@pytest.mark.extended
def test_two_workers_find_what_one_finds(bert_folder, tmp_path):
    space = hp.Space(
        learning_rate=hp.Float(1e-3, 1e-2, log=True),
        epochs=2,
        batch_size=8,
        lora_r=hp.Categorical([2, 4]),
        lora_variant=hp.Categorical(["lora", "dora"]),
    )
    results = [
        hp.Study(f"{workers}", text_task(bert_folder), space, folder=tmp_path, cv=3, sampler="random").run(
            trials=5, devices=workers, progress=False
        )
        for workers in (1, 2)
    ]
    one, two = (each.table().drop(columns="seconds") for each in results)
    pd.testing.assert_frame_equal(one, two)
    assert np.array_equal(*(each.out_of_fold() for each in results))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_below_the_adapters_that_are_read_are_as_if_computed(bert_folder, tmp_path, precision):
    learner = learner_of(text_task(bert_folder), tmp_path / "rows")
    config = {**ADAPTERS["query,value"], "freeze_layers": 2}
    computed = run_of(base_of(learner, precision), config, precision)
    expected = measured(computed)
    base = base_of(learner, precision, features=FeatureCache(store(tmp_path / "features"), ["adapters", precision]))
    for other in ({**config, "lora_r": 4}, config):
        read = run_of(base, other, precision)
        found = measured(read)
        assert read._features is not None
    assert_same_measurements(expected, found)
    assert_same_state(everything(computed), everything(read))


def test_configs_with_and_without_adapters(bert_folder):
    task = text_task(bert_folder)
    plain = task.complete({"learning_rate": 1e-3})
    assert not any(name.startswith("lora_") for name in plain)
    assert task.complete({"learning_rate": 1e-3, "lora_r": None, "lora_alpha": 4}) == plain
    whole = task.complete({"lora_r": 4.0, "lora_alpha": 16, "lora_target_modules": "value, query"})
    assert {name: value for name, value in whole.items() if name.startswith("lora_")} == {
        "lora_r": 4,
        "lora_target_modules": "query,value",
    }
    assert task.complete(whole) == whole
    assert task.base_key(plain) == task.base_key({}) != task.base_key(whole)
    assert task.base_key(whole) == task.base_key({**whole, "lora_r": 8, "learning_rate": 1.0})
    assert task.adapter_of(plain) is None
    assert task.adapter_of(whole).text == "a LoRA adapter of rank 4 (alpha 16, query,value)"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lora_r": 0}, "lora_r=0 cannot be trained with; it must be a whole number from 1 or None"),
        ({"lora_r": 2, "lora_alpha": 0}, "lora_alpha=0 cannot be trained with"),
        ({"lora_r": 2, "lora_dropout": 1.0}, r"lora_dropout=1.0 cannot be trained with"),
        ({"lora_r": 2, "lora_variant": "qlora"}, "lora_variant='qlora' .* one of 'lora', 'rslora', 'dora'"),
        ({"lora_r": 2, "lora_target_modules": ""}, "lora_target_modules='' cannot be trained with"),
        ({"lora_r": 2, "lora_target_modules": "all-linear,query"}, "lora_target_modules='all-linear,query'"),
        ({"lora_r": 2, "freeze_layers": "all"}, "freeze_layers='all' trains the head alone"),
        ({"lora_rank": 2}, "Did you mean 'lora_r'"),
        ({"use_dora": True}, "Did you mean 'lora_variant'"),
        ({"lora_bias": "all"}, "does not know the hyperparameter 'lora_bias'"),
    ],
)
def test_what_adapters_cannot_be_made_of(bert_folder, config, message):
    with pytest.raises(TaskError, match=message):
        text_task(bert_folder).complete(config)


def test_a_model_without_pretrained_weights_has_nothing_to_adapt(bert_folder):
    with pytest.raises(TaskError, match="lora_r=2 with pretrained=False"):
        text_task(bert_folder, pretrained=False).complete({"lora_r": 2})
    assert text_task(bert_folder, pretrained=False).complete({})
    assert torch.get_num_threads() == 1
