"""A study: what a user plans, runs, continues and reads back."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import UsageError
from hpsearch.plan.arguments import (
    check_callbacks,
    check_listed,
    check_no_class,
    check_task,
    check_whole,
    direction_of,
    early_stopping_of,
    points_of,
)
from hpsearch.plan.checks import check_space
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.plan.starting_point import literature_default
from hpsearch.policy.budget import Budget, budget_of
from hpsearch.policy.duration import parse_duration
from hpsearch.policy.rule_names import check_pruner, check_sampler
from hpsearch.records import Trial
from hpsearch.runtime.signals import NOTICE_PERIOD, Interruption
from hpsearch.space import Space

if TYPE_CHECKING:
    import optuna

    from hpsearch.data.folds import Folds
    from hpsearch.metrics.metric import Metric
    from hpsearch.policy.early_stopping import EarlyStopping
    from hpsearch.records.store import Store
    from hpsearch.result.result import Result
    from hpsearch.runtime.devices import Devices, TrialsPerDevice
    from hpsearch.runtime.forecast import Forecast
    from hpsearch.runtime.study_run import StudyRun
    from hpsearch.tasks import Prepared, Task

CHECKPOINT_BYTES = 20 * 1024**3
"""Default budget of a study's checkpoints, in bytes."""

is_read_by_command: ContextVar[bool] = ContextVar("is_read_by_command", default=False)
"""Whether a command is reading which studies a file defines, so that nothing may train yet."""

Callback = Callable[["Study", Trial], None]
"""Called with the study and each trial that has ended, as Optuna's callbacks are. If it has a method `on_end`, that is
called with the study alone when the run has ended or paused."""


class Study:
    """A search over the hyperparameters of one fine-tuning task.

    Nothing is read or written before `run`. Running a study again under the same name continues it. If the space, the
    data, the folds, a metric or the seed changed since, that is an error that names what changed.

    Args:
        name: The study's name; its folder is `folder/name`.
        task: What is fine-tuned, on which data.
        space: What is searched: a `Space`, the name of a shipped one ("bert"), or a path to a TOML file.
        sampler: "bayesian" (or "tpe": Tree-structured Parzen Estimator), "random", "grid" or `Grid(points=...)` (in an
            order shuffled by the seed), "gp" (Gaussian process), "qmc" (scrambled Sobol' points), or an Optuna sampler
            object. A resumed study tries what it would have tried without the pause. With a sampler class that is not
            Optuna's own it may not, and a warning says so.
        cv: Number of folds, a `Holdout`, or a scikit-learn splitter. None: the rows of the task's `validation=`, where
            it has some; otherwise the task's own default, 5 folds (of language models, a holdout).
        metric: The objective: the name of a scikit-learn scorer or loss, or a callable. None: "f1_macro" for classes,
            "r2" for numbers.
        direction: "maximize" or "minimize" the objective. None follows from the metric: losses and errors are
            minimized. An error function of your own needs "minimize". Values are shown as measured.
        metrics: Further metrics to record.
        pruner: "racing", "asha", "hyperband", "median", "wilcoxon", "none", a `Racing`, a `SuccessiveHalving`, your
            own subclass of `Pruner`, or an Optuna pruner object of a kind that remembers nothing.
        early_stopping: Epochs without a better validation loss until the first fold stops, an `EarlyStopping`, or None.
            "auto": 1.0, and None of tasks that train themselves.
        evaluations_per_epoch: Evaluation points per epoch. None: the task's usual number, 2 of most.
        repeats: Seeds per fold.
        seed: Seed of the folds, of every run, and of the sampler.
        folder: The folder that holds the studies.
        storage: SQLAlchemy URL of the database; by default SQLite in the study's folder.
        precision: "fp32", "bf16", "fp16" (with loss scaling; slow on a CPU), or "auto": bf16 where the device is fast
            in it, fp16 on GPUs that are fast in that alone (T4, V100), fp32 elsewhere, and where neither can train it.
        deterministic: Whether a GPU must compute bitwise reproducibly, at some cost in speed. CPUs always do.
        checkpoint_every: Seconds of training that a crash may cost.
        checkpoint_bytes: Space that the checkpoints may take on disk, in bytes.
        feature_cache_bytes: Space on disk for outputs of frozen layers, in bytes, shared by all studies of the machine;
            0 stores none. By default 20 GiB or a tenth of the free disk, whichever is less. It changes no result.
        reproducible: Whether the same script gives the same table, whatever the workers, however often it is paused or
            killed: trials are decided on in the order of a plan, and an idle worker may wait for a slower one. False:
            on arrival, and the table differs from run to run. A grid, random or quasi-random search without a pruner
            gives one table either way. See `Result.disturbances` for what no plan covers.
        callbacks: Called with the study and each ended trial: a `WandbCallback`, an `MLflowCallback`, or your own
            functions. If it has a method `on_end(study)`, that is called when the run has ended or paused. An
            exception in a callback becomes a warning, with its traceback in `logs/callbacks.log`; the study continues.
            `study.stop()` pauses the study.

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
        cv: Any = None,
        metric: Any = None,
        direction: str | None = None,
        metrics: Sequence[Any] = (),
        pruner: Any = "racing",
        early_stopping: "float | EarlyStopping | str | None" = "auto",
        evaluations_per_epoch: int | None = None,
        repeats: int = 1,
        seed: int = 0,
        folder: str | Path = "runs",
        storage: str | None = None,
        precision: str = "auto",
        deterministic: bool = False,
        checkpoint_every: float = 300.0,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        feature_cache_bytes: int | None = None,
        reproducible: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        check_task(task)
        check_listed("metrics", metrics)
        check_callbacks(callbacks)
        check_no_class(sampler=sampler, pruner=pruner, cv=cv)
        self.plan = Plan(
            name=name,
            task=task,
            space=space if isinstance(space, Space) else Space.load(space),
            sampler=sampler,
            cv=cv,
            metric=metric,
            direction=direction_of(direction),
            metrics=tuple(metrics),
            pruner=pruner,
            early_stopping=early_stopping_of(early_stopping, task),
            evaluations_per_epoch=points_of(evaluations_per_epoch, task),
            repeats=repeats,
            seed=seed,
            folder=Path(folder).resolve() / str(name),
            storage=storage,
            precision=precision,
            deterministic=deterministic,
            checkpoint_every=checkpoint_every,
            checkpoint_bytes=checkpoint_bytes,
            feature_cache_bytes=feature_cache_bytes,
            reproducible=reproducible,
        )
        check_space(self.plan)
        check_sampler(sampler, self.plan.space)
        check_pruner(pruner)
        self.record = Record(self.plan)
        self.callbacks = tuple(callbacks)
        self.enqueued: list[dict[str, Any]] = []
        self.was_interrupted = False  # whether a signal has paused the last run, with checkpoints
        self.is_as_stored = False  # `hp.load` has made all of it from what the study keeps
        self._run: StudyRun | None = None

    # ------------------------------------------------------------------ searching

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Try a configuration before the sampler proposes any.

        You may leave out fixed values. Enqueuing a configuration again changes nothing, so you can rerun a script.

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
        budget: Budget | None = None,
        devices: "Devices" = "auto",
        trials_per_device: "TrialsPerDevice" = 1,
        progress: bool | str = True,
        notice_period: float | str = NOTICE_PERIOD,
        virtual_slots: int | None = None,
    ) -> "Result":
        """Search until the study has `trials` trials in all, or `timeout` has passed.

        Ctrl-C saves a checkpoint of every run, says how to continue, and raises KeyboardInterrupt, so that a script
        does not go on with its next study. A second Ctrl-C ends at once. SIGTERM and SIGUSR1, by which a cluster says
        that it will end the process, do the same; a script then ends with exit code 75. Call `run` again, or
        `hpsearch resume`, to continue.

        Args:
            trials: Trials in total, including those of earlier calls. Leave it out to try all points of a grid.
            timeout: Seconds of this call, or text like "2h", "90m", "30s".
            budget: Further limits, whichever comes first: `hp.Budget(epochs=200, patience=10)`.
            devices: "auto", "inline", "gpu", "cuda", "mps", "cpu", GPUs such as "cuda:0,2", "cpu:4" for four workers, a
                number of workers, or a list of devices.
            trials_per_device: Trials that share a GPU, each in a worker of its own; the numbers are those of a trial
                alone. "auto": as many as pay, by what is measured: it begins with one on each GPU, or on the CPU.
            progress: What to show on standard error. True: a live panel in a terminal or notebook, elsewhere one line
                per finished trial. "plain": those lines everywhere. False: nothing.
            notice_period: Seconds, or text like "90s": at most so long after SIGTERM or SIGUSR1 this call has ended.
                If a worker has not reached a checkpoint by then, its training since the last one is lost.
            virtual_slots: How many segments the plan of a `reproducible` study trains side by side, whatever the
                workers; the table depends on it. None: as many as the study has; for a new one 4, or as many as there
                are workers if these are more. Later calls may raise it. With fewer the sampler knows more when it
                proposes, and several workers wait longer: for one worker alone, 1 finds the same with less compute.

        Raises:
            UsageError: Something in the study, its task or its data is not valid.
            LeaseHeldError: Another process is running the study.
            NumericsError: This machine cannot compute as the study began: another precision, CPU or GPU.
            StudyFailedError: The first trials all failed with the same exception.
            KeyboardInterrupt: Ctrl-C has paused it; `was_interrupted` is then true. By SIGTERM and SIGUSR1 it is an
                `errors.Preempted`.
        """
        from hpsearch.display.display import check_progress
        from hpsearch.result.result import Result
        from hpsearch.runtime.study_run import StudyRun

        interruption = Interruption(parse_duration(notice_period, "notice_period"))
        if trials is not None:
            check_whole("trials", trials, 1)
        limits = budget_of(trials, parse_duration(timeout), budget)
        seconds = limits.seconds("timeout")
        check_progress(progress)
        run = StudyRun(
            self.plan,
            self.record,
            budget=limits,
            deadline=None if seconds is None else time.monotonic() + seconds,
            progress=progress,
            callbacks=self.callbacks,
            subject=self,
            interruption=interruption,
            virtual_slots=virtual_slots,
        )
        with self.stoppable(run), interruption.heard():
            run.on(devices, self.enqueued, trials_per_device)
        if self.was_interrupted:
            raise interruption.exception(f"the study {self.name!r} was paused; run it again to continue")
        return Result(self.plan, self.record, self, self.record.store.history)  # as this run has left it

    def forecast(
        self,
        trials: int | None = None,
        *,
        timeout: float | str | None = None,
        budget: Budget | None = None,
        devices: "Devices" = "auto",
        trials_per_device: "TrialsPerDevice" = 1,
        progress: bool | str = True,
    ) -> "Forecast":
        """Say what `run` would take in time, memory and disk, each with an interval: `print(study.forecast(50))`.

        A few steps of a small, a default and a large configuration are trained on these devices. Nothing is written to
        the study, which need not have been run. The rest of a study that has been is forecast.

        Args:
            trials: Trials in total, as in `run`.
            timeout: As in `run`; the forecast then says how many trials there will be. So are `budget`, `devices`,
                `trials_per_device` and `progress`.

        Raises:
            UsageError: Something in the study, its task or its data is not valid, or no limit tells how much it trains.
        """
        from hpsearch.display.display import check_progress
        from hpsearch.runtime.study_forecast import forecast_study
        from hpsearch.runtime.study_run import StudyRun

        if trials is not None:
            check_whole("trials", trials, 1)
        check_progress(progress)
        _check_may_train()
        run = StudyRun(self.plan, self.record, budget_of(trials, parse_duration(timeout), budget), None, progress)
        return forecast_study(run, devices, self.enqueued, trials_per_device)

    @contextmanager
    def stoppable(self, run: "StudyRun") -> Iterator[None]:
        """Let `stop` pause a run of the study meanwhile, and take note whether a signal did."""
        _check_may_train()
        if self._run is not None:
            raise UsageError(
                f"The study {self.name!r} is being run already, by this process. Wait until that has ended, or pause "
                "it with study.stop()."
            )
        self._run, self.was_interrupted = run, False
        try:
            yield
            self.was_interrupted = run.interruption.is_set()
        finally:
            self._run = None

    def stop(self) -> None:
        """Pause the running study; call it from a callback or another thread."""
        if self._run is not None:
            self._run.stop()

    # ------------------------------------------------------------------ reading

    @property
    def result(self) -> "Result":
        """The result so far, whether the study has ended or not.

        It is read from what the study keeps; data and models are not asked for.

        Raises:
            StudyNotFoundError: It has not been run.
            StudyChangedError: This study has other settings than the one that was run.
        """
        from hpsearch.result.result import Result

        stored = self.record.description
        if self.plan.direction is None:
            self.plan.stored_direction = direction_of(stored.direction)
        self.plan.stored_class = stored.pos_label
        if not self.is_as_stored:
            self.record.read_rows()
            self.record.require_unchanged()
        return Result(self.plan, self.record, self)

    @property
    def optuna(self) -> "optuna.Study":
        """The study as Optuna sees it, on the same database."""
        return self.store().optuna_study()

    def store(self) -> "Store":
        """Return the study's store; its history can be read while another process runs the study."""
        return self.record.store

    @property
    def name(self) -> str:
        """The study's name."""
        return self.plan.name

    @property
    def task(self) -> "Task":
        """What is fine-tuned."""
        return self.plan.task

    @property
    def space(self) -> Space:
        """What is searched; a shipped space is fitted to the model once the study is run."""
        return self.plan.space

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.plan.folder

    @property
    def seed(self) -> int:
        """Seed of the folds, of every run, and of the sampler."""
        return self.plan.seed

    @property
    def objective(self) -> "Metric":
        """The objective, resolved for the task; reads the data when that has not been done."""
        return self.plan.objective

    @property
    def prepared(self) -> "Prepared":
        """The encoded rows; reads the data when that has not been done."""
        return self.plan.prepared

    @cached_property
    def default(self) -> Mapping[str, Any] | None:
        """The default that the winner is compared with: the space's own, else the task's where it lies in the space."""
        return literature_default(self.plan)

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.record.url

    @property
    def folds(self) -> "Folds":
        """The folds; reads the data when that has not been done."""
        return self.plan.folds


def _check_may_train() -> None:
    """Raise UsageError in a file that a command only reads: a dry run, or a report, would train whole studies first."""
    if is_read_by_command.get():
        raise UsageError(
            "The file trains a study as it is read. Let it define the study, and put what runs it, and all that comes "
            'after, below `if __name__ == "__main__":`, which a command leaves out.'
        )
