"""The frozen layers of a model, left out: what need not run once the output of the last of them is known.

The *boundary* is that output. While a batch goes through the model with its boundary known, the frozen modules'
`forward` is replaced: the last one returns the boundary, in the structure of its own outputs; those before it return
NaN of the right shape. All the rest (masks, positions, the layers above, the head) runs as it always does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.training.features.output_templates import (
    WIDTH,
    NotExactError,
    Size,
    TensorTemplate,
    hidden_of,
    hidden_template,
    mapped,
)

_MISSING = object()


class _Reached(BaseException):
    """Ends a pass through a model at the boundary; no `except Exception` of a model's own code catches it."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class FrozenStack:
    """What is left out of one model, and the pass through it that has been tried.

    Attributes:
        boundary: The template of the tensor that has to be known.
        is_ragged: Whether the boundary has one vector a token, rather than one array a row.
        device: Where the model computes.
    """

    def __init__(self, device: torch.device, templates: Mapping[nn.Module, Sequence[Any]], last: nn.Module) -> None:
        """Take the templates of all calls of the modules that are left out, and the one that is called last."""
        self.device = device
        self._templates = dict(templates)
        self._last = last
        self.boundary = hidden_template(templates[last][-1])
        self.is_ragged = self.boundary.shape[1:2] == (WIDTH,)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that are left out."""
        return tuple(self._templates)

    def computed(self, run: Callable[[], object]) -> Tensor:
        """Return the boundary as the model computes it: the pass through it ends there."""
        calls = len(self._templates[self._last])

        def count(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal calls
            calls -= 1
            if not calls:
                raise _Reached(output)

        handle = self._last.register_forward_hook(count)
        try:
            run()
        except _Reached as reached:
            return hidden_of(reached.output).detach()
        finally:
            handle.remove()
        raise NotExactError("its frozen layers are not called on every batch")

    @contextmanager
    def left_out(self, boundary: Tensor, size: Size) -> Iterator[None]:
        """Replace the frozen modules for one pass; `boundary` is contiguous, on the device."""
        given = self.boundary.laid_out(boundary)
        before = {module: vars(module).get("forward", _MISSING) for module in self._templates}
        try:
            for module, templates in self._templates.items():
                known = given if module is self._last else None
                vars(module)["forward"] = _replacement(templates, size, self.device, known)
            yield
        finally:
            for module, forward in before.items():
                if forward is _MISSING:
                    vars(module).pop("forward", None)
                else:
                    vars(module)["forward"] = forward


def _replacement(
    templates: Sequence[Any], size: Size, device: torch.device, known: Tensor | None
) -> Callable[..., Any]:
    """Return what takes the place of a module's `forward`: its calls' outputs in turn, the last one with `known`."""
    calls = iter(templates)
    left = len(templates)

    def forward(*_inputs: Any, **_named: Any) -> Any:
        nonlocal left
        left -= 1
        waiting = [known] if known is not None and not left else []

        def made(template: TensorTemplate) -> Tensor:
            if waiting and template.dtype.is_floating_point:
                found = waiting.pop()
                assert found is not None
                return found
            return template.unknown(size.rows, size.width, device)

        return mapped(next(calls), TensorTemplate, made)

    return forward
