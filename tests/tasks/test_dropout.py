import pytest
import torch
import transformers
from tasks_samples import IMAGE, TEXT, config_of

from hpsearch.errors import TaskError
from hpsearch.plan.starting_point import literature_default
from hpsearch.space import Float, Space
from hpsearch.study import Study
from hpsearch.tasks import TextClassification
from hpsearch.tasks.dropout import published_dropout, set_dropout
from hpsearch.tasks.pretrained import quiet

NAMES = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "roberta": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "distilbert": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "vit": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "gpt2": ("embd_pdrop", "attn_pdrop", "resid_pdrop"),
}


def build(name, probability=None):
    extra = {} if probability is None else dict.fromkeys(NAMES[name], probability)
    if name == "gpt2":
        extra |= {"pad_token_id": 0} | ({} if probability is None else {"classifier_dropout": probability})
    torch.manual_seed(0)
    with quiet():
        builder = getattr(transformers, IMAGE if name == "vit" else TEXT)
        return builder.from_config(config_of(name, **extra)).train()


def outputs(name, model):
    torch.manual_seed(5)
    if name == "vit":
        return model(pixel_values=torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)).logits
    return model(
        input_ids=torch.arange(6, 38).reshape(2, 16), attention_mask=torch.ones(2, 16, dtype=torch.long)
    ).logits


@pytest.mark.parametrize("name", NAMES)
def test_equals_a_model_built_with_those_probabilities(name):
    """In train mode, from one random state: every dropout, those inside attention too, has the probability."""
    built, changed = build(name, 0.3), build(name)
    before = outputs(name, changed)
    set_dropout(changed, 0.3)
    assert torch.equal(outputs(name, changed), outputs(name, built))
    assert not torch.equal(before, outputs(name, built))
    for attribute in NAMES[name]:
        assert getattr(changed.config, attribute) == 0.3


@pytest.mark.parametrize("name", NAMES)
def test_none_gives_each_its_own_back(name):
    model = build(name)
    before = outputs(name, model)
    set_dropout(model, 0.3)
    set_dropout(model, 0.0)
    assert torch.equal(outputs(name, model), outputs(name, model.eval()))
    model.train()
    set_dropout(model, None)
    assert torch.equal(outputs(name, model), before)
    assert model.config.to_dict() == build(name).config.to_dict()


def test_a_model_without_dropout_refuses_one():
    with quiet():
        model = transformers.AutoModelForImageClassification.from_config(config_of("resnet"))
    set_dropout(model, None)
    with pytest.raises(TaskError, match=r"dropout=0\.1, but ResNetForImageClassification has no dropout"):
        set_dropout(model, 0.1)


@pytest.mark.parametrize(("name", "expected"), [("bert", 0.1), ("distilbert", 0.1), ("gpt2", 0.1), ("resnet", None)])
def test_the_published_dropout_is_that_of_the_config(tmp_path, name, expected):
    config_of(name).save_pretrained(tmp_path)
    assert published_dropout(str(tmp_path)) == expected


def test_a_model_that_is_not_on_this_machine_has_no_known_dropout():
    assert published_dropout("nobody/has-this-model") is None


def test_a_search_of_dropout_begins_at_the_models_own(tmp_path):
    """And where it is not searched, every place keeps its own: 0.2 before DistilBERT's head."""
    config_of("distilbert", dropout=0.15).save_pretrained(tmp_path)
    task = TextClassification(str(tmp_path), train="train.csv")
    assert task.recommended()["dropout"] == 0.15
    assert task.complete({})["dropout"] is None
    space = Space(dropout=Float(0.0, 0.3), learning_rate=Float(1e-6, 1e-3, log=True))
    study = Study("dropout", task, space, folder=tmp_path)
    assert literature_default(study.plan) == {"dropout": 0.15, "learning_rate": 2e-5}
