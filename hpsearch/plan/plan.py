"""What a study searches: its arguments, checked, and what follows from them once its data are read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import MetricError, UsageError
from hpsearch.plan.arguments import check_name, check_settings, check_whole, named, split_of
from hpsearch.plan.doubts import doubtful_settings
from hpsearch.plan.paths import cache_folder
from hpsearch.plan.stored_rows import OWN, StoredMetric
from hpsearch.provenance.definitions import class_definition
from hpsearch.space import Space

if TYPE_CHECKING:
    from hpsearch.data.folds import Folds
    from hpsearch.metrics.direction import Direction, Objective
    from hpsearch.metrics.metric import Metric
    from hpsearch.plan.gaps import Gaps
    from hpsearch.policy.early_stopping import EarlyStopping
    from hpsearch.policy.pruner import Pruner
    from hpsearch.policy.samplers import Sampler
    from hpsearch.tasks import Prepared, Task
    from hpsearch.tasks.choices import ModelChoices
    from hpsearch.tasks.frozen_layers import LayeredModel
    from hpsearch.tasks.judge import Judge

logger = logging.getLogger("hpsearch")


@dataclass(eq=False)
class Plan:
    """What is searched, over which data, by which rules. `Study` says what each argument means.

    Data and models are read when something that follows from them is first asked for.

    Attributes:
        folder: The study's own folder.
        reproducible: Whether it decides in virtual time; None in studies of earlier versions, which decide on arrival.
        is_temporary: Whether that folder goes with whoever made it: rows are then prepared in it, and nobody is told
            how to continue.
        stored_direction: The direction that a study which is read has followed so far, or None.
        stored: What the study keeps of its rows, by the choice of a model, where it is read and not run; None where
            rows are known from the data alone.
        missing: Why a study that was loaded can be read only, or None.
        stored_class: The positive class that its metrics of one class have been of, or None.
        choices: The pretrained models that the space chooses among, or None.
        cv_name: What `cv` is called; of a study that was loaded, what it was called when it was made.

    Raises:
        UsageError: An argument is not valid by itself; the message says which and what to do.
    """

    name: str
    task: "Task"
    space: Space
    sampler: Any
    cv: Any
    metric: Any
    direction: "Direction | None"
    metrics: tuple[Any, ...]
    pruner: Any
    early_stopping: "EarlyStopping | None"
    evaluations_per_epoch: int
    repeats: int
    seed: int
    folder: Path
    storage: str | None = field(repr=False)  # it may have a password
    precision: str
    deterministic: bool
    checkpoint_every: float
    checkpoint_bytes: int
    feature_cache_bytes: int | None
    reproducible: bool | None = True
    is_temporary: bool = False
    stored_direction: "Direction | None" = None
    stored: "Mapping[str, Prepared] | None" = None
    missing: UsageError | None = None
    stored_class: Any = None
    choices: "ModelChoices | None" = field(init=False)
    cv_name: str = field(init=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_whole("evaluations_per_epoch", self.evaluations_per_epoch, 1)
        check_whole("repeats", self.repeats, 1)
        check_whole("seed", self.seed, 0)
        check_whole("checkpoint_bytes", self.checkpoint_bytes, 0)
        if self.feature_cache_bytes is not None:
            check_whole("feature_cache_bytes", self.feature_cache_bytes, 0)
        if self.reproducible is not None and not isinstance(self.reproducible, bool):
            raise UsageError(f"reproducible={self.reproducible!r}: give True or False.")
        check_settings(self.precision, self.deterministic, self.checkpoint_every)
        self.cv = split_of(self.cv, self.task)
        self.cv_name = named(self.cv)
        class_definition(type(self.task))  # before anything of it is called
        self.choices = None
        if self.task.choice is not None:
            from hpsearch.tasks.choices import ModelChoices

            self.choices = ModelChoices.of(self.task, self.space)

    # ------------------------------------------------------------------ rows and models

    @property
    def cache(self) -> Path:
        """Where rows and outputs of frozen layers are kept."""
        return self.folder / "cache" if self.is_temporary else cache_folder()

    @cached_property
    def prepared(self) -> "Prepared":
        """The encoded rows; read, audited and encoded when first asked for.

        In a study that chooses among pretrained models, those of the default choice. Reading a study asks for `rows`.
        """
        if self.missing is not None:
            raise self.missing
        if self.choices is not None:
            prepared = self.prepared_choices[self.choices.default]
        else:
            prepared = self.task.prepare(self.cache)
        self._fit_space(prepared)
        return prepared

    @cached_property
    def prepared_choices(self) -> "Mapping[str, Prepared]":
        """The encoded rows by choice of a pretrained model; empty where the space does not choose."""
        return {} if self.choices is None else self.choices.prepare(self.task, self.cache)

    def _fit_space(self, prepared: "Prepared") -> None:
        """Fit a shipped space to the models."""
        from hpsearch.tasks.frozen_layers import fitted_space

        if self.space.is_shipped:
            space = fitted_space(self.space, self.layered_models(prepared))
            if space != self.space:
                logger.warning("The space is fitted to the model's layers: %s.", self.space.difference(space))
            self.space = space

    def read_from(self, stored: "Mapping[str, Prepared]") -> None:
        """Read the study from what it keeps of its rows, until they are prepared."""
        self.stored = stored
        self._fit_space(self.rows)

    @property
    def is_prepared(self) -> bool:
        """Whether the rows have been prepared in this process."""
        return "prepared" in vars(self)

    @property
    def rows(self) -> "Prepared":
        """What is known of the rows: all of `Prepared` but the encoded inputs.

        Of a study that is read it comes from what the study keeps: targets, groups and weights are in its own folder,
        and neither data nor models are asked for.
        """
        if self.stored is None:
            return self.prepared
        return self.stored[OWN if self.choices is None else self.choices.default]

    @property
    def rows_by_choice(self) -> "Mapping[str, Prepared]":
        """The same by choice of a pretrained model; empty where the space does not choose."""
        if self.stored is None:
            return self.prepared_choices
        return {} if self.choices is None else self.stored

    def rows_for(self, config: Mapping[str, Any]) -> "Prepared":
        """The same for a configuration's model."""
        choice = self.task.model_choice(config)
        return self.rows if choice is None else self.rows_by_choice[choice]

    @property
    def described_rows(self) -> "Mapping[str, Prepared]":
        """The rows that the study is described by: as they are today once they have been prepared, else as stored."""
        if self.stored is not None and not self.is_prepared:
            return self.stored
        return {OWN: self.prepared} if self.choices is None else self.prepared_choices

    def prepared_for(self, config: Mapping[str, Any]) -> "Prepared":
        """Return the rows as they are encoded for a configuration's model."""
        choice = self.task.model_choice(config)
        return self.prepared if choice is None else self.prepared_choices[choice]

    def layered_models(self, prepared: "Prepared") -> "list[LayeredModel]":
        """Return the models of the study with the number of their layers; `prepared` is that of the task's own."""
        from hpsearch.tasks.frozen_layers import LayeredModel

        if self.choices is None:
            return [LayeredModel(prepared.source, {}, prepared.layers, prepared.adaptable)]
        name = self.choices.name
        return [
            LayeredModel(model, {name: model}, rows.layers, rows.adaptable)
            for model, rows in self.rows_by_choice.items()
        ]

    def model_of(self, config: Mapping[str, Any] | None = None) -> str:
        """Return what a configuration's pretrained model is read from: a folder, or a name on the hub.

        Without a configuration, that of the default choice.
        """
        if self.choices is not None:
            choice = self.choices.default if config is None else self.task.model_choice(config)
            if choice is not None:
                return self.choices.sources[choice]
        return str(getattr(self.task, "model", "a model"))

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration with every hyperparameter, as it is trained.

        Where two choices of a model have the same content, it is trained as the first of them; a share of the layers to
        freeze is a number of layers of the configuration's model.
        """
        from hpsearch.tasks.choices import canonical_choices
        from hpsearch.tasks.frozen_layers import with_whole_layers

        whole = with_whole_layers(self.task.complete(config), self.task, self.prepared_for)
        choice = self.task.model_choice(whole)
        if self.choices is None or choice is None:
            return whole
        return {**whole, self.choices.name: canonical_choices(self.prepared_choices)[choice]}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the audit found, where metrics are undefined, what code cannot be compared, and what is hardly meant.

        What concerns one of several models begins with its name.
        """
        from hpsearch.metrics.metric import metric_name
        from hpsearch.provenance.definitions import definition_of

        functions = {metric_name(given): given for given in (self.named_metric, *self.metrics) if callable(given)}
        code = [
            remark
            for name, function in functions.items()
            for remark in definition_of(function).remarks(f"metric {name!r}")
        ]
        rows = [len(train) for train, _ in self.folds.pairs]
        own = self.task.trains_itself
        settings = () if own else doubtful_settings(self.space, self.task.unnamed(), rows)
        return (*self._data_warnings, *self.gaps.warnings, *code, *settings)

    @property
    def _data_warnings(self) -> tuple[str, ...]:
        if self.choices is None:
            return self.rows.warnings
        by_choice = {choice: rows.warnings for choice, rows in self.rows_by_choice.items()}
        shared = [text for text in self.rows.warnings if all(text in texts for texts in by_choice.values())]
        own = [f"{choice}: {text}" for choice, texts in by_choice.items() for text in texts if text not in shared]
        return (*shared, *own)

    # ------------------------------------------------------------------ folds and metrics

    @cached_property
    def folds(self) -> "Folds":
        """The folds, made from `cv`; of a study that was loaded without its splitter, those kept with it."""
        from hpsearch.data.dataset import open_dataset
        from hpsearch.data.folds import Folds
        from hpsearch.data.ragged import rows_of
        from hpsearch.data.splits import make_folds

        if isinstance(self.cv, Folds):
            return self.cv
        rows, judge = open_dataset(self.rows.folder), self.rows.judge
        targets = rows_of(rows.arrays, "targets")
        strata = judge.strata(targets)
        folds = make_folds(
            self.cv,
            strata=strata,
            groups=rows.get("groups"),
            seed=self.seed,
            validation_rows=self.rows.validation_rows,
        )
        judge.check_folds(targets, folds.pairs, rows.get("groups"))
        return folds

    @cached_property
    def gaps(self) -> "Gaps":
        """Where metrics are undefined, whatever is predicted."""
        from hpsearch.plan.gaps import gaps_of

        return gaps_of(self.rows, [held_out for _, held_out in self.folds.pairs], self.measured)

    @property
    def test_shares(self) -> list[float]:
        """By fold, held-out rows over all rows of the split."""
        return [self.folds.test_share(index) for index in range(len(self.folds.pairs))]

    @property
    def _judge(self) -> "Judge":
        """What makes the metrics."""
        return self.rows.judge.assuming(self.stored_class)

    @cached_property
    def objective(self) -> "Metric":
        """The objective, resolved for the task.

        A study that is read has the direction that it has followed, whatever would be said of it today:
        `check_direction` says it, before the study is run.
        """
        if self.stored_direction is None:
            return self._judge.metric(self.named_metric, self.direction)
        return replace(self._recorded(self.named_metric), direction=self.stored_direction)

    def _recorded(self, given: Any) -> "Metric":
        """Return a metric that is recorded, resolved for the task."""
        return given if isinstance(given, StoredMetric) else self._judge.metric(given, is_objective=False)

    def check_direction(self) -> None:
        """Raise MetricError where nothing can be searched in the direction that a study has followed."""
        if self.stored_direction is not None:
            self._judge.metric(self.named_metric, self.stored_direction)

    @property
    def named_metric(self) -> Any:
        """The objective as the user names it; where nobody does, by the name that the task's judge has for it."""
        return self.rows.judge.default_metric if self.metric is None else self.metric

    @property
    def aim(self) -> "Objective":
        """What the search is after, as the policy takes it: the objective by its name, and its direction."""
        from hpsearch.metrics.direction import Objective

        return Objective(self.objective.name, self.objective.direction, self.objective.is_sparse)

    @property
    def directions(self) -> "Mapping[str, Direction]":
        """Which way each recorded metric is better, by name; less of the loss is."""
        from hpsearch.metrics.direction import Direction
        from hpsearch.records import LOSS

        return {metric.name: metric.direction for metric in self.measured} | {LOSS: Direction.MINIMIZE}

    @cached_property
    def measured(self) -> "tuple[Metric, ...]":
        """The objective and the further metrics, each once.

        Raises:
            MetricError: Two different ones have the same name.
        """
        from hpsearch.provenance.definitions import code_definition

        measured = {self.objective.name: self.objective}
        for given in self.metrics:
            metric = self._recorded(given)
            functions = [each.function for each in (measured.setdefault(metric.name, metric), metric)]
            definitions = [None if function is None else code_definition(function) for function in functions]
            if definitions[0] != definitions[1]:
                raise MetricError(
                    f"Two different metrics are called {metric.name!r}, and could not be told apart in the table. "
                    "Give one of the functions another name (its __name__)."
                )
        return tuple(measured.values())

    @property
    def pos_label(self) -> Any:
        """The positive class, where a metric is of one class; else None."""
        return next((metric.of_class for metric in self.measured if metric.of_class is not None), None)

    # ------------------------------------------------------------------ rules

    def resolved_sampler(self) -> "Sampler":
        """Return what proposes configurations."""
        from hpsearch.policy.samplers import resolve_sampler

        return resolve_sampler(self.sampler, self.space, self.aim, self.seed)

    def resolved_pruner(self) -> "Pruner":
        """Return what stops unpromising trials early."""
        from hpsearch.policy.pruners import resolve_pruner

        return resolve_pruner(self.pruner, self.space, self.aim)
