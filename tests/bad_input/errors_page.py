"""Write docs/errors.md from the catalogue: python tests/bad_input/errors_page.py"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"

if __name__ == "__main__":  # pytest has set all this before
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / room) for room in ("bad_input", "runtime", "tasks"))]

from catalogue import GROUPS  # noqa: E402  (found where the lines above say)
from mistake import Mistake, said  # noqa: E402

HEAD = """# Errors

What can go wrong at the keyboard, and what hpsearch says: each error is one paragraph that says what was wrong,
the value that was wrong, and what to do next. It comes before any training where it can be known then, and
nothing is written. In Python it is a subclass of `hp.HpsearchError` (`hp.errors` draws the tree); a mistake in
a call, a file or the data is a `UsageError`, and so a `ValueError` too.

On the command line the paragraph goes to standard error, after `hpsearch: ` and, where making the study fails,
the study file and its line; nothing goes to standard output. There is no traceback but that of your own task,
where it failed in each of the first three trials. An unexpected error is one paragraph too; with
`HPSEARCH_TRACEBACK=1` in the environment it comes with its traceback.

## Exit codes

| code | meaning |
|---|---|
| 0 | done, or paused because the time given was up |
| 1 | an error that is not in what was given: disk, database, device, numerics, training, or no trial that is complete |
| 2 | something in the command, the study file, the space, the data or the model cannot be used as it is |
| 3 | another process is running the study |
| 130 | paused by Ctrl-C or SIGTERM; the same command goes on |

## What cannot be known before training

- **That a configuration diverges, or does not fit the memory.** Such trials are pruned with that reason, and
  the study goes on; it is an error only where not one trial was complete in the end. On a GPU the largest batch
  of the space is tried once before the first trial.
- **That code of yours fails on some rows.** A metric is tried on a small example first; a model of transformers on
  one row, a model and loss of your own on up to three, forwards and backwards; a callback not at all (one that raises
  ends nothing: a warning names it, and logs/callbacks.log has its traceback). What fails in each of the first three
  trials in the same way ends the study.
- **That the disk fills, or the database goes, while the study runs.** What was recorded before is safe, and the
  same command goes on.
- **That a GPU's memory is taken by others later, or a worker is killed.** The trial is tried again, then given
  up.

The tables below are made by `python tests/bad_input/errors_page.py` from the catalogue in `tests/bad_input`,
where each mistake is really made. `~/project` is the folder that the study file is in.
"""


def row(mistake: Mistake) -> str:
    """Return a mistake's line in its table."""
    return f"| {_cell(mistake.what)} | {_cell(said(mistake))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page() -> str:
    """Return the whole page; makes every mistake."""
    parts = [HEAD]
    for title, mistakes in GROUPS.items():
        rows = "\n".join(row(mistake) for mistake in mistakes)
        parts.append(f"## {title}\n\n| mistake | what hpsearch says |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
