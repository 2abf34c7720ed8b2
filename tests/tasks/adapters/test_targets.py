import pytest
from tasks_samples import IMAGE, TEXT, config_of

from hpsearch.errors import TaskError
from hpsearch.tasks.adapters.targets import target_modules, target_names
from hpsearch.tasks.pretrained import quiet


def model_of(name, new=("classifier", "score", "fc", "head")):
    """Return an untrained model marked as if all but its head were pretrained."""
    import transformers

    images = name in ("vit", "resnet", "swin", "convnext")
    with quiet():
        model = getattr(transformers, IMAGE if images else TEXT).from_config(config_of(name))
    names = {each for each, _ in model.named_parameters() if each.split(".")[0] in new}
    model.new_parameters, model.lost_parameters = frozenset(names), ()
    return model


@pytest.mark.parametrize(
    ("name", "linear", "others"),
    [
        ("bert", {"query", "key", "value", "dense"}, set()),
        ("distilbert", {"q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"}, set()),
        ("gpt2", {"c_attn", "c_proj", "c_fc"}, set()),
        ("vit", {"q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"}, {"projection"}),
        ("resnet", set(), {"convolution"}),
    ],
)
def test_all_linear_is_every_linear_layer_but_the_head(name, linear, others):
    model = model_of(name)
    assert set(target_names(model)) == linear | others
    if not linear:
        with pytest.raises(TaskError, match=r"has no linear layer\. Give .*: convolution\."):
            target_modules(model, "all-linear")
        return
    chosen = target_modules(model, "all-linear")
    assert {path.rpartition(".")[2] for path in chosen} == linear
    assert len(chosen) == len(set(chosen))
    assert not any(path.split(".")[0] in ("classifier", "score") for path in chosen)


def test_names_are_the_ends_of_paths():
    model = model_of("bert")
    assert len(target_modules(model, "query,value")) == 6
    assert target_modules(model, "layer.1.attention.self.query") == ["bert.encoder.layer.1.attention.self.query"]
    assert len(target_modules(model, "query", frozen=[model.bert.encoder.layer[0]])) == 2
    for name in ("uery", "classifier", "LayerNorm", "word_embeddings"):
        with pytest.raises(TaskError, match=f"has no module '{name}' that takes an adapter"):
            target_modules(model, f"query,{name}")


def test_modules_with_new_parameters_are_trained_as_they_are():
    model = model_of("bert")
    model.new_parameters |= {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert not any("pooler" in path for path in target_modules(model, "all-linear"))
