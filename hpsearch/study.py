"""A study: what is searched, over what, by which rules; kept in its folder and database, run or not."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.durable import writing
from hpsearch.errors import MetricError, NumericsError, StudyChangedError, StudyNotFoundError, UsageError
from hpsearch.plan.arguments import (
    check_callbacks,
    check_listed,
    check_name,
    check_no_class,
    check_settings,
    check_task,
    check_whole,
    early_stopping_of,
    parse_duration,
)
from hpsearch.plan.checks import (
    check_dropout,
    check_models,
    check_pruner,
    check_rules_and_devices,
    check_sampler,
    check_space,
)
from hpsearch.plan.description import Description, difference, named
from hpsearch.plan.keys import refit_digest, with_attention
from hpsearch.plan.places import DATABASE_FILE, DESCRIPTION_FILE, FOLDS_FILE, cache_folder, lost_database
from hpsearch.plan.starting_point import example_config, literature_default
from hpsearch.records import Trial
from hpsearch.space import Space

if TYPE_CHECKING:
    import optuna

    from hpsearch.data import Folds
    from hpsearch.metrics.metric import Metric
    from hpsearch.policy.early_stopping import EarlyStopping
    from hpsearch.policy.pruner import Pruner
    from hpsearch.records.store import Store
    from hpsearch.result.result import Result
    from hpsearch.runtime.devices import Devices
    from hpsearch.runtime.refit import Refit, Scores
    from hpsearch.runtime.study_run import StudyRun
    from hpsearch.tasks import Prepared, Task
    from hpsearch.tasks.choices import ModelChoices
    from hpsearch.tasks.frozen_layers import LayeredModel
    from hpsearch.training.numerics import Numerics

logger = logging.getLogger("hpsearch")

CHECKPOINT_BYTES = 20 * 1024**3
"""Default budget of a study's checkpoints, in bytes."""

Callback = Callable[["Study", Trial], None]
"""Called with the study and each trial that has ended, as Optuna's callbacks are; its `on_end`, if it has one, with the
study alone when it is run no longer."""


class Study:
    """A search over the hyperparameters of one fine-tuning task.

    Nothing is read or written before `run`. A study of the same name in the same folder is gone on with; if it was
    made with another space, other data, other folds, metrics or seed, that is an error which names what changed.

    Args:
        name: The study's name; its folder is `folder/name`.
        task: What is fine-tuned, on which data.
        space: What is searched: a `Space`, the name of a shipped one ("bert"), or a path to a TOML file.
        sampler: "bayesian" (or "tpe": Tree-structured Parzen Estimator), "random", "grid" or `Grid(points=...)` (in an
            order shuffled by the seed), "gp" (Gaussian process), "cmaes" (CMA-ES over the numeric parameters), "qmc"
            (scrambled Sobol' points), or a sampler object of Optuna's. With each of them a resumed study tries what it
            would have tried; with an object of a class that is not Optuna's own it may not, and a warning says so.
        cv: Number of folds, a `Holdout`, or a scikit-learn splitter.
        metric: The objective, greater is better: a scikit-learn scorer name or a callable.
        metrics: Further metrics recorded beside it.
        pruner: "racing", "asha", "hyperband", "median", "wilcoxon", "none", a `Racing`, a `SuccessiveHalving`, or a
            pruner object of Optuna's.
        early_stopping: Epochs without improvement of the validation loss after which the first fold stops; an
            `EarlyStopping`; or None.
        evaluations_per_epoch: Evaluation points an epoch.
        repeats: Seeds a fold is trained with.
        seed: Seed of the folds, of every run, and of the sampler.
        folder: Where studies are kept.
        storage: SQLAlchemy URL of the database; by default SQLite in the study's folder.
        precision: "auto", "fp32" or "bf16".
        deterministic: Whether a GPU must compute bitwise reproducibly, at some cost in speed. CPUs always do.
        checkpoint_every: Seconds of training that a crash may cost.
        checkpoint_bytes: What the checkpoints may take on the disk.
        feature_cache_bytes: What outputs of frozen layers may take in this machine's cache, which all studies share; 0
            keeps none. By default 20 GiB or a tenth of the disk's free room, whichever is less. It changes no number.
        callbacks: Called with the study and each ended trial, `WandbCallback` and `MLflowCallback` or functions of
            yours. One with a method `on_end(study)` is told when the study has ended or paused, too. What a callback
            raises is a warning, with its traceback in `logs/callbacks.log`, and ends nothing; `study.stop()` pauses.

    Raises:
        UsageError: An argument is not valid; the message says which and what to do.
    """

    def __init__(
        self,
        name: str,
        task: "Task",
        space: Space | str | Path,
        *,
        sampler: Any = "bayesian",
        cv: Any = 5,
        metric: Any = "f1_macro",
        metrics: Sequence[Any] = (),
        pruner: Any = "racing",
        early_stopping: "float | EarlyStopping | None" = 1.0,
        evaluations_per_epoch: int = 2,
        repeats: int = 1,
        seed: int = 0,
        folder: str | Path = "runs",
        storage: str | None = None,
        precision: str = "auto",
        deterministic: bool = False,
        checkpoint_every: float = 300.0,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        feature_cache_bytes: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        check_name(name)
        check_whole("evaluations_per_epoch", evaluations_per_epoch, 1)
        check_whole("repeats", repeats, 1)
        check_whole("seed", seed, 0)
        check_task(task)
        check_listed("metrics", metrics)
        check_listed("callbacks", callbacks)
        check_callbacks(callbacks)
        check_no_class(sampler=sampler, pruner=pruner, cv=cv)
        check_whole("checkpoint_bytes", checkpoint_bytes, 0)
        if feature_cache_bytes is not None:
            check_whole("feature_cache_bytes", feature_cache_bytes, 0)
        check_settings(precision, deterministic, checkpoint_every)
        self.name = name
        self.task = task
        self.space = space if isinstance(space, Space) else Space.load(space)
        self.sampler = sampler
        self.cv = cv
        self.cv_name = named(cv)
        self.metric = metric
        self.metrics = tuple(metrics)
        self.pruner = pruner
        self.early_stopping = early_stopping_of(early_stopping)
        self.evaluations_per_epoch = evaluations_per_epoch
        self.repeats = repeats
        self.seed = seed
        self.folder = Path(folder).resolve() / name
        self.storage = storage
        self.precision = precision
        self.deterministic = deterministic
        self.checkpoint_every = checkpoint_every
        self.checkpoint_bytes = checkpoint_bytes
        self.feature_cache_bytes = feature_cache_bytes
        self.callbacks = tuple(callbacks)
        self.enqueued: list[dict[str, Any]] = []
        self._run: StudyRun | None = None
        self._store: Store | None = None
        self.was_interrupted = self._is_to_stop = False
        # Of a folder that goes with whoever made it: rows are prepared in it, and nobody is told how to go on.
        self.is_temporary = False
        self.choices = self._model_choices()
        check_space(self)
        check_sampler(self)
        check_pruner(self)

    # ------------------------------------------------------------------ what a user calls

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Have a configuration tried before the sampler is asked.

        Fixed values of the space need not be named. Enqueuing the same configuration again changes nothing, so a
        script may be run again.

        Raises:
            SpaceError: The configuration does not fit the space.
        """
        whole = {**self.space.validate(config, "the enqueued configuration"), **self.space.fixed}
        self.task.complete(whole)
        self.enqueued.append(whole)

    def run(
        self,
        trials: int | None = None,
        *,
        timeout: float | str | None = None,
        devices: "Devices" = "auto",
        progress: bool | str = True,
    ) -> "Result":
        """Search until the study has `trials` trials in all, or `timeout` has passed; return what is known then.

        Ctrl-C pauses every run with a checkpoint and returns; a second one ends at once. Either way `run` again, or
        `hpsearch resume`, goes on.

        Args:
            trials: Trials in total, those of earlier calls included. A grid may leave it out: then all its points.
            timeout: Seconds of this call, or text like "2h", "90m", "30s".
            devices: "auto", "inline", "cpu", "cuda", "cuda:0", a number of workers, or a list of devices.
            progress: What is shown meanwhile, on standard error. True: in a terminal a live panel, in a notebook one
                output that is kept up to date, elsewhere a line as each trial ends. "plain": those lines anywhere.
                "line": in a terminal a single line. False: nothing.

        Raises:
            UsageError: Something in the study, its task or its data is not valid.
            LeaseHeldError: The study is being run by another process.
            NumericsError: This machine does not compute what the study began with.
            StudyFailedError: The first trials all failed with the same exception.
        """
        from hpsearch.runtime.fork_server import begin_imports, prepare_to_fork

        seconds = parse_duration(timeout)
        if trials is not None:
            check_whole("trials", trials, 1)
        imports = (*self.task.imports, "sklearn.metrics")
        begin_imports(devices, imports)  # seconds of another core: before this process imports anything itself

        from hpsearch.display.line import check_progress
        from hpsearch.policy.samplers import resolve_sampler, what_is_not_kept
        from hpsearch.result.result import Result
        from hpsearch.runtime.study_run import StudyRun, open_pool

        self._is_to_stop = False
        check_progress(progress)
        for slot in check_rules_and_devices(self, devices)[:1]:
            prepare_to_fork(slot, imports)  # where it has not begun yet, for want of knowing the devices
        check_models(self)
        sampler = resolve_sampler(self.sampler, self.space, self.objective.name, self.seed)
        if trials is None and seconds is None and not sampler.is_finite:
            raise UsageError(
                f"The sampler {self.sampler!r} never ends by itself: give trials= (--trials) for how many trials there "
                "shall be in all, or timeout= (--timeout), for instance study.run(trials=50)."
            )
        deadline = None if seconds is None else time.monotonic() + seconds
        store = self._open()
        store.acquire()
        try:
            self._settle_description(store, {"trials": trials})
            for warning in filter(None, (*self.warnings, what_is_not_kept(self.sampler))):
                logger.warning("%s", warning)
            for config in self.enqueued:
                store.enqueue(config)
            self._run = StudyRun(self, store, sampler, trials=trials, deadline=deadline, progress=progress)
            try:
                if self._is_to_stop:
                    self._run.stop()
                # Only now: whoever made a mistake is told of it before any worker starts.
                with open_pool(devices, imports) as pool:
                    self._run.on(pool)
            finally:
                self.was_interrupted = self._run.interruption.is_set()
                self._run = None
        finally:
            store.release()
        return Result(self)

    def stop(self) -> None:
        """Pause the study that is being run, from a callback or another thread."""
        self._is_to_stop = True
        if self._run is not None:
            self._run.stop()

    @property
    def result(self) -> "Result":
        """What is known of the study by now, whether it has ended or not.

        Raises:
            StudyNotFoundError: It has not been run.
            StudyChangedError: Its data, or what else decides its numbers, are not what they were when it was run.
        """
        from hpsearch.result.result import Result

        self._require_unchanged(self._open_existing())
        return Result(self)

    @property
    def optuna(self) -> "optuna.Study":
        """The study as Optuna sees it, on the same database."""
        return self._open_existing().optuna_study()

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        from hpsearch.records.database import sqlite_url

        return self.storage or sqlite_url(self.folder / DATABASE_FILE)

    # ------------------------------------------------------------------ what the study is made of

    @cached_property
    def prepared(self) -> "Prepared":
        """The encoded rows; read, audited and encoded when first asked for.

        Of a study that chooses among pretrained models, those of the default choice.
        """
        from hpsearch.tasks.frozen_layers import fitted_space

        if self.choices is not None:
            prepared = self.prepared_choices[self.choices.default]
        else:
            prepared = self.task.prepare(self._cache())
        if self.space.is_shipped:
            space = fitted_space(self.space, self.layered_models(prepared))
            if space != self.space:
                logger.warning("The space is fitted to the model's layers: %s.", self.space.difference(space))
            self.space = space
        return prepared

    def _cache(self) -> Path:
        return self.folder / "cache" if self.is_temporary else cache_folder()

    def layered_models(self, prepared: "Prepared") -> "list[LayeredModel]":
        """Return the models of the study with the number of their layers; `prepared` is that of the task's own."""
        from hpsearch.tasks.frozen_layers import LayeredModel

        if self.choices is None:
            return [LayeredModel(prepared.source, {}, prepared.layers)]
        name = self.choices.name
        return [LayeredModel(each, {name: each}, found.layers) for each, found in self.prepared_choices.items()]

    @cached_property
    def prepared_choices(self) -> "Mapping[str, Prepared]":
        """The encoded rows by choice of a pretrained model; empty where the space does not choose."""
        return {} if self.choices is None else self.choices.prepare(self.task, self._cache())

    def prepared_for(self, config: Mapping[str, Any]) -> "Prepared":
        """Return the rows as they are encoded for a configuration's model."""
        choice = self.task.model_choice(config)
        return self.prepared if choice is None else self.prepared_choices[choice]

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

        Where two choices of a model have the same content, it is trained as the first of them.
        """
        from hpsearch.tasks.choices import canonical_choices

        whole = self.task.complete(config)
        choice = self.task.model_choice(whole)
        if self.choices is None or choice is None:
            return whole
        return {**whole, self.choices.name: canonical_choices(self.prepared_choices)[choice]}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found of the data; of several models, what concerns one of them begins with its name."""
        if self.choices is None:
            return self.prepared.warnings
        found = {choice: prepared.warnings for choice, prepared in self.prepared_choices.items()}
        shared = [warning for warning in self.prepared.warnings if all(warning in each for each in found.values())]
        own = [f"{choice}: {each}" for choice, all_ in found.items() for each in all_ if each not in shared]
        return (*shared, *own)

    @cached_property
    def folds(self) -> "Folds":
        """The folds, made from `cv`; of a study that was loaded without its splitter, those kept with it."""
        from hpsearch.data import Folds, make_folds, open_dataset

        if isinstance(self.cv, Folds):
            return self.cv
        rows = open_dataset(self.prepared.folder)
        return make_folds(
            self.cv,
            targets=rows["targets"],
            kind=self.prepared.kind,
            groups=rows.get("groups"),
            seed=self.seed,
            classes=self.prepared.classes,
        )

    @cached_property
    def objective(self) -> "Metric":
        """The objective, resolved for the task."""
        return self._metric(self.metric)

    @cached_property
    def measured(self) -> "tuple[Metric, ...]":
        """The objective and the further metrics, each once."""
        from hpsearch.metrics.metric import metric_definition

        measured = {self.objective.name: (self.metric, self.objective)}
        for given in self.metrics:
            metric = self._metric(given)
            earlier, _ = measured.setdefault(metric.name, (given, metric))
            found = [each if isinstance(each, str) else metric_definition(each) for each in (earlier, given)]
            if found[0] != found[1]:
                raise MetricError(
                    f"Two different metrics are called {metric.name!r}, and could not be told apart in the table. "
                    "Give one of the functions another name (its __name__)."
                )
        return tuple(metric for _, metric in measured.values())

    @cached_property
    def default(self) -> Mapping[str, Any] | None:
        """The literature default: the space's own, else the task's recommendation where it lies in the space."""
        return literature_default(self)

    def store(self) -> "Store":
        """Return the study's store, opened; its history can be read while another process runs the study."""
        return self._open_existing()

    # ------------------------------------------------------------------ opening

    def _metric(self, metric: Any) -> "Metric":
        from hpsearch.metrics.metric import resolve_metric

        return resolve_metric(metric, self.prepared.kind, self.prepared.classes)

    def _model_choices(self) -> "ModelChoices | None":
        if self.task.choice is None:
            return None
        from hpsearch.tasks.choices import ModelChoices

        return ModelChoices.of(self.task, self.space)

    def resolved_pruner(self) -> "Pruner":
        """Return the pruner that the study is judged by."""
        from hpsearch.policy.pruning import resolve_pruner

        pairs = self.folds.pairs
        rows = min(len(train) for train, _ in pairs)
        return resolve_pruner(self.pruner, self.space, self.objective.name, len(pairs) * self.repeats, rows)

    def _open(self) -> "Store":
        """Open the study's store, or make it."""
        from hpsearch.records.store import Store

        if self._store is None:
            _ = self.objective, self.measured, self.folds  # data, model and metrics: checked before anything is written
            check_dropout(self)
            self.resolved_pruner()
            if Store.exists(self.url, self.name):
                self._store = Store.open(self.url, self.name)
            else:
                self._require_no_trace()
                with writing(self.folder, "folder="):
                    self.folder.mkdir(parents=True, exist_ok=True)
                self.folds.write(self.folder / FOLDS_FILE)
                self._snapshot()
                self._store = Store.create(self.url, self.name, self._description().to_json())
        return self._store

    def _require_no_trace(self) -> None:
        """Raise StudyNotFoundError where the folder is that of a study whose database is gone or elsewhere."""
        if (self.folder / DESCRIPTION_FILE).is_file():
            raise lost_database(self.name, self.folder, self.storage)

    def _snapshot(self) -> None:
        """Keep with the study what lies in memory only (a DataFrame), so that it can be loaded without its script."""
        self.task = self.task.snapshot(self.folder / "data")

    def _open_existing(self) -> "Store":
        from hpsearch.records.store import Store

        if self._store is None:
            if not Store.exists(self.url, self.name):
                raise StudyNotFoundError(
                    f"The study {self.name!r} has not been run yet, so there is nothing to read in {self.folder}. "
                    "Call study.run(...) first."
                )
            self._store = Store.open(self.url, self.name)
        return self._store

    def _description(self, **more: Any) -> Description:
        return Description.of(self, **more)

    def _settle_description(self, store: "Store", goal: Mapping[str, Any]) -> None:
        """Compare what the study is with what it was, and keep the description where a person can read it."""
        self._require_unchanged(store)
        self._snapshot()
        if not (self.folder / FOLDS_FILE).exists():
            self.folds.write(self.folder / FOLDS_FILE)
        stored = Description.from_json(store.description)
        self.keep_description(self._description(numerics=stored.numerics, goal=goal, test=stored.test))

    def _require_unchanged(self, store: "Store") -> None:
        """Raise StudyChangedError where this is no longer the study that is stored under its name."""
        changed = difference(Description.from_json(store.description), self._description())
        if changed:
            raise StudyChangedError(
                f"The study {self.name!r} in {self.folder} was made with other settings: {changed}. Give this study "
                "another name, or go on with the settings it began with."
            )

    def keep_description(self, description: Description) -> None:
        """Store a description in the database and beside it as study.json."""
        store = self._open_existing()
        store.replace_description(description.to_json())
        description.write(self.folder / DESCRIPTION_FILE)

    # ------------------------------------------------------------------ running

    def stored_numerics(self) -> "Numerics":
        """Return the numerics that the study was run with.

        Raises:
            NumericsError: It has not been run.
        """
        from hpsearch.training.numerics import Numerics

        stored = Description.from_json(self._open_existing().description).numerics
        if stored is None:
            raise NumericsError(f"The study {self.name!r} has no numerics yet: run it first.")
        return Numerics.from_dict(stored)

    def workload(self, numerics: "Numerics") -> Any:
        """Return what a worker must know of this study."""
        from hpsearch.runtime.messages import Workload
        from hpsearch.training.features.store import FeatureStore

        return Workload(
            study=self.name,
            task=self.task,
            prepared=self.prepared,
            folds=self.folds.pairs,
            metrics=self.measured,
            seed=self.seed,
            evaluations_per_epoch=self.evaluations_per_epoch,
            early_stopping=self.early_stopping,
            numerics=numerics,
            checkpoint_every=self.checkpoint_every,
            choices=self.prepared_choices,
            example=example_config(self),
            features=FeatureStore.within(self._cache() / "features", self.feature_cache_bytes),
        )

    def refit(self, config: Mapping[str, Any], point: int) -> "Refit":
        """Train a configuration on all training rows up to an evaluation point, in this process."""
        from hpsearch.runtime.refit import refit

        return refit(self.workload(self.stored_numerics()), self.complete(config), point)

    def score(self, model: Any, config: Mapping[str, Any]) -> "Scores":
        """Score a model that was trained with a configuration on the test rows, with the metrics of the search."""
        from hpsearch.runtime.refit import score

        return score(self.workload(self.stored_numerics()), model, self.complete(config))

    def keep_test_scores(self, key: str, scores: Mapping[str, float]) -> None:
        """Keep a configuration's scores on the test rows with the study: they are not computed a second time."""
        store = self._open_existing()
        is_running = store.held  # a callback asks, in the process that runs the study
        store.acquire()
        try:
            stored = Description.from_json(store.description)
            self.keep_description(replace(stored, test={**(stored.test or {}), key: dict(scores)}))
        finally:
            if not is_running:
                store.release()

    def numerics_for(self, config: Mapping[str, Any]) -> "Numerics":
        """Return the numerics that a configuration was run with: the study's, with its own model's attention."""
        return with_attention(self, self.stored_numerics(), self.task.model_choice(config))

    def refit_digest(self, config: Mapping[str, Any]) -> str:
        """Return a digest of all that a refit of a configuration, and its test scores, depend on besides it."""
        return refit_digest(self, config)
