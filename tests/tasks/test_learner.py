"""The learners as the fine-tune uses them."""

import numpy as np
import pytest
import torch
from tasks_samples import image_arrays, review_rows

from hpsearch.tasks import ImageClassification, TextClassification
from hpsearch.tasks.heads import new_parameters
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import detect_environment, resolve_numerics


@pytest.fixture(params=["text", "image", "scratch"])
def task(request, bert_folder, vit_folder):
    if request.param == "image":
        return ImageClassification(vit_folder, train=image_arrays(24))
    return TextClassification(bert_folder, train=review_rows(), pretrained=request.param == "text")


def test_training_finds_the_head_that_loading_found(task, tmp_path):
    learner = task.learner(task.prepare(tmp_path))
    base = BaseModel(learner, "cpu")
    assert base.head == new_parameters(learner.load_model())
    first = {name: value.clone() for name, value in base.fresh({}, 1).state_dict().items()}
    base.fresh({}, 2)
    again = base.fresh({}, 1).state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())


def test_a_fine_tune_learns(task, tmp_path):
    learner = task.learner(task.prepare(tmp_path))
    numerics = resolve_numerics(detect_environment("cpu"), "fp32")
    config = task.complete({"learning_rate": 3e-3, "batch_size": 8, "epochs": 3, "dropout": 0.0})
    rows = np.arange(24)
    fine_tune = FineTune(
        learner,
        config,
        train_rows=rows,
        held_out_rows=rows,
        seed=0,
        evaluations_per_epoch=1,
        numerics=numerics,
        device="cpu",
        base=BaseModel(learner, "cpu"),
    )
    found = [measurement for measurement in fine_tune.advance(fine_tune.horizon) if measurement is not None]
    assert [measurement.point for measurement in found] == [1, 2, 3]
    assert found[-1].validation_loss < found[0].validation_loss
    assert found[-1].outputs.shape == (24, 2)
