"""A folder of class folders: its images are known by what they hold, and what is left out is named."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.data.pixels import unreadable
from hpsearch.data.wording import counted, listed
from hpsearch.errors import DataError

_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Names that say image: where such a file cannot be read, something is wrong with it."""

_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What files under other names are tried for, by Pillow's names; its other formats take too much for an image."""

_OF_THE_SYSTEM = frozenset(("desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"))


@dataclass
class ClassFolders:
    """What a folder of class folders holds.

    Attributes:
        paths: The images, class by class, sorted.
        labels: The class of each: the name of its folder.
        misplaced: Images that are hidden, in hidden folders, or beside the class folders.
        others: What is no image in the class folders, links to folders included.
    """

    paths: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    misplaced: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def remarks(self, folder: Path, role: str) -> Iterator[str]:
        """Yield what is left out, a sentence each."""
        for paths, noun, why, remedy in (
            (self.misplaced, "image", "hidden, or beside the class folders", " Move them into their class's folder."),
            (self.others, "file", "no image that Pillow can read", ""),
        ):
            if paths:
                verb = "is" if len(paths) == 1 else "are"
                names = listed(path.relative_to(folder).as_posix() for path in paths)
                yield f"{counted(len(paths), noun)} of the {role} folder {verb} {why}, and left out: {names}.{remedy}"


def read_class_folders(folder: Path, role: str) -> ClassFolders:
    """Return the images below each class folder of `folder`; hidden folders are no classes.

    A file is an image if its name says so or Pillow recognizes its content. What the system keeps beside files (hidden
    files, Thumbs.db, desktop.ini) is passed over, and so is what is no image beside the class folders.

    Raises:
        DataError: There are no class folders, one has no image, or one cannot be listed.
    """
    entries = sorted(folder.iterdir())
    classes = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if not classes:
        raise DataError(
            f"the {role} folder {str(folder)!r} holds no folders: images are expected in one folder for each class, "
            f"such as {str(folder / 'cat' / '0001.png')!r}. Sort them so, or give a table with a column of paths."
        )
    sorted_out = ClassFolders(misplaced=[entry for entry in entries if entry.is_file() and is_image(entry)])
    for of_class in classes:
        _sort_out(of_class, folder, sorted_out, role)
        if of_class.name not in sorted_out.labels[-1:]:
            held = listed(path.name for path in sorted_out.others if path.is_relative_to(of_class))
            raise DataError(
                f"the class folder {of_class.name!r} of the {role} data holds no image that Pillow can read, such as a "
                f".png{f', but {held}' if held else ''}. Remove the folder, or put its images there."
            )
    return sorted_out


def _sort_out(of_class: Path, folder: Path, found: ClassFolders, role: str) -> None:
    for path in sorted(_below(of_class, role)):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if is_hidden or path.name.lower() in _OF_THE_SYSTEM:
            found.misplaced += [path] if path.is_file() and is_image(path) else []
        elif path.is_file() and is_image(path):
            found.paths.append(path)
            found.labels.append(of_class.name)
        else:
            found.others.append(path)


def _below(of_class: Path, role: str) -> Iterator[Path]:
    """Yield all files below a folder, and the links to folders, which are not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"the folder {str(error.filename)!r} of the {role} data cannot be listed: {error.strerror}. Allow it to be "
            "read, or move it elsewhere."
        ) from error

    for place, folders, files in os.walk(of_class, onerror=refuse):
        for name in [*files, *(name for name in folders if os.path.islink(os.path.join(place, name)))]:  # noqa: PTH114, PTH118
            yield Path(place, name)


def is_image(path: Path) -> bool:
    """Return whether the name of a file says that it is an image, or else its content does."""
    import PIL.Image

    if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
        return True
    PIL.Image.init()
    formats = [name for name in _FORMATS if name in PIL.Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            PIL.Image.open(path, formats=formats).close()
    except PIL.Image.DecompressionBombError:
        return True
    except unreadable():
        return False
    return True
