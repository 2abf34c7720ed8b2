from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hpsearch.training.checksums import checksums


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(3)))


WRITES: dict[str, Callable[[nn.Parameter], object]] = {
    "one bit": lambda item: item.data.view(torch.int32).reshape(-1)[-1].bitwise_xor_(1),
    "a sign of zero": lambda item: item.data.view(-1)[:2].copy_(torch.tensor([-0.0, item.data.view(-1)[1].item()])),
    "all signs": lambda item: item.data.neg_(),
    "a factor": lambda item: item.data.mul_(0.99),
    "NaN": lambda item: item.data[0].fill_(torch.nan),
    "other rows": lambda item: setattr(item, "data", item.data.flip(0)),
    "other columns": lambda item: setattr(item, "data", item.data.flip(1)),
}


@pytest.mark.parametrize("shape", [(3, 5), (128, 128), (301, 257)])
@pytest.mark.parametrize("write", WRITES)
def test_every_write_is_seen(write: str, shape: tuple[int, int]) -> None:
    item = weight(*shape)
    with torch.no_grad():
        item.view(-1)[0] = 0.0
    before, version = checksums({"weight": item}), item._version
    assert checksums({"weight": item}) == before
    WRITES[write](item)
    assert item._version == version
    assert checksums({"weight": item}) != before


def test_the_values_count_and_not_where_they_lie() -> None:
    for shape in ((3, 5), (301, 257)):
        item = weight(*shape)
        elsewhere = torch.empty(item.numel() + 1)[1:].view(shape).copy_(item.detach())
        across = item.detach().t().contiguous().t()
        found = set(checksums({"a": item, "b": elsewhere, "c": across}).values())
        assert len(found) == 1


def test_tensors_of_any_kind_and_size() -> None:
    tensors: dict[str, Tensor] = {
        "none": torch.empty(0),
        "scalar": torch.tensor(2.0),
        "flags": torch.ones(70_001, dtype=torch.bool),
        "halves": torch.ones(70_001, dtype=torch.bfloat16),
        "whole": torch.arange(70_001),
    }
    found = checksums(tensors)
    assert list(found) == list(tensors) and len(set(found.values())) == len(tensors)
    assert checksums({}) == {}
