"""Mean and scale go into the last linear layer where that gives what is expected, and else nothing changes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from hpsearch.tasks.numbers.rescaling import rescale, tell_config

ROWS = torch.linspace(-2.0, 2.0, 40).reshape(10, 4)


def run(model, rows):
    return model(ROWS[rows]).detach().numpy()


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
    assert rescale(model, len(ROWS), run, mean=mean, scale=scale)
    expected = before * torch.tensor(scale).double() + torch.tensor(mean).double()
    torch.testing.assert_close(model(ROWS).double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("model", [Doubled(), nn.Sequential(nn.Linear(4, 1, bias=False)), nn.Bilinear(4, 4, 1)])
def test_a_model_that_cannot_take_them_stays_bit_by_bit_as_it_was(model):
    before = copy.deepcopy(model.state_dict())

    def run_on_both(model, rows):
        return model(ROWS[rows], ROWS[rows]).detach().numpy()

    compute = run_on_both if isinstance(model, nn.Bilinear) else run
    assert not rescale(model.eval(), len(ROWS), compute, mean=[5.0], scale=[2.0])
    assert unchanged(model, before)


class Bounded(nn.Module):
    """Gives the number of its row, and nothing below or above its bounds."""

    def __init__(self, low, high):
        super().__init__()
        self.layer, self.bounds = nn.Linear(1, 1), (low, high)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, rows):
        return self.layer(rows).clamp(*self.bounds)


@pytest.mark.parametrize("bounds", [(-1.0, None), (None, 1.0), (-50.0, None), (None, 60.0)])
@pytest.mark.parametrize("order", [1, -1])
def test_a_bound_is_never_lost_wherever_in_the_data_it_is_reached_or_if_it_never_is(bounds, order):
    numbers = order * torch.linspace(-2.0, 2.0, 1000)[:, None]
    model = Bounded(*bounds).eval()
    before = copy.deepcopy(model.state_dict())
    assert not rescale(model, 1000, lambda model, rows: model(numbers[rows]).detach().numpy(), mean=[9.0], scale=[5.0])
    assert unchanged(model, before)


def test_a_bound_that_only_numbers_in_their_own_units_reach_is_found():
    model = Bounded(-1000.0, 1000.0).eval()
    assert not rescale(model, len(ROWS), lambda model, rows: model(ROWS[rows, :1]).detach().numpy(), mean=[2e3],
                       scale=[5.0])  # fmt: skip


class Rare(nn.Module):
    """Doubles the greatest outputs, which one row of many has."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, rows):
        found = self.layer(rows)
        return torch.where(rows > 9.0, 2.0 * found, found)


def test_a_row_of_many_on_which_more_follows_is_found_by_its_output():
    numbers = torch.zeros(1000, 1)
    numbers[333] = 10.0
    model = Rare().eval()
    assert not rescale(model, 1000, lambda model, rows: model(numbers[rows]).detach().numpy(), mean=[9.0], scale=[5.0])


@pytest.mark.parametrize(("mean", "taken"), [(2000.0, True), (1e9, False)])
def test_float32_that_is_too_coarse_is_found(mean, taken):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 1)).eval()
    before = copy.deepcopy(model.state_dict())
    assert rescale(model, len(ROWS), run, mean=[mean], scale=[10.0]) is taken
    assert unchanged(model, before) is not taken


def test_models_of_transformers_with_and_without_a_bias():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=1, **sizes)).eval()
    gpt = GPT2ForSequenceClassification(
        GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2, num_labels=1, pad_token_id=0)
    ).eval()
    words = torch.arange(1, 13).reshape(3, 4)

    def logits(model, rows):
        return model(input_ids=words[rows]).logits.detach().numpy()

    before = logits(bert, slice(None))
    assert rescale(bert, 3, logits, mean=[18.0], scale=[7.0])
    np.testing.assert_allclose(logits(bert, slice(None)), before * 7.0 + 18.0, rtol=1e-6)
    assert not rescale(gpt, 3, logits, mean=[18.0], scale=[7.0])
    tell_config(gpt, {"target_mean": (18.0,), "target_scale": (7.0,)})
    assert (gpt.config.target_mean, gpt.config.target_scale) == ([18.0], [7.0])
    tell_config(gpt, None)
    assert not hasattr(gpt.config, "target_mean")
