"""How a new trial is made: choose a configuration, complete it, key its runs, and store all in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.plan.run_keys import RunKeys
from hpsearch.policy.projection import distributions
from hpsearch.policy.samplers import Sampler
from hpsearch.records import Fit, Origin, Trial
from hpsearch.records.store import Store
from hpsearch.space import Space


@dataclass(eq=False)
class Asker:
    """Makes new trials: the literature default first, then what was enqueued, then what the sampler proposes.

    Attributes:
        fit_of: Returns how a training config is trained so that it fits into memory. It may raise, where that cannot
            be found out yet: what was to be tried is then tried next.
    """

    store: Store
    space: Space
    sampler: Sampler
    keys: RunKeys
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]
    default: Mapping[str, Any] | None
    fit_of: Callable[[Mapping[str, Any]], Fit | None] = lambda _config: None
    _waiting: tuple[Mapping[str, Any], Origin] | None = field(default=None, init=False)

    def ask(self) -> Trial | None:
        """Store and return a new trial, or None when nothing is left to try."""
        config, origin = self._waiting or self._next()
        if config is None:
            return None
        self._waiting = config, origin
        params = {name: config[name] for name in self.space.parameters if name in config}
        training_config = self.complete(config)
        runs = self.keys.runs(training_config, self.fit_of(training_config))
        self._waiting = None
        return self.store.add_trial(
            config=config,
            params=params,
            distributions=distributions(self.space, params),
            training_config=training_config,
            runs=runs,
            origin=origin,
        )

    def _next(self) -> tuple[Mapping[str, Any] | None, Origin]:
        history = self.store.history
        if self.default is not None and not any(t.origin is Origin.DEFAULT for t in history.trials.values()):
            return self.default, Origin.DEFAULT
        queued = self.store.queued()
        if queued:
            return queued[0], Origin.ENQUEUED
        params = self.sampler.propose(history)
        return (None if params is None else self.space.config(params)), Origin.SAMPLER
