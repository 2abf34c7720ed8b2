"""hpsearch: hyperparameter search for fine-tuning, with cross-validation, exact resumption, and evidence.

What is named here is the public interface. Each name loads its module when first used, so that `import hpsearch`
takes milliseconds.
"""

import logging as _logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpsearch.errors import PrintableRecords as _PrintableRecords
from hpsearch.provenance.packages import __version__ as __version__

_HOMES = {
    "Budget": "hpsearch.policy.budget",
    "Categorical": "hpsearch.space",
    "Float": "hpsearch.space",
    "Grid": "hpsearch.space",
    "Int": "hpsearch.space",
    "Space": "hpsearch.space",
    "Holdout": "hpsearch.data.folds",
    "CausalLanguageModeling": "hpsearch.tasks",
    "ChatFineTuning": "hpsearch.tasks",
    "CommandTask": "hpsearch.tasks",
    "CustomTask": "hpsearch.tasks",
    "FunctionTask": "hpsearch.tasks",
    "SequenceToSequence": "hpsearch.tasks",
    "TextClassification": "hpsearch.tasks",
    "TextRegression": "hpsearch.tasks",
    "TrainerTask": "hpsearch.tasks",
    "TokenClassification": "hpsearch.tasks",
    "ImageClassification": "hpsearch.tasks",
    "ImageRegression": "hpsearch.tasks",
    "EarlyStopping": "hpsearch.policy.early_stopping",
    "Pruner": "hpsearch.policy.pruner",
    "Racing": "hpsearch.policy.racing",
    "SuccessiveHalving": "hpsearch.policy.successive_halving",
    "FineTuneSearchCV": "hpsearch.estimator.estimator",
    "MLflowCallback": "hpsearch.callbacks",
    "WandbCallback": "hpsearch.callbacks",
    "Study": "hpsearch.study",
    "compare": "hpsearch.result.comparison",
    "Result": "hpsearch.result.result",
    "run": "hpsearch.study_running",
    "load": "hpsearch.study_loading",
    "studies": "hpsearch.study_loading",
    "HpsearchError": "hpsearch.errors",
    "errors": "hpsearch.errors",
}

if TYPE_CHECKING:
    from hpsearch import errors as errors
    from hpsearch.callbacks import MLflowCallback as MLflowCallback
    from hpsearch.callbacks import WandbCallback as WandbCallback
    from hpsearch.data.folds import Holdout as Holdout
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.estimator.estimator import FineTuneSearchCV as FineTuneSearchCV
    from hpsearch.policy.budget import Budget as Budget
    from hpsearch.policy.early_stopping import EarlyStopping as EarlyStopping
    from hpsearch.policy.pruner import Pruner as Pruner
    from hpsearch.policy.racing import Racing as Racing
    from hpsearch.policy.successive_halving import SuccessiveHalving as SuccessiveHalving
    from hpsearch.result.comparison import compare as compare
    from hpsearch.result.result import Result as Result
    from hpsearch.space import Categorical as Categorical
    from hpsearch.space import Float as Float
    from hpsearch.space import Grid as Grid
    from hpsearch.space import Int as Int
    from hpsearch.space import Space as Space
    from hpsearch.study import Study as Study
    from hpsearch.study_loading import load as load
    from hpsearch.study_loading import studies as studies
    from hpsearch.study_running import run as run
    from hpsearch.tasks import CausalLanguageModeling as CausalLanguageModeling
    from hpsearch.tasks import ChatFineTuning as ChatFineTuning
    from hpsearch.tasks import CommandTask as CommandTask
    from hpsearch.tasks import CustomTask as CustomTask
    from hpsearch.tasks import FunctionTask as FunctionTask
    from hpsearch.tasks import ImageClassification as ImageClassification
    from hpsearch.tasks import ImageRegression as ImageRegression
    from hpsearch.tasks import SequenceToSequence as SequenceToSequence
    from hpsearch.tasks import TextClassification as TextClassification
    from hpsearch.tasks import TextRegression as TextRegression
    from hpsearch.tasks import TokenClassification as TokenClassification
    from hpsearch.tasks import TrainerTask as TrainerTask

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604  (the names are strings)

_logging.getLogger("hpsearch").addFilter(_PrintableRecords())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    module = import_module(_HOMES[name])
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
