"""A study: what is searched, over what, by which rules; kept in its folder and database, run or not."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.description import Description, difference, named
from hpsearch.errors import (
    MetricError,
    NumericsError,
    SpaceError,
    StudyChangedError,
    StudyNotFoundError,
    UsageError,
    nearest,
)
from hpsearch.records import Trial, digest
from hpsearch.space import Grid, Space

if TYPE_CHECKING:
    import optuna

    from hpsearch.data import Folds
    from hpsearch.metrics import Metric
    from hpsearch.policy.early_stopping import EarlyStopping
    from hpsearch.records.store import Store
    from hpsearch.result import Result
    from hpsearch.runtime.asking import RunKeys
    from hpsearch.runtime.coordinator import Coordinator
    from hpsearch.runtime.devices import Devices
    from hpsearch.runtime.pools import Pool
    from hpsearch.runtime.refit import Refit, Scores
    from hpsearch.tasks import Prepared, Task
    from hpsearch.training.numerics import Numerics

logger = logging.getLogger("hpsearch")

DATABASE_FILE, DESCRIPTION_FILE, FOLDS_FILE = "study.db", "study.json", "folds.npz"
"""Where a study keeps its trials, its description (a copy, for people) and its folds, in its folder."""

CHECKPOINT_BYTES = 20 * 1024**3
"""Default budget of a study's checkpoints, in bytes."""

PRUNERS = ("median", "none")
"""The pruners known by name."""

SAMPLERS = ("bayesian", "tpe", "random", "grid", "gp", "cmaes", "qmc")
"""The samplers known by name: here too, for the policy that makes them imports Optuna."""

Callback = Callable[["Study", Trial], None]
"""Called with the study and each trial that has ended, as Optuna's callbacks are."""


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
        pruner: "median", "none", or a pruner object of Optuna's.
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
        callbacks: Called with the study and each ended trial.

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
        pruner: Any = "median",
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
        callbacks: Sequence[Callback] = (),
    ) -> None:
        _check_name(name)
        _check_whole("evaluations_per_epoch", evaluations_per_epoch, 1)
        _check_whole("repeats", repeats, 1)
        _check_whole("seed", seed, 0)
        self.name = name
        self.task = task
        self.space = space if isinstance(space, Space) else Space.load(space)
        self.sampler = sampler
        self.cv = cv
        self.cv_name = named(cv)
        self.metric = metric
        self.metrics = tuple(metrics)
        self.pruner = pruner
        self.early_stopping = _early_stopping(early_stopping)
        self.evaluations_per_epoch = evaluations_per_epoch
        self.repeats = repeats
        self.seed = seed
        self.folder = Path(folder).resolve() / name
        self.storage = storage
        self.precision = precision
        self.deterministic = deterministic
        self.checkpoint_every = checkpoint_every
        self.checkpoint_bytes = checkpoint_bytes
        self.callbacks = tuple(callbacks)
        self._enqueued: list[dict[str, Any]] = []
        self._coordinator: Coordinator | None = None
        self._store: Store | None = None
        self.was_interrupted = self._was_stopped = False
        self._check_space()
        self._check_sampler()
        self._check_pruner()

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
        self._enqueued.append(whole)

    def run(
        self,
        trials: int | None = None,
        *,
        timeout: float | str | None = None,
        devices: "Devices" = "auto",
        progress: bool = True,
    ) -> "Result":
        """Search until the study has `trials` trials in all, or `timeout` has passed; return what is known then.

        Ctrl-C pauses every run with a checkpoint and returns; a second one ends at once. Either way `run` again, or
        `hpsearch resume`, goes on.

        Args:
            trials: Trials in total, those of earlier calls included. A grid may leave it out: then all its points.
            timeout: Seconds of this call, or text like "2h", "90m", "30s".
            devices: "auto", "inline", "cpu", "cuda", "cuda:0", a number of workers, or a list of devices.
            progress: Whether to show the progress line on standard error.

        Raises:
            UsageError: Something in the study, its task or its data is not valid.
            LeaseHeldError: The study is being run by another process.
            NumericsError: This machine does not compute what the study began with.
            StudyFailedError: The first trials all failed with the same exception.
        """
        from hpsearch.policy.samplers import resolve_sampler
        from hpsearch.result import Result

        seconds = parse_duration(timeout)
        if trials is not None:
            _check_whole("trials", trials, 1)
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
            for warning in self.prepared.warnings:
                logger.warning("%s", warning)
            for config in self._enqueued:
                store.enqueue(config)
            with self._pool(devices) as pool:
                self._coordinate(store, pool, sampler, trials, deadline, progress)
        finally:
            store.release()
        return Result(self)

    def stop(self) -> None:
        """Pause the study that is being run, from a callback or another thread."""
        self._was_stopped = True
        if self._coordinator is not None:
            self._coordinator.stop()

    @property
    def result(self) -> "Result":
        """What is known of the study by now, whether it has ended or not.

        Raises:
            StudyNotFoundError: It has not been run.
            StudyChangedError: Its data, or what else decides its numbers, are not what they were when it was run.
        """
        from hpsearch.result import Result

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
        """The encoded rows; read, audited and encoded when first asked for."""
        return self.task.prepare(cache_folder())

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
        from hpsearch.metrics import metric_definition

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
        if self.space.default is not None:
            return {**self.space.default, **self.space.fixed}
        recommended = self.task.complete({**self.task.recommended(), **self.space.fixed})
        params = {name: recommended[name] for name in self.space.parameters}
        params = {name: params[name] for name in self.space.active(params)}
        if self.space.contains(params):
            return self.space.config(params)
        logger.warning(
            "The literature default of this task, %s, does not lie in the space, so no trial will show whether the "
            "winner beats it. Widen the space, or give a starting point of yours: hp.Space(default={...}, ...).",
            ", ".join(f"{name}={value}" for name, value in params.items()),
        )
        return None

    def store(self) -> "Store":
        """Return the study's store, opened; its history can be read while another process runs the study."""
        return self._open_existing()

    # ------------------------------------------------------------------ opening

    def _metric(self, metric: Any) -> "Metric":
        from hpsearch.metrics import resolve_metric

        return resolve_metric(metric, self.prepared.kind, self.prepared.classes)

    def _check_space(self) -> None:
        """Find unknown hyperparameters and impossible fixed values before anything is read."""
        names = set(self.space.parameters) | set(self.space.fixed)
        known = self.task.hyperparameters()
        unknown = sorted(names - set(known))
        if unknown:
            self.task.complete({unknown[0]: None})
        self.task.complete(dict(self.space.fixed))
        for name, parameter in self.space.parameters.items():
            for edge in parameter.edges():
                try:
                    known[name].check(edge)
                except UsageError as error:
                    raise SpaceError(f"The space's {name} reaches a value that no run can have. {error}") from error

    def _check_sampler(self) -> None:
        """Find a misspelt sampler, or a grid without end, before anything is read; Optuna's objects when it is run.

        A study that was loaded has in the place of an object what it said of itself.
        """
        is_name = isinstance(self.sampler, str) and not set(self.sampler) & set("<(")
        if is_name and self.sampler not in SAMPLERS:
            known = ", ".join(repr(name) for name in SAMPLERS)
            raise UsageError(
                f"sampler={self.sampler!r} is not one of {known}, nor hp.Grid(points=...) or a sampler object of "
                f"Optuna's.{nearest(self.sampler, SAMPLERS)}"
            )
        if self.sampler == "grid" or isinstance(self.sampler, Grid):
            self.space.grid(self.sampler.points if isinstance(self.sampler, Grid) else None)

    def _check_pruner(self) -> None:
        """Find a misspelt pruner before anything is read; objects are looked at when the study is run."""
        if isinstance(self.pruner, str) and self.pruner not in PRUNERS:
            known = ", ".join(repr(name) for name in PRUNERS)
            raise UsageError(
                f"pruner={self.pruner!r} is not one of {known}, nor a pruner object of Optuna's."
                f"{nearest(self.pruner, PRUNERS)}"
            )

    def _open(self) -> "Store":
        """Open the study's store, or make it."""
        from hpsearch.records.store import Store

        if self._store is None:
            _ = self.objective, self.measured, self.folds  # data, model and metrics: checked before anything is written
            if Store.exists(self.url, self.name):
                self._store = Store.open(self.url, self.name)
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.folds.write(self.folder / FOLDS_FILE)
                self._snapshot()
                self._store = Store.create(self.url, self.name, self._description().to_json())
        return self._store

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

    @contextlib.contextmanager
    def _pool(self, devices: "Devices") -> "Iterator[Pool]":
        from hpsearch.runtime.devices import INLINE, inventory, slots
        from hpsearch.runtime.pools import InlinePool, LocalPool

        found = slots(devices, inventory())
        pool: Pool = InlinePool(found[0]) if devices == INLINE else LocalPool(found)
        try:
            yield pool
        finally:
            pool.close()

    def _coordinate(
        self, store: "Store", pool: "Pool", sampler: Any, trials: int | None, deadline: float | None, progress: bool
    ) -> None:
        from hpsearch.policy.policy import Policy
        from hpsearch.policy.pruning import resolve_pruner
        from hpsearch.records.checkpoints import CheckpointFolder
        from hpsearch.runtime.asking import Asker
        from hpsearch.runtime.coordinator import Coordinator, Observer
        from hpsearch.runtime.progress import ProgressLine, how_to_resume

        numerics = self._numerics(store, pool)
        objective = self.objective.name
        pruner = resolve_pruner(self.pruner, self.space, objective)
        policy = Policy(objective, self.evaluations_per_epoch, self.early_stopping, pruner)
        asker = Asker(store, self.space, sampler, self.run_keys(numerics), self.task.complete, self.default)
        line = ProgressLine(self.name, objective, trials, self.evaluations_per_epoch) if progress else None
        observers: list[Observer] = [
            *([line] if line else []),
            *(_Calling(self, callback) for callback in self.callbacks),
        ]
        checkpoints = CheckpointFolder(self.folder / "checkpoints", self.checkpoint_bytes)
        self._coordinator = Coordinator(
            store, pool, asker.ask, trials, policy, checkpoints,
            logs=self.folder / "logs", observers=observers, deadline=deadline,
        )  # fmt: skip
        self._was_stopped = False
        try:
            with _interruptible(self._coordinator) as interruption:
                if line:
                    line.observe(store.history, None)
                self._coordinator.run()
        finally:
            self._coordinator = None
            if line:
                line.close()
        self.was_interrupted = interruption.is_set()
        waiting = len(store.queued())
        ended = trials is not None and len(store.history.trials) >= trials and not store.history.unfinished()
        if ended and waiting:
            logger.warning(
                "%d enqueued configurations were not tried, because the study has its %d trials: run it with more.",
                waiting,
                trials,
            )
        out_of_time = deadline is not None and time.monotonic() >= deadline
        if not ended and (self.was_interrupted or self._was_stopped or out_of_time or store.history.unfinished()):
            description = Description.from_json(store.description)
            sys.stderr.write(f"Paused. {how_to_resume(description, self.folder, self.storage)}\n")

    def _numerics(self, store: "Store", pool: "Pool") -> "Numerics":
        """Make the pool ready with the numerics stored with the study; its first run resolves and stores them.

        On a GPU the micro-batch is part of them: probed once, on the longest rows, with nothing frozen.
        """
        from hpsearch.runtime.messages import Probe
        from hpsearch.training.numerics import Numerics, resolve_numerics

        stored = Description.from_json(store.description)
        if stored.numerics is not None:
            numerics = Numerics.from_dict(stored.numerics)
            pool.prepare(self.workload(numerics))
            return numerics
        deterministic = True if self.deterministic else None  # None: as the device has it; a CPU always is
        numerics = resolve_numerics(
            pool.environment(),
            precision=self.precision,
            deterministic=deterministic,
            attention=self.prepared.attention,
        )
        pool.prepare(self.workload(numerics))
        if numerics.device_type == "cuda":
            config = self._largest_config()
            fits = pool.probe(Probe(self.name, config, int(config["batch_size"])))
            if fits < int(config["batch_size"]):
                numerics = replace(numerics, micro_batch=fits)
                pool.prepare(self.workload(numerics))
        self.keep_description(self._description(numerics=numerics.to_dict(), goal=stored.goal, test=stored.test))
        return numerics

    def _largest_config(self) -> dict[str, Any]:
        """Return a training config with the largest batch of the space, which needs as much memory as any."""
        searched = self.space.parameters.get("batch_size")
        given = {"batch_size": max(int(str(edge)) for edge in searched.edges())} if searched is not None else {}
        return self.task.complete({**self.space.fixed, **given})

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
        )

    def refit(self, config: Mapping[str, Any], point: int) -> "Refit":
        """Train a configuration on all training rows up to an evaluation point, in this process."""
        from hpsearch.runtime.refit import refit

        return refit(self.workload(self.stored_numerics()), self.task.complete(config), point)

    def score(self, model: Any) -> "Scores":
        """Score a model on the test rows with the metrics of the search."""
        from hpsearch.runtime.refit import score

        return score(self.workload(self.stored_numerics()), model)

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

    def run_keys_digest(self) -> str:
        """Return a digest of all that a refit depends on besides its configuration."""
        keys = self.run_keys(self.stored_numerics())
        return digest([keys.seed, keys.data, self.prepared.test_digest, keys.model, dict(keys.numerics)])

    def run_keys(self, numerics: "Numerics") -> "RunKeys":
        """Return what this study's runs are keyed by."""
        from hpsearch.runtime.asking import RunKeys

        return RunKeys(
            seed=self.seed,
            data=digest([self.prepared.data_digest, self.folds.digest]),
            model=self.prepared.model_digest,
            numerics=numerics.to_dict(),
            folds=len(self.folds.pairs),
            repeats=self.repeats,
            evaluations_per_epoch=self.evaluations_per_epoch,
        )


class _Calling:
    """Tells a user's callback of each ended trial."""

    def __init__(self, study: Study, callback: Callback) -> None:
        self._study = study
        self._callback = callback

    def observe(self, history: Any, trial: Trial | None) -> None:
        if trial is not None:
            self._callback(self._study, trial)


@contextlib.contextmanager
def _interruptible(coordinator: "Coordinator") -> Iterator[threading.Event]:
    """Let the first Ctrl-C (or SIGTERM) pause the study cleanly, and set the event; the second one ends at once."""
    interruption = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def pause(_number: int, _frame: Any) -> None:
        interruption.set()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, before[name])
        coordinator.stop()

    before = {name: signal.signal(name, pause) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def cache_folder() -> Path:
    """Return the folder of this machine's caches: HPSEARCH_CACHE, else hpsearch in the user's cache folder."""
    chosen = os.environ.get("HPSEARCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpsearch"


def parse_duration(text: float | str | None) -> float | None:
    """Return seconds from a number or from text like "2h", "90m" or "1h30m".

    Raises:
        UsageError: The text is not understood, or not positive.
    """
    import re

    if text is None:
        return None
    if isinstance(text, str):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
        parts = match.groups() if match and text.strip() else None
        seconds = sum(float(p or 0) * s for p, s in zip(parts, (3600, 60, 1), strict=True)) if parts else 0.0
    else:
        seconds = float(text)
    if not seconds > 0:
        raise UsageError(f"timeout={text!r} is not a duration; give seconds, or text like '2h', '90m' or '30s'.")
    return seconds


def _early_stopping(value: "float | EarlyStopping | None") -> "EarlyStopping | None":
    from hpsearch.policy.early_stopping import EarlyStopping

    if value is None or isinstance(value, EarlyStopping):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(
            f"early_stopping={value!r} must be a number of epochs without improvement, an EarlyStopping, or None."
        )
    return EarlyStopping(float(value))


def _check_name(name: str) -> None:
    safe = isinstance(name, str) and name and not name.startswith(".") and not set(name) & set('/\\:*?"<>|\0')
    if not safe:
        raise UsageError(f"A study's name is also its folder's name: {name!r} is none. Use letters, digits, - and _.")


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}={value!r} must be a whole number of at least {least}.")
