"""What a shell gets to see of an error: one paragraph and an exit code."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from hpsearch.errors import PREEMPTED_CODE, HpsearchError, LeaseHeldError, Preempted, UsageError, printable
from hpsearch.runtime.signals import Interruption

EXIT_CODES = {UsageError: 2, LeaseHeldError: 3}
"""Exit codes by kind of error; every other error of ours is 1, a pause by Ctrl-C is 130, and one by
SIGTERM or SIGUSR1 is 75."""

SHOW_TRACEBACK = "HPSEARCH_TRACEBACK"
"""Environment variable that has an error that is not one of ours shown with its traceback."""


def say(text: object, *, err: bool = False) -> None:
    """Print what may quote others: names, labels, their messages."""
    typer.echo(printable(str(text)), err=err)


@contextlib.contextmanager
def reported_errors() -> Iterator[None]:
    """Say what went wrong in one paragraph, without a traceback, and end with its exit code."""
    try:
        with Interruption().heard():
            yield
    except HpsearchError as error:
        say(f"hpsearch: {error}", err=True)
        code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
        raise _ending(code) from error
    except typer.Exit as ending:
        raise _ending(ending.exit_code) from ending
    except Preempted as error:
        raise _ending(PREEMPTED_CODE) from error
    except KeyboardInterrupt as error:
        say("hpsearch: interrupted. Everything recorded is safe; run the same command to continue.", err=True)
        raise _ending(130) from error
    except Exception as error:
        if os.environ.get(SHOW_TRACEBACK):
            traceback.print_exc()
        else:
            say(f"hpsearch: {_unexpected(error)}", err=True)
        raise _ending(1) from error
    else:
        _ending(0)


def _ending(code: int) -> typer.Exit:
    """Return what ends the command; end it at once where a Ray cluster that does not answer is still being left.

    All is said and written by then, and what Ray does as Python ends would crash.
    """
    connection = sys.modules.get("hpsearch.runtime.pools.ray_connection")
    if connection is not None and connection.is_leaving():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # nobody reads it any more
                stream.flush()
        os._exit(code)
    return typer.Exit(code)


def _unexpected(error: Exception) -> str:
    """Return one paragraph about an error that is not one of ours: what the system refused, or a defect."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Check that it exists, and that this process may use it."
    reason = " ".join(str(error).split())
    return (
        f"{type(error).__name__}: {reason}. This error was not expected: it is a defect of hpsearch or of your code. "
        f"Everything recorded is safe. Run the same command with {SHOW_TRACEBACK}=1 in the environment to see where "
        "it came from."
    )
