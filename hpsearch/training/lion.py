"""Lion: the sign of a mixture of gradient and momentum (Chen et al. 2023, algorithm 2), one moment a parameter."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class Lion(torch.optim.Optimizer):
    """Lion, which Chen et al. found by a search over programs.

    Every entry of a parameter moves by the learning rate, up or down: the rate is to be a third to a tenth of AdamW's,
    the weight decay larger by as much (section 5 there).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        """Make the optimizer.

        Args:
            params: Parameters, or groups of them.
            lr: Learning rate.
            betas: Share of the momentum in the direction of a step, and its own decay.
            weight_decay: Decoupled, as AdamW's.
        """
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do one step of the parameters that have a gradient; a closure is not taken."""
        for group in self.param_groups:
            share, decay = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                momentum = state["exp_avg"]
                direction = torch.lerp(parameter.grad, momentum, share).sign_()
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(direction, alpha=-group["lr"])
                momentum.lerp_(parameter.grad, 1.0 - decay)
