"""Pools: where segments run. One file a pool and one line below; every pool passes the same contract suite."""

from collections.abc import Callable

from hpsearch.errors import UsageError, nearest
from hpsearch.runtime.devices import Devices
from hpsearch.runtime.pools.base import Pool, PoolChoice
from hpsearch.runtime.pools.inline import inline_pool
from hpsearch.runtime.pools.local import local_pool

POOLS: list[PoolChoice] = [
    local_pool,
    inline_pool,
]
"""The pools there are; a value of `devices` goes to the first that claims it."""


def chosen_pool(devices: Devices) -> tuple[PoolChoice, Callable[[], Pool]]:
    """Return the pool that a value of `devices` chooses, and what starts it, once these devices have been checked.

    Raises:
        UsageError: No pool claims the value, or a device is not there.
    """
    for pool in POOLS:
        if pool.claims(devices):
            return pool, pool.opening(devices)
    values = [value for pool in POOLS for value in pool.values]
    raise UsageError(
        f"devices={devices!r} is not understood.{nearest(str(devices), values)} Use {', '.join(values)}, 'cuda:0', a "
        "number of workers, or a list of devices."
    )
