"""How a study's runs are made to fit into memory: tried as a new trial comes, and again where one had too little."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpsearch.plan.record import Record
from hpsearch.plan.run_keys import RunKeys
from hpsearch.policy.memory import (
    cannot_fit,
    fits_as_known,
    next_fit,
    ran_out_of_memory,
    replaced_runs,
    savings_of,
    too_large,
)
from hpsearch.records import Fit, Fits, ModelMemory, Run, Savings, Slot, Trial, shape_of
from hpsearch.runtime.messages import Probe
from hpsearch.runtime.pools.base import Pool

logger = logging.getLogger("hpsearch")


class DeviceInUseError(Exception):
    """What fits cannot be found out now: others train on the device."""


@dataclass(eq=False)
class Fitting:
    """Says how runs are trained so that they fit into memory, and keeps with the study what it finds out.

    Attributes:
        usual: How runs are trained that have no fit of their own: as the study's numerics say.
        base_key: Returns the key of a training config's base model.
        is_measured: Whether memory is looked at: on a GPU, but for studies of earlier versions.
        label: What the pool calls the study.
        slot: The idle slot that a new trial is asked for; None while there is none.
    """

    record: Record
    keys: RunKeys
    usual: Fit
    base_key: Callable[[Mapping[str, Any]], str]
    pool: Pool
    label: str
    is_measured: bool
    slot: Slot | None = None
    _fits: Fits = field(init=False)

    def __post_init__(self) -> None:
        self._fits = self.record.fits

    def fit_of(self, config: Mapping[str, Any]) -> Fit | None:
        """Return how a training config is trained; None as the study's numerics say.

        Where memory is looked at, it is tried on a device, once for its shape, unless its batch is known to fit.

        Raises:
            DeviceInUseError: That has to wait for what trains on the device.
            TimeIsUpError: The study's time was up meanwhile.
        """
        shape, batch, model = shape_of(config), int(config["batch_size"]), self._model(config)
        known = self._fits.shapes.get(shape)
        if known is not None or not self.is_measured or (model is not None and fits_as_known(config, model)):
            return known
        if self.slot is None:  # asked for as something was recorded: it waits for an idle worker
            raise DeviceInUseError(self.slot)
        probed = self.pool.probe(Probe(self.label, config, batch, is_first=False), self.slot)
        if probed is None:
            raise DeviceInUseError(self.slot)
        if probed.savings is None:  # nothing could be found out: its run shows why, and its shape is tried anew
            return None
        savings = savings_of(config, model) or probed.savings
        fit = Fit(max(1, probed.rows)) if probed.rows < batch and savings.micro_batches else Fit()
        self._fits = self._fits.with_shape(shape, fit)
        if model is None:  # an architecture that the study begins with now
            first = ModelMemory(probed.savings, probed.rows, shape)
            self._fits = replace(self._fits, models={**self._fits.models, self.base_key(config): first})
        self.record.keep_fits(self._fits)
        return fit

    def fit_again(self, trial: Trial, in_flight: Collection[str]) -> Sequence[str]:
        """Have a trial's run that ran out of memory, and later ones of its shape, trained in less, where that can be.

        Kept with the study before anything is trained; a coordinator that was killed before does it when it starts
        again. The keys of the runs are returned that are trained no more.
        """
        history = self.record.store.history
        run = next((run for run in trial.runs if ran_out_of_memory(history, run)), None)
        if trial.state.is_finished or run is None:
            return ()
        savings = self._savings(run.config)
        fit = None if savings is None else next_fit(run, self.usual, self._fits, savings)
        if fit is None:
            return ()
        shape = shape_of(run.config)
        others: dict[int, list[Run]] = {}
        dropped = set()
        for number, old in replaced_runs(history, shape, fit, in_flight):
            runs = others.setdefault(number, list(history.trials[number].runs))
            new = self._refitted(old, fit)
            if new.key != old.key:
                runs[runs.index(old)] = new
                dropped.add(old.key)
        self._fits = self._fits.with_shape(shape, fit)
        self.record.keep_fits(self._fits, others)
        logger.warning("Trial %d ran out of memory on fold %d. %s", trial.number, run.fold, told(run.config, fit))
        return sorted(dropped)

    def refuses(self, config: Mapping[str, Any]) -> bool:
        """Return whether a training config needs no less memory than one that did not fit in any way."""
        failed = too_large(self.record.store.history)
        return bool(failed) and cannot_fit(config, failed, savings_of(config, self._model(config)))

    def _savings(self, config: Mapping[str, Any]) -> Savings | None:
        """Return how a configuration may be trained in less memory, which a worker says of what nobody has tried.

        Such are other arguments of a user's own model, and what a condition leaves without `freeze_layers`. None of
        studies of earlier versions, whose trials are pruned.
        """
        known = savings_of(config, self._model(config))
        if known is not None or self.record.description.fits is None:
            return known
        return found_savings(self.pool, self.label, config)

    def _model(self, config: Mapping[str, Any]) -> ModelMemory | None:
        return self._fits.models.get(self.base_key(config))

    def _refitted(self, run: Run, fit: Fit) -> Run:
        for key, fold, repeat, _, _, own in self.keys.runs(run.config, fit):
            if (fold, repeat) == (run.fold, run.repeat):
                return replace(run, key=key, fit=own)
        raise AssertionError(f"the study has no fold {run.fold} of repeat {run.repeat}")


def found_savings(pool: Pool, label: str, config: Mapping[str, Any]) -> Savings | None:
    """Have a worker say how a configuration may be trained in less memory."""
    probed = pool.probe(Probe(label, config, is_first=False))
    return None if probed is None else probed.savings


def told(config: Mapping[str, Any], fit: Fit) -> str:
    """Return in words how configurations of a shape are trained from now on."""
    shape = f"batch_size={config['batch_size']}, freeze_layers={config.get('freeze_layers', 0)}"
    return (
        f"Configurations like it ({shape}) are trained {fit.words} from now on: an optimizer step is still one of the "
        "whole batch. This run begins again; runs that had ended stay as they are."
    )
