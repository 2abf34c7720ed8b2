"""One run of a study: prepares a pool, runs the coordinator on it, shows progress, and says how it ended."""

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from hpsearch.display.display import shown
from hpsearch.display.standing import Watch
from hpsearch.display.waiting import waiting_for
from hpsearch.errors import TaskError, UsageError, printable
from hpsearch.plan.budget_checks import check_budget
from hpsearch.plan.checks import check_metrics_travel, check_models
from hpsearch.plan.distinct import repetition
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.plan.resume_command import how_to_resume
from hpsearch.plan.run_keys import run_keys
from hpsearch.plan.starting_point import example_config, literature_default
from hpsearch.policy.budget import COMPUTE, EXPECTED, Budget, Ending
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.refusals import Refusing
from hpsearch.policy.samplers import Sampler, what_is_not_kept
from hpsearch.records import Fit, Fits, ModelMemory, Segment, Slot, Trial, shape_of
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.outage import patience_seconds
from hpsearch.runtime.callback_guard import guarded_callbacks
from hpsearch.runtime.coordinator import Coordinator, Observer
from hpsearch.runtime.devices import Devices, TrialsPerDevice
from hpsearch.runtime.fitting import Fitting
from hpsearch.runtime.last_trials import last_trials
from hpsearch.runtime.left_processes import ProcessRecord, recorded_processes
from hpsearch.runtime.messages import Probe, Workload
from hpsearch.runtime.new_trials import Asker
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.base import Pool, TimeIsUpError
from hpsearch.runtime.pools.in_turn import PoolInTurn, in_turn
from hpsearch.runtime.reproduction import check_virtual_slots, virtual_plan
from hpsearch.runtime.signals import Interruption
from hpsearch.runtime.virtual_plan import check_enough_slots
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.numerics import Numerics, resolve_numerics

logger = logging.getLogger("hpsearch")


@dataclass(eq=False)
class StudyRun:
    """Runs a study on some devices until a limit of its budget is reached.

    Attributes:
        budget: What the study may take.
        deadline: When the budget's timeout is up, in seconds of `time.monotonic`, or None.
        progress: What to show meanwhile, as in `Study.run`.
        callbacks: Called with `subject` and each trial that has ended.
        subject: The study as its user knows it.
        label: What the pool and the display call the study: its name, where no other study beside it has the same.
        is_alone: Whether no other study shares its pool.
        virtual_slots: How many segments its plan trains side by side, as in `Study.run`.
        rules: The sampler and the pruner, once they have been checked.
        interruption: What signals ask: set when Ctrl-C, SIGTERM or SIGUSR1 has paused the study.
    """

    plan: Plan
    record: Record
    budget: Budget
    deadline: float | None
    progress: bool | str
    callbacks: Sequence[Callable[[Any, Trial], None]] = ()
    subject: Any = None
    interruption: Interruption = field(default_factory=Interruption)
    label: str = ""
    virtual_slots: int | None = None
    is_alone: bool = True
    rules: tuple[Sampler, Pruner] = field(init=False)
    _processes: ProcessRecord = field(init=False)
    _numerics: Numerics = field(init=False)
    _coordinator: Coordinator | None = field(default=None, init=False)
    _was_stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.label = self.label or self.plan.name
        if self.virtual_slots is not None:
            check_virtual_slots(self.plan, self.virtual_slots)
        self.trials = self.budget.trials

    def on(
        self, devices: Devices, enqueued: Sequence[Mapping[str, Any]] = (), trials_per_device: TrialsPerDevice = 1
    ) -> None:
        """Check what can be checked, then run on these devices; `enqueued` configurations come first.

        Raises:
            UsageError: Something in the plan, its data or the devices is not valid.
        """
        choice, start = chosen_pool(devices, trials_per_device)
        with waiting_for("Preparing rows and models") if self.progress else contextlib.nullcontext():
            self.check(enqueued, is_in_process=choice.is_in_process)
        with self.opened(enqueued), contextlib.closing(in_turn(start(), choice, [self.label], self.can_train)) as pool:
            pool.deadline = self.deadline
            with contextlib.suppress(TimeIsUpError):
                self.prepare(pool)
                with self.called_back() as callbacks, shown(self.progress, [self.watch(pool)]) as displays:
                    coordinator = self.coordinator(pool, [*displays, *callbacks])
                    with self.interruption.pausing(coordinator.stop):
                        coordinator.run()
            error = self.done_nothing()
            if error is None:
                self.say_how_it_ended()
        if error is not None:
            raise error

    def check(self, enqueued: Sequence[Mapping[str, Any]], *, is_in_process: bool) -> None:
        """Check all that needs no worker."""
        if not is_in_process:
            check_metrics_travel(self.plan)
        check_models(self.plan, enqueued)
        sampler = self.plan.resolved_sampler()
        check_budget(self.plan, self.budget, is_endless=not sampler.is_finite)
        self.rules = sampler, self.plan.resolved_pruner()
        patience_seconds()  # raises where the user's limit is none

    @contextlib.contextmanager
    def opened(self, enqueued: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        """Hold the study's lease, and keep with the study what this call is to do.

        Workers start inside: users hear of their mistakes before.
        """
        store = self.record.open_or_create()
        store.acquire()
        try:
            check_enough_slots(store, self.virtual_slots)
            self.record.settle(self.budget.goal)
            repeats = None if self.rules[0].is_finite else repetition(self.plan, self.trials)
            for warning in filter(None, (*self.plan.warnings, what_is_not_kept(self.plan.sampler), repeats)):
                logger.warning("%s", warning)
            for config in enqueued:
                store.enqueue(config)
            with recorded_processes(self.plan.folder) as self._processes:
                yield
            ending = self.ending()
            if ending is not None:
                self.record.keep_ending(ending)
        finally:
            store.release()

    def prepare(self, pool: Pool) -> None:
        """Make a pool's workers ready for the study."""
        self._processes.look()
        self._numerics = settled_numerics(self.plan, self.record, pool, self.label)

    def called_back(self) -> AbstractContextManager[Sequence[Observer]]:
        """Return a block in which the user's callbacks hear of the study, at last of its end."""
        return guarded_callbacks(self.subject, self.callbacks, self.plan.folder / "logs")

    def watch(self, pool: Pool) -> Watch:
        plan = self.plan
        return Watch(
            self.label, plan.folder, plan.objective.name, self.trials, plan.evaluations_per_epoch,
            test_shares=plan.test_shares,
            slots=pool.slots, training=self._training, deadline=self.deadline, is_pausing=self.interruption.is_set,
            waits_for=pool.waits_for if isinstance(pool, PoolInTurn) else lambda: None,
            ending=lambda: None if self._coordinator is None else self._coordinator.ending,
        )  # fmt: skip

    def coordinator(self, pool: Pool, observers: Sequence[Observer]) -> Coordinator:
        """Return what runs the study on a pool that is ready for it."""
        plan, store, (sampler, pruner) = self.plan, self.record.store, self.rules
        policy = self.policy()
        limits = Limits(self.budget, plan.aim, self.deadline, len(pool.slots()), policy.waits)
        default = literature_default(plan)
        keys, usual = run_keys(plan, self._numerics), Fit(self._numerics.micro_batch)
        is_measured = self._numerics.device_type == "cuda" and self.record.description.fits is not None
        fitting = Fitting(self.record, keys, usual, plan.task.base_key, pool, self.label, is_measured)
        allowed = Refusing(sampler, lambda params: fitting.refuses(plan.complete(plan.space.config(params))))
        asker = Asker(store, plan.space, allowed, keys, plan.complete, default, fitting.fit_of)
        if plan.task.trains_itself:  # what memory it takes, and may save, is its own matter
            asker = Asker(store, plan.space, sampler, keys, plan.complete, default)
        checkpoints = CheckpointFolder(plan.folder / "checkpoints", plan.checkpoint_bytes)
        self._coordinator = Coordinator(
            store, pool, asker.ask, limits, policy, checkpoints,
            logs=plan.folder / "logs", observers=[self._processes, *observers], label=self.label,
            last=last_trials(sampler, pruner, self.budget, lambda: len(pool.slots())),
            fitting=None if plan.task.trains_itself else fitting,
            virtual=virtual_plan(
                plan, self.record, self.rules, self.budget, self.virtual_slots, len(pool.slots()),
                replace(policy, pruner=plan.resolved_pruner()) if self.is_alone else None,  # others could use the slots
            ),
        )  # fmt: skip
        if self._was_stopped:  # while the models were being loaded
            self._coordinator.stop()
        for observer in observers:
            observer.observe(store.history, None)
        return self._coordinator

    def policy(self) -> Policy:
        """Return what decides about the study's trials, by the rules that have been checked."""
        plan, (_, pruner) = self.plan, self.rules
        return Policy(
            plan.aim, plan.evaluations_per_epoch, plan.early_stopping, pruner, trial_limit=self.budget.of_a_trial
        )

    def can_train(self) -> bool:
        return self._coordinator is not None and self._coordinator.can_train()

    def stop(self) -> None:
        """Pause the study, from a callback or another thread."""
        self._was_stopped = True
        if self._coordinator is not None:
            self._coordinator.stop()

    def _training(self) -> Sequence[tuple[Slot, Segment]]:
        return () if self._coordinator is None else self._coordinator.training()

    def say_how_it_ended(self) -> None:
        """Warn of enqueued configurations that were not tried, and say how a paused study continues."""
        plan, store, trials = self.plan, self.record.store, self.trials
        history, waiting = store.history, len(store.queued())
        if history.repeats():
            logger.warning(
                "The study's %d trials are %d different configurations; the others repeat one of them.",
                len(history.trials),
                len(history.trials) - history.repeats(),
            )
        ended = trials is not None and len(history.trials) >= trials and not history.unfinished()
        if ended and waiting:
            logger.warning(
                "%d enqueued configurations were not tried, because the study has its %d trials: run it with more.",
                waiting,
                trials,
            )
        ending = self.ending()
        if plan.is_temporary or ended or ending is None:
            return
        if ending.limit in self.budget.given and ending.limit not in EXPECTED:
            sys.stderr.write(printable(f"{self.label}: ended by {ending.limit}: {ending.reason}.\n"))
        if ending.is_pause:
            ends = self.rules[0].is_finite or replace(self.budget, timeout=None).is_bounded
            again = None if ends else self.budget.seconds("timeout")
            resume = how_to_resume(self.record.description, plan.folder, plan.storage, again)
            sys.stderr.write(printable(f"Paused. {resume}\n"))

    def ending(self) -> Ending | None:
        """Return what has ended the run, or None where an error did."""
        if self.interruption.is_set():
            return Ending("interrupt", "Ctrl-C or SIGTERM paused it")
        if self._was_stopped:
            return Ending("stop", "study.stop() paused it")
        if self._coordinator is None:
            return Ending("timeout", "its time was up before a worker was ready")
        return self._coordinator.ending

    def done_nothing(self) -> UsageError | None:
        """Return an error where a limit left no room for any segment, so that the call did nothing."""
        coordinator, ending = self._coordinator, self.ending()
        if coordinator is None or coordinator.started or ending is None:
            return None
        if ending.limit not in COMPUTE:
            return None
        is_over = self.deadline is not None and time.monotonic() >= self.deadline
        if is_over if ending.limit == "timeout" else self.record.store.history.evaluations:
            return None  # it has been spent, and not only now
        given = self.budget.given[ending.limit]
        return UsageError(
            f"{ending.limit}={given!r} is shorter than one segment: {ending.reason}. Nothing was trained, and "
            f"nothing is lost. Give a longer {ending.limit}."
        )


def workload_of(plan: Plan, numerics: Numerics, label: str = "") -> Workload:
    return Workload(
        study=label or plan.name,
        task=plan.task,
        prepared=plan.prepared,
        folds=plan.folds.pairs,
        metrics=plan.measured,
        seed=plan.seed,
        evaluations_per_epoch=plan.evaluations_per_epoch,
        early_stopping=plan.early_stopping,
        numerics=numerics,
        checkpoint_every=plan.checkpoint_every,
        choices=plan.prepared_choices,
        example=example_config(plan),
        features=FeatureStore.within(plan.cache / "features", plan.feature_cache_bytes),
        gaps=plan.gaps,
        runs=plan.folder / "runs",
    )


def settled_numerics(plan: Plan, record: Record, pool: Pool, label: str) -> Numerics:
    """Make the pool ready with the study's numerics, which its first run resolves and stores.

    Each model is tried in them once, and on a GPU how many rows of its largest configuration fit. Where the precision
    was not asked for, and a model cannot be trained in bf16 or fp16, they are fp32.

    Raises:
        TaskError: A model cannot be trained, or not in the precision that was asked for.
    """
    if record.description.numerics is not None:
        numerics = record.numerics()
        pool.prepare(workload_of(plan, numerics, label))
        return numerics
    numerics, remarks, fits = tried_numerics(plan, pool, label)
    record.keep_numerics(numerics, remarks, fits)
    return numerics


def tried_numerics(plan: Plan, pool: Pool, label: str) -> tuple[Numerics, tuple[str, ...], Fits]:
    """Make the pool ready for a study that has not been run; return its numerics, what to say of them, what fits.

    Raises:
        TaskError: A model cannot be trained, or not in the precision that was asked for.
    """
    numerics = resolve_numerics(
        pool.environment(),
        precision="fp32" if plan.task.trains_itself else plan.precision,  # which is then its own matter
        deterministic=True if plan.deterministic else None,  # None: as the device has it; a CPU always is
        attention=plan.prepared.attention,
    )
    remarks: tuple[str, ...] = ()
    try:
        fits = _tried(plan, pool, numerics, label)
    except TaskError as error:
        if numerics.precision == "fp32":
            raise
        numerics = replace(numerics, precision="fp32")
        fits = _tried(plan, pool, numerics, label)  # raises what is no matter of precision
        if plan.precision != "auto":
            raise TaskError(
                f"precision={plan.precision!r}: {error} It can be in fp32: give precision='fp32'."
            ) from error
        remarks = (f"{error} The study is trained in fp32, in which it can be.",)
        logger.warning("%s", remarks[0])
    return numerics, remarks, fits


def _tried(plan: Plan, pool: Pool, numerics: Numerics, label: str) -> Fits:
    """Make the pool ready with these numerics and try each model; return what is known of their memory."""
    pool.prepare(workload_of(plan, numerics, label))
    if plan.task.trains_itself:
        return Fits()
    is_measured = numerics.device_type == "cuda"
    models = {}
    for chosen in each_choice(plan, batch_size(plan, max if is_measured else min)):
        config = least_frozen(plan, chosen)
        probed = pool.probe(Probe(label, config, int(config["batch_size"]) if is_measured else None))
        assert probed is not None  # nothing trains yet
        assert probed.savings is not None  # a first probe raises what it could not find out
        rows = probed.rows if is_measured else None
        models[plan.task.base_key(config)] = ModelMemory(probed.savings, rows, shape_of(config))
    return Fits(models)


def batch_size(plan: Plan, extreme: Callable[[Iterator[int]], int]) -> dict[str, Any]:
    """Return the largest or the smallest batch size of the space, where it is searched."""
    searched = plan.space.parameters.get("batch_size")
    return {} if searched is None else {"batch_size": extreme(int(str(edge)) for edge in searched.edges())}


def least_frozen(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training config of the space with the fewest frozen layers, and with what is given."""
    searched = plan.space.parameters
    frozen = searched["freeze_layers"].edges() if "freeze_layers" in searched else ()
    configs = [example_config(plan, {**given, "freeze_layers": layers}) for layers in frozen]
    return min(configs, key=_frozen_layers) if configs else example_config(plan, given)


def _frozen_layers(config: Mapping[str, Any]) -> float:
    layers = config["freeze_layers"]
    return float(layers) if isinstance(layers, int) else math.inf  # all


def each_choice(plan: Plan, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a config with each model of a study that chooses among models, else the config alone."""
    if plan.choices is None:
        return [dict(config)]
    return [{**config, plan.choices.name: choice} for choice in plan.choices.sources]
