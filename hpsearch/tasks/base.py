"""What a task is: rows, a pretrained model, and everything that ties the two together."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hpsearch.data.ragged import Rows
from hpsearch.errors import TaskError, nearest
from hpsearch.provenance.modules import SCRIPTS
from hpsearch.records import digest
from hpsearch.tasks.aliases import ADAPTER_PREFIX, ALIASES
from hpsearch.tasks.example_source import ExampleSource
from hpsearch.tasks.loops.own_rows import OwnRows
from hpsearch.tasks.prepared import Prepared as Prepared  # noqa: PLC0414  (whoever makes a task takes them from here)
from hpsearch.tasks.prepared import Split as Split  # noqa: PLC0414
from hpsearch.tasks.prepared import audited as audited  # noqa: PLC0414
from hpsearch.tasks.prepared import prepared_rows as prepared_rows  # noqa: PLC0414
from hpsearch.tasks.sources import Arrays, Location, Table, source_from
from hpsearch.tasks.user_code import UserCode, found_by
from hpsearch.training.hyperparameters import SCHEDULE_FREE, TRAINING_HYPERPARAMETERS, Hyperparameter, without_defaults

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from hpsearch.tasks.adapters.hyperparameters import AdapterSettings
    from hpsearch.tasks.stranger import Answers
    from hpsearch.training.learner import Learner
    from hpsearch.training.training import RunArguments, Training

LATER: Mapping[str, bool] = {"left_out_at_default": True}
"""The metadata of a task's argument that came in a later version: at its default no description has it.

So the studies that were made before stay equal to what they were.
"""

_SOURCES = (Location, Table, Arrays, ExampleSource, OwnRows, UserCode)


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """A kind of fine-tuning, applied to a model and rows.

    Making one only checks its arguments; `prepare` reads data and loads the model. Subclasses are frozen dataclasses
    whose fields are their arguments: paths, tables, arrays and code as sources (sources.py, example_source.py,
    user_code.py), the rest as JSON has it. Two tasks are equal when their descriptions are, wherever tables and arrays
    in memory were written.

    Attributes:
        evaluations_per_epoch: Evaluation points an epoch, where a study does not say.
        choice: The hyperparameter that chooses among pretrained models. Each choice has its own rows (`choosing`).
            None where all configs share one `Prepared`.
        pipeline: transformers' name of the pipeline that reads what `save` wrote, or None.
        default_cv: How a study that is not told splits the rows, unless the task has validation rows.
        trains_itself: Whether its runs are the user's own code, in processes of their own: they measure themselves,
            there is no learner, and a config may set anything.
        evaluations_per_epoch: Evaluation points an epoch, in a study that does not say how many.
        patience: Epochs without improvement until a first fold stops, in a study that does not say how many; None: it
            does not stop early.
        has_rows: Whether the study knows the rows, and can split them.
    """

    choice: ClassVar[str | None] = None
    pipeline: ClassVar[str | None] = None
    default_cv: ClassVar[Any] = 5
    trains_itself: ClassVar[bool] = False
    evaluations_per_epoch: ClassVar[int] = 2
    patience: ClassVar[float | None] = 1.0
    has_rows: ClassVar[bool] = True

    @property
    def has_validation(self) -> bool:
        """Whether the task has rows that each trial is to be evaluated on."""
        return getattr(self, "validation", None) is not None

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen for everyone but its own construction

    @abstractmethod
    def prepare(self, cache: Path) -> Prepared:
        """Read, audit and encode the rows into folders under `cache`, once; two processes may do so at once.

        Raises:
            DataError: The rows cannot be learned from.
            TaskError: The model, its tokenizer or image processor cannot be used.
        """

    @abstractmethod
    def learner(self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None) -> "Learner":
        """Return what the fine-tune needs of this task, for the training or the test rows.

        Args:
            prepared: The rows, as prepared for the config's model.
            split: Which rows.
            config: A completed config, where configs train different models; those of one `base_key` share a learner.
                None where only targets and weights are needed.
        """

    def preparation(self, cache: Path) -> "Callable[[Self], Prepared]":
        """Return what prepares this task with one model after another (`choosing`), its rows read only once."""
        return lambda chosen: chosen.prepare(cache)

    def base_key(self, config: Mapping[str, Any]) -> str:
        """Return which base model a worker must hold for a completed config.

        Configs of one key share a learner and a base model; `Learner.configure` and the fine-tune settle the rest.
        """
        return self.model_choice(config) or ""

    def model_choice(self, config: Mapping[str, Any]) -> str | None:
        """Return which pretrained model a config chooses, and so whose `Prepared` it needs; None for the task's own."""
        return None if self.choice is None else config.get(self.choice)

    def freezable_layers(self, prepared: Prepared, config: Mapping[str, Any]) -> int | None:
        """Return how many layers of a completed config's model `freeze_layers` can keep as pretrained, if known."""
        return prepared.layers

    def choosing(self, model: str) -> Self:
        """Return this task with the pretrained model that a config chooses; `TaskError` where it cannot choose it."""
        raise TaskError(f"{type(self).__name__} has no choice of pretrained models, so {model!r} cannot be chosen.")

    def training(self, prepared: Prepared, arguments: "RunArguments") -> "Training":
        """Return what trains a run from its beginning, with the worker's base model."""
        from hpsearch.training.fine_tune import FineTune

        base = arguments.base()
        return FineTune(
            base.learner,
            arguments.config,
            train_rows=arguments.train_rows,
            held_out_rows=arguments.held_out_rows,
            seed=arguments.seed,
            evaluations_per_epoch=arguments.evaluations_per_epoch,
            numerics=arguments.numerics,
            device=arguments.device,
            base=base,
            answer_points=arguments.answer_points,
            first_fold_rows=arguments.first_fold_rows,
        )

    @abstractmethod
    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write a fine-tuned model into `folder` as `from_pretrained` and `pipeline` of transformers read it."""

    def scored_predictions(
        self,
        model: "nn.Module",
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: "np.ndarray",
        kept: "Rows",
        device: "torch.device",
    ) -> Any:
        """Return what a trained model predicts of some rows, in this process: what its exported folder must predict.

        By default this is read off what was kept of their outputs. A task that keeps less (the loss of a text, and not
        the text) asks the model. `prepared` has the judge of the model.
        """
        return prepared.judge.predictions(kept)

    def exported_answers(
        self,
        folder: Path,
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: "np.ndarray",
        device: "torch.device",
    ) -> "Iterator[Answers]":
        """Load what `save` wrote for a config as a stranger would, and predict some rows in each way there is.

        `prepared` has the judge of the model. Nothing where there is no way that a stranger would know.

        Raises:
            TaskError: The folder cannot be loaded, or does not take a row.
        """
        return iter(())

    def to_export(self, model: "nn.Module", prepared: Prepared, *, merge: bool) -> "nn.Module":
        """Return a trained model as `save` is to write it; `merge` says what becomes of adapters, where it has some."""
        return model

    def adapter_of(self, config: Mapping[str, Any]) -> "AdapterSettings | None":
        """Return the adapters that a config trains; None where it trains none."""
        return None

    def how_to_call(self, prepared: Prepared) -> str:
        """Return Python that loads what `save` wrote and predicts with it, for the model card; empty if unknown."""
        return ""

    def how_to_load(self, config: Mapping[str, Any]) -> str:
        """Return Python that loads what `save` wrote of a config's model, where that is no matter of transformers."""
        return ""

    @abstractmethod
    def recommended(self) -> Mapping[str, Any]:
        """Return the hyperparameters that the literature starts from for this kind of task."""

    def unnamed(self) -> Mapping[str, Any]:
        """Return the value of each hyperparameter that a config does not name: the recommended one, else the default.

        So a search of the learning rate alone keeps to the recommendation in all else.
        """
        return self._defaults() | dict(self.recommended())

    def _defaults(self) -> dict[str, Any]:
        """Return the default of each hyperparameter; a choice of models has none, for the task has a model."""
        return {name: setting.default for name, setting in self.hyperparameters().items() if name != self.choice}

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Return what a config of this task may set."""
        return TRAINING_HYPERPARAMETERS

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return `config` with every hyperparameter, each checked and in its one spelling.

        `unnamed` fills in what it leaves out, except the choice of a model. Hyperparameters that came in later versions
        are left out where they have their defaults (`Hyperparameter.left_out_at_default`).

        Raises:
            TaskError: One is unknown (the message names the nearest), or cannot be trained with; or the warmup is
                given both in steps and as a ratio, or the length both in steps and in epochs.
        """
        settings = self.hyperparameters()
        for name in config:
            if name.startswith(ADAPTER_PREFIX) and not any(each.startswith(ADAPTER_PREFIX) for each in settings):
                raise TaskError(
                    f"{type(self).__name__} does not know the hyperparameter {name!r}: adapters are put into models of "
                    "transformers, by the tasks that load one (TextClassification and others). Leave out everything "
                    f"that begins with {ADAPTER_PREFIX!r}, or put adapters in where your own code makes the model."
                )
            if name not in settings:
                raise TaskError(
                    f"{type(self).__name__} does not know the hyperparameter "
                    f"{name!r}.{nearest(ALIASES.get(name, name), settings)} "
                    f"It knows {', '.join(settings)}."
                )
        unnamed = self.unnamed()
        whole = {**unnamed, **config, **_one_warmup(config, unnamed), **_one_length(config, unnamed)}
        whole |= _no_schedule(config, unnamed)
        checked = {name: setting.check(whole[name]) for name, setting in settings.items() if name in whole}
        return without_defaults(checked, settings, unnamed)

    def describe(self) -> dict[str, Any]:
        """Return the task as JSON keeps it: its import path and arguments. Data in memory is named by its content."""
        told = [
            each
            for each in fields(self)
            if each.init and not (each.metadata == LATER and getattr(self, each.name) == each.default)
        ]
        arguments = {each.name: _described(getattr(self, each.name)) for each in told}
        return {"task": f"{type(self).__module__}:{type(self).__qualname__}", "arguments": arguments}

    @staticmethod
    def from_description(description: Mapping[str, Any], folder: Path | None = None) -> "Task":
        """Return the task that `describe` described; `folder` has the snapshots of data in memory if they moved.

        Raises:
            TaskError: The class cannot be imported (a notebook), or its data in memory was not kept.
        """
        made = _imported(description["task"])
        arguments = {name: _restored(value, folder) for name, value in description["arguments"].items()}
        return made(**arguments)

    def snapshot(self, folder: Path) -> Self:
        """Return an equal task whose tables and arrays in memory are files in `folder`, written there if need be."""
        sources = {
            field.name: value.snapshot(Path(folder), field.name)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Table | Arrays | ExampleSource)
        }
        return replace(self, **sources)

    def is_described_by(self, description: Mapping[str, Any]) -> bool:
        """Whether a description that `describe` gave is one of an equal task."""
        told = self.described_like(description)
        return bool(description["task"] == told["task"] and _identity(description) == _identity(told))

    def described_like(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `describe` does, with code as another description tells it where it computes the same.

        Earlier versions told it in another way, and what is seen to be state may differ from one process to another.
        """
        told, before = self.describe(), description.get("arguments", {})
        for name in told["arguments"]:
            code = getattr(self, name)
            if isinstance(code, UserCode) and code.is_described_by(before.get(name)):
                told["arguments"][name] = before[name]
        return told

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _identity(self.describe()) == _identity(other.describe())

    def __hash__(self) -> int:
        return hash(_identity(self.describe()))


def _one_warmup(config: Mapping[str, Any], unnamed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting that turns off the kind of warmup that a config does not use; `TaskError` if it uses both."""
    steps, ratio = config.get("warmup_steps"), config.get("warmup_ratio")
    if steps is not None and ratio:
        raise TaskError(
            f"warmup_steps={steps!r} and warmup_ratio={ratio!r} both say how long the warmup is. Give one of them; to "
            "search over both ways, say where the ratio is the one: warmup_steps=hp.Categorical([None, 20]), "
            "warmup_ratio=hp.Float(0.0, 0.2).when(warmup_steps=None)."
        )
    if "warmup_ratio" in config and "warmup_steps" not in config:
        return {"warmup_steps": None}
    counted = (steps if "warmup_steps" in config else unnamed.get("warmup_steps")) is not None
    return {"warmup_ratio": 0.0} if counted else {}


def _one_length(config: Mapping[str, Any], unnamed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting that turns off the length that a config does not use; `TaskError` if it uses both or none."""
    steps, epochs = config.get("max_steps"), config.get("epochs")
    if steps is not None and epochs is not None:
        raise TaskError(
            f"max_steps={steps!r} and epochs={epochs!r} both say how long a run is. Give one of them; to search over "
            "both ways, say where epochs are the one: max_steps=hp.Categorical([None, 500]), "
            "epochs=hp.Int(1, 3).when(max_steps=None)."
        )
    if "epochs" in config and "max_steps" not in config and epochs is not None:
        return {"max_steps": None}
    counted = (steps if "max_steps" in config else unnamed.get("max_steps")) is not None
    if not counted and "epochs" in config and epochs is None:
        raise TaskError("epochs=None, and max_steps gives no length either. Give one of them: epochs=3, max_steps=500.")
    return {"epochs": None} if counted else {}


def _no_schedule(config: Mapping[str, Any], unnamed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schedule of a config that names none, and an optimizer that needs none: constant after the warmup."""
    is_free = {**unnamed, **config}.get("optimizer") == SCHEDULE_FREE
    return {"lr_scheduler_type": "constant"} if is_free and "lr_scheduler_type" not in config else {}


def _described(value: Any) -> Any:
    if isinstance(value, _SOURCES):
        return value.describe()
    if isinstance(value, Mapping):
        return {"values": dict(value)}
    return list(value) if isinstance(value, tuple) else value


def _restored(value: Any, folder: Path | None) -> Any:
    if not isinstance(value, Mapping):
        return value
    if "values" in value:
        return dict(value["values"])
    if "rows" in value:
        raise TaskError(
            f"the {value['role']} rows of the task were in memory and are not kept with the study. Run its script "
            "again, which continues the study, or give the task: hp.load(name, task=...)."
        )
    if "code" in value:
        return UserCode.from_description(value)
    if "examples" in value or "loader" in value:
        return ExampleSource.from_description(value, folder)
    return source_from(value, folder)


def _identity(description: Mapping[str, Any]) -> str:
    return digest({name: _without_files(value) for name, value in description["arguments"].items()})


def _without_files(value: Any) -> Any:
    if isinstance(value, Mapping) and "path" in value:
        return value["resolved"]
    return {key: part for key, part in value.items() if key != "files"} if isinstance(value, Mapping) else value


def _imported(path: str) -> type[Task]:
    module, _, name = path.partition(":")
    remedy = "Give the task: hp.load(name, task=...)."
    if module in SCRIPTS or "<locals>" in name:
        raise TaskError(f"the task {name!r} was defined in a notebook or script and cannot be imported. {remedy}")
    kind = found_by(path)
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TaskError(f"{path!r} is not a task but a {type(kind).__name__}. {remedy}")
    return kind
