"""A look at every image before compute is spent: which cannot be read and why, and what of them is not taken."""

from collections import Counter
from collections.abc import Iterator

from hpsearch.data.images import ImageRows
from hpsearch.data.pixels import Picture, has_frames
from hpsearch.data.wording import counted, shortened
from hpsearch.errors import DataError

_BROKEN_SHOWN = 5
_LEVELS = 16


def check_images(rows: ImageRows) -> list[str]:
    """Decode every image once; return what is to be said of them, a sentence each.

    Raises:
        DataError: Some cannot be read, each named with the reason; or colours of 16 bits are lost on reading.
    """
    if not rows.are_files:
        for row in range(len(rows)):
            rows.load(row)
        return []
    census = _Census(rows)
    broken: list[tuple[int, DataError]] = []
    for row in range(len(rows)):
        try:
            census.count(row, rows.picture(row))
        except DataError as error:
            broken.append((row, error))
    if len(broken) == 1:
        raise broken[0][1]
    if broken:
        shown = [f"{rows.name(row)!r} ({_reason(error, rows.name(row))})" for row, error in broken[:_BROKEN_SHOWN]]
        more = f" and {len(broken) - len(shown)} more" if len(broken) > len(shown) else ""
        raise DataError(
            f"{len(broken)} of {len(rows)} {rows.role} images cannot be read: {', '.join(shown)}{more}. Replace these "
            "files, convert them to PNG, or remove their rows."
        ) from broken[0][1]
    return list(census.remarks())


def _reason(error: DataError, name: str) -> str:
    """Return Pillow's reason, without the name of the file."""
    cause = error.__cause__
    text = str(cause).replace(f"{name!r}", "").strip(" :.")
    return shortened(text or type(cause).__name__, 100)


class _Census:
    """What images have that is not taken as it is."""

    def __init__(self, rows: ImageRows) -> None:
        self._rows = rows
        self._numbers: Counter[str] = Counter()
        self._modes: dict[str, set[str]] = {}
        self._greatest_colour = 0

    def count(self, row: int, picture: Picture) -> None:
        """Count an image; DataError where its deep pixels cannot be brought to bytes."""
        if picture.deep is not None:
            self._rows.load(row)
            self._numbers[picture.number_type] += 1
            self._modes.setdefault(picture.number_type, set()).add(picture.image.mode)
            known = self._rows.training_ranges.get(picture.number_type)
            beyond = known is not None and bool(picture.deep.min() < known.low or picture.deep.max() > known.high)
            self._numbers[f"beyond {picture.number_type}"] += beyond
        if picture.has_deep_colour:
            self._numbers["colour"] += 1
            extremes = picture.image.convert("RGB").getextrema()
            self._greatest_colour = max(self._greatest_colour, *(int(high) for _, high in extremes))  # type: ignore[misc]
        self._numbers["frames"] += has_frames(self._rows.file(row))
        self._numbers["seen through"] += picture.is_seen_through

    def remarks(self) -> Iterator[str]:
        numbers, role = self._numbers, self._rows.role
        for kind, modes in self._modes.items():
            yield from self._of_deep(kind, ", ".join(sorted(modes)))
        if numbers["colour"]:
            self._require_levels()
            yield (
                f"{_have(numbers['colour'], role)} colours of 16 bits, of which Pillow keeps the upper 8, as "
                "transformers' pipeline does."
            )
        if numbers["frames"]:
            yield f"{_have(numbers['frames'], role)} several frames or pages: only the first one is taken."
        if numbers["seen through"]:
            yield (
                f"{_have(numbers['seen through'], role)} transparent pixels: transparency is dropped, and the colours "
                "beneath it are seen, as in transformers' pipeline."
            )

    def _of_deep(self, kind: str, modes: str) -> Iterator[str]:
        numbers, role = self._numbers, self._rows.role
        known = self._rows.training_ranges.get(kind)
        start = f"{_have(numbers[kind], role)} pixels of more than 8 bits (mode {modes})"
        if known is None or known.is_as_read:
            yield f"{start}, with values within 0 to 255: they are taken as they are."
        elif role == "train":
            yield (
                f"{start}: {known.low:g} to {known.high:g}, the range of all of them, becomes 0 to 255. transformers' "
                "pipeline reads such files otherwise and cuts them off at 255: the exported model's card says how to "
                "read them for it."
            )
        if known is not None and numbers[f"beyond {kind}"]:
            yield (
                f"{_have(numbers[f'beyond {kind}'], role)} pixels outside of {known.low:g} to {known.high:g}, the "
                "range of the training images: they are cut off there."
            )

    def _require_levels(self) -> None:
        """Refuse colours of which Pillow's upper 8 bits say next to nothing: values of 12 bits or fewer in 16."""
        if self._rows.role == "train" and self._greatest_colour < _LEVELS:
            raise DataError(
                f"{_have(self._numbers['colour'], 'train')} colours of 16 bits, and no value above "
                f"{self._greatest_colour * 256 + 255}: Pillow keeps the upper 8 bits, in which at most "
                f"{self._greatest_colour + 1} levels are left. Convert the files to 8 bits with another program, "
                "scaled to the range of their values."
            )


def _have(number: int, role: str) -> str:
    return f"{counted(number, f'{role} image')} {'has' if number == 1 else 'have'}"
