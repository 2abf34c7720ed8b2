"""The grid as a sampler: every point once, in an order that covers the space early."""

import hashlib
from collections.abc import Mapping
from typing import Any

from hpsearch.records import History
from hpsearch.space import Space

Key = tuple[tuple[str, str], ...]


class GridSampler:
    """Every point of the grid once, also in parallel and after a resume, in an order shuffled by the study's seed.

    The next point is the first that no trial in History has. Nothing is counted, so none is lost or tried twice, and a
    default or enqueued configuration on the grid counts as its point. A shuffled grid that a timeout cuts short has
    covered the whole space thinly, not one corner densely.

    Args:
        points: How many values to take of a continuous range; see `hpsearch.space.Grid`.

    Raises:
        SpaceError: A continuous range without points.
    """

    is_finite = True
    is_blind = True

    def __init__(self, space: Space, points: int | None, seed: int) -> None:
        keyed = [(_key(point), dict(point)) for point in space.grid(points)]
        self._points = sorted(keyed, key=lambda pair: _rank(seed, pair[0]))

    def __len__(self) -> int:
        return len(self._points)

    def propose(self, history: History) -> Mapping[str, Any] | None:
        tried = {_key(trial.params) for trial in history.trials.values()}
        return next((dict(point) for key, point in self._points if key not in tried), None)


def _key(params: Mapping[str, Any]) -> Key:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def _rank(seed: int, key: Key) -> bytes:
    """Return the sort key of a point: a hash is the same on every machine and in every version of Python."""
    return hashlib.sha256(repr((seed, key)).encode("utf-8")).digest()
