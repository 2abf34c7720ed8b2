"""What a study's runs are keyed by: all that their numbers depend on besides the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.records import digest

if TYPE_CHECKING:
    from hpsearch.runtime.asking import RunKeys
    from hpsearch.study import Study
    from hpsearch.tasks import Prepared
    from hpsearch.training.numerics import Numerics


def run_keys(study: "Study", numerics: "Numerics") -> "RunKeys":
    """Return what a study's runs are keyed by when they are run with some numerics."""
    keys = keys_of_model(study, numerics, study.prepared)
    if study.choices is None:
        return keys
    chosen = {
        choice: keys_of_model(study, with_attention(study, numerics, choice), prepared)
        for choice, prepared in study.prepared_choices.items()
    }
    return replace(keys, choice=study.choices.name, choices=chosen)


def keys_of_model(study: "Study", numerics: "Numerics", prepared: "Prepared") -> "RunKeys":
    """Return what the runs of one pretrained model are keyed by."""
    from hpsearch.runtime.asking import RunKeys

    return RunKeys(
        seed=study.seed,
        data=digest([prepared.data_digest, study.folds.digest]),
        model=prepared.model_digest,
        numerics=numerics.to_dict(),
        folds=len(study.folds.pairs),
        repeats=study.repeats,
        evaluations_per_epoch=study.evaluations_per_epoch,
        training_rows=tuple(len(train) for train, _ in study.folds.pairs),
    )


def with_attention(study: "Study", numerics: "Numerics", choice: str | None) -> "Numerics":
    """Return numerics with the attention of the model that is chosen, where a study chooses among several."""
    return numerics if choice is None else replace(numerics, attention=study.prepared_choices[choice].attention)


def refit_digest(study: "Study", config: Mapping[str, Any]) -> str:
    """Return a digest of all that a refit of a configuration, and its scores on the test rows, depend on besides it."""
    keys = run_keys(study, study.stored_numerics()).of(config)
    test = study.prepared_for(config).test_digest
    return digest([keys.seed, keys.data, test, keys.model, dict(keys.numerics)])
