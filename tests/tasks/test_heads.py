import pytest
import torch
import transformers
from tasks_samples import IMAGE, TEXT, config_of, save_base

from hpsearch.errors import TaskError
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.heads import draw_head, new_parameters
from hpsearch.tasks.pretrained import Pretrained

HEADS = {
    "bert": {"classifier.weight", "classifier.bias"},
    "roberta": {f"classifier.{part}.{each}" for part in ("dense", "out_proj") for each in ("weight", "bias")},
    "distilbert": {f"{part}.{each}" for part in ("pre_classifier", "classifier") for each in ("weight", "bias")},
    "gpt2": {"score.weight"},
    "vit": {"classifier.weight", "classifier.bias"},
    "resnet": {"classifier.1.weight", "classifier.1.bias"},
}


def load(folder, name="bert", classes=("a", "b", "c"), **settings):
    auto_class = IMAGE if name in ("vit", "resnet") else TEXT
    return Pretrained(str(folder), auto_class, ClassJudge("multiclass", tuple(classes)), **settings).load()


def values_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", HEADS)
def test_exactly_the_head_is_drawn_and_from_the_random_state_alone(name, tmp_path):
    model = load(save_base(name, tmp_path), name)
    assert new_parameters(model) == HEADS[name]
    loaded = values_of(model)
    torch.manual_seed(1)
    draw_head(model)
    first = values_of(model)
    torch.manual_seed(2)
    draw_head(model)
    second = values_of(model)
    torch.manual_seed(1)
    draw_head(model)
    again = values_of(model)
    for parameter in loaded:
        if parameter in HEADS[name]:
            assert torch.equal(first[parameter], again[parameter])
        else:
            assert torch.equal(second[parameter], loaded[parameter])
    drawn = [parameter for parameter in HEADS[name] if parameter.endswith("weight")]
    assert not any(torch.equal(first[parameter], second[parameter]) for parameter in drawn)


def test_the_head_is_drawn_as_the_model_says(tmp_path):
    """BERT draws its head from a normal distribution of deviation `initializer_range`, with biases of zero."""
    model = load(save_base("bert", tmp_path, initializer_range=0.3), classes=tuple(range(400)))
    torch.manual_seed(0)
    draw_head(model)
    assert model.classifier.weight.std().item() == pytest.approx(0.3, rel=0.05)
    assert not model.classifier.bias.any()


def test_numbers_that_are_not_drawn_are_not_read(tmp_path):
    """Training finds the head by filling a model with NaN and looking at what became a number."""
    model = load(save_base("bert", tmp_path))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    draw_head(model)
    assert {name for name, value in model.named_parameters() if not value.isnan().any()} == HEADS["bert"]


def test_loading_leaves_the_random_state_and_is_the_same_every_time(tmp_path):
    folder = save_base("bert", tmp_path)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = values_of(load(folder))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    second = values_of(load(folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_head_for_other_labels_is_replaced_unless_kept(tmp_path):
    torch.manual_seed(0)
    trained = transformers.BertForSequenceClassification(config_of("bert", num_labels=3))
    trained.config.id2label, trained.config.label2id = dict(enumerate("abc")), {name: n for n, name in enumerate("abc")}
    trained.save_pretrained(tmp_path)
    assert new_parameters(load(tmp_path)) == HEADS["bert"]
    kept = load(tmp_path, keep_head=True)
    assert new_parameters(kept) == frozenset()
    assert torch.equal(kept.classifier.weight, trained.classifier.weight)
    with pytest.raises(TaskError, match="trained for the labels"):
        load(tmp_path, classes=("c", "b", "a"), keep_head=True)


def test_a_head_of_another_size_is_new(tmp_path):
    transformers.BertForSequenceClassification(config_of("bert", num_labels=5)).save_pretrained(tmp_path)
    model = load(tmp_path)
    assert new_parameters(model) == HEADS["bert"]
    assert model.classifier.weight.shape == (3, 32)


@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_from_scratch_everything_is_drawn(name, tmp_path):
    model = load(save_base(name, tmp_path), name, weights=False)
    assert new_parameters(model) == {parameter for parameter, _ in model.named_parameters()}
    torch.manual_seed(1)
    draw_head(model)
    first = values_of(model)
    torch.manual_seed(2)
    draw_head(model)
    matrices = [parameter for parameter, value in model.named_parameters() if value.ndim > 1 and value.any()]
    second = values_of(model)
    assert not any(torch.equal(first[parameter], second[parameter]) for parameter in matrices)
    torch.manual_seed(1)
    draw_head(model)
    assert all(torch.equal(first[parameter], value) for parameter, value in model.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_base("gpt2", tmp_path / "gpt2")
    folder = save_base("bert", tmp_path / "bert")
    (tmp_path / "gpt2" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(TaskError, match=r"are not those of its config\.json"):
        load(folder)
