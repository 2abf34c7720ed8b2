"""Pools: where segments run. One file a pool; every pool passes the same contract suite."""

from hpsearch.runtime.pools.base import Pool
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.runtime.pools.local import LocalPool

__all__ = ["InlinePool", "LocalPool", "Pool"]
