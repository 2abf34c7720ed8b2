"""Goes on with a run in a process of its own: `resume_in_process.py LEARNER PRECISION POINT FOLDER [CONFIG]`."""

import json
import sys
from pathlib import Path

from training_learners import LEARNERS, fine_tune, measured, numbers, numerics

from hpsearch.training.run_checkpoint import FACTS, TENSORS


def main(kind: str, precision: str, point: int, folder: Path, config: str = "{}") -> None:
    """Advance from the checkpoint in the folder to a point, and write down what was found."""
    run = fine_tune(LEARNERS[kind](), json.loads(config), computing=numerics(precision))
    run.restore({name: (folder / name).read_bytes() for name in (FACTS, TENSORS)})
    found = [numbers(measurement) for measurement in measured(run, point)]
    for name, data in run.checkpoint().items():
        (folder / name).write_bytes(data)
    for measurement in found:
        measurement["outputs"] = measurement["outputs"][2].hex()
    (folder / "measurements.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
