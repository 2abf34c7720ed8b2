"""What is said, and not said, while transformers loads and writes models."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)
"""What transformers and its readers raise on folders, hub names and files that they cannot make sense of."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing load reports, progress bars and warnings while the block runs."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, as a sentence of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
