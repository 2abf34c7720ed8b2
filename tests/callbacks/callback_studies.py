"""Toy studies for the callbacks, run here in a second or two."""

from pathlib import Path
from typing import Any

import hpsearch as hp
from hpsearch.callbacks.trial_record import TrialRecord, trial_record
from hpsearch.study import Study


def study(folder: Path, *callbacks: Any, **settings: Any) -> Study:
    from toy_studies import toy_study

    space = hp.Space(learning_rate=hp.Float(1e-2, 1e-1, log=True, grid=[1e-2, 1e-1]), batch_size=8, epochs=2)
    return toy_study(folder, space=space, callbacks=callbacks, **settings)


def run(made: Study, trials: int = 2) -> Study:
    made.run(trials=trials, devices="inline", progress=False)
    return made


def records(made: Study) -> dict[int, TrialRecord]:
    history = made.store().history
    return {trial.number: trial_record(made, history, trial) for trial in history.finished()}
