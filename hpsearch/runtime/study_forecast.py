"""The forecast of a study: what it would train, tried for a few steps on the devices that are to train it."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.display.waiting import waiting_for
from hpsearch.errors import StudyNotFoundError, TaskError, UsageError
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.plan.run_keys import RunKeys, run_keys
from hpsearch.plan.starting_point import literature_default
from hpsearch.policy.budget import COMPUTE
from hpsearch.policy.costs import Costs
from hpsearch.policy.limits import Limits
from hpsearch.policy.memory import expected_fit, savings_of, thriftier
from hpsearch.policy.promotion import PromotingPruner
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.samplers import Sampler
from hpsearch.records import Fit, Fits, History, Origin, Run, Savings, Trial, TrialState
from hpsearch.records.run_length import epochs_of, first_stop, run_epochs
from hpsearch.runtime.devices import Devices, TrialsPerDevice
from hpsearch.runtime.first_steps import NoMemoryError, first_steps, new_shapes, some_of
from hpsearch.runtime.fitting import found_savings
from hpsearch.runtime.forecast import GOING, SAVED, Forecast, Planned, Tried, Work
from hpsearch.runtime.limited_forecast import MOST, ComputeLimits, limited_forecast
from hpsearch.runtime.messages import Workload
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.base import Pool
from hpsearch.runtime.pools.in_turn import in_turn
from hpsearch.runtime.study_run import StudyRun, tried_numerics, workload_of
from hpsearch.training.numerics import Numerics

MOST_PROPOSED = 64
"""Trials that are proposed for a forecast, at most; further ones are taken to be like them."""


def forecast_study(
    run: StudyRun, devices: Devices, enqueued: Sequence[Mapping[str, Any]], trials_per_device: TrialsPerDevice = 1
) -> Forecast:
    """Return what a run would take on some devices. Nothing is written to the study, which need not be there yet.

    Raises:
        UsageError: Something in the plan, its data, the devices or the budget is not valid.
    """
    plan, record = run.plan, run.record
    choice, start = chosen_pool(devices, trials_per_device)
    began = time.monotonic()  # what is imported and prepared is a part of what the study takes
    with waiting_for("Preparing rows and models") if run.progress else contextlib.nullcontext():
        run.check(enqueued, is_in_process=choice.is_in_process)
    history = _history(record)
    limits = _limits(run, history)
    with contextlib.closing(in_turn(start(), choice, [run.label], lambda: True)) as pool:
        numerics, fits = _numerics(plan, record, pool, run.label)
        loading = time.monotonic() - began

        def fit_of(config: Mapping[str, Any]) -> Fit | None:
            return expected_fit(config, fits.models.get(plan.task.base_key(config)), fits)

        default, keys = literature_default(plan), run_keys(plan, numerics)
        coming = _coming(plan, keys, fit_of, run.rules[0], history, default, enqueued)
        trials, total = _planned(run, history, coming)
        workload = workload_of(plan, numerics, run.label)
        configs = [trial.config for trial in trials]
        chosen = some_of(configs, plan.complete(default) if default is not None else configs[0]) if configs else ()
        with waiting_for("Training a few steps") if run.progress else contextlib.nullcontext():
            tried = []
            for config in chosen:
                savings = savings_of(config, fits.models.get(plan.task.base_key(config)))
                tried.append(_first_steps(pool, workload, config, fit_of(config), savings))
        workers = len(pool.slots())
    is_process = numerics.device_type != "cuda"
    shapes = new_shapes(workload, configs, tried) if is_process else 0
    work = _work(run, trials, total, workers, loading, shapes, in_process=choice.is_in_process, is_process=is_process)
    return limited_forecast(tried, work, limits)


def _history(record: Record) -> History:
    try:
        record.require_unchanged()
    except StudyNotFoundError:
        return History()
    return record.store.reload()


def _first_steps(
    pool: Pool, workload: Workload, config: Mapping[str, Any], fit: Fit | None, savings: Savings | None
) -> Tried:
    """Train a few steps as the study would: in less memory, where there is too little for more."""
    while True:
        try:
            return first_steps(pool, _fitted(workload, fit), config)
        except NoMemoryError as error:
            usual, batch = Fit(workload.numerics.micro_batch), int(config["batch_size"])
            savings = savings or found_savings(pool, workload.study, config)
            fit = None if savings is None else thriftier(fit or usual, batch, savings)
            if fit is None:
                raise TaskError(
                    f"{error} It fits in no way that its model can be trained in: a study would prune such trials. "
                    "Free memory, or leave what is as large out of the space."
                ) from None


def _fitted(workload: Workload, fit: Fit | None) -> Workload:
    """Return the workload of a study whose numerics say how a configuration is trained so that it fits into memory."""
    return replace(workload, numerics=workload.numerics.for_fit(fit))


def _numerics(plan: Plan, record: Record, pool: Pool, label: str) -> tuple[Numerics, Fits]:
    with contextlib.suppress(StudyNotFoundError):
        if record.description.numerics is not None:
            numerics = record.numerics()
            pool.prepare(workload_of(plan, numerics, label))
            return numerics, record.fits
    numerics, _, fits = tried_numerics(plan, pool, label)
    return numerics, fits


def _planned(run: StudyRun, history: History, coming: Iterator[Trial]) -> tuple[Sequence[Planned], int]:
    """Return what is left to train of trials that have begun and of those that come, and how many trials that is.

    A grid and random proposals are known beforehand; others are taken as they would be if nothing were learned.
    """
    budget = run.budget
    trained = {each.key: history.point(each) for trial in history.trials.values() for each in trial.runs}
    planned = [_rest(trial, trained, run) for trial in history.unfinished()]
    begun, count, repeats = len(planned), 0, 0
    wanted = math.inf if budget.trials is None else budget.trials - len(history.trials)
    distinct = (
        math.inf if budget.distinct_trials is None else budget.distinct_trials - len(history.trials) + history.repeats()
    )
    is_endless = not run.rules[0].is_finite
    for trial in coming:
        if count >= wanted or count - repeats >= distinct:
            break
        count += 1
        repeats += trial.runs[0].key in trained
        if count <= MOST_PROPOSED:
            planned.append(_rest(trial, trained, run))
        elif is_endless or wanted < math.inf:  # the others are like these
            count = int(min(wanted, distinct, MOST))
            break
    return planned, begun + count


def _rest(trial: Trial, trained: dict[str, int], run: StudyRun) -> Planned:
    """Return what a trial has left to train, and take note that it will be trained: equal configs share runs."""
    config, limit = trial.runs[0].config, run.budget.of_a_trial
    end = trial.runs[0].horizon if trial.stop is None else trial.stop
    ends = [limit.furthest_point(trial, index, end) for index in range(len(trial.runs))]
    left = [max(0, last - trained.get(each.key, 0)) for each, last in zip(trial.runs, ends, strict=True)]
    trained.update({each.key: max(last, trained.get(each.key, 0)) for each, last in zip(trial.runs, ends, strict=True)})
    epochs = tuple(points * run_epochs(trial.runs[0]) / trial.runs[0].horizon for points in left)
    return Planned(config, epochs, _shares(trial, run.rules[1]))


def _limits(run: StudyRun, history: History) -> ComputeLimits:
    """Return what a budget leaves of compute to a study.

    Raises:
        UsageError: Neither a number of trials nor compute ends it.
    """
    budget = run.budget
    if not run.rules[0].is_finite and not set(budget.given) & {"trials", "distinct_trials", *COMPUTE}:
        raise UsageError(
            f"Budget(patience={budget.patience!r}) alone does not tell what a study will take: when it ends depends on "
            "its scores. Give the forecast trials= (--trials) too, or a limit on compute such as timeout= (--timeout)."
        )
    costs = Costs()
    costs.look_at(history)
    seconds, device = budget.seconds("timeout"), budget.seconds("device_seconds")
    return ComputeLimits(
        math.inf if seconds is None else seconds,
        math.inf if device is None else max(0.0, device - costs.seconds),
        math.inf if budget.epochs is None else max(0.0, budget.epochs - costs.epochs),
        _least_trials(run, history),
    )


def _least_trials(run: StudyRun, history: History) -> float:
    """Return after how many further trials a target or patience may end a study, at the earliest."""
    budget, limits = run.budget, Limits(run.budget, run.plan.aim, waits=run.policy().waits)
    if limits.over(history, -math.inf) is not None:
        return 0.0
    least = [1] if budget.target is not None else []
    if budget.patience is not None:
        worse = limits.worse_in_a_row(history)
        is_first = not worse and not history.finished(TrialState.COMPLETE)  # the next is the best so far
        least.append(max(0, budget.patience - worse + is_first))
    return min(least, default=math.inf)


def _shares(trial: Trial, pruner: Pruner) -> tuple[float, float]:
    """Return what of a trial a pruner lets it train, at least and most likely."""
    if type(pruner) is Pruner or trial.origin is Origin.DEFAULT:
        return 1.0, 1.0
    if isinstance(pruner, PromotingPruner):
        return pruner.trained_share(trial), pruner.trained_share(trial, GOING)
    return 1 - SAVED, 1 - SAVED / 2


def _coming(
    plan: Plan,
    keys: RunKeys,
    fit_of: Callable[[Mapping[str, Any]], Fit | None],
    sampler: Sampler,
    history: History,
    default: Mapping[str, Any] | None,
    enqueued: Sequence[Mapping[str, Any]],
) -> Iterator[Trial]:
    """Yield the trials that would be proposed, one after the other: the default, what is enqueued, the sampler's."""
    if default is not None and not any(trial.origin is Origin.DEFAULT for trial in history.trials.values()):
        first: list[tuple[Mapping[str, Any], Origin]] = [(default, Origin.DEFAULT)]
    else:
        first = []
    first += [(config, Origin.ENQUEUED) for config in enqueued]
    while True:
        if first:
            config, origin = first.pop(0)
        else:
            params = sampler.propose(history)
            if params is None:
                return
            config, origin = plan.space.config(params), Origin.SAMPLER
        searched = {name: config[name] for name in plan.space.parameters if name in config}
        complete = plan.complete(config)
        runs = tuple(
            Run(key, complete, fold, repeat, horizon, steps, fit)
            for key, fold, repeat, horizon, steps, fit in keys.runs(complete, fit_of(complete))
        )
        trial = Trial(1 + max(history.trials, default=-1), config, searched, TrialState.RUNNING, origin, runs)
        history = history.with_trial(trial)
        yield trial


def _work(
    run: StudyRun,
    trials: Sequence[Planned],
    total: int,
    workers: int,
    loading: float,
    shapes: int,
    *,
    in_process: bool,
    is_process: bool,
) -> Work:
    import psutil

    plan, pruner = run.plan, run.rules[1]
    rule = plan.early_stopping
    first = len(plan.folds.pairs[0][0])
    lengths = [epochs_of(trial.config, math.ceil(first / int(trial.config["batch_size"]))) for trial in trials]
    shares = [min(1.0, (first_stop(epochs) + rule.patience) / epochs) for epochs in lengths] if rule else []
    rows = plan.prepared
    return Work(
        trials=trials,
        total=total,
        training_rows=round(statistics.fmean([len(train) for train, _ in plan.folds.pairs])),
        evaluations_per_epoch=plan.evaluations_per_epoch,
        workers=workers,
        prunes=type(pruner) is not Pruner,
        shortest_share=statistics.fmean(shares) if shares else 1.0,
        loading=loading,
        kept_bytes=rows.rows * rows.judge.row_bytes * plan.repeats,
        checkpoint_limit=plan.checkpoint_bytes,
        process_bytes=0 if in_process else psutil.Process().memory_info().rss,
        is_process=is_process,
        new_shapes=shapes,
        most_seconds=math.inf if run.budget.of_a_trial.device_seconds is None else run.budget.of_a_trial.device_seconds,
    )
