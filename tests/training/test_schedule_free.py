import torch
from torch import nn

from hpsearch.training.schedule_free import ScheduleFreeAdamW

RATES = [0.0, 0.05, 0.1, 0.1]
"""A warmup, whose first step is none."""


def test_steps_are_those_of_the_published_algorithm() -> None:
    """Defazio et al. 2024, algorithm 1 with Adam's correction of the second moment, by hand, of a convex function."""
    beta1, beta2, eps, decay = 0.9, 0.99, 1e-8, 0.1
    z = x = y = 3.0
    second = weight_sum = 0.0
    parameter = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimizer = ScheduleFreeAdamW([parameter], lr=0.1, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    for step, rate in enumerate(RATES, start=1):
        gradient = 2.0 * y
        second = beta2 * second + (1 - beta2) * gradient**2
        z -= rate * (gradient / ((second / (1 - beta2**step)) ** 0.5 + eps) + decay * y)
        weight_sum += rate**2
        share = rate**2 / weight_sum if weight_sum else 0.0
        x = (1 - share) * x + share * z
        y = (1 - beta1) * z + beta1 * x
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = 2.0 * parameter.detach()
        optimizer.step()
        torch.testing.assert_close(parameter.item(), y, rtol=1e-7, atol=1e-9)
        optimizer.to_evaluation()
        torch.testing.assert_close(parameter.item(), x, rtol=1e-7, atol=1e-9)
        optimizer.to_training()
    assert 0.0 < x < 3.0


def test_going_to_the_average_and_back_changes_no_bit() -> None:
    torch.manual_seed(0)
    parameter, other = nn.Parameter(torch.randn(50)), nn.Parameter(torch.randn(3))
    optimizer = ScheduleFreeAdamW([parameter, other], lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    for step in range(5):
        parameter.grad = torch.randn(50)
        optimizer.step()
        at = parameter.detach().clone()
        optimizer.to_evaluation()
        assert torch.equal(parameter, at) == (step == 0)
        optimizer.to_training()
        assert torch.equal(parameter, at)
    assert not optimizer.state[other]
