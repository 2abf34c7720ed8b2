"""The outputs of a run's frozen layers, read by each batch in the place of being computed.

They are those that would be computed, bit for bit, and this is verified: of each size of a batch, when rows that were
filled in batches of another size first come up in it. Which kernels compute, and so the last bits, is decided by sizes
and by whether there is padding, and not by the numbers; so what held of one batch holds of the next of its size. Where
it does not hold, batches of that size are computed as ever.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpsearch.training.features.frozen_part import Company, FrozenPart, TriedStack, bits_of
from hpsearch.training.features.output_templates import Size
from hpsearch.training.features.store import FeatureEntry
from hpsearch.training.random_states import isolated
from hpsearch.training.transfer import to_device

logger = logging.getLogger("hpsearch")

Case = tuple[bool, Company, Company]
"""Whether the model is in train mode, what batch a row is in, and in what batch its features were computed."""


@dataclass
class Verified:
    """Of one entry: in what batch each row was filled, and the cases that were found equal, or not."""

    filled_in: Sequence[Company]
    equal: set[Case] = field(default_factory=set)
    unequal: set[Case] = field(default_factory=set)

    @classmethod
    def noted(cls, filled_in: Sequence[Company], notes: Sequence[Any]) -> "Verified":
        """Return what processes that use the same entry have found."""
        found = cls(filled_in)
        for note in notes:
            with contextlib.suppress(TypeError, ValueError):  # of another version
                (is_training, company, filled), is_equal = note
                (found.equal if is_equal else found.unequal).add((is_training, tuple(company), tuple(filled)))
        return found


class FrozenFeatures:
    """The features of one run's frozen layers, ready to be read."""

    def __init__(self, frozen: FrozenPart, tried: TriedStack, entry: FeatureEntry, verified: Verified) -> None:
        self._frozen, self._stack, self._left = frozen, tried.stack, tried.left
        self._entry, self._verified = entry, verified

    def logits(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the model's outputs for a batch without running its frozen layers; bitwise those of running them."""
        frozen = self._frozen
        width = frozen.width(rows, batch)
        company = frozen.company(rows, width)
        cases = [(frozen.model.training, company, self._verified.filled_in[row]) for row in rows.tolist()]
        if self._verified.unequal.isdisjoint(cases):
            features = self._entry.read(rows, width, left=self._left)
            if self._verified.equal.issuperset(cases) or self._verify(cases, rows, batch, features):
                with self._stack.left_out(to_device(features, frozen.device), Size(len(rows), width)):
                    return frozen.learner.logits(frozen.model, batch)
        return frozen.learner.logits(frozen.model, batch)

    def _verify(self, cases: Sequence[Case], rows: np.ndarray, batch: Mapping[str, Tensor], features: Tensor) -> bool:
        """Whether the model, as it stands, computes the features that were read, in a batch of this size."""
        width = self._frozen.width(rows, batch)
        is_equal = self._equal_rows(rows, batch, width, features)
        verified = self._verified
        known = verified.equal | verified.unequal
        verified.unequal.update(case for case, equal in zip(cases, is_equal, strict=True) if not equal)
        verified.equal.update(case for case in cases if case not in verified.unequal)
        self._entry.note([[case, case in verified.equal] for case in dict.fromkeys(cases) if case not in known])
        if not all(is_equal):
            logger.info(
                "Batches of %d rows%s are computed without the feature cache: at that size, features have other last "
                "bits than those kept.",
                len(rows),
                "" if width is None else f" and {width} tokens",
            )
        return all(is_equal)

    def _equal_rows(
        self, rows: np.ndarray, batch: Mapping[str, Tensor], width: int | None, features: Tensor
    ) -> list[bool]:
        frozen = self._frozen
        with isolated(0, frozen.device):
            computed = self._stack.computed(lambda: frozen.learner.logits(frozen.model, batch)).cpu()
        if width is not None:
            real = frozen.real(rows, width, left=self._left)
            computed = computed.masked_fill(~real.reshape(*real.shape, *[1] * (computed.ndim - 2)), 0.0)
        if computed.dtype != features.dtype or computed.shape != features.shape:
            return [False] * len(rows)
        return [torch.equal(bits_of(one), bits_of(other)) for one, other in zip(computed, features, strict=True)]
