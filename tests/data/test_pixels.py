"""Files become the pixels that transformers' pipeline sees; deeper ones are scaled by their real range."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tasks_samples import deep_png
from transformers.image_utils import load_image

from hpsearch.data.images import ImageRows, read_images
from hpsearch.data.pixels import PixelRange, has_frames, ranges_from_json, ranges_to_json, read_picture
from hpsearch.errors import DataError

RANDOM = np.random.default_rng(0)


def rows_of(*paths: Path, **settings: Any) -> ImageRows:
    return ImageRows(np.array(["a"] * len(paths), dtype=object), paths=paths, **settings)


def pixels(rows: ImageRows, row: int = 0) -> np.ndarray:
    return np.asarray(rows.load(row))


def save_deep(path: Path, values: Any, dtype: Any = np.uint16) -> Path:
    PIL.Image.fromarray(np.asarray(values, dtype=dtype)).save(path)
    return path


def _saved(folder: Path, case: str) -> Path:
    """Write an image of a mode or peculiarity, and return its file."""
    mode, _, suffix = case.partition("/")
    noise = RANDOM.integers(0, 256, (13, 10, 4), dtype=np.uint8)
    colour = PIL.Image.fromarray(noise[:, :, :3])
    path = folder / f"image.{suffix}"
    if mode.startswith("exif"):
        exif = colour.getexif()
        exif[0x0112] = int(mode[4:])
        colour.save(path, exif=exif)
    elif mode == "frames":
        colour.save(path, save_all=True, append_images=[colour.rotate(180)])
    elif mode == "P+":
        colour.quantize(16).save(path, transparency=3)
    elif mode == "L+":
        colour.convert("L").save(path, transparency=7)
    elif mode == "RGBA":
        PIL.Image.fromarray(noise).save(path)
    elif mode == "LA":
        PIL.Image.fromarray(noise).convert("LA").save(path)
    elif mode.startswith("I;16x"):
        path.write_bytes(deep_png(RANDOM.integers(0, 65536, (13, 10, int(mode[5:])))))
    elif mode in ("I;16", "I", "F"):
        save_deep(path, noise[:, :, 0], {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    else:
        colour.convert(mode).save(path)
    return path


CASES = (
    *("RGB/png", "RGB/jpg", "RGB/webp", "RGB/avif", "RGB/bmp", "RGB/gif", "RGB/jp2", "RGB/ppm", "RGB/tiff"),
    *("L/png", "L/jpg", "L/tiff", "1/png", "1/tiff", "P/png", "P/gif", "P+/png", "P+/gif", "L+/png"),
    *("RGBA/png", "RGBA/webp", "RGBA/tiff", "RGBA/avif", "LA/png", "LA/tiff"),
    *("CMYK/jpg", "CMYK/tiff", "YCbCr/jpg", "YCbCr/tiff", "frames/gif", "frames/png", "frames/tiff", "frames/webp"),
    *("exif1/jpg", "exif2/jpg", "exif3/jpg", "exif4/jpg", "exif5/jpg", "exif6/jpg", "exif7/jpg", "exif8/jpg"),
    *("exif6/png", "exif6/tiff", "exif6/webp"),
    *("I;16x2/png", "I;16x3/png", "I;16x4/png", "I;16/png", "I;16/tiff", "I/tiff", "F/tiff"),
)


@pytest.mark.parametrize("case", CASES)
def test_a_file_is_seen_as_the_pipeline_sees_it(tmp_path: Path, case: str) -> None:
    """Whatever its mode, and also with more than 8 bits, where its values are 0 to 255."""
    path = _saved(tmp_path, case)
    with PIL.Image.open(path) as image:  # given the path, transformers leaves some files open
        expected = np.asarray(load_image(image))
    assert expected.std() > 0
    np.testing.assert_array_equal(pixels(rows_of(path)), expected)


@pytest.mark.parametrize(
    ("values", "dtype", "suffix", "low", "high"),
    [
        (range(256), np.uint16, "png", 0, 255),
        (range(256), np.uint16, "tif", 0, 255),
        (range(0, 4096, 16), np.uint16, "png", 0, 4080),
        (range(0, 65536, 257), np.uint16, "png", 0, 65535),
        (range(1000, 1256), np.uint16, "tif", 1000, 1255),
        (range(-128, 128), np.int32, "tif", -128, 127),
        (range(0, 2**31 - 256, 2**23), np.int32, "tif", 0, 2139095040),
        (np.linspace(0, 1, 256), np.float32, "tif", 0, 1),
        (range(256), np.float32, "tif", 0, 255),
        (np.linspace(-2, 70, 256), np.float32, "tif", -2, 70),
    ],
)
def test_deep_values_are_scaled_by_their_real_range(
    tmp_path: Path, values: Any, dtype: Any, suffix: str, low: float, high: float
) -> None:
    given = np.array(values).reshape(16, 16)
    rows = rows_of(save_deep(tmp_path / f"a.{suffix}", given, dtype))
    (known,) = rows.measured().values()
    assert (known.low, known.high) == (low, high)
    found = pixels(rows)[:, :, 0]
    assert (found.min(), found.max(), np.unique(found).size) == (0, 255, 256)
    assert np.abs(found - (given.astype(np.float64) - low) * 255 / (high - low)).max() <= 0.5 + 1e-4
    assert known.is_as_read == ((low, high) == (0, 255))


def test_one_range_holds_for_all_images_of_a_kind_and_for_the_test_rows(tmp_path: Path) -> None:
    dark = save_deep(tmp_path / "dark.png", [[0, 100]])
    bright = save_deep(tmp_path / "bright.png", [[1000, 1020]])
    floats = save_deep(tmp_path / "float.tif", [[0.0, 0.5]], np.float32)
    plain = save_deep(tmp_path / "plain.png", [[7, 9]], np.uint8)
    train = rows_of(dark, bright, floats, plain)
    assert train.measured() == {"whole": PixelRange(0, 1020), "float": PixelRange(0, 1)}
    assert [pixels(train, row)[0, :, 0].tolist() for row in range(4)] == [[0, 25], [250, 255], [0, 128], [7, 9]]
    brighter = save_deep(tmp_path / "brighter.png", [[510, 5000]])
    test = rows_of(brighter, ranges=train.measured())
    assert pixels(test)[0, :, 0].tolist() == [128, 255]
    assert ranges_from_json(ranges_to_json(train.measured())) == train.measured()


def test_a_deep_test_image_beside_plain_training_images(tmp_path: Path) -> None:
    plain = save_deep(tmp_path / "plain.png", [[7, 9]], np.uint8)
    ranges = rows_of(plain).measured()
    assert ranges == {}
    small = rows_of(save_deep(tmp_path / "small.png", [[3, 255]]), ranges=ranges)
    assert pixels(small)[0, :, 0].tolist() == [3, 255]
    large = rows_of(save_deep(tmp_path / "large.png", [[3, 256]]), ranges=ranges)
    with pytest.raises(DataError, match=r"large\.png.* more than 8 bits, from 3 to 256, which no training image has"):
        large.load(0)


def test_deep_images_are_turned_upright_too(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    image.save(tmp_path / "plain.png")
    rows = rows_of(tmp_path / "turned.png", tmp_path / "plain.png")
    np.testing.assert_array_equal(pixels(rows, 0), np.rot90(pixels(rows, 1), -1))


def test_an_image_that_went_away_is_named(tmp_path: Path) -> None:
    path = save_deep(tmp_path / "a.png", [[0, 1]])
    rows = rows_of(path)
    path.unlink()
    for read in (rows.fingerprint, lambda: rows.load(0)):
        with pytest.raises(DataError, match=r"the train image '.*a\.png' cannot be read: .*No such file"):
            read()


def test_images_of_one_value(tmp_path: Path) -> None:
    rows = rows_of(save_deep(tmp_path / "a.png", [[4000, 4000]]))
    assert pixels(rows)[0, :, 0].tolist() == [0, 0]


def test_pixels_that_are_no_numbers(tmp_path: Path) -> None:
    rows = rows_of(save_deep(tmp_path / "a.tif", [[0.0, np.nan]], np.float32))
    assert rows.measured() == {}
    with pytest.raises(DataError, match=r"a\.tif' cannot be read: some of its pixels are no numbers"):
        rows.load(0)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", ["RGB/png", "RGB/jpg", "RGB/webp", "RGB/gif", "RGB/tiff", "RGB/bmp", "I;16/png"])
def test_a_damaged_file_is_read_or_an_error_of_its_data(tmp_path: Path, case: str) -> None:
    """Whatever Pillow raises, of a file cut short or with bytes changed."""
    path = _saved(tmp_path, case)
    whole = path.read_bytes()
    for _ in range(40):
        broken = bytearray(whole[: RANDOM.integers(1, len(whole) + 1)])
        for place in RANDOM.integers(0, len(broken), 3):
            broken[place] = RANDOM.integers(0, 256)
        path.write_bytes(broken)
        rows = rows_of(path)
        rows.measured()
        with contextlib.suppress(DataError):
            rows.load(0)
            has_frames(path)


def test_what_a_picture_tells(tmp_path: Path) -> None:
    found = {case: read_picture(_saved(tmp_path, case)) for case in CASES}
    framed = {case for case in CASES if has_frames(_saved(tmp_path, case))}
    assert framed == {"frames/gif", "frames/png", "frames/tiff", "frames/webp"}
    assert {case for case, picture in found.items() if picture.has_deep_colour} == {
        "I;16x2/png", "I;16x3/png", "I;16x4/png",
    }  # fmt: skip
    assert {case.split("/")[0] for case, picture in found.items() if picture.is_seen_through} == {
        "P+", "L+", "RGBA", "LA", "I;16x2", "I;16x4",
    }  # fmt: skip
    assert {case for case, picture in found.items() if picture.deep is not None} == {
        "I;16/png", "I;16/tiff", "I/tiff", "F/tiff",
    }  # fmt: skip


def test_arrays_are_bytes_or_floats_as_before() -> None:
    with pytest.raises(DataError, match="uint16: give uint8, or floats from 0 to 1"):
        read_images((np.zeros((2, 3, 3), np.uint16), ["a", "b"]))
    assert read_images((np.zeros((2, 3, 3), np.uint8), ["a", "b"])).measured() == {}
