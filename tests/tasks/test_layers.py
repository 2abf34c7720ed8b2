import pytest
import torch
import transformers
from tasks_samples import IMAGE, TEXT, config_of, save_base
from torch import nn

from hpsearch.errors import TaskError
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.heads import mark_head
from hpsearch.tasks.layers import find_layers
from hpsearch.tasks.pretrained import Pretrained

EXPECTED = {
    "bert": [["bert.embeddings"], *[[f"bert.encoder.layer.{n}"] for n in range(3)]],
    "distilbert": [["distilbert.embeddings"], *[[f"distilbert.transformer.layer.{n}"] for n in range(3)]],
    "roberta": [["roberta.embeddings"], *[[f"roberta.encoder.layer.{n}"] for n in range(3)]],
    "deberta": [
        ["deberta.encoder.rel_embeddings", "deberta.embeddings", "deberta.encoder.LayerNorm"],
        ["deberta.encoder.layer.0", "deberta.encoder.conv"],
        ["deberta.encoder.layer.1"],
        ["deberta.encoder.layer.2"],
    ],
    "electra": [
        ["electra.embeddings", "electra.embeddings_project"],
        *[[f"electra.encoder.layer.{n}"] for n in range(3)],
    ],
    "albert": [
        ["albert.embeddings", "albert.encoder.embedding_hidden_mapping_in"],
        ["albert.encoder.albert_layer_groups.0"],
    ],
    "gpt2": [["transformer.wte", "transformer.wpe", "transformer.drop"], *[[f"transformer.h.{n}"] for n in range(3)]],
    "vit": [["vit.embeddings"], *[[f"vit.layers.{n}"] for n in range(3)]],
    "deit": [["deit.embeddings"], *[[f"deit.layers.{n}"] for n in range(3)]],
    "swin": [["swin.embeddings"], ["swin.encoder.layers.0"], ["swin.encoder.layers.1"]],
    "resnet": [["resnet.embedder"], ["resnet.encoder.stages.0"], ["resnet.encoder.stages.1"]],
    "convnext": [["convnext.embeddings"], ["convnext.encoder.stages.0"], ["convnext.encoder.stages.1"]],
}
IMAGES = ("vit", "deit", "swin", "resnet", "convnext")


def inputs_of(name):
    if name in IMAGES:
        return {"pixel_values": torch.zeros(1, 3, 16, 16)}
    return {"input_ids": torch.arange(6, 22)[None], "attention_mask": torch.ones(1, 16, dtype=torch.long)}


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_of_an_architecture_from_the_input_upwards(name, tmp_path):
    folder = save_base(name, tmp_path)
    auto_class = IMAGE if name in IMAGES else TEXT
    model = Pretrained(str(folder), auto_class, ClassJudge("multiclass", ("a", "b", "c")), pad_token_id=0).load()
    assert find_layers(model, lambda: model(**inputs_of(name))) == EXPECTED[name]


def test_modes_and_weights_are_as_before(tmp_path):
    folder = save_base("bert", tmp_path)
    model = Pretrained(str(folder), TEXT, ClassJudge("binary", ("a", "b"))).load()
    model.train()
    model.bert.embeddings.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    find_layers(model, lambda: model(**inputs_of("bert")))
    assert model.training
    assert model.bert.encoder.training
    assert not model.bert.embeddings.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_parts_that_are_not_pretrained_belong_to_no_layer(tmp_path):
    """A checkpoint of a masked language model has no pooler: it is drawn anew, so freezing must not touch it."""
    transformers.BertForMaskedLM(config_of("bert")).save_pretrained(tmp_path)
    model = Pretrained(str(tmp_path), TEXT, ClassJudge("binary", ("a", "b"))).load()
    found = find_layers(model, lambda: model(**inputs_of("bert")))
    assert "bert.pooler.dense.weight" in model.new_parameters
    assert not any("pooler" in path for layer in found for path in layer)


def test_nothing_pretrained_cannot_be_frozen(tmp_path):
    folder = save_base("bert", tmp_path)
    model = Pretrained(str(folder), TEXT, ClassJudge("binary", ("a", "b")), weights=False).load()
    with pytest.raises(TaskError, match="nothing of this model is pretrained"):
        find_layers(model, lambda: model(**inputs_of("bert")))


def test_a_model_without_lists_of_layers():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)
            self.classifier = nn.Linear(4, 2)

        def forward(self, values):
            return self.classifier(self.body(values))

    model = Flat()
    mark_head(model, {"classifier.weight", "classifier.bias"}, keep_head=False, source="flat")
    with pytest.raises(TaskError, match="Flat: it has no list of layers"):
        find_layers(model, lambda: model(torch.zeros(1, 4)))
