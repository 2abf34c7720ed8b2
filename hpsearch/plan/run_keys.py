"""What runs are keyed by: all that their numbers depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpsearch.plan.plan import Plan
from hpsearch.records import Fit, digest, run_key
from hpsearch.records.run_length import horizon_of

if TYPE_CHECKING:
    from hpsearch.tasks import Prepared
    from hpsearch.training.numerics import Numerics


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
        choices: What the runs of each choice are keyed by: the keys of a study that has this model alone.
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

    def of(self, config: Mapping[str, Any], fit: Fit | None = None) -> "RunKeys":
        """Return what the runs of a config are keyed by: what belongs to its model, where it chooses one.

        `fit` is how they are trained so that they fit into memory, where that is not as the study's numerics say.
        """
        keys = self if self.choice is None else self.choices[config[self.choice]]
        return keys if fit is None else replace(keys, numerics=fit.of(keys.numerics))

    def runs(
        self, config: Mapping[str, Any], fit: Fit | None = None
    ) -> list[tuple[str, int, int, int, int, Fit | None]]:
        """Return (key, fold, repeat, horizon, steps an epoch, fit) of a completed config's runs, in their order.

        A fit that is as the study's numerics say is None, and changes no key.
        Which model was chosen is in a key by its digest alone: not by what it is called, nor what else could be chosen.
        """
        if self.choice is not None:
            config_of_model = {name: value for name, value in config.items() if name != self.choice}
            return self.choices[config[self.choice]].runs(config_of_model, fit)
        numerics = self.numerics if fit is None else fit.of(self.numerics)
        if numerics == self.numerics:
            fit = None
        numerics = {**numerics, "evaluations_per_epoch": self.evaluations_per_epoch}
        rows = self.training_rows or (0,) * self.folds
        steps = [-(-count // int(config["batch_size"])) if count else 0 for count in rows]
        horizon = horizon_of(config, steps[0], self.evaluations_per_epoch)
        return [
            (
                run_key(config, fold, repeat, self.seed, self.data, self.model, numerics),
                fold,
                repeat,
                horizon,
                steps[fold],
                fit,
            )
            for repeat in range(self.repeats)
            for fold in range(self.folds)
        ]


def run_keys(plan: Plan, numerics: "Numerics") -> RunKeys:
    """Return what a study's runs are keyed by when they are run with some numerics."""
    keys = keys_of_model(plan, numerics, plan.rows)
    if plan.choices is None:
        return keys
    chosen = {
        choice: keys_of_model(plan, with_attention(plan, numerics, choice), rows)
        for choice, rows in plan.rows_by_choice.items()
    }
    return replace(keys, choice=plan.choices.name, choices=chosen)


def keys_of_model(plan: Plan, numerics: "Numerics", rows: "Prepared") -> RunKeys:
    """Return what the runs of one pretrained model are keyed by."""
    return RunKeys(
        seed=plan.seed,
        data=digest([rows.data_digest, plan.folds.digest]),
        model=rows.model_digest,
        numerics=numerics.to_dict(),
        folds=len(plan.folds.pairs),
        repeats=plan.repeats,
        evaluations_per_epoch=plan.evaluations_per_epoch,
        training_rows=() if plan.task.trains_itself else tuple(len(train) for train, _ in plan.folds.pairs),
    )


def with_attention(plan: Plan, numerics: "Numerics", choice: str | None) -> "Numerics":
    """Return numerics with the attention of the model that is chosen, where a study chooses among several."""
    return numerics if choice is None else replace(numerics, attention=plan.rows_by_choice[choice].attention)


def refit_digest(plan: Plan, numerics: "Numerics", config: Mapping[str, Any], fit: Fit | None) -> str:
    """Return a digest of all that a refit of a configuration, and its scores on the test rows, depend on besides it."""
    keys = run_keys(plan, numerics).of(config, fit)
    test = plan.rows_for(config).test_digest
    return digest([keys.seed, keys.data, test, keys.model, dict(keys.numerics)])
