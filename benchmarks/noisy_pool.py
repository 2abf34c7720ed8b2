"""A pool of simulated workers, some slower than others, on which each point takes another time than was recorded."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.grid_table import GridTable
from benchmarks.table_pool import TablePool
from hpsearch.records import History, Slot
from hpsearch.runtime.messages import Event, Train


@dataclass(frozen=True)
class Noise:
    """By what the recorded seconds of a point are multiplied.

    Attributes:
        sigma: Standard deviation of the logarithm of a factor that each point has.
        share: Share of the points that take `times` as long besides.
        times: See `share`.
    """

    sigma: float = 0.3
    share: float = 0.005
    times: float = 10.0

    def factors(self, seed: int, configuration: int, fold: int, points: int) -> np.ndarray:
        """Return the factors of a run's points, float64: the same whoever trains it, and whenever."""
        random = np.random.default_rng([seed, configuration, fold])
        common = np.exp(random.normal(0.0, self.sigma, points))
        return common * np.where(random.random(points) < self.share, self.times, 1.0)


class NoisyPool(TablePool):
    """Notes how long its slots train, and on what.

    Args:
        table: The table.
        speeds: Of each slot; a point takes its seconds over the slot's speed.
        noise: What multiplies the recorded seconds.
        seed: The noise's.

    Attributes:
        trained: Seconds that slots have trained, all together.
        at_last: Seconds since the beginning, and `trained`, when a trial's first run was last begun.
    """

    def __init__(self, table: GridTable, speeds: list[float], noise: Noise, seed: int) -> None:
        super().__init__(table, len(speeds))
        self._speeds, self._noise, self._seed = speeds, noise, seed
        self._factors: dict[tuple[int, int], np.ndarray] = {}
        self._took: dict[tuple[str, int], float] = {}
        self.trained = 0.0
        self.at_last = (0.0, 0.0)

    @property
    def idle_share(self) -> float:
        """Share of the slots' time in which they trained nothing."""
        return self._idle(self.now, self.trained)

    @property
    def idle_share_until_last(self) -> float:
        """The same until the last trial was begun."""
        return self._idle(*self.at_last)

    def in_vain(self, history: History) -> float:
        """Return the share of what was trained that nothing was decided on."""
        counted = sum(
            self._took.get((key, evaluation.point), 0.0)
            for key, evaluations in history.evaluations.items()
            for evaluation in evaluations
        )
        return 1.0 - counted / self.trained if self.trained else 0.0

    def submit(self, slot: Slot, order: Train) -> None:
        if order.segment.run.fold == 0 and order.segment.start == 0:
            self.at_last = (self.now, self.trained)
        super().submit(slot, order)

    def completed(self, timeout: float) -> Iterator[Event]:
        before, training = self.now, len(self._work)
        for event in super().completed(timeout):
            self.trained += (self.now - before) * training
            before = self.now
            yield event

    def _idle(self, seconds: float, busy: float) -> float:
        return 1.0 - busy / (seconds * len(self._speeds)) if seconds else 0.0

    def _seconds(self, slot: int, order: Train, point: int) -> float:
        run = order.segment.run
        where = self._table.index(run.config), run.fold
        if where not in self._factors:
            self._factors[where] = self._noise.factors(self._seed, *where, run.horizon)
        took = super()._seconds(slot, order, point) * float(self._factors[where][point]) / self._speeds[slot]
        self._took[run.key, point + 1] = took
        return took
