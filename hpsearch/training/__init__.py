"""One fine-tune: a resumable loop whose numbers are a pure function of config, rows, seed, model and numerics.

Only the names that need no torch are imported here; the rest lies in the file named after it: `fine_tune.FineTune`,
`base_model.BaseModel`, `numerics.Numerics`, `prediction.predict`, `divergence.Diverged`, `learner.Learner`.
"""

from hpsearch.training.hyperparameters import (
    ALL_LAYERS,
    TRAINING_HYPERPARAMETERS,
    ChoiceCheck,
    Hyperparameter,
    IntegerCheck,
    RealCheck,
    TrainingSettings,
)

__all__ = [
    "ALL_LAYERS",
    "TRAINING_HYPERPARAMETERS",
    "ChoiceCheck",
    "Hyperparameter",
    "IntegerCheck",
    "RealCheck",
    "TrainingSettings",
]
