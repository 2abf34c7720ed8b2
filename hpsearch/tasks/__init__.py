"""Tasks: a model, rows, and what ties them together. Making a task imports neither torch nor transformers."""

from typing import TYPE_CHECKING, Any

from hpsearch.tasks.base import Prepared, Split, Task
from hpsearch.tasks.chat.language_modeling import CausalLanguageModeling
from hpsearch.tasks.chat.task import ChatFineTuning
from hpsearch.tasks.custom.task import CustomTask
from hpsearch.tasks.generation.sequence_to_sequence import SequenceToSequence
from hpsearch.tasks.image import ImageClassification
from hpsearch.tasks.loops.command_task import CommandTask
from hpsearch.tasks.loops.function import FunctionTask
from hpsearch.tasks.loops.trainer_task import TrainerTask
from hpsearch.tasks.numbers.image import ImageRegression
from hpsearch.tasks.numbers.text import TextRegression
from hpsearch.tasks.spans.task import TokenClassification
from hpsearch.tasks.text import TextClassification

if TYPE_CHECKING:
    from hpsearch.training.learner import Learner

__all__ = [
    "CausalLanguageModeling",
    "ChatFineTuning",
    "CommandTask",
    "CustomTask",
    "FunctionTask",
    "ImageClassification",
    "ImageRegression",
    "Learner",
    "Prepared",
    "SequenceToSequence",
    "Split",
    "Task",
    "TextClassification",
    "TextRegression",
    "TokenClassification",
    "TrainerTask",
]


def __getattr__(name: str) -> Any:
    if name == "Learner":  # its module imports torch
        from hpsearch.training.learner import Learner

        return Learner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
