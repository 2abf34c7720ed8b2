"""A pool whose workers do not see the folders of this process, as if they were on other machines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpsearch.records import Slot
from hpsearch.runtime.messages import Wanted
from hpsearch.runtime.pools.base import PoolChoice
from hpsearch.runtime.pools.local import LocalProcess, LocalTransport
from hpsearch.runtime.pools.worker_pool import WorkerPool


class ElsewhereTransport(LocalTransport):
    """The processes of a local pool, told of folders as those of other machines are.

    Attributes:
        wanted: What they asked for, in order.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.wanted: list[Wanted] = []

    def start(self, slot: Slot, generation: int) -> LocalProcess:
        process = super().start(slot, generation)
        process.is_elsewhere = True
        return process

    def received(self, timeout: float) -> list[tuple[int, Any]]:
        messages = super().received(timeout)
        self.wanted += [message for _, message in messages if isinstance(message, Wanted)]
        return messages


class ElsewherePool(WorkerPool):
    def __init__(self, workers: int) -> None:
        self.transport = ElsewhereTransport(workers)
        super().__init__(self.transport, [Slot(index, ("cpu",)) for index in range(workers)])

    @property
    def files_wanted(self) -> list[tuple[str, str]]:
        """The folder and name of each file that was asked for, in order."""
        return [(wanted.folder, wanted.name) for wanted in self.transport.wanted if wanted.name]


def elsewhere(pools: list[ElsewherePool]) -> PoolChoice:
    """Return the choice of `devices="elsewhere"`; each pool that is opened is added to `pools`."""

    def open_pool() -> ElsewherePool:
        pools.append(ElsewherePool(workers=2))
        return pools[-1]

    return PoolChoice(("elsewhere",), lambda devices: devices == "elsewhere", lambda _: open_pool)


@contextmanager
def seen_by_this_process_only(folder: Path) -> Iterator[Path]:
    """Give a path of `folder` that leads there in this process, and in others to nothing."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
