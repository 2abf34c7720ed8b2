"""Images in: a folder of class folders, a table with a column of paths, or arrays; each is read when asked for."""

import functools
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hpsearch.data.fingerprint import file_digest, fingerprint_arrays, fingerprint_contents, fingerprint_table
from hpsearch.data.image_folder import read_class_folders
from hpsearch.data.pixels import Picture, PixelRange, Ranges, ranges_of, read_picture, unreadable
from hpsearch.data.sources import existing, read_table, separator_hint
from hpsearch.data.stored_images import stored_images
from hpsearch.data.unicode import check_texts_are_unicode
from hpsearch.data.wording import counted, listed, row_list
from hpsearch.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Labelled images, not yet read.

    Attributes:
        labels: A label a row (object array), or a DataFrame of 0/1 columns (multilabel).
        paths: The image files in the order of the rows, or None where the images are an array.
        encoded: The bytes of each image's file, where the images lie in a column of a table.
        array: Images of shape (rows, height, width) or (rows, height, width, channels): uint8, or floats from 0 to 1.
        table: The table that the paths came from, with the columns of groups and weights, else None.
        role: "train", "validation" or "test", for errors.
        ranges: Those of the training images' pixels; None for those of these rows.
        remarks: What was left out of a folder, a sentence each.
    """

    labels: Any
    paths: tuple[Path, ...] | None = None
    encoded: tuple[bytes, ...] | None = None
    array: np.ndarray | None = None
    table: "pd.DataFrame | None" = None
    role: str = "train"
    ranges: Ranges | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = [images for images in (self.paths, self.encoded, self.array) if images is not None]
        if len(given) != 1:
            raise ValueError("images are either files or an array: one of paths=, encoded= and array=")
        if len(given[0]) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {len(given[0])} images")

    def __len__(self) -> int:
        return len(self.labels)

    def joined(self, others: "ImageRows") -> "ImageRows":
        """Return these rows with others behind them; `DataError` where some are files and some an array."""
        import pandas as pd

        forms = [(rows.paths is None, rows.encoded is None, rows.table is None) for rows in (self, others)]
        if forms[0] != forms[1]:
            raise DataError(
                f"the {self.role} images and the {others.role} images are given in different forms (a folder of class "
                "folders, a table with a column of paths, a pair of arrays): give both in one."
            )
        table = None
        if self.table is not None and others.table is not None:
            table = pd.concat([self.table, others.table], ignore_index=True)
        if hasattr(self.labels, "columns") and hasattr(others.labels, "columns"):
            labels: Any = pd.concat([self.labels, others.labels], ignore_index=True)
        else:
            labels = np.concatenate([self.labels, others.labels])
        if self.paths is not None:
            return replace(self, labels=labels, table=table, paths=(*self.paths, *(others.paths or ())))
        if self.encoded is not None:
            return replace(self, labels=labels, table=table, encoded=(*self.encoded, *(others.encoded or ())))
        assert self.array is not None
        assert others.array is not None
        if self.array.shape[1:] != others.array.shape[1:] or self.array.dtype != others.array.dtype:
            raise DataError(
                f"the {self.role} images are {self.array.dtype} of shape {self.array.shape[1:]} and the {others.role} "
                f"images {others.array.dtype} of shape {others.array.shape[1:]}. Give both in one shape and type."
            )
        return replace(self, labels=labels, array=np.concatenate([self.array, others.array]))

    def name(self, row: int) -> str:
        """Return what to call an image in an error: its file, or its place in the array."""
        return f"image {row}" if self.paths is None else str(self.paths[row])

    @property
    def are_files(self) -> bool:
        """Whether each image is a file, or the bytes of one."""
        return self.array is None

    def file(self, row: int) -> "Path | io.BytesIO":
        """Return an image's file, or its bytes as one."""
        if self.encoded is not None:
            return io.BytesIO(self.encoded[row])
        assert self.paths is not None
        return self.paths[row]

    def content(self, row: int) -> str:
        """Return a digest of an image's file; `OSError` where it cannot be read."""
        if self.encoded is not None:
            return hashlib.sha256(self.encoded[row]).hexdigest()
        assert self.paths is not None
        return file_digest(self.paths[row])

    def load(self, row: int) -> "Image":
        """Return an image as PIL RGB, upright by its EXIF, in 8 bits; `DataError` if it cannot be decoded.

        It is what transformers' pipeline makes of the file, except where that would cut deep values off.
        """
        import PIL.Image

        if self.array is not None:
            return PIL.Image.fromarray(_eight_bit(self.array[row])).convert("RGB")
        return self._made(row, lambda picture: picture.to_rgb({} if picture.deep is None else self.training_ranges))

    def picture(self, row: int) -> Picture:
        """Return an image as its file has it; `DataError` if it cannot be decoded."""
        return self._made(row, lambda picture: picture)

    @functools.cached_property
    def training_ranges(self) -> Ranges:
        """The ranges that deep pixels are scaled by."""
        return self.measured() if self.ranges is None else self.ranges

    def measured(self) -> dict[str, PixelRange]:
        """Return the ranges of pixels with more than 8 bits; images that cannot be read are left out."""
        return ranges_of(self.file(row) for row in range(len(self) if self.are_files else 0))

    def _made(self, row: int, make: Callable[[Picture], _Made]) -> _Made:
        try:
            return make(read_picture(self.file(row)))
        except unreadable() as error:
            raise DataError(
                f"the {self.role} image {self.name(row)!r} cannot be read: {error}. Replace the file or remove its row."
            ) from error

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits of the images' contents and labels, in the order of the rows."""
        if self.are_files:
            try:
                content = fingerprint_contents(self.content(row) for row in range(len(self)))
            except OSError as error:
                raise DataError(
                    f"the {self.role} image {str(error.filename)!r} cannot be read: {error.strerror}. Replace the file "
                    "or remove its row."
                ) from error
        else:
            content = fingerprint_arrays({"images": self.array})
        if hasattr(self.labels, "columns"):
            labels = fingerprint_table(self.labels)
        else:
            labels = fingerprint_arrays({"labels": np.asarray(self.labels, dtype=object)})
        return fingerprint_arrays({"parts": np.array([content, labels])})


def read_images(
    source: Any,
    *,
    image: str | None = None,
    label: str | Sequence[str] | None = None,
    names: Sequence[str] = (),
    role: str = "train",
) -> ImageRows:
    """Return the images of a source, without decoding them.

    Args:
        source: A folder that holds a folder for each class; or a table (what `read_table` reads) with a column of
            paths, relative to the table's folder, and one of labels (or several 0/1 columns); or a pair of arrays
            (images, labels).
        image: The column of paths, for a table.
        label: The column of labels, for a table, or the list of 0/1 columns.
        names: Columns of classes and groups, for a table: see `read_table`.
        role: For errors.

    Raises:
        DataError: The source is not one of these, or files or columns are missing.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return _from_table(source, Path(), image, label, names, role)
    if isinstance(source, str | Path):
        path = existing(source, role)
        if not path.is_dir():
            return _from_table(path, path.parent, image, label, names, role)
        _no_columns("a folder of class folders", image, label, role)
        return _from_folder(path, role)
    if isinstance(source, tuple | list) and len(source) == 2:
        _no_columns("a pair of arrays", image, label, role)
        return _from_arrays(source[0], source[1], role)
    raise DataError(
        f"the {role} images are a {type(source).__name__}: give a folder of class folders, a table with a column of "
        "paths, or a pair of arrays (images, labels)."
    )


def require_columns(table: "pd.DataFrame", columns: Sequence[str], role: str) -> None:
    """Raise DataError, naming the nearest column there is, unless the table has all these columns."""
    present = [str(name) for name in table.columns]
    for column in columns:
        if column not in present:
            raise DataError(
                f"the {role} data has no column {column!r}.{nearest(str(column), present)} "
                f"Its columns: {listed(present, 20)}.{separator_hint(present)}"
            )


def _no_columns(what: str, image: str | None, label: Any, role: str) -> None:
    given = [f"{name}={value!r}" for name, value in (("image", image), ("label", label)) if value is not None]
    if given:
        raise DataError(
            f"the {role} images are {what}, which has no columns to be named by {' and '.join(given)}. "
            "Leave that out, or give a table."
        )


def _from_folder(folder: Path, role: str) -> ImageRows:
    found = read_class_folders(folder, role)
    remarks = tuple(found.remarks(folder, role))
    return ImageRows(np.array(found.labels, dtype=object), paths=tuple(found.paths), role=role, remarks=remarks)


def _from_table(
    source: Any, folder: Path, image: str | None, label: str | Sequence[str] | None, names: Sequence[str], role: str
) -> ImageRows:
    import pandas as pd

    columns = [name for name in (image, *([label] if isinstance(label, str) else label or ())) if name is not None]
    read = [name for name in columns if name != image]
    table = read_table(source, role, columns=read, names=names, texts=[] if image is None else [image])
    for argument, column in (("image", image), ("label", label)):
        if column is None:
            raise DataError(
                f"the {role} images are a table, and {argument}= is not given: name its column of "
                f"{'paths' if argument == 'image' else 'labels'}. Its columns: {listed(map(str, table.columns), 20)}."
            )
    columns = [label] if isinstance(label, str) else list(label or ())
    require_columns(table, [str(image), *columns], role)
    values = table[image]
    if any(not isinstance(value, str | Path) for value in values.tolist()):
        values = pd.Series(stored_images(values.tolist(), str(image), role), dtype=object)
    if any(isinstance(value, bytes) for value in values.tolist()):
        return _from_bytes(table, values.tolist(), image, label, role)
    wrong = [row for row, value in enumerate(values.tolist()) if not isinstance(value, str | Path) or not str(value)]
    if wrong:
        raise DataError(
            f"column {image!r} of the {role} data has no path in {row_list(wrong)} but {values.iloc[wrong[0]]!r}. "
            "Fill in the paths or remove the rows."
        )
    check_texts_are_unicode(map(str, values), f"column {image!r}", role, are_names=True)
    paths = tuple(folder / Path(value).expanduser() for value in values)
    missing = [row for row, path in enumerate(paths) if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} {role} images do not exist, the first is {str(paths[missing[0]])!r} "
            f"in {row_list(missing)}. Relative paths start at {str(folder.resolve())!r}."
        )
    labels: Any = table[label].to_numpy(dtype=object) if isinstance(label, str) else table[columns]
    return ImageRows(labels, paths=paths, table=table, role=role)


def _from_bytes(table: "pd.DataFrame", values: list[Any], image: Any, label: Any, role: str) -> ImageRows:
    """Return the images whose files' bytes stand in a table."""
    wrong = [row for row, value in enumerate(values) if not isinstance(value, bytes) or not value]
    if wrong:
        raise DataError(
            f"column {image!r} of the {role} data has no image in {row_list(wrong)} but {values[wrong[0]]!r}. Fill in "
            "the images or remove the rows."
        )
    labels: Any = table[label].to_numpy(dtype=object) if isinstance(label, str) else table[list(label)]
    return ImageRows(labels, encoded=tuple(values), table=table.drop(columns=image), role=role)


def _from_arrays(images: Any, labels: Any, role: str) -> ImageRows:
    array = np.asarray(images)
    shaped = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3, 4))
    if not shaped or 0 in array.shape or not (array.dtype == np.uint8 or array.dtype.kind == "f"):
        raise DataError(
            f"the {role} images have shape {array.shape} and type {array.dtype}: give uint8, or floats from 0 to 1, of "
            "shape (rows, height, width) or (rows, height, width, 1, 3 or 4 channels)."
        )
    if array.dtype.kind == "f" and not (np.nanmin(array) >= 0 and np.nanmax(array) <= 1 and not np.isnan(array).any()):
        raise DataError(
            f"the {role} images are floats from {float(np.nanmin(array)):g} to {float(np.nanmax(array)):g}"
            f"{', some not a number' if np.isnan(array).any() else ''}: they must lie from 0 to 1. Rescale them."
        )
    values: Any = labels
    if not hasattr(labels, "columns"):
        flat = np.asarray(labels)
        values = flat if flat.ndim == 2 else np.array(flat.tolist(), dtype=object)
        if values.ndim == 2:
            import pandas as pd

            values = pd.DataFrame(values, columns=[str(column) for column in range(values.shape[1])])
    if len(values) != len(array):
        raise DataError(
            f"there are {counted(len(array), f'{role} image')} and {counted(len(values), 'label')}. "
            "Give one label for each image, in order."
        )
    return ImageRows(values, array=array, role=role)


def _eight_bit(image: np.ndarray) -> np.ndarray:
    """Return uint8 pixels of shape (height, width) or (height, width, 3 or 4); floats are from 0 to 1."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return image if image.dtype == np.uint8 else np.rint(image * 255.0).astype(np.uint8)
