"""From pretrained weights or from drawn ones, as a hyperparameter."""

import pytest
import torch
from custom_samples import Images, images
from tasks_samples import review_rows

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel


def test_a_config_may_start_from_drawn_weights(bert_folder, tmp_path):
    task = hp.TextClassification(bert_folder, train=review_rows())
    prepared = task.prepare(tmp_path)
    own, drawn = task.complete({}), task.complete({"pretrained": False})
    assert (own.get("pretrained"), drawn["pretrained"]) == (None, False)
    assert own == task.complete({"pretrained": True}) == task.complete({"pretrained": None})
    assert task.complete(drawn) == drawn
    assert task.base_key(own) == "" != task.base_key(drawn)
    assert prepared.layers == task.freezable_layers(prepared, own) == 3
    assert task.freezable_layers(prepared, drawn) == 0

    def embeddings(config, seed):
        base = BaseModel(task.learner(prepared, "train", config), "cpu")
        return base.fresh(config, seed).get_parameter("bert.embeddings.word_embeddings.weight").detach().clone()

    assert torch.equal(embeddings(own, 1), embeddings(own, 2))
    assert not torch.equal(embeddings(drawn, 1), embeddings(drawn, 2))
    assert torch.equal(embeddings(drawn, 1), embeddings(drawn, 1))


def test_it_equals_a_task_that_starts_so(bert_folder, tmp_path):
    config, whole = {"pretrained": False}, review_rows()
    searched = hp.TextClassification(bert_folder, train=whole)
    scratch = hp.TextClassification(bert_folder, train=whole, pretrained=False)
    models = [
        BaseModel(task.learner(task.prepare(tmp_path), "train", task.complete(config)), "cpu").fresh({}, 3)
        for task in (searched, scratch)
    ]
    assert scratch.complete(config) == scratch.complete({})
    for (name, one), two in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two), name


@pytest.mark.parametrize(
    "setting", [{"freeze_layers": 1}, {"freeze_layers": "all"}, {"layerwise_lr_decay": 0.9}, {"gradual_unfreezing": 1}]
)
def test_what_is_of_pretrained_layers_is_refused_with_drawn_weights(bert_folder, setting):
    task = hp.TextClassification(bert_folder, train=review_rows())
    (name,) = setting
    with pytest.raises(TaskError, match=f"{name}=.* is of pretrained layers.*pretrained=True"):
        task.complete({"pretrained": False, **setting})
    assert task.complete({"pretrained": True, **setting})[name] is not None


def test_weights_that_were_not_read_cannot_be_started_from(bert_folder):
    scratch = hp.TextClassification(bert_folder, train=review_rows(), pretrained=False)
    with pytest.raises(TaskError, match=r"the task has pretrained=False.*set pretrained=False in configs"):
        scratch.complete({"pretrained": True})


def test_of_a_custom_task_its_factory_decides():
    task = hp.CustomTask(Images, train=images(24))
    with pytest.raises(TaskError, match=r"Images to decide\. Give it an argument pretrained=True"):
        task.complete({"pretrained": False})
    for name, value in {"layerwise_lr_decay": 0.9, "gradual_unfreezing": 1.0}.items():
        with pytest.raises(TaskError, match=f"{name} is of layers that are pretrained.*head='classifier'"):
            task.complete({name: value})
        assert hp.CustomTask(Images, train=images(24), head="head").complete({name: value})[name] == value
