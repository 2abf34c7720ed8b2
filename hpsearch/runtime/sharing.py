"""Which study gets the next free slot where several share a pool: a pure function of what each has used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean


@dataclass(frozen=True)
class _Segment:
    """A segment in training: since when, on how many devices (a part of one where slots share it)."""

    began: float
    devices: float


@dataclass
class Shares:
    """Counts the device-seconds of each study; whoever has used least of its weight comes first.

    A segment in training counts as long as its study's segments have taken so far, or as long as it has taken itself,
    if that is more: else one study would get every slot that is free at the same moment.

    Attributes:
        weights: How many device-seconds a study gets for each that a study of weight 1 gets.
    """

    weights: Mapping[str, float]
    _used: dict[str, float] = field(init=False)
    _seconds: dict[str, list[float]] = field(init=False)
    _segments: dict[tuple[str, str], _Segment] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._used = dict.fromkeys(self.weights, 0.0)
        self._seconds = {study: [] for study in self.weights}

    def began(self, study: str, run: str, now: float, devices: float = 1.0) -> None:
        """Take note of a segment that is trained from now on."""
        self._segments[study, run] = _Segment(now, devices)

    def ended(self, study: str, run: str, now: float) -> None:
        """Take note that a study's segment of a run is no longer trained."""
        segment = self._segments.pop((study, run), None)
        if segment is None:  # its study failed as it was begun
            return
        self._used[study] += segment.devices * (now - segment.began)
        self._seconds[study].append(now - segment.began)

    def in_order(self, now: float) -> list[str]:
        """Return the studies, the one first that the next free slot is due to."""
        return sorted(self.weights, key=lambda study: self._account(study, now))

    def gave_way(self, study: str, to: str) -> None:
        """Take note that a slot went to another study because this one had nothing to train.

        What it left to others is not owed to it later: it would keep them from training until it has caught up.
        """
        level = self._used[to] / self.weights[to]
        self._used[study] = max(self._used[study], level * self.weights[study])

    def _account(self, study: str, now: float) -> tuple[float, float]:
        """Return what a study has used of its weight; of equals, the one with fewer segments in training is first."""
        seconds = self._seconds[study]
        expected = fmean(seconds) if seconds else 0.0
        mine = [segment for (of, _), segment in self._segments.items() if of == study]
        under_way = sum(segment.devices * max(now - segment.began, expected) for segment in mine)
        weight = self.weights[study]
        return (self._used[study] + under_way) / weight, len(mine) / weight
