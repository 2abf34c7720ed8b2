"""What tasks have in common that train themselves: settings of any name, reported metrics, a process for each run."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hpsearch.data.dataset import is_prepared, write_dataset
from hpsearch.data.folds import Folds
from hpsearch.errors import TaskError
from hpsearch.records import digest
from hpsearch.tasks.base import Task
from hpsearch.tasks.loops.judge import ReportedJudge
from hpsearch.tasks.loops.own_rows import OwnRows
from hpsearch.tasks.prepared import Prepared, Split
from hpsearch.tasks.pretrained_task import whole_number
from hpsearch.training.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameter, IntegerCheck

if TYPE_CHECKING:
    from hpsearch.tasks.loops.run import Run
    from hpsearch.training.learner import Learner
    from hpsearch.training.training import RunArguments, Training

_FORMAT = 1
"""Part of every prepared folder's name: counted up when what is in it changes."""

_MEANT = ("batch_size", "warmup_ratio", "warmup_steps")
"""Names that the study reads too, besides `epochs`: what they say must be what they say elsewhere."""


_LOOKED_AT = 16
"""A refit trains on all rows, and code that evaluates is given so many of them again; nothing follows from that."""


class SingleFold(Folds):
    """The one fold of a task whose code reads its own rows."""

    def __init__(self) -> None:
        super().__init__(((np.array([0]), np.array([1])),))

    def __repr__(self) -> str:
        return "one fold"


@dataclass(frozen=True, eq=False)
class LoopTask(Task):
    """A task whose runs are the user's own code, each in a process of its own.

    A run reports its metrics, and its reports are its evaluation points. Its config may set anything: nothing is known
    of the names, so none can be checked. `epochs` says how many reports a run makes, unless `reports` does.

    Attributes:
        defaults: Values of the hyperparameters that a space does not name. If they name all of the space, they are the
            default trial, which the winner is compared with.
        reports: How many reports each run makes; None where `epochs` says it: one an epoch.
        train: The training rows, of a type that the code takes: a DataFrame, a datasets.Dataset, a list, an array, a
            dict of columns, a tuple of arrays, or a map-style dataset. Each run gets those of its fold. None: the code
            reads its own, and there is one fold.
        validation: Rows that every run is evaluated on; None: `cv` splits the training rows.
    """

    trains_itself: ClassVar[bool] = True
    evaluations_per_epoch: ClassVar[int] = 1
    patience: ClassVar[float | None] = None

    defaults: Any = field(default=None, kw_only=True)
    reports: int | None = field(default=None, kw_only=True)
    train: Any = field(default=None, kw_only=True)
    validation: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for role in ("train", "validation"):
            if getattr(self, role) is not None:
                self._set(role, OwnRows.of(getattr(self, role), role))
        if self.validation is not None and self.train is None:
            raise TaskError("validation= is given without train=. Give both, or neither: the code then reads its own.")
        self._set("defaults", _plain(self.defaults))
        if self.reports is not None:
            self._set("reports", whole_number(self.reports, "reports", 1))
            if "epochs" in self.defaults:
                raise TaskError(
                    f"reports={self.reports} and defaults={{'epochs': ...}} both say how often a run reports. Leave "
                    "reports= out, and give the study evaluations_per_epoch= where a run reports more than once an "
                    "epoch; or call the hyperparameter otherwise."
                )

    @property
    def has_rows(self) -> bool:  # type: ignore[override]
        return self.train is not None

    @property
    def default_cv(self) -> Any:
        return 5 if self.has_rows else SingleFold()

    # ------------------------------------------------------------------ what differs

    @property
    @abstractmethod
    def model(self) -> str:
        """What the user's code is called, in reports and messages."""

    @abstractmethod
    def call(self, config: Mapping[str, Any]) -> "Callable[[Run], None]":
        """Return what runs the code with a config in a run's process."""

    @property
    @abstractmethod
    def code(self) -> Any:
        """What the code computes, as JSON keeps it: part of the key of each run."""

    @property
    def objective(self) -> str:
        """The metric that a study follows where it names none; "" where it has to."""
        return ""

    @property
    def prefix(self) -> str:
        """What the code's names of metrics begin with, and the study's do not."""
        return ""

    def warnings(self) -> tuple[str, ...]:
        """What the user should know, each a sentence."""
        return ()

    # ------------------------------------------------------------------ hyperparameters

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Return those that the study reads too; a config may set any others."""
        known = {name: TRAINING_HYPERPARAMETERS[name] for name in _MEANT}
        return {"epochs": Hyperparameter(1, IntegerCheck("epochs", 1), "How many reports a run makes."), **known}

    def recommended(self) -> Mapping[str, Any]:
        return dict(self.defaults)

    def unnamed(self) -> Mapping[str, Any]:
        reports = {} if self.reports is None else {"epochs": self.reports}
        return {**reports, **self.defaults}

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with the defaults of what it leaves out; `TaskError` where nothing says how long a run is."""
        if self.reports is not None and config.get("epochs", self.reports) != self.reports:
            raise TaskError(
                f"epochs={config['epochs']!r} and reports={self.reports} both say how often a run reports. Leave "
                "reports= out of the task, or epochs out of the space."
            )
        whole = {**self.unnamed(), **config}
        if "epochs" not in whole:
            raise TaskError(
                f"Nothing says how often {self.model} reports, and so how long a run is. Give the task reports=10, or "
                "have a hyperparameter called epochs, with one report an epoch."
            )
        checks = self.hyperparameters()
        return {name: checks[name].check(value) if name in checks else value for name, value in whole.items()}

    def given(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a completed config as the user's code is given it."""
        return {name: value for name, value in config.items() if self.reports is None or name != "epochs"}

    def base_key(self, config: Mapping[str, Any]) -> str:
        return ""

    # ------------------------------------------------------------------ rows and training

    def prepare(self, cache: Path) -> Prepared:
        judge = ReportedJudge(self.model, self.objective, self.has_rows, self.prefix)
        parts = [rows for rows in (self.train, self.validation) if rows is not None]
        content = digest(["loop", _FORMAT, *(rows.digest for rows in parts)])
        folder = Path(cache).absolute() / content
        count = sum(map(len, parts))
        if not is_prepared(folder):
            write_dataset(folder, {"targets": np.zeros(count or 2, dtype=np.float32)}, {})
        return Prepared(
            folder=folder,
            test_folder=None,
            judge=judge,
            rows=count,
            test_rows=0,
            validation_rows=0 if self.validation is None else len(self.validation),
            data_digest=content,
            test_digest=None,
            model_digest=digest(["loop", self.code]),
            warnings=self.warnings(),
            attention="none",
            source=self.model,
            layers=0,
        )

    def learner(self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None) -> "Learner":
        raise TaskError(f"{self.model} trains by itself: no model of it is known here.")

    def training(self, prepared: Prepared, arguments: "RunArguments") -> "Training":
        from hpsearch.tasks.loops.training import LoopTraining

        rows = None if self.train is None else self._rows
        return LoopTraining(self.call(self.given(arguments.config)), self.model, rows, arguments)

    def _rows(self, rows: np.ndarray | None) -> Any:
        """Return rows by their index, behind the training rows those of validation; None: what a refit looks at."""
        if rows is None:
            some = np.arange(min(len(self.train), _LOOKED_AT))
            return self.train.take(some) if self.validation is None else self.validation.value
        if self.validation is not None and rows[0] >= len(self.train):
            return self.validation.take(rows - len(self.train))
        return self.train.take(rows)

    def save(self, model: Any, folder: Path, prepared: Prepared) -> None:
        """Write the files that the refit saved into `folder`."""
        for name, content in model.items():
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _plain(defaults: Any) -> dict[str, Any]:
    """Return defaults as JSON has them."""
    if defaults is None:
        return {}
    try:
        plain = dict(defaults)
        json.dumps(plain)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"defaults={defaults!r} must be a dict of plain values (numbers, text, true or false, None): {error}."
        ) from error
    return plain
