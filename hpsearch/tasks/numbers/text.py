"""Regression of texts: one number or several for a text or a pair of texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpsearch.tasks.numbers.regression import Regression
from hpsearch.tasks.text import TextTask

if TYPE_CHECKING:
    from hpsearch.tasks.base import Prepared


@dataclass(frozen=True, eq=False)
class TextRegression(Regression, TextTask):
    """Fine-tune a transformers model to predict numbers from texts.

    Each fold trains on targets less the mean and over the standard deviation of its training rows; scores, predictions
    and the exported model are in your units. Code that comes with a model is not run.

    Attributes:
        text: The column of texts, or the two columns of a pair.
        label: The column of numbers, or a list of columns.
        strata: Into how many parts of equal size rows are sorted by their (first) number, so that each fold has rows of
            each. None: folds are drawn without looking at the numbers, unless most are the same.
        max_length: Most tokens of a row; longer rows are cut, and `Prepared.warnings` says so. None: the limit of model
            and tokenizer, up to 512.
    """

    strata: int | None = field(default=None, kw_only=True)

    def _literature(self) -> Mapping[str, Any]:
        """Return the values of BERT on STS-B, a regression (Devlin et al. 2019, section 4.1): batches of 32, 3 epochs.

        The learning rate is the lowest of the four that they tried; weight decay and warmup are those of their code.
        """
        return {"learning_rate": 2e-5, "batch_size": 32, "epochs": 3, "weight_decay": 0.01, "warmup_ratio": 0.1}

    def how_to_call(self, prepared: "Prepared") -> str:
        return self._use("texts, truncation=True", prepared)
