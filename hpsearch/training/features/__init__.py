"""Outputs of frozen layers, computed once and read by every run."""


class NotKeptError(Exception):
    """The outputs of frozen layers are computed for each batch, as without a cache; the message says why."""
