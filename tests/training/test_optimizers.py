import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from training_learners import BertLearner, ImageLearner, TextLearner

from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.optimizers import decay_groups, make_optimizer


def names(model: nn.Module) -> tuple[set[str], set[str]]:
    decayed, exempt = decay_groups(model)
    return set(decayed), set(exempt)


def test_biases_norms_and_vectors_are_not_decayed() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.linear = nn.Linear(4, 4)
            self.convolution = nn.Conv2d(1, 2, 3)
            self.batch = nn.BatchNorm2d(2)
            self.over_planes = nn.LayerNorm((3, 4))
            self.scale = nn.Parameter(torch.ones(4))
            self.temperature = nn.Parameter(torch.ones(()))
            self.bias = nn.Parameter(torch.zeros(2, 2))
            self.table = nn.Parameter(torch.zeros(2, 2))
            self.frozen = nn.Linear(4, 4).requires_grad_(False)

    decayed, exempt = names(Model())
    assert decayed == {"words.weight", "linear.weight", "convolution.weight", "table"}
    assert exempt == {
        "linear.bias",
        "convolution.bias",
        "batch.weight",
        "batch.bias",
        "over_planes.weight",
        "over_planes.bias",
        "scale",
        "temperature",
        "bias",
    }


def test_bert_is_grouped_as_its_authors_do() -> None:
    """Devlin et al. exclude LayerNorm and bias by name."""
    decayed, exempt = names(BertLearner().load_model())
    assert all("LayerNorm" in name or name.endswith(".bias") for name in exempt)
    assert not any("LayerNorm" in name or name.endswith(".bias") for name in decayed)


def test_a_parameter_shared_by_two_modules_is_optimized_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    decayed, exempt = names(model)
    assert decayed == {"0.weight"}
    assert exempt == {"0.bias", "1.bias"}
    assert sum(len(group["params"]) for group in make_optimizer(model, TrainingSettings.of({})).param_groups) == 3


def test_the_optimizer_has_the_configs_constants_and_a_fused_kernel() -> None:
    settings = TrainingSettings.of(
        {"learning_rate": 1e-3, "weight_decay": 0.3, "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6}
    )
    optimizer = make_optimizer(TextLearner().load_model(), settings)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"], group["fused"]) == (1e-3, (0.8, 0.9), 1e-6, True)


def test_a_group_without_parameters_is_left_out() -> None:
    model = ImageLearner().load_model().requires_grad_(False)
    model.get_parameter("classifier.bias").requires_grad_(True)
    (group,) = make_optimizer(model, TrainingSettings.of({})).param_groups
    assert group["weight_decay"] == 0.0


def test_decay_shrinks_what_is_decayed_and_nothing_else() -> None:
    model = TextLearner().load_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, TrainingSettings.of({"learning_rate": 0.1, "weight_decay": 0.5}))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed, exempt = decay_groups(model)
    for name, parameter in decayed.items():
        torch.testing.assert_close(parameter.detach(), before[name] * 0.95)
    for name, parameter in exempt.items():
        assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("kind", [TextLearner, BertLearner])
def test_embeddings_are_decayed(kind: type[TextLearner]) -> None:
    decayed, _ = decay_groups(kind().load_model())
    assert any("words" in name or "word_embeddings" in name for name in decayed)


def test_a_step_does_what_torch_does_and_does_not_import_its_compiler() -> None:
    made = make_optimizer(nn.Linear(3, 2), TrainingSettings.of({"weight_decay": 0.1}))
    plain = nn.Linear(3, 2)
    ours = copy.deepcopy(plain)
    optimizers = [
        type(made)(ours.parameters(), lr=0.1, weight_decay=0.1, fused=True),
        torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.1, fused=True),
    ]
    for _ in range(3):
        for model, optimizer in zip((ours, plain), optimizers, strict=True):
            model(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert torch.equal(ours.weight, plain.weight)
    assert ours.weight.requires_grad
    assert ours.weight.grad is None


def test_a_worker_starts_without_torchs_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from hpsearch.runtime.worker import Worker\n"
        "from hpsearch.training.hyperparameters import TrainingSettings\n"
        "from hpsearch.training.numerics import detect_environment, honour, resolve_numerics\n"
        "from hpsearch.training.optimizers import make_optimizer\n"
        "device = Worker('cpu').device\n"
        "honour(resolve_numerics(detect_environment(device)), device)\n"
        "model = torch.nn.Linear(2, 2)\n"
        "for name in ('adamw', 'sgd', 'adafactor', 'lion', 'schedule_free_adamw'):\n"
        "    optimizer = make_optimizer(model, TrainingSettings.of({'optimizer': name}))\n"
        "    model(torch.ones(1, 2)).sum().backward()\n"
        "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
        "    optimizer.step(), optimizer.zero_grad()\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "assert not {'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)\n"
        "import torch._inductor.config\n"
        "assert torch._inductor.config.deterministic\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
