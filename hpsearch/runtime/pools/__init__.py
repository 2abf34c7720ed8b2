"""Pools: where segments run. One file a pool; every pool passes the same contract suite."""
