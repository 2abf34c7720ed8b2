"""Mean and scale go into the last linear layer where that gives what is expected, and else nothing changes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from hpsearch.tasks.numbers.rescaling import rescale, tell_config

ROWS = torch.linspace(-2.0, 2.0, 40).reshape(10, 4)


def run(model):
    return model(ROWS).detach().numpy()


def unchanged(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Doubled(nn.Module):
    """Outputs that follow the last linear layer in a way that no weight of it can undo."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, rows):
        return torch.tanh(self.layer(rows))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_last_linear_layer_takes_mean_and_scale(outputs):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, outputs), nn.Linear(outputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs)
    ).eval()
    mean, scale = [50.0 + place for place in range(outputs)], [7.0 - 2 * place for place in range(outputs)]
    before = model(ROWS).double()
    assert rescale(model, run, mean=mean, scale=scale)
    expected = before * torch.tensor(scale).double() + torch.tensor(mean).double()
    torch.testing.assert_close(model(ROWS).double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("model", [Doubled(), nn.Sequential(nn.Linear(4, 1, bias=False)), nn.Bilinear(4, 4, 1)])
def test_a_model_that_cannot_take_them_stays_bit_by_bit_as_it_was(model):
    before = copy.deepcopy(model.state_dict())
    compute = (lambda model: model(ROWS, ROWS).detach().numpy()) if isinstance(model, nn.Bilinear) else run
    assert not rescale(model.eval(), compute, mean=[5.0], scale=[2.0])
    assert unchanged(model, before)


@pytest.mark.parametrize(("mean", "taken"), [(2000.0, True), (1e9, False)])
def test_float32_that_is_too_coarse_is_found(mean, taken):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 1)).eval()
    before = copy.deepcopy(model.state_dict())
    assert rescale(model, run, mean=[mean], scale=[10.0]) is taken
    assert unchanged(model, before) is not taken


def test_models_of_transformers_with_and_without_a_bias():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=1, **sizes)).eval()
    gpt = GPT2ForSequenceClassification(
        GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2, num_labels=1, pad_token_id=0)
    ).eval()
    words = torch.arange(1, 13).reshape(3, 4)

    def logits(model):
        return model(input_ids=words).logits.detach().numpy()

    before = logits(bert)
    assert rescale(bert, logits, mean=[18.0], scale=[7.0])
    np.testing.assert_allclose(logits(bert), before * 7.0 + 18.0, rtol=1e-6)
    assert not rescale(gpt, logits, mean=[18.0], scale=[7.0])
    tell_config(gpt, {"target_mean": (18.0,), "target_scale": (7.0,)})
    assert (gpt.config.target_mean, gpt.config.target_scale) == ([18.0], [7.0])
    tell_config(gpt, None)
    assert not hasattr(gpt.config, "target_mean")
