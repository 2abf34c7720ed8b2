"""Whether frozen layers can be left out of a model: tried, not assumed.

NaN survives every arithmetic, so that logits without NaN prove that nothing but the boundary was read of what was left
out; and logits, gradients and random states equal in every bit prove that nothing else changed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.training.features.frozen_stack import FrozenStack
from hpsearch.training.features.output_templates import (
    NotExactError,
    Size,
    can_be_unknown,
    hidden_of,
    mapped,
    template_of,
)
from hpsearch.training.random_states import current_states, isolated


@dataclass(frozen=True)
class Trial:
    """A batch on which a stack is tried.

    Attributes:
        size: Its size.
        real: Which positions are tokens and not padding, bool (rows, width); None where rows do not differ in length.
        logits: Puts it through the model as it stands.
        losses: Logits to one loss a row.
    """

    size: Size
    real: Tensor | None
    logits: Callable[[], Tensor]
    losses: Callable[[Tensor], Tensor]


def find_stack(
    model: nn.Module, layers: Sequence[Sequence[nn.Module]], trials: Sequence[Trial], device: torch.device
) -> FrozenStack:
    """Find out what can be left out of a model in train mode of which some layers are frozen, and try it.

    Buffers and random states are left as they were.

    Args:
        model: The model, frozen modules in eval mode.
        layers: The frozen modules: [embeddings, layer 1, ..., layer k].
        trials: Two batches of different size; where all rows have one width, of different rows.
        device: Where the model computes.

    Raises:
        NotExactError: They cannot be left out with the same result.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        return _found(model, layers, trials, device)
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)


def _found(
    model: nn.Module, layers: Sequence[Sequence[nn.Module]], trials: Sequence[Trial], device: torch.device
) -> FrozenStack:
    candidates = list({module: None for layer in layers for module in layer})
    first, second = (_watched(candidates, trial, device) for trial in trials)
    if [module for module, _ in first] != [module for module, _ in second]:
        raise NotExactError("which of its frozen modules are called depends on the batch")
    last = first[-1][0]
    if all(last is not module for layer in layers[1:] for module in layer):
        raise NotExactError("its frozen layers are not called after its embeddings")
    templates: dict[nn.Module, list[Any]] = {}
    for (module, one), (_, other) in zip(first, second, strict=True):
        templates.setdefault(module, []).append(template_of(one, other, (trials[0].size, trials[1].size)))
    layer_modules = {module for layer in layers[1:] for module in layer}
    known = first[-1][1]
    replaceable = {
        module: found for module, found in templates.items() if module is last or all(map(can_be_unknown, found))
    }
    stack = FrozenStack(device, replaceable, last)
    if not _is_equal(model, stack, trials[0], known):
        # Something is read that is not the boundary: a norm of shared tables, say. That must run; which is it?
        for module in [each for each in replaceable if each is not last]:
            alone = FrozenStack(device, {module: templates[module], last: templates[last]}, last)
            if not _is_equal(model, alone, trials[0], known):
                del replaceable[module]
        stack = FrozenStack(device, replaceable, last)
        if not _is_equal(model, stack, trials[0], known):
            raise NotExactError("more than the output of its last frozen layer is read above it, padding included")
    if trials[0].size.width is not None and not stack.is_ragged:
        raise NotExactError("its last frozen layer does not return one vector a token")
    if any(module in templates and module not in replaceable for module in layer_modules):
        raise NotExactError("outputs of its frozen layers are read beyond the next layer")
    return stack


def _watched(modules: Sequence[nn.Module], trial: Trial, device: torch.device) -> list[tuple[nn.Module, Any]]:
    """Return the calls of some modules, in their order, with their outputs.

    Modules without weights that are called more than once (an activation or dropout that layers share, frozen and not)
    are left aside: they run.

    Raises:
        NotExactError: None is called, or random numbers are drawn before the last call ends.
    """
    calls: list[tuple[nn.Module, Any]] = []
    states: list[Any] = []

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        # What comes above may compute in place.
        calls.append((module, mapped(output, Tensor, lambda tensor: tensor.detach().clone())))
        states.append(current_states(device))

    handles = [module.register_forward_hook(remember) for module in modules]
    try:
        with isolated(0, device), torch.no_grad():
            before = current_states(device)
            trial.logits()
    finally:
        for handle in handles:
            handle.remove()
    counts = Counter(module for module, _ in calls)
    own = [place for place, (module, _) in enumerate(calls) if counts[module] == 1 or _has_weights(module)]
    if not own:
        raise NotExactError("its frozen layers are not called")
    if states[own[-1]] != before:
        raise NotExactError("random numbers are drawn below its last frozen layer")
    return [calls[place] for place in own]


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_equal(model: nn.Module, stack: FrozenStack, trial: Trial, output: Any) -> bool:
    """Whether a batch has the same logits, gradients and random states with the stack left out, in train and eval."""
    boundary = hidden_of(output).detach()
    if trial.real is not None and stack.is_ragged:
        padding = ~trial.real.reshape(*trial.real.shape, *[1] * (boundary.ndim - 2)).to(boundary.device)
        boundary = boundary.masked_fill(padding, 0.0)
    boundary = boundary.contiguous()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    modes = [(module, module.training) for module in model.modules()]
    try:
        for is_training in (True, False):
            if not is_training:
                model.eval()
            wanted = trainable if is_training else []
            plain, states = _outcome(trial, wanted, stack.device)
            with stack.left_out(boundary.clone(), trial.size):  # what comes above may compute in place
                found, found_states = _outcome(trial, wanted, stack.device)
            if states != found_states or not all(map(_same, plain, found)):
                return False
    except (RuntimeError, ValueError, TypeError, StopIteration) as error:
        # Models check their inputs, and not every one takes what has no memory of its own.
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    finally:
        for module, training in modes:
            module.training = training
    return True


def _outcome(
    trial: Trial, trainable: Sequence[nn.Parameter], device: torch.device
) -> tuple[list[Tensor | None], tuple[Any, ...]]:
    """Return logits and gradients, and the random states behind them."""
    with isolated(1, device), torch.set_grad_enabled(bool(trainable)):
        logits = trial.logits()
        gradients: Sequence[Tensor | None] = ()
        if trainable:
            gradients = torch.autograd.grad(trial.losses(logits.float()).sum(), trainable, allow_unused=True)
        return [logits.detach(), *gradients], current_states(device)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
