import pytest
import torch
from token_samples import causal_model
from torch import nn

from hpsearch.tasks.generation import token_losses
from hpsearch.tasks.generation.token_losses import IGNORED, logits_at, row_sums


class Logits(nn.Module):
    """Gives logits as they are."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def get_output_embeddings(self):
        return None

    def forward(self, use_cache):
        return self


def example(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(3, 21, 11, generator=generator)).to(dtype).requires_grad_()
    labels = torch.randint(0, 11, (3, 21), generator=generator)
    labels[:, 17:] = IGNORED
    labels[1, 2:] = IGNORED
    return logits, labels


@pytest.mark.parametrize("at_once", [2**24, 176])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_sums_and_gradients_are_those_of_torchs_cross_entropy(smoothing, at_once, monkeypatch):
    monkeypatch.setattr(token_losses, "LOGITS_AT_ONCE", at_once)
    logits, labels = example()
    sums = row_sums(Logits(logits), {}, labels)
    ((1 - smoothing) * sums[:, 0] + smoothing * sums[:, 1]).sum().backward()
    own, logits.grad = logits.grad, None
    wanted = nn.functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, label_smoothing=smoothing, reduction="none"
    ).double()
    found = ((1 - smoothing) * sums[:, 0] + smoothing * sums[:, 1]).detach()
    assert torch.allclose(found, wanted.sum(dim=1), rtol=1e-6)
    wanted.sum().backward()
    assert torch.allclose(own, logits.grad, atol=1e-6)
    assert not own[labels == IGNORED].any()


def test_in_bf16_gradients_are_those_of_float32_rounded():
    logits, labels = example(torch.bfloat16)
    row_sums(Logits(logits), {}, labels)[:, 0].sum().backward()
    own, logits.grad = logits.grad, None
    assert own.dtype == torch.bfloat16
    flat = logits.float().transpose(1, 2)
    nn.functional.cross_entropy(flat, labels, ignore_index=IGNORED, reduction="sum").backward()
    assert torch.allclose(own, logits.grad, atol=1e-2)


def test_right_tokens_are_counted_without_gradients_only():
    logits, labels = example()
    wanted = ((logits.argmax(dim=-1) == labels) & (labels != IGNORED)).sum(dim=1)
    assert not row_sums(Logits(logits), {}, labels)[:, 2].any()
    with torch.no_grad():
        assert row_sums(Logits(logits.detach()), {}, labels)[:, 2].tolist() == wanted.tolist()


@torch.no_grad()
def test_a_rows_sums_do_not_depend_on_its_padding():
    logits, labels = example()
    wider = torch.cat([logits, torch.randn(3, 43, 11)], dim=1)
    padded = nn.functional.pad(labels, (0, 43), value=IGNORED)
    assert torch.equal(row_sums(Logits(logits), {}, labels), row_sums(Logits(wider), {}, padded))


def test_logits_are_computed_at_the_places_asked_for_only():
    model = causal_model()
    tokens = torch.arange(6, 38).reshape(2, 16)
    places = torch.tensor([[3, 9, 14], [0, 0, 5]])
    seen = []
    handle = model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    some = logits_at(model, {"input_ids": tokens}, places)
    handle.remove()
    everything = model(input_ids=tokens).logits
    assert seen == [(2, 3, 32)]
    assert torch.allclose(some, everything.gather(1, places[:, :, None].expand(-1, -1, 40)), atol=1e-6)
    assert logits_at(model, {"input_ids": tokens}, None).shape == (2, 16, 40)
