"""Images that cannot be read are named with the reason, and what of the others is not taken is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tasks_samples import deep_png
from test_pixels import save_deep

from hpsearch.data.image_audit import check_images
from hpsearch.data.images import read_images
from hpsearch.errors import DataError


def save(path: Path, value: int = 0, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new(mode, (4, 3), (value,) * len(mode)).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / ("cat", "dog")[number % 2] / f"{number}.png", number)
    return tmp_path


def test_nothing_is_said_of_plain_images(folder: Path) -> None:
    assert check_images(read_images(folder)) == []
    assert check_images(read_images((np.zeros((2, 3, 3), np.uint8), ["a", "b"]))) == []


def test_all_that_cannot_be_read_are_counted_and_some_named_with_the_reason(folder: Path) -> None:
    """A reason each: no image, cut off, no numbers."""
    (folder / "cat" / "0.png").write_bytes(b"no image")
    whole = (folder / "cat" / "2.png").read_bytes()
    (folder / "cat" / "2.png").write_bytes(whole[:45])
    save_deep(folder / "dog" / "5.tif", [[np.inf]], np.float32)
    with pytest.raises(DataError) as caught:
        check_images(read_images(folder, role="test"))
    message = str(caught.value)
    assert message.startswith("3 of 5 test images cannot be read: ")
    assert f"'{folder}/cat/0.png' (cannot identify image file)" in message
    assert f"'{folder}/dog/5.tif' (some of its pixels are no numbers (NaN or infinite))" in message
    assert "()" not in message
    assert message.endswith("Replace these files, convert them to PNG, or remove their rows.")
    assert "\n" not in message


def test_of_23_images_five_are_named(tmp_path: Path) -> None:
    for number in range(23):
        path = tmp_path / ("cat", "dog")[number % 2] / f"{number:02}.heic"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"what Pillow does not know")
    with pytest.raises(DataError, match=r"^23 of 23 train .*08\.heic' \(cannot identify image file\) and 18 more"):
        check_images(read_images(tmp_path))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0, 255]], "1 train image has pixels of more than 8 bits (mode I;16), with values within 0 to 255"),
        ([[12, 4095]], "(mode I;16): 12 to 4095, the range of all of them, becomes 0 to 255. transformers' pipeline"),
    ],
)
def test_deep_pixels_are_said_with_their_range(folder: Path, values: list[list[int]], words: str) -> None:
    save_deep(folder / "cat" / "deep.png", values)
    (said,) = check_images(read_images(folder))
    assert words in said


def test_test_images_outside_of_the_range_are_said(folder: Path) -> None:
    path = save_deep(folder / "cat" / "deep.png", [[0, 1000]])
    ranges = read_images(folder).measured()
    save_deep(path, [[0, 2000]])
    assert check_images(replace(read_images(folder, role="test"), ranges=ranges)) == [
        "1 test image has pixels outside of 0 to 1000, the range of the training images: they are cut off there."
    ]


def test_deep_colours_are_said_and_refused_where_nothing_is_left_of_them(folder: Path) -> None:
    path = folder / "cat" / "deep.png"
    path.write_bytes(deep_png(np.array([[[0, 300, 65535]]])))
    assert check_images(read_images(folder)) == [
        "1 train image has colours of 16 bits, of which Pillow keeps the upper 8, as transformers' pipeline does."
    ]
    path.write_bytes(deep_png(np.array([[[0, 200, 255]]])))
    with pytest.raises(DataError, match=r"no value above 255: Pillow keeps .* at most 1 levels are left\. Convert"):
        check_images(read_images(folder))


def test_frames_and_transparency_are_said(folder: Path) -> None:
    save(folder / "cat" / "moving.gif", save_all=True, append_images=[PIL.Image.new("RGB", (4, 3), "red")])
    save(folder / "cat" / "clear.png", 100, "RGBA")
    save(folder / "cat" / "solid.png", 255, "RGBA")
    assert check_images(read_images(folder)) == [
        "1 train image has several frames or pages: only the first one is taken.",
        "1 train image has transparent pixels: transparency is dropped, and the colours beneath it are seen, as in "
        "transformers' pipeline.",
    ]
