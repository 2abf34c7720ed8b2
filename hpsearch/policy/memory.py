"""What memory allows: how a run goes on that had too little, which configurations are tried first, and which never."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hpsearch.records import Fit, Fits, History, ModelMemory, Outcome, Run, Savings, Shape, TrialState, shape_of
from hpsearch.records.fit import thriftiest

BATCH_SIZE, FREEZE_LAYERS = "batch_size", "freeze_layers"


def thriftier(tried: Fit, batch_size: int, savings: Savings) -> Fit | None:
    """Return how to train a run that ran out of memory alone on its device; None where nothing is left to save.

    First activations are computed again instead of being kept. Then half as many rows pass through the model at once,
    down to one.
    """
    if savings.gradient_checkpointing and not tried.gradient_checkpointing:
        return Fit(tried.micro_batch, True)
    if not savings.micro_batches:
        return None
    rows = min(tried.micro_batch or batch_size, batch_size)
    return Fit((rows + 1) // 2, tried.gradient_checkpointing) if rows > 1 else None


def next_fit(run: Run, usual: Fit, fits: Fits, savings: Savings) -> Fit | None:
    """Return how a run is to be trained after it ran out of memory; None where its trial is to be pruned.

    Where its shape has meanwhile been found to need less than the run was given, it is trained like the others first.

    Args:
        usual: How runs are trained that have no fit: as the study's numerics say.
    """
    tried = run.fit or usual
    known = fits.shapes.get(shape_of(run.config))
    if known is not None and known != tried and thriftiest(known, tried) == known:
        return known
    return thriftier(tried, int(run.config[BATCH_SIZE]), savings)


def ran_out_of_memory(history: History, run: Run) -> bool:
    """Return whether a run's last segment ran out of memory; beside others on its device, that would be a pause."""
    outcomes = history.outcomes(run)
    return bool(outcomes) and outcomes[-1] is Outcome.OUT_OF_MEMORY


def replaced_runs(history: History, shape: Shape, fit: Fit, in_flight: Iterable[str]) -> Iterator[tuple[int, Run]]:
    """Yield (trial, run) of all runs that are to be trained in a new fit of their shape.

    Those are the runs that ran out of memory, and those that have not begun. A run that is being trained, or waits with
    something measured, goes on as it began: it may well come through.
    """
    training = set(in_flight)
    for trial in history.unfinished():
        if shape_of(trial.runs[0].config) != shape:
            continue
        for run in trial.runs:
            begun = run.key in training or history.of(run.key) or history.outcomes(run)
            if ran_out_of_memory(history, run) or (not begun and run.fit != fit):
                yield trial.number, run


def fits_as_known(config: Mapping[str, Any], model: ModelMemory) -> bool:
    """Return whether a whole batch of a configuration fits, because one that needs no less was tried.

    True as well where it cannot be trained in parts, and where no device's memory was looked at.
    """
    if model.rows is None or not model.savings.micro_batches:
        return True
    return int(config[BATCH_SIZE]) <= model.rows and needs_no_less(model.largest, shape_of(config), in_batch=False)


def expected_fit(config: Mapping[str, Any], model: ModelMemory | None, fits: Fits) -> Fit | None:
    """Return how a configuration would be trained, as far as is known without trying it: in as many rows as surely fit.

    None as the study's numerics say.
    """
    known = fits.shapes.get(shape_of(config))
    if known is not None or model is None or model.rows is None or fits_as_known(config, model):
        return known
    return Fit(min(model.rows, int(config[BATCH_SIZE])))


def needs_no_less(shape: Shape, than: Shape, *, in_batch: bool) -> bool:
    """Return whether a shape needs at least as much memory as another: the same model, and as many trained layers.

    `in_batch` says that its batch has to be as large, too: without it the two are trained in parts of one size.
    """
    one, other = dict(shape), dict(than)
    batches = [int(values.pop(BATCH_SIZE, "1")) for values in (one, other)]
    for values in (one, other):
        values.pop(FREEZE_LAYERS, None)
    return one == other and _frozen(shape) <= _frozen(than) and (batches[0] >= batches[1] or not in_batch)


def _frozen(shape: Shape) -> float:
    """Return how many layers of a shape are frozen."""
    layers = dict(shape).get(FREEZE_LAYERS, "0")
    return float(layers) if layers.isdecimal() else math.inf


def savings_of(config: Mapping[str, Any], model: ModelMemory | None) -> Savings | None:
    """Return how a configuration may be trained in less memory; None where that is not known.

    It is not of studies of earlier versions, nor where more layers are trained than when the model was tried: a layer
    with batch norm that was frozen then may not be now.
    """
    if model is None or _frozen(shape_of(config)) < _frozen(model.largest):
        return None
    return model.savings


def too_large(history: History) -> tuple[Shape, ...]:
    """Return the shapes that ran out of memory with nothing left to save."""
    failed = [
        shape_of(trial.runs[0].config)
        for trial in history.finished(TrialState.PRUNED)
        if any(ran_out_of_memory(history, run) for run in trial.runs)
    ]
    return tuple(dict.fromkeys(failed))


def cannot_fit(config: Mapping[str, Any], failed: Iterable[Shape], savings: Savings | None) -> bool:
    """Return whether a configuration needs no less memory than one of those that did not fit.

    Args:
        savings: How its model may be trained in less memory; None where that is not known, as in studies of earlier
            versions: a batch was not made smaller there.
    """
    in_parts = savings is not None and savings.micro_batches
    return any(needs_no_less(shape_of(config), shape, in_batch=not in_parts) for shape in failed)
