"""The studies of the chaos suite: a study file as a user writes it, a tiny transformer made of a config, and rows."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos_task import CONTROL

ROOMS = Path(__file__).resolve().parents[1]
NAME = "chaos"
ROWS = 90
EVALUATIONS_PER_EPOCH = 2

MATERIAL = """
from pathlib import Path

from tasks_samples import review_rows, save_text_model

save_text_model(Path("model"))
review_rows({rows}).to_csv("train.csv", index=False)
"""

STUDY = """
import os

from chaos_task import FOLDS, ChaosTexts
from sklearn.model_selection import KFold

import hpsearch as hp

study = hp.Study(
    {name!r},
    ChaosTexts({model!r}, train={train!r}),
    hp.Space(
        batch_size=hp.Categorical({batch_sizes}),
        learning_rate=hp.Float(1e-4, 1e-2, log=True, grid=[2e-3]),
        epochs={epochs},
        dropout=0.1,
        warmup_ratio=0.1,
    ),
    sampler={sampler!r},
    pruner={pruner},
    cv=KFold(FOLDS),
    metric="accuracy",
    early_stopping=None,
    evaluations_per_epoch={evaluations_per_epoch},
    seed={seed},
    storage=os.environ.get("CHAOS_STORAGE"),
    checkpoint_every=0.5,
)
"""


NO_PRUNER = "'none'"


@dataclass(frozen=True)
class StudyKind:
    """What is searched, and how: a study whose end does not depend on what runs when.

    Attributes:
        pruner: As the study file writes it.
        batch_sizes: One a trial in a grid: each has a shape of its own, so that what one lacks in memory is no other's.
    """

    sampler: str = "grid"
    pruner: str = NO_PRUNER
    batch_sizes: Sequence[int] = (6, 8, 10, 12, 14, 16)
    trials: int = 6
    epochs: int = 4
    seed: int = 0


GRID = StudyKind()
RANDOM = StudyKind(sampler="random", seed=1)
RACING = StudyKind(sampler="random", pruner="hp.Racing(synchronous=True)", trials=9, seed=2)


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is: a folder with its file, and the environment and the words that a user runs it with.

    Attributes:
        folder: The working directory; the study's own folder is `runs/chaos` in it.
    """

    folder: Path
    kind: StudyKind
    material: Path
    devices: str = "2"
    storage: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> None:
        for name in ("control", "temporary"):
            (self.folder / name).mkdir(parents=True)
        given = {name: getattr(self.kind, name) for name in ("sampler", "pruner", "epochs", "seed")}
        paths = {"model": str(self.material / "model"), "train": str(self.material / "train.csv")}
        given["evaluations_per_epoch"] = EVALUATIONS_PER_EPOCH
        text = STUDY.format(name=NAME, batch_sizes=list(self.kind.batch_sizes), **paths, **given)
        (self.folder / "study.py").write_text(text)

    @property
    def control(self) -> Path:
        return self.folder / "control"

    @property
    def study_folder(self) -> Path:
        return self.folder / "runs" / NAME

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.study_folder / 'study.db'}"

    def words(self) -> list[str]:
        options = ["--trials", str(self.kind.trials), "--devices", self.devices, "--progress", "none"]
        return ["-m", "hpsearch", "run", "study.py", *options]

    def environment(self) -> dict[str, str]:
        """Return the variables of its processes, by which they are known as well: `CHAOS_CONTROL` is its own."""
        storage = {} if self.storage is None else {"CHAOS_STORAGE": self.storage}
        return {**outer_environment(), CONTROL: str(self.control), "HPSEARCH_CACHE": str(self.folder / "cache"),
                "TMPDIR": str(self.folder / "temporary"), **storage, **self.variables}  # fmt: skip

    def run_undisturbed(self) -> None:
        """Make the study and bring it to its end, by itself."""
        self.make()
        words = [sys.executable, *self.words()]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def outer_environment() -> dict[str, str]:
    """Return this process's variables, with the rooms of the tests that the studies' modules are in."""
    rooms = [ROOMS.parent, *(ROOMS / name for name in ("chaos", "tasks")), os.environ.get("PYTHONPATH", "")]
    given: Mapping[str, str] = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    given = {**given, "PYTHONDONTWRITEBYTECODE": ""}  # else each of a hundred processes compiles everything anew
    return {**os.environ, **given, "PYTHONPATH": os.pathsep.join(map(str, rooms))}


def make_material(folder: Path) -> Path:
    """Write the model and the rows that all studies share."""
    folder.mkdir(parents=True, exist_ok=True)
    code = MATERIAL.format(rows=ROWS)
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=outer_environment(), check=True)
    return folder
