"""How a new trial is made: a configuration is chosen, completed, keyed and stored in one transaction."""

from collections.abc import Callable, Mapping
from typing import Any

from hpsearch.plan.keys import RunKeys
from hpsearch.policy.projection import distributions
from hpsearch.policy.samplers import Sampler
from hpsearch.records import Origin, Trial
from hpsearch.records.store import Store
from hpsearch.space import Space


class Asker:
    """Makes new trials: the literature default first, then what was enqueued, then what the sampler proposes."""

    def __init__(
        self,
        store: Store,
        space: Space,
        sampler: Sampler,
        keys: RunKeys,
        complete: Callable[[Mapping[str, Any]], dict[str, Any]],
        default: Mapping[str, Any] | None,
    ) -> None:
        self._store = store
        self._space = space
        self._sampler = sampler
        self._keys = keys
        self._complete = complete
        self._default = default

    def ask(self) -> Trial | None:
        """Store and return a new trial, or None when nothing is left to try."""
        config, origin = self._next()
        if config is None:
            return None
        params = {name: config[name] for name in self._space.parameters if name in config}
        training_config = self._complete(config)
        return self._store.add_trial(
            config=config,
            params=params,
            distributions=distributions(self._space, params),
            training_config=training_config,
            runs=self._keys.runs(training_config),
            origin=origin,
        )

    def _next(self) -> tuple[Mapping[str, Any] | None, Origin]:
        history = self._store.history
        if self._default is not None and not any(t.origin is Origin.DEFAULT for t in history.trials.values()):
            return self._default, Origin.DEFAULT
        queued = self._store.queued()
        if queued:
            return queued[0], Origin.ENQUEUED
        params = self._sampler.propose(history)
        return (None if params is None else self._space.config(params)), Origin.SAMPLER
