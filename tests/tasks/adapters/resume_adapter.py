"""Ends runs with an adapter in a process of its own: `resume_adapter.py MODEL FOLDER PRECISION...`."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "tasks"), str(TESTS / "training")]

from adapter_samples import ADAPTERS, base_of, learner_of, run_of, text_task  # noqa: E402
from training_learners import measured  # noqa: E402

from hpsearch.training.run_checkpoint import FACTS, TENSORS  # noqa: E402


def main(model: str, folder: Path, precisions: list[str]) -> None:
    """Train each run from its checkpoint to its end, and write down its state."""
    learner = learner_of(text_task(Path(model)), folder / "rows")
    for precision in precisions:
        run = run_of(base_of(learner, precision), ADAPTERS["dora"], precision)
        run.restore({name: (folder / precision / name).read_bytes() for name in (FACTS, TENSORS)})
        measured(run)
        (folder / precision / TENSORS).write_bytes(run.checkpoint()[TENSORS])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
