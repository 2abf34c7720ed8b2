"""One image file as pixels of 8 bits: read as transformers' pipeline reads it, deeper values scaled by their range."""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def unreadable() -> tuple[type[Exception], ...]:
    """Return what Pillow raises on files that it cannot make sense of."""
    from PIL.Image import DecompressionBombError

    return (*_ERRORS, DecompressionBombError)


@dataclass(frozen=True)
class PixelRange:
    """Values of pixels that become 0 and 255; what lies beyond is cut off."""

    low: float
    high: float

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Return uint8 of the shape of `values`."""
        return np.rint((values - self.low) * self.scale).clip(0, 255).astype(np.uint8)

    @property
    def scale(self) -> float:
        return 255.0 / (self.high - self.low) if self.high > self.low else 0.0

    @property
    def is_as_read(self) -> bool:
        """Whether transformers' pipeline, which cuts values off at 0 and 255, makes the same bytes of a file."""
        return (self.low, self.high) == (0, 255)


Ranges = Mapping[str, PixelRange]
"""Of the kinds of deep pixels: "whole" for whole numbers, "float"."""


def ranges_to_json(ranges: Ranges) -> dict[str, list[float]]:
    return {kind: [known.low, known.high] for kind, known in sorted(ranges.items())}


def ranges_from_json(values: Mapping[str, Sequence[float]]) -> dict[str, PixelRange]:
    return {kind: PixelRange(low, high) for kind, (low, high) in values.items()}


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that was read and turned upright.

    Attributes:
        image: As Pillow has it.
        deep: Its values, where it is grey with more than 8 bits: whole numbers or floats, else None.
        has_deep_colour: Whether it is in colour with 16 bits, of which Pillow keeps the upper 8.
    """

    image: "Image"
    deep: np.ndarray | None
    has_deep_colour: bool

    @property
    def number_type(self) -> str:
        """The key of its range, where it is deep."""
        return "whole" if self.deep is not None and self.deep.dtype.kind in "iu" else "float"

    @property
    def is_seen_through(self) -> bool:
        """Whether some of its pixels are transparent."""
        if "transparency" in self.image.info:
            return True
        return "A" in self.image.getbands() and int(self.image.getchannel("A").getextrema()[0]) < 255  # type: ignore[arg-type]

    def to_rgb(self, ranges: Ranges) -> "Image":
        """Return it in 8-bit colour.

        Raises:
            ValueError: Its values lie outside of all that its kind may have.
        """
        import PIL.Image

        if self.deep is None:
            return self.image.convert("RGB")
        found = ranges.get(self.number_type)
        if found is None:
            low, high = self.deep.min(), self.deep.max()
            found = range_of(low, high, kind=self.number_type, is_whole=is_whole(self.deep))
            if not found.is_as_read:
                raise ValueError(f"pixels of more than 8 bits, from {low:g} to {high:g}, which no training image has")
        return PIL.Image.fromarray(found.to_bytes(self.deep)).convert("RGB")


ImageFile = str | Path | io.BytesIO
"""A path, or the bytes of a file."""


def read_picture(path: ImageFile) -> Picture:
    """Read an image file, its first frame, turned upright by its EXIF.

    Raises:
        (what `unreadable` returns): It cannot be read, or has pixels that are no numbers.
    """
    import PIL.Image
    import PIL.ImageOps

    with PIL.Image.open(path) as image:
        has_deep_colour = is_deep_colour(image)
        upright = PIL.ImageOps.exif_transpose(image)
    deep = np.asarray(upright) if is_deep(upright) else None
    if deep is not None and deep.dtype.kind == "f" and not np.isfinite(deep).all():
        raise ValueError("some of its pixels are no numbers (NaN or infinite)")
    return Picture(upright, deep, has_deep_colour)


def has_frames(path: ImageFile) -> bool:
    """Return whether a file has several frames or pages. A camera's JPEG with small copies of its picture has not.

    Looking for them moves to another frame, so this is no part of reading the first one.
    """
    import PIL.Image

    with PIL.Image.open(path) as image:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _may_be_deep(path: ImageFile) -> bool:
    import PIL.Image

    with PIL.Image.open(path) as image:
        return is_deep(image)


def is_deep(image: "Image") -> bool:
    """Return whether an image is grey with more than 8 bits a pixel."""
    return image.mode.startswith(("I", "F"))


def is_deep_colour(image: "Image") -> bool:
    """Return whether an opened file, not yet decoded, has colours of 16 bits: Pillow keeps the upper 8 of them."""
    tiles: Any = getattr(image, "tile", ())
    return not is_deep(image) and any(";16" in str(tile[-1]) for tile in tiles)


def is_whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "iu" or bool((values == np.rint(values)).all())


def range_of(low: float, high: float, *, kind: str, is_whole: bool) -> PixelRange:
    """Return the range of pixels of a kind, from `low` to `high` in the training images."""
    if kind == "float" and low >= 0 and high <= 1:
        return PixelRange(0, 1)
    if is_whole and low >= 0 and high <= 255:  # nothing is lost in what the pipeline sees, too
        return PixelRange(0, 255)
    return PixelRange(float(low), float(high))


def ranges_of(paths: Iterable[ImageFile]) -> dict[str, PixelRange]:
    """Return one range for all deep pixels of a kind in these files; those that cannot be read are left out."""
    extremes: dict[str, tuple[float, float, bool]] = {}
    for path in paths:
        try:
            picture = read_picture(path) if _may_be_deep(path) else None
        except unreadable():
            continue
        if picture is not None and picture.deep is not None:
            low, high, whole = float(picture.deep.min()), float(picture.deep.max()), is_whole(picture.deep)
            before = extremes.get(picture.number_type, (low, high, whole))
            extremes[picture.number_type] = min(before[0], low), max(before[1], high), before[2] and whole
    return {kind: range_of(low, high, kind=kind, is_whole=whole) for kind, (low, high, whole) in extremes.items()}
