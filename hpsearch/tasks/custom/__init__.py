"""A task for any torch module."""

from hpsearch.tasks.custom.task import CustomTask

__all__ = ["CustomTask"]
