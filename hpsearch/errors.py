"""Every error a user can meet, in one tree.

Each message says what was wrong, the value that was wrong, and what to do next, in one paragraph.

    HpsearchError
    ├── UsageError (also a ValueError)     what the user wrote cannot be done as written
    │   ├── SpaceError                     a search space, a parameter, a TOML file
    │   ├── DataError                      rows, columns, labels, images, folds
    │   │   └── PreparedDataError          prepared rows that are missing or damaged; they are made anew
    │   ├── TaskError                      a model, a tokenizer, an unknown hyperparameter
    │   ├── MetricError                    an unknown metric, or one that cannot be computed
    │   ├── StudyNotFoundError             no study under this name
    │   └── StudyChangedError              the study on disk was made with other settings
    ├── NumericsError                      this machine cannot compute what the study promises
    ├── NodeError                          a machine of a cluster that cannot train for the study; others may
    ├── StoreError                         the database or the study's folder
    │   ├── StudyExistsError               another process made this study first
    │   ├── LeaseHeldError                 another coordinator is running this study
    │   └── LeaseLostError                 another coordinator has taken this study over
    ├── CheckpointError                    a checkpoint that cannot be read or does not fit
    └── StudyFailedError                   the first trials all failed in the same way

`Preempted` stands beside it: a KeyboardInterrupt, and no error.
"""

import difflib
import logging
import re
import traceback
from collections.abc import Iterable

PREEMPTED_CODE = 75
"""Exit code of a process that a cluster's signal has paused: "try again" (EX_TEMPFAIL of sysexits.h)."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
"""Control characters but tab and line feed, other ends of lines, what turns the order of letters around, surrogates."""


def printable(text: str) -> str:
    """Return text as a terminal, a log or a page may show it: what cannot be seen in it becomes an escape (\\x1b).

    Names, labels and messages come from files and other people. A terminal obeys some characters in them.
    """
    if text.isprintable():
        return text
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text.replace("\r\n", "\n"))


class PrintableRecords(logging.Filter):
    """Makes what a logger says printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (shown := printable(message)) != message:
            record.msg, record.args = shown, None
        if record.exc_info and not record.exc_text:
            record.exc_text = printable("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return True


class HpsearchError(Exception):
    """Base of all errors raised by hpsearch; what it says is printable."""

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(HpsearchError, ValueError):
    """Something in the user's call, file or data cannot be used."""


class SpaceError(UsageError):
    """A search space or one of its parameters is not valid."""


class DataError(UsageError):
    """The data cannot be read, or cannot be learned from."""


class PreparedDataError(DataError):
    """Prepared rows are missing or damaged. They can be made anew from the data."""


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


class NodeError(HpsearchError):
    """A machine of a cluster cannot train for a study: it lacks code, or room. Others may have it."""


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


class Preempted(KeyboardInterrupt, SystemExit):
    """SIGTERM or SIGUSR1 has paused what ran here; run it again to continue.

    Code that catches KeyboardInterrupt catches it. A script that does not ends with exit code 75, without a traceback.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = PREEMPTED_CODE


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
