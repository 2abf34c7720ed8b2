"""Every error a user can meet, in one tree.

Each message says what was wrong, the value that was wrong, and what to do next, in one paragraph.

    HpsearchError
    ├── UsageError (also a ValueError)     what the user wrote cannot be done as written
    │   ├── SpaceError                     a search space, a parameter, a TOML file
    │   ├── DataError                      rows, columns, labels, images, folds
    │   ├── TaskError                      a model, a tokenizer, an unknown hyperparameter
    │   ├── MetricError                    an unknown metric, or one that cannot be computed
    │   ├── StudyNotFoundError             no study under this name
    │   └── StudyChangedError              the study on disk was made with other settings
    ├── NumericsError                      this machine cannot compute what the study promises
    ├── StoreError                         the database or the study's folder
    │   ├── StudyExistsError               another process made this study first
    │   ├── LeaseHeldError                 another coordinator is running this study
    │   └── LeaseLostError                 another coordinator has taken this study over
    ├── CheckpointError                    a checkpoint that cannot be read or does not fit
    └── StudyFailedError                   the first trials all failed in the same way
"""

import difflib
from collections.abc import Iterable


class HpsearchError(Exception):
    """Base of all errors raised by hpsearch."""


class UsageError(HpsearchError, ValueError):
    """Something in the user's call, file or data cannot be used."""


class SpaceError(UsageError):
    """A search space or one of its parameters is not valid."""


class DataError(UsageError):
    """The data cannot be read, or cannot be learned from."""


class TaskError(UsageError):
    """The model cannot be loaded, or does not understand what it is asked to do."""


class MetricError(UsageError):
    """A metric is unknown, or cannot be computed for this task."""


class StudyNotFoundError(UsageError):
    """There is no study under the given name, folder or URL."""


class StudyChangedError(UsageError):
    """A study of this name exists, and was made with other settings."""


class NumericsError(HpsearchError):
    """This process cannot honour the numerics stored with the study."""


class StoreError(HpsearchError):
    """The study's database or folder cannot be read or written."""


class StudyExistsError(StoreError):
    """A study that was to be made is there already."""


class LeaseHeldError(StoreError):
    """Another live coordinator holds the study."""


class LeaseLostError(StoreError):
    """This coordinator no longer holds the study; nothing it says is recorded any more."""


class CheckpointError(HpsearchError):
    """A checkpoint is damaged or belongs to another run."""


class StudyFailedError(HpsearchError):
    """The first trials all failed with the same exception; its traceback is in the message."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
