"""How a worker's process begins: forked from a server that has imported everything, or started by joblib's loky."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Protocol

from joblib.externals.loky.process_executor import ProcessPoolExecutor

from hpsearch.records import Slot
from hpsearch.runtime.devices import worker_device, worker_environment
from hpsearch.runtime.fork_server import can_fork, fork_server, interruptions_blocked, log_that_workers_import
from hpsearch.runtime.processes import end_with_parent


class WorkerProcess(Protocol):
    """A worker's process, before it has said a word and after."""

    def has_ended(self) -> bool:
        """Return whether it is gone."""

    def end(self) -> None:
        """Kill it; said twice is said once."""


def started(
    call: Callable[[], None], slot: Slot, imports: Sequence[str], threads: int, *, forks: bool
) -> WorkerProcess:
    """Return a new worker's process.

    Args:
        call: What it does; travels by cloudpickle.
        slot: Whose worker it is.
        imports: Modules that it will need.
        threads: CPU threads.
        forks: Whether it may be forked, where that can be.
    """
    environment = worker_environment(slot, os.environ, threads)
    if forks and can_fork(worker_device(slot)):
        every = {**os.environ, **environment}
        try:
            return fork_server(every, imports).fork(call, every, imports)
        except OSError as error:
            log_that_workers_import(error)
    return _Spawned(call, environment)


class _Spawned:
    """A process that imports everything itself."""

    def __init__(self, call: Callable[[], None], environment: Mapping[str, str]) -> None:
        self._executor = ProcessPoolExecutor(
            max_workers=1, env=dict(environment), initializer=end_with_parent, initargs=(os.getpid(),)
        )
        if os.name == "posix":  # started by loky otherwise, which would clear the mask (CPython 3.11)
            resource_tracker.ensure_running()
        with interruptions_blocked():
            self._call: Future[None] = self._executor.submit(call)

    def has_ended(self) -> bool:
        return self._call.done()

    def end(self) -> None:
        self._executor.shutdown(wait=False, kill_workers=True)
