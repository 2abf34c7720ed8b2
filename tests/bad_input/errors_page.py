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

Each error is one paragraph that says what was wrong, the value that was wrong, and what to do next. If it can be
known before training, it comes before training, and nothing is written. In Python it is a subclass of
`hp.HpsearchError` (`hp.errors` draws the tree). A mistake in a call, a file or the data is a `UsageError`, which is
also a `ValueError`.

On the command line the paragraph goes to standard error, after `hpsearch: ` and, if making the study fails, the study
file and its line. Nothing goes to standard output. You see a traceback only if your own task failed in each of the
first three trials. An unexpected error is one paragraph too; set `HPSEARCH_TRACEBACK=1` in the environment to see its
traceback.

## Exit codes

| code | meaning |
|---|---|
| 0 | done, or paused because the time was up |
| 1 | an error that is not in your input: disk, database, device, numerics, training, or no complete trial |
| 2 | the command, the study file, the space, the data or the model cannot be used |
| 3 | another process is running the study |
| 75 | paused by SIGTERM or SIGUSR1, a cluster's notice; run the same command to continue |
| 130 | paused by Ctrl-C; run the same command to continue |

## What cannot be known before training

- **A configuration diverges.** Such trials are pruned with that reason, and the study continues. It is an error only
  if no trial is complete in the end.
- **A configuration does not fit in memory.** It is trained with gradient checkpointing, then in smaller parts, and a
  warning says so. If not even one row fits, it is pruned with that reason, and the sampler keeps away from it. A model
  with batch norm is not trained in parts: it is pruned if gradient checkpointing does not help. On an NVIDIA GPU each
  model is tried with the largest batch of the space before the first trial ([devices.md](devices.md#memory)).
- **Your own code fails on some rows.** Before training, a metric is tried on a small example, a transformers model on
  its longest and its shortest row and on rows with special tokens in their texts, your own model and loss on up to
  three rows. A worker then trains each model on the longest row, the shortest and three others, in the study's
  precision. A callback is not tried: if it raises, a warning names it, logs/callbacks.log has its traceback, and the
  study continues. If each of the first three trials fails in the same way, the study ends.
- **The disk fills up, or the database goes away, while the study runs.** What was recorded before is safe; run the
  same command to continue.
- **Another program takes the GPU's memory later, or a worker is killed.** The trial is tried again, then given up.
- **Trials that share a GPU run out of memory.** Nothing is held against them: the device trains fewer at once, and the
  trial continues from its checkpoint. Only a trial that has the device to itself can be out of memory.
- **The GPU does not say how busy it is** (NVML is missing, or it is a part of a GPU), with `trials_per_device="auto"`:
  a warning says so, and that device trains one trial at a time.
- **NVIDIA's MPS cannot be started**: a warning says why, and trials share the GPU in time slices.

`python tests/bad_input/errors_page.py` makes the tables below from the catalogue in `tests/bad_input`, where each
mistake is really made. `~/project` is the folder of the study file.
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
