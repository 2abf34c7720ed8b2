"""Pools: where segments run. One file a pool and one line below; every pool passes the same contract suite."""

from collections.abc import Callable

from hpsearch.errors import UsageError, nearest
from hpsearch.runtime.devices import EXAMPLES, Devices, TrialsPerDevice, checked_trials_per_device
from hpsearch.runtime.pools.base import Pool, PoolChoice
from hpsearch.runtime.pools.inline import inline_pool
from hpsearch.runtime.pools.local import local_pool
from hpsearch.runtime.pools.ray import ray_pool
from hpsearch.runtime.pools.silence import hang_seconds

POOLS: list[PoolChoice] = [
    local_pool,
    inline_pool,
    ray_pool,
]
"""The pools there are; a value of `devices` goes to the first that claims it."""


def chosen_pool(devices: Devices, trials_per_device: TrialsPerDevice = 1) -> tuple[PoolChoice, Callable[[], Pool]]:
    """Return the pool that a value of `devices` chooses, and what starts it, once these devices have been checked.

    Raises:
        UsageError: No pool claims the value, a device is not there, or it cannot be shared by so many trials.
    """
    number = checked_trials_per_device(trials_per_device)
    hang_seconds()  # of the environment: refused before anything starts where it is no number
    for pool in POOLS:
        if not pool.claims(devices):
            continue
        if number == 1:
            return pool, pool.opening(devices)
        if pool.sharing is not None:
            return pool, pool.sharing(devices, number)
        raise UsageError(
            f"trials_per_device={number!r} is for devices of this machine; devices={devices!r} trains one trial at a "
            "time. Leave trials_per_device out, or give devices='auto'."
        )
    values = [value for pool in POOLS for value in pool.values]
    raise UsageError(
        f"devices={devices!r} is not understood.{nearest(str(devices), values)} Use {', '.join(values)}, {EXAMPLES}."
    )
