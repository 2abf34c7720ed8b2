"""Images in a column: paths stay paths, and all else becomes the bytes of an image file."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.wording import shortened
from hpsearch.errors import DataError

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


def stored_images(values: Sequence[Any], name: str, role: str) -> list[Any]:
    """Return images as paths, where all are, else as bytes of image files; a missing one stays as it is.

    Args:
        values: A path, the bytes of a file, an image of Pillow's, a uint8 array of shape (height, width) or (height,
            width, channels), or a dict with "bytes" or "path", as Hugging Face's `datasets` keep images.
        name: The column, for errors.
        role: For errors.

    Raises:
        DataError: Something else is in it.
    """
    made = [_stored(value, f"column {name!r} of the {role} data", row) for row, value in enumerate(values)]
    if any(isinstance(value, bytes) for value in made):
        made = [_read(value) if isinstance(value, str | Path) else value for value in made]
    return made


def is_picture(value: Any) -> bool:
    """Whether a value is an image of Pillow's."""
    return hasattr(value, "getbands") and hasattr(value, "save")


def _stored(value: Any, what: str, row: int) -> Any:
    if isinstance(value, Mapping) and set(value) & {"bytes", "path"}:
        content, path = value.get("bytes"), value.get("path")
        return bytes(content) if content is not None else path
    if is_picture(value):
        return _encoded(value)
    if isinstance(value, np.ndarray):
        import PIL.Image

        is_image = value.dtype == np.uint8 and (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4)))
        if not is_image or 0 in value.shape:
            raise DataError(
                f"{what} has an array of shape {value.shape} and type {value.dtype} in row {row} (counted from 0): an "
                "image is uint8, of shape (height, width) or (height, width, 1, 3 or 4 channels)."
            )
        return _encoded(PIL.Image.fromarray(value[:, :, 0] if value.ndim == 3 and value.shape[2] == 1 else value))
    if isinstance(value, Mapping | list):
        raise DataError(
            f"{what} has {shortened(repr(value))}, a {type(value).__name__}, in row {row} (counted from 0): give "
            "paths, bytes, images of Pillow's, or uint8 arrays."
        )
    return value


def _encoded(image: Any) -> bytes:
    """Return the bytes of a file that holds an image's pixels as they are, upright by its EXIF."""
    import PIL.ImageOps

    upright = PIL.ImageOps.exif_transpose(image)
    file = io.BytesIO()
    upright.save(file, "PNG" if upright.mode in _PNG_MODES else "TIFF")
    return file.getvalue()


def _read(path: str | Path) -> bytes | str | Path:
    """Return the content of a file; of one that is not there its path, which is said where rows are read."""
    found = Path(path).expanduser()
    return found.read_bytes() if found.is_file() else path
