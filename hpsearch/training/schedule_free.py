"""Schedule-free AdamW: an average of the weights in place of a falling learning rate (Defazio et al. 2024)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """AdamW whose gradients are taken between the weights of its steps and their average (Defazio et al. 2024, alg. 1).

    Of each parameter there are three: z, where AdamW's steps lead; x, the average of z, each step weighted by the
    square of its learning rate; and y = (1 - beta1) z + beta1 x, where gradients are taken. The parameter itself holds
    y while the model trains and x while it is evaluated, written down, or exported. x and z are kept and y is always
    computed from them, so that going from one to the other and back changes no bit.

    A parameter that joins later, unfrozen in the course of a run, has an average of its own steps.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        """Make the optimizer over weights that are their own average.

        Args:
            params: Parameters, or groups of them.
            lr: Learning rate after the warmup.
            betas: Share of the average in y, and decay of the second moment.
            eps: Added to the denominator.
            weight_decay: Decoupled, of y.
        """
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do one step of the parameters that have a gradient, which was taken at y; a closure is not taken."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def _step(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        rate, (beta1, beta2), state = group["lr"], group["betas"], self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["weight_sum"] = torch.zeros((), dtype=torch.float64)
            state["z"] = parameter.detach().clone(memory_format=torch.preserve_format)
            state["x"] = parameter.detach().clone(memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        state["weight_sum"] += rate**2
        second = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
        corrected = (second / (1.0 - beta2 ** state["step"].item())).sqrt_().add_(group["eps"])
        state["z"].add_(parameter, alpha=-rate * group["weight_decay"]).addcdiv_(gradient, corrected, value=-rate)
        weight_sum = state["weight_sum"].item()
        if weight_sum:  # the first step of a warmup has a learning rate of 0
            state["x"].lerp_(state["z"], rate**2 / weight_sum)
        _between(parameter, state, beta1)

    @torch.no_grad()
    def to_evaluation(self) -> None:
        """Put the averages into the parameters, which hold the weights that gradients are taken at."""
        for parameter, state in self.state.items():
            parameter.copy_(state["x"])

    @torch.no_grad()
    def to_training(self) -> None:
        """Undo `to_evaluation`."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in self.state:
                    _between(parameter, self.state[parameter], group["betas"][0])


def _between(parameter: nn.Parameter, state: dict[str, Tensor], beta1: float) -> None:
    torch.lerp(state["z"], state["x"], beta1, out=parameter.data)
