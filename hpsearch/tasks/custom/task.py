"""Any torch module on any rows: the user's own model, dataset and loss."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.audit import audit_examples, group_codes, require_apart, sample_weights
from hpsearch.data.dataset import is_prepared, open_dataset, write_dataset
from hpsearch.data.examples import Examples
from hpsearch.data.fingerprint import fingerprint_arrays
from hpsearch.data.ragged import Rows, as_arrays, end_to_end
from hpsearch.errors import DataError, TaskError
from hpsearch.records import digest
from hpsearch.tasks.answer_judge import AnswerJudge
from hpsearch.tasks.base import LATER, Prepared, Split, Task, audited, prepared_rows
from hpsearch.tasks.classes.positive import plain_label
from hpsearch.tasks.classes.weights import CLASS_WEIGHT, NAME, check_class_weight, check_labels
from hpsearch.tasks.custom.arguments import column_of, head_of, mapping_of
from hpsearch.tasks.custom.model_factory import ModelFactory
from hpsearch.tasks.custom.table_rows import rows_of_table
from hpsearch.tasks.example_source import ExampleSource
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.pretrained_task import names_of, whole_number
from hpsearch.tasks.sources import with_splits
from hpsearch.tasks.targets import targets_called
from hpsearch.tasks.user_code import SMOOTHING, UserCode, accepts
from hpsearch.training.hyperparameters import OF_LAYERS, Hyperparameter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hpsearch.tasks.custom.learner import CustomLearner
    from hpsearch.tasks.stranger import Answers

WEIGHTS_FILE = "model.safetensors"

_FORMAT = 1
"""Part of every prepared folder's name: counted up when the arrays in it change."""

_SIDES: Mapping[Split, Mapping[str, str]] = {
    "train": {"group": "groups", "sample_weight": "weights"},
    "validation": {"validation_group": "groups", "validation_sample_weight": "weights"},
    "test": {"test_group": "groups", "test_sample_weight": "weights"},
}
"""By role, what each argument that has a value a row is called in the prepared rows."""


@dataclass(frozen=True, eq=False)
class CustomTask(Task):
    """Predict classes or numbers with any torch module, on your own rows.

    `make_model` is called with keyword arguments and returns a `torch.nn.Module`; a class is such a function. Its
    arguments with plain defaults are hyperparameters, which a space may search: `make_model(width=32, depth=2)`.
    Called on a batch, the model returns numbers before softmax or sigmoid, shape (rows, classes or labels); where
    targets are numbers, standardised ones, shape (rows, targets). It is called as `model(x)`, or, where inputs have
    names, as `model(**inputs)`; real numbers come as float32, whole ones as int64, bytes and booleans as they are. Rows
    may differ in the length of one dimension: they are padded with zeros and batched by similar length. If the model's
    forward has an argument `lengths`, it gets the rows' lengths.

    Rows are read once, and workers get arrays, so put random augmentation into the model's forward, under
    `if self.training`. State outside of the model's parameters and buffers is not part of a checkpoint.

    Attributes:
        make_model: The function or class.
        train: The training rows: a pair (inputs, targets) of arrays, lists of arrays or, for named inputs, dicts of
            them; a map-style dataset of (input, target) items; a function without arguments that returns either; or a
            table (a DataFrame, a `datasets.Dataset`, a dict of columns, a list of dicts) with a column of targets.
            Targets are one class per row (two are binary, more multiclass), 0/1 columns (multilabel), or numbers.
        targets: What targets are: "classes" or "numbers". Each fold trains on numbers less the mean and over the
            standard deviation of its training rows; scores and predictions are in your units.
        pos_label: Of two classes the positive one, which metrics such as "f1", "precision" and "average_precision" are
            of. None: 1, True, "yes", "positive" and the like, beside 0, False, "no", "negative"; metrics of one of two
            other classes need it.
        strata: Into how many parts of equal size rows are sorted by their (first) number, so that each fold has rows of
            each. None: folds are drawn without looking at numbers, unless most are the same.
        validation: Rows that every trial is evaluated on, instead of folds of the training rows, in the same form, or
            None. No model is trained on them, the exported one neither.
        test: Rows that the search never sees, in the same form, or None.
        loss: A function (logits, targets) that returns a loss per row, float32, shape (rows,); targets are int64 codes
            in the order of the sorted labels, float32 indicators, or standardised numbers in float32, shape (rows,
            targets). None: cross-entropy, for several labels the mean of their binary ones; for numbers the squared
            error. If it has an argument label_smoothing, it can be smoothed.
        group: Groups of the training rows, shape (rows,): rows of one group are never on both sides of a fold.
        sample_weight: Weights of the training rows, shape (rows,): a row's share in the loss and in the scores.
        validation_group, validation_sample_weight: The same of the validation rows.
        class_weight: As `TextClassification` has it; your own `loss` weighs classes itself. A space may search it too.
        label: The column of targets, or several, where the rows are tables; None for "label" or "labels". `group` and
            `sample_weight` may name columns then. The other columns are the inputs by name; of one alone the model is
            called as `model(x)`.
        test_group: Groups of the test rows; the evidence on them resamples whole groups.
        test_sample_weight: Weights of the test rows.
        head: Names, or beginnings of names up to a dot, of the parameters that are not pretrained. They are drawn again
            for each seed, all others are as `make_model` loads them, and you can search `freeze_layers`. None: the
            whole model is new, and is made again for each seed.
        literature_default: What the literature starts from for this kind of model, including the model's arguments:
            the default trial, which the winner is compared with.
        collate: A function from a list of inputs (tensors, or dicts of them), one per row, to the model's input: a
            tensor or dict of tensors with the rows first. None: they are stacked, and padded where lengths differ.
    """

    make_model: Any
    train: Any = field(kw_only=True)
    targets: str = field(default="classes", kw_only=True)
    pos_label: Any = field(default=None, kw_only=True)
    strata: int | None = field(default=None, kw_only=True)
    test: Any = field(default=None, kw_only=True)
    loss: Any = field(default=None, kw_only=True)
    group: Any = field(default=None, kw_only=True)
    sample_weight: Any = field(default=None, kw_only=True)
    test_group: Any = field(default=None, kw_only=True)
    test_sample_weight: Any = field(default=None, kw_only=True)
    head: Any = field(default=None, kw_only=True)
    literature_default: Any = field(default=None, kw_only=True)
    collate: Any = field(default=None, kw_only=True)
    validation: Any = field(default=None, kw_only=True, metadata=LATER)
    validation_group: Any = field(default=None, kw_only=True, metadata=LATER)
    validation_sample_weight: Any = field(default=None, kw_only=True, metadata=LATER)
    label: Any = field(default=None, kw_only=True, metadata=LATER)
    class_weight: Any = field(default=None, kw_only=True, metadata=LATER)

    def __post_init__(self) -> None:
        targets_called(self.targets)
        self._set("pos_label", plain_label(self.pos_label))
        if self.strata is not None:
            self._set("strata", whole_number(self.strata, "strata", 2))
        for name in ("make_model", "loss", "collate"):
            value = getattr(self, name)
            if value is not None or name == "make_model":
                self._set(name, UserCode.of(value, name))
        self._set("label", names_of(self.label, "label"))
        self._set(NAME, check_class_weight(self.class_weight))
        if self.class_weight is not None and not self._weighs_classes:
            raise TaskError(
                f"class_weight={self.class_weight!r}: only classes have weights, by the loss that comes without loss=, "
                f"in a model without an argument of that name. Leave class_weight out, or weigh in your loss."
            )
        named = {name: getattr(self, name) for name in ("group", "sample_weight")}
        beside = {name: column for name, column in named.items() if isinstance(column, str)}
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, rows in with_splits(given, self.label if isinstance(self.label, str) else "label").items():
            if name == "train" or rows is not None:
                self._set(name, self._source(rows, name, beside))
        for name in (name for columns in _SIDES.values() for name in columns):
            if getattr(self, name) is not None:
                self._set(name, column_of(getattr(self, name), name))
        self._set("head", head_of(self.head))
        self._set("literature_default", mapping_of(self.literature_default))
        self.complete(dict(self.literature_default))

    def _source(self, rows: Any, role: str, beside: Mapping[str, str]) -> ExampleSource:
        """Return the source of rows as they were given; of a table, the columns beside them become arguments."""
        rows, columns = rows_of_table(rows, self.label, beside, role)
        for name, values in columns.items():
            self._set(name if role == "train" else f"{role}_{name}", values)
        return ExampleSource.of(rows, role)

    @property
    def model(self) -> str:
        """What the model is called, in reports."""
        return str(self.make_model.name)

    @cached_property
    def _factory(self) -> ModelFactory:
        return ModelFactory(self.make_model)

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Return what a config may set: training's hyperparameters that apply, and the model's own arguments."""
        left_out: set[str] = set()
        if self.head is None:
            left_out |= set(OF_LAYERS)
        is_smoothed = targets_called(self.targets).judge.takes_label_smoothing
        if not (is_smoothed if self.loss is None else accepts(self.loss.value, SMOOTHING)):
            left_out.add("label_smoothing_factor")
        training = {name: value for name, value in super().hyperparameters().items() if name not in left_out}
        own = {NAME: CLASS_WEIGHT} if self._weighs_classes else {}
        return {**training, **own, **self._factory.hyperparameters}

    def unnamed(self) -> Mapping[str, Any]:
        return {**super().unnamed(), **({NAME: self.class_weight} if self._weighs_classes else {})}

    @property
    def _weighs_classes(self) -> bool:
        """Whether `class_weight` is a hyperparameter: of classes, by the judge's own loss."""
        is_free = NAME not in self._factory.hyperparameters
        return self.targets == "classes" and self.loss is None and is_free

    def recommended(self) -> Mapping[str, Any]:
        """Return `literature_default`; what it does not name is as general sources have it.

        A learning rate of 0.001 is Adam's own default (Kingma and Ba 2015, algorithm 1), batches of 32 are the usual
        first choice (Bengio 2012, section 3.1.1), a weight decay of 0.01 is that of torch's AdamW. 20 epochs with a
        warmup over a tenth of them are ours.
        """
        general = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 20, "weight_decay": 0.01, "warmup_ratio": 0.1}
        return {**general, **self.literature_default}

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """See `Task.complete`; that a hyperparameter does not apply to this task is an error too."""
        settings = self.hyperparameters()
        for name in OF_LAYERS:
            if name in config and name not in settings:
                raise TaskError(
                    f"{name} is of layers that are pretrained, and this CustomTask names nothing pretrained: its whole "
                    "model is new. Say which parameters are new with head=, for instance head='classifier', or "
                    f"leave {name} out."
                )
        if "pretrained" in config and "pretrained" not in settings:
            raise TaskError(
                f"pretrained={config['pretrained']!r}: whether a CustomTask's model starts from pretrained weights is "
                f"for {self.make_model.name} to decide. Give it an argument pretrained=True, which returns the model "
                "without its weights where it is False, and search that; or leave pretrained out."
            )
        if "label_smoothing_factor" in config and "label_smoothing_factor" not in settings:
            raise TaskError(
                "label_smoothing_factor is given, and the loss of this CustomTask has no argument label_smoothing to "
                "hand it to. Give the loss one, or leave label_smoothing_factor out."
            )
        return super().complete(config)

    def base_key(self, config: Mapping[str, Any]) -> str:
        return digest(self._factory.arguments(config))

    def freezable_layers(self, prepared: Prepared, config: Mapping[str, Any]) -> int:
        """Return how many layers the model of a config has; where its arguments decide that, the model is made."""
        if prepared.layers is not None:
            return prepared.layers
        from hpsearch.training.random_states import isolated

        learner = self.learner(prepared, "train", config)
        with isolated(0):
            return len(learner.layers(learner.load_model())) - 1

    def prepare(self, cache: Path) -> Prepared:
        """Read, audit and write the rows into folders under `cache`, once, and try model and loss on some of them."""
        from hpsearch.tasks.custom.rehearsal import tried

        cache = Path(cache).absolute()
        sources: dict[Split, ExampleSource | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }
        rows = {role: source.read(cache) for role, source in sources.items() if source is not None}
        judge = self._learned(rows["train"].named_targets)
        sides = {role: self._sides(role, len(rows[role].targets)) for role in rows}
        digests = {
            role: digest(["custom", _FORMAT, examples.fingerprint, fingerprint_arrays(sides[role]), judge.to_json()])
            for role, examples in rows.items()
        }
        targets = {role: judge.encode(examples.named_targets, role) for role, examples in rows.items()}
        warnings = self._audited(cache, rows, digests, judge, targets)
        held_out = rows.pop("validation", None)
        if held_out is not None:
            sides["train"] = self._joined_sides()
            rows["train"] = rows["train"].joined(held_out)
            targets["train"] = end_to_end(targets["train"], targets["validation"])
            digests["train"] = digest([digests["train"], digests.pop("validation")])
        folders = {role: cache / content for role, content in digests.items()}
        for role, examples in rows.items():
            if not is_prepared(folders[role]):
                arrays = {**as_arrays("targets", targets[role]), **sides[role], **examples.to_arrays()}
                write_dataset(folders[role], arrays, {"axes": examples.axes(), "labels": judge.to_json()})
        prepared = prepared_rows(folders, digests, judge, attention="none", source=self.model)
        prepared = replace(prepared, validation_rows=0 if held_out is None else len(held_out.targets))
        code = {"make_model": self.make_model, "loss": self.loss, "collate": self.collate}
        return tried(self.learner(prepared), prepared, tuple(warnings), code)

    def _learned(self, targets: Any) -> Judge:
        """Return the judge of training rows with these targets."""
        judge = targets_called(self.targets).judge.learn(targets)
        check_labels(self.class_weight, judge.classes)
        if self.pos_label is not None:
            judge = judge.of_class(self.pos_label)
        return judge if self.strata is None else judge.stratified(self.strata)

    def _audited(
        self,
        cache: Path,
        rows: Mapping[Split, Examples],
        digests: Mapping[Split, str],
        judge: Judge,
        targets: Mapping[Split, Rows],
    ) -> list[str]:
        """Check the rows, once for each content; return what is to be said of them."""

        def checked(role: Split) -> list[str]:
            remarks = judge.remarks(targets["train"], targets.get("test")) if role == "test" else []
            return audit_examples(rows["train"], rows.get(role), lambda: (targets["train"], remarks), role)

        key = [_FORMAT, {role: content for role, content in digests.items() if role != "validation"}]
        warnings = audited(cache, key, lambda: checked("test"))
        if "validation" in rows:
            warnings += audited(cache, ["validation", _FORMAT, digests], lambda: checked("validation"))
        return warnings

    def _joined_sides(self) -> dict[str, np.ndarray]:
        """Return groups and weights of the training rows with those of the validation rows behind them.

        Raises:
            DataError: One of both has none, or a group is in both.
        """
        columns: dict[str, np.ndarray] = {}
        for name, column in _SIDES["train"].items():
            sources = getattr(self, name), getattr(self, f"validation_{name}")
            if sources == (None, None):
                continue
            if None in sources:
                absent = name if sources[0] is None else f"validation_{name}"
                raise DataError(
                    f"{absent}= is not given, and the {'training' if absent != name else 'validation'} rows have such "
                    f"values. Give {name}= and validation_{name}= together."
                )
            values = [source.value[0] for source in sources]
            if column == "groups":
                require_apart(values[0].tolist(), values[1].tolist(), "group=")
                columns[column] = group_codes(np.concatenate(values))
            else:
                columns[column] = np.concatenate([sample_weights(each) for each in values])
        return columns

    def _sides(self, role: Split, rows: int) -> dict[str, np.ndarray]:
        """Return groups and weights of the rows of a role."""
        columns: dict[str, np.ndarray] = {}
        for name, column in _SIDES[role].items():
            source = getattr(self, name)
            if source is None:
                continue
            values = source.value[0]
            if values.shape != (rows,):
                raise DataError(
                    f"{name}= has shape {values.shape}, and there are {rows} {role} rows: give one value a row, shape "
                    f"({rows},)."
                )
            columns[column] = (group_codes if column == "groups" else sample_weights)(values, role)
        return columns

    def learner(
        self, prepared: Prepared, split: Split = "train", config: Mapping[str, Any] | None = None
    ) -> "CustomLearner":
        """Return what the fine-tune needs of this task for the models of a config, by default of the default one."""
        from hpsearch.tasks.custom.learner import CustomLearner

        arguments = self._factory.arguments(self.unnamed() if config is None else config)
        return CustomLearner(
            open_dataset(prepared.folder_of(split)),
            prepared,
            factory=self._factory,
            arguments=arguments,
            head=self.head,
            loss=self.loss,
            collate=self.collate,
        )

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write the model's weights into `folder` as model.safetensors; `how_to_load` says how they are read."""
        from safetensors.torch import save_file

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        # A copy of each: safetensors refuses tensors that share memory, and load_state_dict asks for every name.
        state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, str(target / WEIGHTS_FILE))

    def exported_answers(
        self,
        folder: Path,
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        device: "torch.device",
    ) -> "Iterator[Answers]":
        """Make the model as `how_to_load` does, and call it as its user does, rows padded no further than they must."""
        from hpsearch.tasks.custom.stranger import loaded_answers

        learner = self.learner(prepared, split, config)
        if isinstance(prepared.judge, AnswerJudge):
            yield from loaded_answers(learner, prepared.judge, folder / WEIGHTS_FILE, rows, device)

    def how_to_load(self, config: Mapping[str, Any]) -> str:
        """Return the lines that make the model of a config and read the weights that `save` wrote."""
        path, name = self.make_model.path, self.make_model.name
        arguments = ", ".join(f"{key}={value!r}" for key, value in self._factory.arguments(config).items())
        module, _, inner = (path or "").partition(":")
        imported = (
            f"from {module} import {inner.partition('.')[0]}\n" if path else f"# {name}: as the study's script has it\n"
        )
        return (
            f"from safetensors.torch import load_file\n\n{imported}\n"
            f"model = {inner or name}({arguments})\n"
            f'model.load_state_dict(load_file("path/to/this/folder/{WEIGHTS_FILE}"))\nmodel.eval()'
        )
