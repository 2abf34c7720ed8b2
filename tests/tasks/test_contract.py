"""What every task keeps to, whatever it is of: the contract between tasks and the rest."""

import json
import pickle

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
from chat_samples import ROWS as CHATS
from chat_samples import save_chat_model
from custom_samples import Images, Two, absolute, images, mixed, one_number, one_number_of_two
from rising_task import RisingNumbers
from sequence_samples import pairs
from tasks_samples import booking_rows, image_arrays, review_rows

import hpsearch as hp
from hpsearch.data.dataset import open_dataset
from hpsearch.data.ragged import rows_of, to_bytes
from hpsearch.errors import TaskError
from hpsearch.tasks import Task
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.training.base_model import BaseModel
from hpsearch.training.numerics import detect_environment, resolve_numerics
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated

ROWS, TEST_ROWS = 24, 9


def numbered(rows):
    """Return arrays with a number in the place of the label."""
    inputs, labels = rows
    return inputs, np.linspace(-1.0, 3.0, len(labels))


KINDS = ["text", "image", "custom", "custom pair"]


def chats(rows):
    """Return so many conversations, in groups of two."""
    made = pd.DataFrame([CHATS[row % 8] for row in range(rows)])
    return made.assign(topic=[f"topic {row // 2}" for row in range(rows)], weight=np.linspace(0.5, 2.0, rows))


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def causal_folder(tmp_path_factory):
    """A GPT-2 that has no pretrained weights: each seed draws them all."""
    folder = save_chat_model(tmp_path_factory.mktemp("gpt2"), "gpt2")
    (folder / "model.safetensors").unlink()
    return folder


LANGUAGE = ["chat", "chat packed", "plain texts", "sequences"]


@pytest.fixture(params=[*KINDS, *(f"{kind} numbers" for kind in KINDS), "spans", "from outside", *LANGUAGE])
def task(request, bert_folder, vit_folder, llama_folder, causal_folder, marian_folder):
    if request.param.startswith("chat"):
        train, test = chats(ROWS), chats(TEST_ROWS).assign(topic="other")
        packed = {"packing": True} if request.param == "chat packed" else {"sample_weight": "weight"}
        return hp.ChatFineTuning(llama_folder, train=train, test=test, group="topic", max_new_tokens=4, **packed)
    if request.param == "plain texts":
        train, test = (review_rows(rows)[["text"]] for rows in (ROWS, TEST_ROWS))
        return hp.CausalLanguageModeling(causal_folder, train=train, test=test, max_length=16)
    if request.param == "sequences":
        given = {"source": "en", "target": "de", "group": "site", "sample_weight": "weight", "pretrained": False}
        return hp.SequenceToSequence(marian_folder, train=pairs(ROWS), test=pairs(TEST_ROWS, seed=1), **given)
    if request.param == "text numbers":
        train, test = (
            table.assign(length=table["text"].str.len())
            for table in (review_rows(ROWS), review_rows(TEST_ROWS, seed=1))
        )
        return hp.TextRegression(
            bert_folder, train=train, test=test, label=["length", "weight"], strata=3, group="site"
        )
    if request.param == "image numbers":
        train, test = numbered(image_arrays(ROWS)), numbered(image_arrays(TEST_ROWS, seed=1))
        return hp.ImageRegression(vit_folder, train=train, test=test)
    if request.param == "custom numbers":
        train, test = numbered(images(ROWS)), numbered(images(TEST_ROWS, seed=1))
        weights = np.linspace(0.5, 2.0, ROWS)
        return hp.CustomTask(one_number, train=train, test=test, targets="numbers", sample_weight=weights)
    if request.param == "custom pair numbers":
        train, test, groups = numbered(mixed(ROWS)), numbered(mixed(TEST_ROWS, seed=1)), np.arange(ROWS) // 2
        given = {"targets": "numbers", "strata": 4, "loss": absolute, "group": groups}
        return hp.CustomTask(one_number_of_two, train=train, test=test, **given)
    if request.param == "text":
        return hp.TextClassification(
            bert_folder,
            train=review_rows(ROWS),
            test=review_rows(TEST_ROWS, seed=1),
            group="site",
            sample_weight="weight",
        )
    if request.param == "image":
        return hp.ImageClassification(vit_folder, train=image_arrays(ROWS), test=image_arrays(TEST_ROWS, seed=1))
    if request.param == "spans":
        train, test = booking_rows(ROWS), booking_rows(TEST_ROWS, seed=1)
        return hp.TokenClassification(bert_folder, train=train, test=test, group="site", sample_weight="weight")
    if request.param == "from outside":
        return RisingNumbers(ROWS, TEST_ROWS)
    if request.param == "custom":
        weights = np.linspace(0.5, 2.0, ROWS)
        return hp.CustomTask(Images, train=images(ROWS), test=images(TEST_ROWS, seed=1), sample_weight=weights)
    return hp.CustomTask(Two, train=mixed(ROWS), test=mixed(TEST_ROWS, seed=1), group=np.arange(ROWS) // 2)


def fields(prepared):
    return {name: value for name, value in vars(prepared).items() if "folder" not in name}


def test_preparing_again_or_elsewhere_finds_the_same(task, tmp_path):
    first = task.prepare(tmp_path / "one")
    assert task.prepare(tmp_path / "one") == first
    assert fields(task.prepare(tmp_path / "two")) == fields(first)
    assert (first.rows, first.test_rows) == (ROWS, TEST_ROWS)
    assert first.data_digest != first.test_digest


def test_a_learner_gives_what_the_fine_tune_reads(task, tmp_path):
    prepared = task.prepare(tmp_path)
    for split, count in (("train", ROWS), ("test", TEST_ROWS)):
        learner = task.learner(prepared, split, task.complete({}))
        rows = np.array([2, 0, 2, 1])
        assert learner.lengths.shape == (count,) and learner.lengths.dtype == np.int64 and learner.lengths.min() >= 1
        batch = learner.batch(rows, 16)
        assert all(len(tensor) == 4 and tensor.device.type == "cpu" for tensor in batch.values())
        targets, weights = learner.targets(rows), learner.weights(rows)
        encoded, truth = rows_of(open_dataset(prepared.folder_of(split)).arrays, "targets")[rows], learner.truth(rows)
        assert to_bytes(truth) == to_bytes(encoded)
        if isinstance(prepared.judge, TokenJudge):  # whose targets are texts, and whose loss needs only their tokens
            assert targets.dtype == torch.int64 and targets.shape == (4,) and targets.min() >= 1
        elif isinstance(encoded, np.ndarray):
            assert to_bytes(targets.numpy()) == to_bytes(encoded)
            several = () if prepared.judge.classes or prepared.judge.outputs == 1 else (prepared.judge.outputs,)
            assert targets.dtype == (torch.int64 if prepared.judge.classes else torch.float64)
            assert targets.shape == (4, *several)
        assert weights is None or (weights.dtype == torch.float32 and weights.shape == (4,))
        model = learner.load_model()
        assert all(each.dtype == torch.float32 for each in model.parameters())
        model.eval()
        outputs = learner.outputs(model, batch)
        assert len(outputs) == 4 and prepared.judge.outputs in (0, outputs.shape[1])
        losses = learner.losses(outputs, targets, 0.0)
        assert losses.shape == (4,) and losses.dtype == torch.float32
        assert torch.allclose(losses[0], losses[2])


def test_what_is_new_is_drawn_by_the_seed_alone(task, tmp_path):
    learner = task.learner(task.prepare(tmp_path), "train", task.complete({}))
    base = BaseModel(learner, "cpu")
    assert base.head or isinstance(task, hp.ChatFineTuning)  # the head of a language model is pretrained as the rest is

    def drawn(seed):
        return {name: each.clone() for name, each in base.fresh({}, seed).named_parameters()}

    states = [drawn(seed) for seed in (1, 2, 1)]
    assert all(torch.equal(states[0][name], each) for name, each in states[2].items())
    assert not base.head or any(not torch.equal(states[0][name], states[1][name]) for name in base.head)
    assert all(torch.equal(states[0][name], each) for name, each in states[1].items() if name not in base.head)


def test_making_a_model_leaves_the_callers_random_states_in_its_own_hands(task, tmp_path):
    """The factory of a custom model draws; whoever asks for a model isolates it, and gets the same one again."""
    learner = task.learner(task.prepare(tmp_path), "train", task.complete({}))
    models = []
    for _ in range(2):
        with isolated(3):
            models.append(learner.load_model().state_dict())
    assert all(torch.equal(models[0][name], each) for name, each in models[1].items())


def test_outputs_do_not_depend_on_the_company_of_a_row(task, tmp_path):
    learner = task.learner(task.prepare(tmp_path), "train", task.complete({}))
    numerics = resolve_numerics(detect_environment("cpu"), "fp32")
    with isolated(0):
        model = learner.load_model()
    together = predict(model, learner, np.arange(ROWS), numerics, "cpu")
    apart = predict(model, learner, np.array([7, 3]), numerics, "cpu")
    assert to_bytes(together[[7, 3]]) == to_bytes(apart)


def test_configs_are_completed_once_and_for_all(task):
    whole = task.complete({"learning_rate": 1, "batch_size": 8.0})
    assert whole["learning_rate"] == 1.0 and isinstance(whole["learning_rate"], float)
    assert task.complete(whole) == whole
    assert set(task.recommended()) <= set(task.hyperparameters())
    assert task.base_key(whole) == task.base_key(task.complete({**whole, "learning_rate": 2e-5}))
    with pytest.raises(TaskError, match="Did you mean 'learning_rate'"):
        task.complete({"learningrate": 1e-3})


def test_a_task_is_described_kept_and_made_again(task, tmp_path):
    kept = task.snapshot(tmp_path / "data")
    description = json.loads(json.dumps(kept.describe()))
    found = Task.from_description(description)
    assert found == task == kept
    assert hash(found) == hash(task)
    assert fields(found.prepare(tmp_path)) == fields(task.prepare(tmp_path))


def test_a_task_travels(task, tmp_path):
    prepared = task.prepare(tmp_path)
    kept = task.snapshot(tmp_path / "data")
    found, there = pickle.loads(cloudpickle.dumps((kept, prepared)))
    config = task.complete({})
    assert found.base_key(config) == task.base_key(config)
    rows = np.arange(ROWS)
    one, other = (each.learner(there, "train", config) for each in (task, found))
    assert torch.equal(one.targets(rows), other.targets(rows))
    for name, tensor in one.batch(rows, 16).items():
        assert torch.equal(tensor, other.batch(rows, 16)[name])


def test_a_saved_model_is_there(task, tmp_path):
    prepared = task.prepare(tmp_path)
    config = task.complete({})
    model = task.learner(prepared, "train", config).load_model()
    task.save(model, tmp_path / "model", prepared)
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 0
    assert isinstance(task.how_to_load(config), str)
