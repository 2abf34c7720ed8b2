"""Tasks over images; image classification."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hpsearch.data.audit import audit
from hpsearch.data.dataset import Dataset, is_prepared, open_dataset, write_dataset
from hpsearch.data.fingerprint import fingerprint_arrays, fingerprint_table
from hpsearch.data.hub_datasets import image_column, is_dataset, is_dataset_dict, label_column
from hpsearch.data.images import ImageRows, read_images
from hpsearch.data.pixels import Ranges, ranges_from_json, ranges_to_json
from hpsearch.data.stored_images import is_picture, stored_images
from hpsearch.data.tables_in_memory import is_pair
from hpsearch.provenance.packages import versions_of
from hpsearch.records import digest
from hpsearch.tasks.base import LATER, Prepared, Split
from hpsearch.tasks.classes.classification import Classification
from hpsearch.tasks.pretrained_task import PretrainedTask, whole_number
from hpsearch.tasks.sources import Source, Table

if TYPE_CHECKING:
    from torch import nn

    from hpsearch.tasks.pixels import ImageLearner, PixelEncoder
    from hpsearch.tasks.pretrained import Pretrained


@dataclass(frozen=True, eq=False)
class ImageTask(PretrainedTask):
    """Fine-tune a transformers model on images (ViT, ResNet, any other); torchvision is not needed.

    Rows are a table with a column of paths and one or several of targets; or a pair of arrays (images, targets), the
    images uint8, or floats from 0 to 1 that become bytes, of shape (rows, height, width) or (rows, height, width,
    channels). Grey images are given to a colour model as three equal channels, colour images to a grey model
    (num_channels 1) by their luma.

    Attributes:
        image: The column of paths, where the rows are a table.
        label: The column of targets, or a list of columns, where the rows are a table.
        image_size: Height and width of the model's input; None for what its image processor says.
    """

    image: str | None = field(default=None, kw_only=True)
    image_size: int | None = field(default=None, kw_only=True)

    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    pipeline: ClassVar[str | None] = "image-classification"

    def __post_init__(self) -> None:
        if self.image_size is not None:
            self._set("image_size", whole_number(self.image_size, "image_size", 1))
        super().__post_init__()
        for role in ("train", "validation", "test"):
            self._set(role, _with_absolute_paths(getattr(self, role), self.image))

    def _source(self, rows: Any, role: str) -> Source:
        """Return the source of rows; images that are no paths become the bytes of files, in a table.

        Of a `datasets.Dataset` the column of images, and that of labels, are found where they are not named.
        """
        if is_dataset(rows):
            self._set("image", self.image or image_column(rows))
            self._set("label", self.label or label_column(rows))
        if is_pair(rows) and len(rows[0]) and is_picture(rows[0][0]):
            self._set("image", self.image or "image")
            self._set("label", self.label or "label")
            rows = {self.image: list(rows[0]), self.label: rows[1]}
        source = super()._source(rows, role)
        if not isinstance(source, Table) or source.frame is None or self.image not in source.frame.columns:
            return source
        images = stored_images(source.frame[self.image].tolist(), str(self.image), role)
        return _with_column(source, str(self.image), images)

    def _label_of(self, rows: Any) -> str | None:
        if self.label is None and is_dataset_dict(rows):
            return label_column(next(iter(rows.values())))
        return super()._label_of(rows)

    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "ImageLearner":
        from hpsearch.tasks.pixels import ImageLearner

        return ImageLearner(dataset, pretrained)

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write the model and its image processor into `folder`, for `pipeline`: `how_to_call` says how.

        The pipeline reads files in colour: to a grey model give uint8 arrays of shape (1, height, width), not paths.
        """
        from hpsearch.tasks.pixels import rebuilt
        from hpsearch.tasks.pretrained import save_model

        save_model(model, rebuilt(dict(open_dataset(prepared.folder).facts["processor"])), folder)

    def how_to_call(self, prepared: Prepared) -> str:
        arguments = prepared.judge.pipeline_arguments()
        reading, images = self._how_to_read(prepared)
        return (
            f"{reading}from transformers import pipeline\n\n"
            f'classify = pipeline("{self.pipeline}", model="path/to/this/folder")\n'
            f"classify({images}{arguments})"
        )

    def _inputs(self, rows: ImageRows, places: np.ndarray, prepared: Prepared) -> list[Any]:
        """Return paths, or where the card's lines read a file otherwise than a pipeline does, what these give."""
        if rows.paths is not None and not self._how_to_read(prepared)[0]:
            return [str(rows.paths[place]) for place in places]
        dataset = open_dataset(prepared.folder)
        images = [replace(rows, ranges=_ranges_in(dataset)).load(place) for place in places]
        return [np.asarray(image.convert("L"))[None] for image in images] if _is_grey(dataset) else images

    def _how_to_read(self, prepared: Prepared) -> tuple[str, str]:
        """Return Python that reads a file as the rows were read, where a pipeline would not, and what to call it with.

        A pipeline reads all files in colour, and cuts values of more than 8 bits off at 255.
        """
        dataset = open_dataset(prepared.folder)
        is_grey = _is_grey(dataset)
        lines = [
            f'    if image.mode.startswith("{"I" if kind == "whole" else "F"}"):'
            f"  # {known.low:g} to {known.high:g} become 0 to 255\n"
            f"        pixels = (np.asarray(image) - {known.low!r}) * {known.scale!r}\n"
            '        image = PIL.Image.fromarray(pixels.round().clip(0, 255).astype("uint8"))\n'
            for kind, known in _ranges_in(dataset).items()
            if not known.is_as_read
        ]
        if not lines and not is_grey:
            return "", "images"
        made = 'np.asarray(image.convert("RGB").convert("L"))[None]  # of shape (1, height, width)'
        made = made if is_grey else 'image.convert("RGB")'
        return (
            "import numpy as np\nimport PIL.Image\nimport PIL.ImageOps\n\n\n"
            "# Files are read as in training. A pipeline that is given their paths reads them otherwise "
            f"({'in colour' if is_grey else 'it cuts values off at 255'}):\n"
            "# then its predictions are not those that were scored.\n"
            "def read(path):\n"
            f"    image = PIL.ImageOps.exif_transpose(PIL.Image.open(path))\n{''.join(lines)}"
            f"    return {made}\n\n\n"
        ), "[read(path) for path in paths]"

    def _input_columns(self) -> list[str]:
        return [] if self.image is None else [self.image]

    def _read(self, source: Source, role: Split) -> Any:
        label = self.label if self.label is None or isinstance(self.label, str) else list(self.label)
        return read_images(source.value, image=self.image, label=label, names=self._names(), role=role)

    def _fingerprint(self, rows: ImageRows) -> str:
        table, names = rows.table, [self.group, self.sample_weight]
        present = [name for name in names if name is not None and table is not None and name in table.columns]
        beside = fingerprint_table(table, present) if table is not None and present else ""
        return fingerprint_arrays({"parts": np.array([rows.fingerprint(), beside])})

    def _looked_over(
        self, cache: Path, rows: dict[Split, Any], prints: Mapping[Split, str]
    ) -> tuple[dict[Split, Any], list[str]]:
        """Return the rows with the ranges of the training images' pixels, which are measured once."""
        remarks = [remark for images in rows.values() for remark in images.remarks]
        folder = cache / f"ranges-{digest([prints['train'], versions_of('pillow')])}"
        if not is_prepared(folder):
            write_dataset(folder, {}, {"ranges": ranges_to_json(rows["train"].measured())})
        ranges = ranges_from_json(open_dataset(folder).facts["ranges"])
        return {role: replace(images, ranges=ranges) for role, images in rows.items()}, remarks

    def _audit(self, train: Any, test: Any, role: Split = "test") -> list[str]:
        return audit(
            train,
            test,
            read_targets=lambda: self._read_targets(train, test, role),
            group=self.group,
            sample_weight=self.sample_weight,
            role=role,
        )

    def _encoder(self, train: Any) -> "PixelEncoder":
        from hpsearch.tasks.pixels import PixelEncoder

        return PixelEncoder(str(self.model), self.image_size, train)


@dataclass(frozen=True, eq=False)
class ImageClassification(Classification, ImageTask):
    """Fine-tune a transformers image classifier (ViT, ResNet, any other); torchvision is not needed.

    Rows are a folder with one folder per class; or a table with a column of paths and one of labels (or several 0/1
    columns); or a pair of arrays (images, labels), the images uint8, or floats from 0 to 1 that become bytes, of shape
    (rows, height, width) or (rows, height, width, channels). Grey images are given to a colour model as three equal
    channels, colour images to a grey model (num_channels 1) by their luma.

    Attributes:
        image: The column of paths, where the rows are a table.
        label: The column of labels, or a list of 0/1 columns, where the rows are a table.
        pos_label: Of two classes the positive one, which metrics such as "f1", "precision" and "average_precision" are
            of. None: 1, True, "yes", "positive" and the like, beside 0, False, "no", "negative"; metrics of one of two
            other classes need it.
        class_weight: Weights of the classes in the training loss, None for equal ones: "balanced" (the rows of all
            classes weigh the same together, counted in the training part of each fold), or a mapping from labels to
            weights; of several labels a row, to the weights of their positives. Scores and validation losses are not
            weighed. A space may search it too.
        image_size: Height and width of the model's input; None for what its image processor says.
    """

    pos_label: Any = field(default=None, kw_only=True)
    class_weight: Any = field(default=None, kw_only=True, metadata=LATER)

    def _literature(self) -> Mapping[str, Any]:
        """Return values for AdamW that search_spaces/image-transfer.toml traces number by number.

        Learning rate (5e-4 for a batch of 256, in proportion to the batch), weight decay and schedule are those of
        ViT's full fine-tuning in Jia et al. 2022, appendix A; 30 epochs those of Liu et al. 2022, section 3.1; the
        warmup is that of transformers' guide to image classification (2023).
        """
        return {
            "learning_rate": 1.25e-4,
            "batch_size": 64,
            "epochs": 30,
            "weight_decay": 1e-3,
            "lr_scheduler_type": "cosine",
            "warmup_ratio": 0.1,
        }


def _is_grey(dataset: Dataset) -> bool:
    return dataset["pixels"].shape[1] == 1


def _ranges_in(dataset: Dataset) -> Ranges:
    """Return what pixels of more than 8 bits were scaled by; nothing where there were none."""
    return ranges_from_json(dataset.facts.get("ranges", {}))


def _with_absolute_paths(source: Any, column: str | None) -> Any:
    """Return a table whose relative paths start at the working directory of now, not of when they are read."""
    if not isinstance(source, Table) or source.frame is None or column is None or column not in source.frame.columns:
        return source
    paths = [str(Path.cwd() / value) if isinstance(value, str | Path) else value for value in source.frame[column]]
    return _with_column(source, column, paths)


def _with_column(source: Table, column: str, values: list[Any]) -> Table:
    """Return a table in memory with other values in a column."""
    import pandas as pd

    series = pd.Series(values, source.frame.index, object)
    return replace(source, frame=source.frame.assign(**{column: series}))
