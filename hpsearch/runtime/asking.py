"""How a trial comes to be: a configuration is chosen, checked, completed, keyed and stored in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.policy.projection import distributions
from hpsearch.policy.samplers import Sampler
from hpsearch.records import Origin, Trial, run_key
from hpsearch.records.store import Store
from hpsearch.space import Space


@dataclass(frozen=True)
class RunKeys:
    """What a run's key is made of besides its config, fold and repeat.

    Attributes:
        seed: The study's seed.
        data: Digest of rows, labels, weights and folds.
        model: Digest of the pretrained model.
        numerics: What the workers honour.
        folds: Number of folds.
        repeats: Number of seeds.
        evaluations_per_epoch: Evaluation points an epoch.
        training_rows: Training rows by fold, from which the runs' steps an epoch follow; no part of any key, for the
            data are.
        choice: Name of the hyperparameter that chooses a pretrained model, or None.
        choices: What the runs of each choice are keyed by: the keys of a study that has this model alone. On a GPU the
            numerics hold one micro-batch for all of the models, the smallest that fits any; where the model alone had
            been given a larger one, its own study's keys are others, and nothing is shared between the two.
    """

    seed: int
    data: str
    model: str
    numerics: Mapping[str, Any]
    folds: int
    repeats: int
    evaluations_per_epoch: int
    training_rows: Sequence[int] = ()
    choice: str | None = None
    choices: Mapping[str, "RunKeys"] = field(default_factory=dict)

    def of(self, config: Mapping[str, Any]) -> "RunKeys":
        """Return what the runs of a config are keyed by: what belongs to its model, where it chooses one."""
        return self if self.choice is None else self.choices[config[self.choice]]

    def runs(self, config: Mapping[str, Any]) -> list[tuple[str, int, int, int, int]]:
        """Return (key, fold, repeat, horizon, steps an epoch) of a completed config's runs, in the order of training.

        Which model was chosen is in a key by its digest alone: not by what it is called, nor what else could be chosen.
        """
        if self.choice is not None:
            return self.of(config).runs({name: value for name, value in config.items() if name != self.choice})
        horizon = int(config["epochs"]) * self.evaluations_per_epoch
        numerics = {**self.numerics, "evaluations_per_epoch": self.evaluations_per_epoch}
        rows = self.training_rows or (0,) * self.folds
        steps = [-(-count // int(config["batch_size"])) if count else 0 for count in rows]
        return [
            (
                run_key(config, fold, repeat, self.seed, self.data, self.model, numerics),
                fold,
                repeat,
                horizon,
                steps[fold],
            )
            for repeat in range(self.repeats)
            for fold in range(self.folds)
        ]


class Asker:
    """Asks for trials: the literature default first, then what was enqueued, then what the sampler proposes."""

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
        """Store and return a new trial, or None when there is nothing left to try."""
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
