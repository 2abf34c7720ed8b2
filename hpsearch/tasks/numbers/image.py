"""Regression of images: one number or several for an image."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpsearch.tasks.image import ImageClassification, ImageTask
from hpsearch.tasks.numbers.regression import Regression

if TYPE_CHECKING:
    from hpsearch.tasks.base import Prepared


@dataclass(frozen=True, eq=False)
class ImageRegression(Regression, ImageTask):
    """Fine-tune a transformers model (ViT, ResNet, any other) to predict numbers from images.

    Rows are a table with a column of paths and one or several of numbers; or a pair of arrays (images, numbers), as
    `ImageClassification` takes them. Each fold trains on targets less the mean and over the standard deviation of its
    training rows; scores, predictions and the exported model are in your units.

    Attributes:
        image: The column of paths, where the rows are a table.
        label: The column of numbers, or a list of columns, where the rows are a table.
        strata: Into how many parts of equal size rows are sorted by their (first) number, so that each fold has rows of
            each. None: folds are drawn without looking at the numbers, unless most are the same.
        image_size: Height and width of the model's input; None for what its image processor says.
    """

    strata: int | None = field(default=None, kw_only=True)

    _literature = ImageClassification._literature  # of which regressions of images have none of their own

    def how_to_call(self, prepared: "Prepared") -> str:
        reading, images = self._how_to_read(prepared)
        return reading + self._use(images, prepared)
