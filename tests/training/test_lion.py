import math

import torch
from torch import nn

from hpsearch.training.lion import Lion


def test_two_steps_are_those_of_the_published_algorithm() -> None:
    """Chen et al. 2023, algorithm 2, by hand."""
    theta, momentum, rate, decay = 0.5, 0.0, 0.1, 0.2
    parameter = nn.Parameter(torch.tensor([theta], dtype=torch.float64))
    optimizer = Lion([parameter], lr=rate, betas=(0.9, 0.99), weight_decay=decay)
    for gradient in (3.0, -0.1, -40.0):
        direction = math.copysign(1.0, 0.9 * momentum + 0.1 * gradient)
        theta -= rate * (direction + decay * theta)
        momentum = 0.99 * momentum + 0.01 * gradient
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        torch.testing.assert_close(parameter.item(), theta)
        torch.testing.assert_close(optimizer.state[parameter]["exp_avg"].item(), momentum)
    assert set(optimizer.state[parameter]) == {"exp_avg"}


def test_what_has_no_gradient_stays() -> None:
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    optimizer = Lion(parameters, lr=0.1, weight_decay=0.5)
    parameters[0].grad = torch.ones(2)
    optimizer.step()
    assert parameters[1].tolist() == [1.0, 1.0]
    assert not optimizer.state[parameters[1]]
