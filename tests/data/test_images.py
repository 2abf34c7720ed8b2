"""Images from folders, tables and arrays, in a fixed order, and a broken one is known by its name."""

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from hpsearch.data.audit import audit, check_images
from hpsearch.data.images import ImageRows, read_images
from hpsearch.errors import DataError
from hpsearch.tasks.classes.labels import learn_labels


def save(path, value=0, mode="RGB", size=(4, 3), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new(mode, size, value).save(path, **options)
    return path


def refused(function, *words):
    with pytest.raises(DataError) as caught:
        function()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """Three classes, four images, and files that are none."""
    root = tmp_path / "rooms"
    for number, name in enumerate(["kitchen/b.png", "kitchen/a.JPG", "attic/deep/z.png", "cellar/c.webp"]):
        save(root / name, (number, number, number))
    (root / "attic" / "notes.txt").write_text("no image")
    save(root / "attic" / ".hidden.png")
    save(root / ".cache" / "x.png")
    return root


def test_a_folder_of_class_folders_is_read_in_sorted_order(folder):
    rows = read_images(folder)
    assert [path.relative_to(folder).as_posix() for path in rows.paths] == [
        "attic/deep/z.png",
        "cellar/c.webp",
        "kitchen/a.JPG",
        "kitchen/b.png",
    ]
    assert rows.labels.tolist() == ["attic", "cellar", "kitchen", "kitchen"]
    assert len(rows) == 4
    assert rows.load(3).mode == "RGB"
    assert rows.load(3).getpixel((0, 0)) == (0, 0, 0)
    assert learn_labels(rows.labels).classes == ("attic", "cellar", "kitchen")


def test_folders_that_are_not_class_folders_are_refused(tmp_path, folder):
    save(tmp_path / "flat" / "a.png")
    refused(lambda: read_images(tmp_path / "flat"), "'", "one folder for each class")
    (folder / "garage").mkdir()
    refused(lambda: read_images(folder), "'garage'", "holds no image", ".png")
    refused(lambda: read_images(tmp_path / "romms"), "does not exist", "Did you mean 'rooms'?")
    refused(lambda: read_images(tmp_path / "flat", label="label"), "no columns", "label='label'")
    refused(lambda: read_images(5), "a int", "folder of class folders")


def test_a_table_names_paths_relative_to_its_own_folder(folder):
    pd.DataFrame({"file": ["kitchen/b.png", "attic/deep/z.png"], "room": ["k", "a"], "patient": [1, 2]}).to_csv(
        folder / "rows.csv", index=False
    )
    rows = read_images(folder / "rows.csv", image="file", label="room")
    assert [path.name for path in rows.paths] == ["b.png", "z.png"]
    assert rows.labels.tolist() == ["k", "a"]
    assert rows.table["patient"].tolist() == [1, 2]
    table = rows.table.assign(file=[str(path) for path in rows.paths], sun=[0, 1], rain=[1, 0])
    several = read_images(table, image="file", label=["rain", "sun"])
    assert learn_labels(several.labels).classes == ("rain", "sun")


def test_tables_that_do_not_fit_are_refused(folder):
    table = pd.DataFrame({"file": ["kitchen/b.png", "lost.png"], "room": ["k", "a"]})
    table.to_csv(folder / "rows.csv", index=False)
    source = folder / "rows.csv"
    refused(lambda: read_images(source, label="room"), "image= is not given", "'file', 'room'")
    refused(lambda: read_images(source, image="file"), "label= is not given")
    refused(lambda: read_images(source, image="fil", label="room"), "no column 'fil'", "Did you mean 'file'?")
    refused(
        lambda: read_images(source, image="file", label="room", role="test"),
        "1 of 2 test images do not exist",
        "lost.png",
        "row 1",
    )
    table = table.assign(file=["kitchen/b.png", None])
    refused(lambda: read_images(table, image="file", label="room"), "'file'", "no path in row 1")


def test_arrays_become_eight_bit_images():
    grey = np.array([[[0, 128], [255, 7]]], dtype=np.uint8)
    rows = read_images((grey, ["a"]))
    np.testing.assert_array_equal(np.asarray(rows.load(0))[:, :, 1], grey[0])
    for array in (grey[..., None], grey.astype(np.float32)[..., None] / 255, grey / 255.0):
        np.testing.assert_array_equal(np.asarray(read_images((array, ["a"])).load(0)), np.asarray(rows.load(0)))
    colour = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(np.asarray(read_images([colour, ["a"]]).load(0)), colour[0])


def test_labels_of_arrays_may_be_numbers_or_columns():
    images = np.zeros((3, 2, 2), dtype=np.uint8)
    assert learn_labels(read_images((images, np.array([3, 1, 3]))).labels).classes == (1, 3)
    encoding = learn_labels(read_images((images, np.array([[1, 0], [0, 1], [1, 1]]))).labels)
    assert (encoding.kind, encoding.classes) == ("multilabel", ("0", "1"))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((2, 4), np.uint8), [0, 1], ["shape (2, 4)", "uint8"]),
        (np.zeros((2, 3, 4, 4), np.int64), [0, 1], ["int64"]),
        (np.zeros((2, 3, 4, 5), np.uint8), [0, 1], ["1, 3 or 4 channels"]),
        (np.full((2, 4, 4), 200.0), [0, 1], ["floats from 200 to 200", "Rescale"]),
        (np.array([[[0.0, np.nan]], [[0.5, 1.0]]]), [0, 1], ["not a number"]),
        (np.zeros((2, 4, 4), np.uint8), [0, 1, 1], ["2 train images and 3 labels"]),
    ],
)
def test_arrays_that_are_no_images_are_refused(images, labels, words):
    refused(lambda: read_images((images, labels)), *words)


def test_every_mode_of_file_becomes_eight_bit_rgb(tmp_path):
    deep = np.array([[0, 257], [65535, 32896]], dtype=np.uint16)
    PIL.Image.fromarray(deep).save(tmp_path / "deep.png")
    turned = PIL.Image.new("RGB", (4, 3))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    PIL.Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "float.tif")
    save(tmp_path / "clear.png", (10, 20, 30, 0), mode="RGBA")
    paths = tuple(tmp_path / name for name in ("deep.png", "turned.jpg", "float.tif", "clear.png"))
    rows = ImageRows(["a"] * 4, paths=paths)
    np.testing.assert_array_equal(np.asarray(rows.load(0))[:, :, 0], [[0, 1], [255, 128]])
    assert rows.load(1).size == (3, 4)
    assert rows.load(2).getpixel((0, 0)) == (128, 128, 128)
    assert rows.load(3).getpixel((0, 0)) == (10, 20, 30)


def test_broken_images_are_named(folder):
    whole = (folder / "kitchen" / "b.png").read_bytes()
    (folder / "kitchen" / "b.png").write_bytes(whole[:40])
    refused(
        lambda: audit(read_images(folder, role="test"), read_targets=lambda: (np.array([]), [])),
        "test image",
        "b.png",
        "cannot be read",
        "Replace the file",
        "test image",
        "b.png",
        "cannot be read",
        "Replace the file",
    )
    (folder / "cellar" / "c.webp").write_text("no image at all")
    refused(lambda: check_images(read_images(folder)), "2 of 4 train images", "c.webp", "b.png")
    PIL.Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(folder / "cellar" / "c.tif")
    (folder / "cellar" / "c.webp").unlink()
    refused(lambda: read_images(folder).load(1), "c.tif", "some of its pixels are no numbers")


def test_rows_check_themselves():
    with pytest.raises(ValueError, match="either files or an array"):
        ImageRows(["a"])
    with pytest.raises(ValueError, match="2 labels for 1 images"):
        ImageRows(["a", "b"], array=np.zeros((1, 2, 2), np.uint8))


def test_a_fingerprint_follows_content_and_labels(folder, tmp_path):
    expected = read_images(folder).fingerprint()
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_images(moved).fingerprint() == expected
    (moved / "attic" / "deep").rename(moved / "cellar" / "deep")
    save(moved / "attic" / "new.png")
    assert read_images(moved).fingerprint() != expected
    array = np.zeros((2, 3, 3), np.uint8)
    assert read_images((array, [0, 1])).fingerprint() == read_images((array.copy(), np.array([0, 1]))).fingerprint()
    assert read_images((array, [0, 1])).fingerprint() != read_images((array, [1, 0])).fingerprint()
    assert read_images((array, [0, 1])).fingerprint() != read_images((array + 1, [0, 1])).fingerprint()
