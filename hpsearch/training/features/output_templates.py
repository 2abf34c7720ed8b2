"""What modules return, for a batch of any size: told from what they returned for two."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROWS, WIDTH = "rows", "width"


class NotExactError(Exception):
    """The frozen layers of a model cannot be left out with the same result; its message says why, without a stop."""


@dataclass(frozen=True)
class Size:
    """Rows of a batch, and the tokens they are padded to; None where rows do not differ in length."""

    rows: int
    width: int | None


@dataclass(frozen=True)
class TensorTemplate:
    """A tensor of a module's output, for any batch.

    Attributes:
        shape: Its dimensions: numbers, or `ROWS`, or `WIDTH`.
        dtype: Its type.
        order: Its dimensions as they lie in memory, the one with the longest steps first.
    """

    shape: tuple[int | str, ...]
    dtype: torch.dtype
    order: tuple[int, ...]

    def unknown(self, rows: int, width: int | None, device: torch.device) -> Tensor:
        """Return NaN in this shape, of one number in memory."""
        known = {ROWS: rows, WIDTH: width}
        shape = [known[size] if isinstance(size, str) else size for size in self.shape]
        return torch.full((), torch.nan, dtype=self.dtype, device=device).expand(shape)  # type: ignore[arg-type]

    def laid_out(self, tensor: Tensor) -> Tensor:
        """Return a contiguous tensor with its dimensions in this order in memory."""
        if self.order == tuple(range(tensor.ndim)):
            return tensor
        back = sorted(range(tensor.ndim), key=self.order.__getitem__)
        return tensor.permute(self.order).contiguous().permute(back)


def mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Return a structure of tuples, lists and dicts with its items of one kind changed.

    Raises:
        NotExactError: It cannot be made again of its parts.
    """
    if isinstance(value, kind):
        return change(value)
    try:
        if isinstance(value, dict):
            return type(value)(**{name: mapped(each, kind, change) for name, each in value.items()})
        if isinstance(value, tuple | list):
            made = [mapped(each, kind, change) for each in value]
            return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    except TypeError as error:
        raise NotExactError(f"a frozen layer returns a {type(value).__name__}") from error
    return value


def leaves(value: Any, kind: type) -> list[Any]:
    """Return the items of one kind in a structure, in order."""
    found: list[Any] = []
    mapped(value, kind, found.append)
    return found


def template_of(one: Any, other: Any, sizes: tuple[Size, Size]) -> Any:
    """Return a module's output for any batch, told from its outputs for two.

    Raises:
        NotExactError: It holds something else than tensors and constants, or changes with more than the batch's size.
    """
    tensors = leaves(one, Tensor), leaves(other, Tensor)
    if type(one) is not type(other) or len(tensors[0]) != len(tensors[1]):
        raise NotExactError("what its frozen layers return depends on the batch")
    found = iter([_tensor_template(*pair, sizes) for pair in zip(*tensors, strict=True)])
    constants = [mapped(each, Tensor, lambda _: None) for each in (one, other)]
    if not _is_plain(constants[0]) or constants[0] != constants[1]:
        raise NotExactError("its frozen layers return more than tensors")
    return mapped(one, Tensor, lambda _: next(found))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(each) for name, each in value.items())
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _tensor_template(one: Tensor, other: Tensor, sizes: tuple[Size, Size]) -> TensorTemplate:
    if one.ndim != other.ndim or one.dtype != other.dtype:
        raise NotExactError("what its frozen layers return depends on the batch")
    shape: list[int | str] = []
    for axis, pair in enumerate(zip(one.shape, other.shape, strict=True)):
        # Where all rows have one width, the second dimension is taken for it if it is as long.
        if pair[0] == pair[1] and not (axis == 1 and pair == (sizes[0].width, sizes[1].width)):
            shape.append(int(pair[0]))
        elif pair == (sizes[0].rows, sizes[1].rows):
            shape.append(ROWS)
        elif pair == (sizes[0].width, sizes[1].width):
            shape.append(WIDTH)
        else:
            raise NotExactError(f"a frozen layer's output is of shape {tuple(one.shape)} for a batch of {sizes[0]}")
    order = tuple(sorted(range(one.ndim), key=lambda axis: -one.stride()[axis]))
    return TensorTemplate(tuple(shape), one.dtype, order)


def can_be_unknown(template: Any) -> bool:
    """Whether all tensors of an output can be NaN."""
    return all(each.dtype.is_floating_point for each in leaves(template, TensorTemplate))


def hidden_template(template: Any) -> TensorTemplate:
    """Return the template of what a layer passes on to the next: the first tensor of floating-point numbers.

    Raises:
        NotExactError: There is none, or it is not made of rows.
    """
    found = [each for each in leaves(template, TensorTemplate) if each.dtype.is_floating_point]
    if not found or found[0].shape[:1] != (ROWS,):
        raise NotExactError("its last frozen layer does not return a tensor with a row for each of the batch")
    hidden: TensorTemplate = found[0]
    return hidden


def hidden_of(output: Any) -> Tensor:
    """Return what a layer passes on to the next."""
    hidden: Tensor = next(each for each in leaves(output, Tensor) if each.is_floating_point())
    return hidden
