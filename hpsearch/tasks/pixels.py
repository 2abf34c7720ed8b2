"""Images in, pixels out: resized and cropped once, kept as bytes, rescaled and normalized when a batch is asked for."""

import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.atomic_write import reserve, writing
from hpsearch.data.dataset import Dataset
from hpsearch.data.images import ImageRows
from hpsearch.data.pixels import PixelRange, ranges_from_json, ranges_to_json
from hpsearch.errors import TaskError
from hpsearch.provenance.modules import imported
from hpsearch.provenance.packages import versions_of
from hpsearch.records import digest
from hpsearch.tasks.hub import hub_arguments
from hpsearch.tasks.learner import PretrainedLearner
from hpsearch.tasks.pretrained import LOADING_ERRORS, Pretrained, first_line, quiet, read_config
from hpsearch.tasks.pretrained_task import Encoded

_DEFAULT_SIZE = 224
_COMPARED_ROWS = 4
_TOLERANCE = 1e-6
_BYTES = 256

_EARLIER_RANGES: tuple[dict[str, PixelRange], ...] = ({}, {"float": PixelRange(0, 1)}, {"whole": PixelRange(0, 65535)})
"""Those that pixels were always scaled by, before ranges were measured: their digests stay."""


class PixelEncoder:
    """The image processor of a model, with the size and the channels of one task."""

    def __init__(self, source: str, image_size: int | None, rows: ImageRows) -> None:
        """Read the processor, or make one where the model has none.

        A new one resizes to `image_size`, else to the config's image size, else to that of the training images where
        they are an array, else to 224; it rescales to 0..1 and normalizes with mean and deviation 0.5.
        """
        self.source = source
        config = read_config(source)
        self.channels = int(getattr(config, "num_channels", None) or 3)
        if self.channels not in (1, 3):
            raise TaskError(
                f"the model {source!r} reads images of {self.channels} channels; grey (1) and colour (3) can be "
                "prepared. Give a model whose config.json has num_channels 1 or 3."
            )
        processor = load_processor(source)
        if processor is None:
            processor = make_processor(self.channels, image_size or _size_of(config, rows))
        elif image_size is not None:
            resize(processor, image_size)
        self.processor: Any = processor
        self.ranges = dict(rows.training_ranges) if rows.are_files else {}
        self._fit_channels()

    @classmethod
    def of_prepared(cls, source: str, dataset: Dataset) -> Self:
        """Return what encoded a prepared dataset, whatever the model's folder holds by now."""
        encoder = cls.__new__(cls)
        encoder.source = source
        encoder.channels = int(dataset["pixels"].shape[1])
        encoder.processor = rebuilt(dict(dataset.facts["processor"]))
        encoder.ranges = ranges_from_json(dataset.facts.get("ranges", {}))
        return encoder

    def _fit_channels(self) -> None:
        processor = self.processor
        if self.channels == 1 and getattr(processor, "do_convert_rgb", None):
            processor.do_convert_rgb = False
        for name in ("image_mean", "image_std"):
            values = getattr(processor, name, None)
            if not isinstance(values, list | tuple) or len(values) == self.channels:
                continue
            if len(set(values)) != 1:
                raise TaskError(
                    f"the image processor of {self.source!r} has {name}={list(values)} for {len(values)} channels, and "
                    f"the model reads {self.channels}. Write {self.channels} numbers into its preprocessor_config.json."
                )
            setattr(processor, name, [values[0]] * self.channels)

    def settings(self) -> dict[str, Any]:
        return {
            "processor": digest([type(self.processor).__name__, written(self.processor)]),
            "channels": self.channels,
            # It decodes and resizes, and is no part of the numerics, which studies of texts have too.
            **versions_of("pillow"),
            **({} if self.ranges in _EARLIER_RANGES else {"ranges": ranges_to_json(self.ranges)}),
        }

    def versions(self) -> dict[str, str]:
        measured = {"ranges": "measured"} if self.ranges else {}  # earlier folders do not say which they are
        return versions_of("pillow", "transformers", "numpy") | measured

    def encode(self, rows: ImageRows, role: str, scratch: Path) -> Encoded:
        """Return the images as pixels.

        Where the processor ends with a linear map of each channel (rescaling, normalizing), pixels are the bytes before
        it, uint8 (rows, channels, height, width), a quarter of the size; "line" has slope and value at 0, float32
        (2, channels). Where the first images show that it does more, pixels are its outputs, float32.

        Raises:
            DataError: An image cannot be read.
            TaskError: The processor fails, or makes images of different sizes.
        """
        line = self._line(rows)
        first = self._processed(self._image(rows, 0), finished=line is None)
        # In a file without a name: memory need not hold them all, and a killed process leaves none.
        with writing(scratch, "HPSEARCH_CACHE"), TemporaryFile(dir=scratch) as file:
            reserve(file, len(rows) * first.nbytes)
            pixels = np.memmap(file, first.dtype, "w+", shape=(len(rows), *first.shape))
        for row in range(len(rows)):
            image = self._processed(self._image(rows, row), finished=line is None)
            if image.shape != first.shape:
                raise TaskError(
                    f"the image processor of {self.source!r} makes images of different sizes: {rows.name(0)!r} becomes "
                    f"{first.shape}, {rows.name(row)!r} {image.shape}. Give image_size=, or let its "
                    "preprocessor_config.json crop."
                )
            pixels[row] = image
        arrays = {"pixels": np.asarray(pixels)} | ({} if line is None else {"line": line})
        kind = type(self.processor)
        made_by = {"class": f"{kind.__module__}:{kind.__qualname__}", "settings": written(self.processor)}
        return Encoded(arrays, {"processor": made_by, "ranges": ranges_to_json(self.ranges)})

    def _image(self, rows: ImageRows, row: int) -> np.ndarray:
        """Return an image as uint8 (channels, height, width)."""
        image = rows.load(row)
        if self.channels == 1:
            return np.asarray(image.convert("L"))[None]
        return np.ascontiguousarray(np.moveaxis(np.asarray(image), -1, 0))

    def _processed(self, image: np.ndarray, *, finished: bool, **settings: bool) -> np.ndarray:
        """Return what the processor makes of an image: finished, or before it is rescaled and normalized."""
        if not finished:
            settings = {"do_rescale": False, "do_normalize": False, **settings}
        with quiet():
            try:
                made = self.processor(image, input_data_format="channels_first", **settings)["pixel_values"]
            except LOADING_ERRORS as error:
                raise TaskError(
                    f"the image processor of {self.source!r} fails on an image of shape {image.shape}: "
                    f"{first_line(error)} Give image_size=, or correct its preprocessor_config.json."
                ) from error
        return np.asarray(made[0])

    def _line(self, rows: ImageRows) -> np.ndarray | None:
        """Return slope and value at 0 of what becomes of a byte in each channel, or None where more happens to it."""
        every_byte = np.broadcast_to(np.arange(_BYTES, dtype=np.uint8).reshape(1, 16, 16), (self.channels, 16, 16))
        skipped = {"do_resize": False, "do_center_crop": False, "do_pad": False}
        settings = {name: value for name, value in skipped.items() if getattr(self.processor, name, None) is not None}
        try:
            table = self._processed(np.ascontiguousarray(every_byte), finished=True, **settings)
        except TaskError:
            return None
        if table.shape != every_byte.shape:
            return None
        values = table.reshape(self.channels, _BYTES).astype(np.float64)
        line = np.stack([(values[:, -1] - values[:, 0]) / (_BYTES - 1), values[:, 0]]).astype(np.float32)
        samples = [(every_byte, table)]
        for row in range(min(len(rows), _COMPARED_ROWS)):
            image = self._image(rows, row)
            samples.append((self._processed(image, finished=False), self._processed(image, finished=True)))
        return line if all(_on_line(line, early, late) for early, late in samples) else None


class ImageLearner(PretrainedLearner):
    """Batches of pixels, all of one size."""

    def __init__(self, dataset: Dataset, pretrained: Pretrained) -> None:
        super().__init__(dataset, pretrained)
        self._pixels = dataset["pixels"]
        line = dataset.get("line")
        self._line = None if line is None else np.array(line)
        self.lengths = np.ones(len(self._pixels), dtype=np.int64)

    def advice(self, model: nn.Module) -> str:
        return "Use the image processor that belongs to the model; for images of another size give image_size=."

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return pixel_values, float32 (rows, channels, height, width), as the image processor would give them."""
        pixels = torch.from_numpy(np.asarray(self._pixels[rows]))
        return {"pixel_values": pixels if self._line is None else along_line(self._line, pixels)}


def along_line(line: np.ndarray, pixels: Tensor) -> Tensor:
    """Return float32 values of uint8 `pixels` (rows, channels, height, width); for `line` see `PixelEncoder.encode`."""
    slope, start = torch.from_numpy(line).reshape(2, 1, -1, 1, 1)
    return pixels.float().mul_(slope).add_(start)


def _on_line(line: np.ndarray, early: np.ndarray, late: np.ndarray) -> bool:
    if early.dtype != np.uint8 or early.shape != late.shape:
        return False
    computed = along_line(line, torch.from_numpy(early[None].copy()))[0].numpy()
    return bool(np.abs(computed - late).max() <= _TOLERANCE)


def load_processor(source: str) -> Any | None:
    """Return the image processor of a model folder or hub name (without torchvision), or None where it has none."""
    # transformers 5.17 has no AutoImageProcessor at its top without torchvision, though the class itself needs none.
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    with quiet():
        try:
            return AutoImageProcessor.from_pretrained(**hub_arguments(source), backend="pil", trust_remote_code=False)
        except OSError:
            return None  # its config.json was read before, so it is there and has no preprocessor_config.json
        except LOADING_ERRORS as error:
            raise TaskError(
                f"the image processor of {source!r} cannot be loaded: {first_line(error)} Correct or remove its "
                "preprocessor_config.json; without one, images are resized to the model's size and normalized to -1..1."
            ) from error


def make_processor(channels: int, size: tuple[int, int] | int) -> Any:
    """Return a processor that resizes to `size` (height and width) and brings pixels to -1..1."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    height, width = (size, size) if isinstance(size, int) else size
    half = [0.5] * channels
    return ViTImageProcessorPil(size={"height": height, "width": width}, image_mean=half, image_std=half)


def resize(processor: Any, size: int) -> None:
    """Let `processor` make images of `size` by `size` pixels."""
    processor.do_resize = True
    own = dict(processor.size or {})
    crops = bool(getattr(processor, "do_center_crop", False))
    by_edge = own.get("shortest_edge") is not None and (crops or "crop_pct" in written(processor))
    processor.size = type(processor.size)(**({"shortest_edge": size} if by_edge else {"height": size, "width": size}))
    if crops:
        processor.crop_size = type(processor.size)(height=size, width=size)


def rebuilt(facts: dict[str, Any]) -> Any:
    """Return the processor that a dataset was prepared with."""
    return imported(facts["class"]).from_dict(facts["settings"])


def written(processor: Any) -> dict[str, Any]:
    """Return a processor's settings as its preprocessor_config.json has them."""
    return json.loads(processor.to_json_string())


def _size_of(config: Any, rows: ImageRows) -> tuple[int, int]:
    own = None if rows.array is None else rows.array.shape[1:3]
    size = getattr(config, "image_size", None) or own or _DEFAULT_SIZE
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
