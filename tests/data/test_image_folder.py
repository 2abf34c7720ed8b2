"""Images of a folder are known by what they hold, and what is left out is counted and named."""

from pathlib import Path

import PIL.Image
import pytest

from hpsearch.data.image_folder import is_image, read_class_folders
from hpsearch.data.images import read_images
from hpsearch.errors import DataError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def save(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (4, 3)).save(path, format=kind)
    return path


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["no-suffix", "a.jfif", "a.avif", "a.txt", "a.JPG", "a.dat"])
def test_an_image_is_known_under_every_name(tmp_path: Path, kind: str, name: str) -> None:
    path = save(tmp_path / "cat" / name, kind)
    save(tmp_path / "dog" / "b.png")
    assert read_class_folders(tmp_path, "train").paths[0] == path
    assert read_images(tmp_path).load(0).size == (4, 3)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\n", b"P1: the patient", b"P5\n", b"BM W is a car", b"GIF", b"II*\0", b"%PDF-1.4", b"%!PS-Adobe"),
        *(b"\0\0\1\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WAVE", b"\x89HDF\r\n\x1a\n"),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ],
)
def test_what_is_no_image_is_left_out_and_named(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "cat" / "a.png")
    (tmp_path / "cat" / "notes.txt").write_bytes(content + b" and more" * 5)
    rows = read_images(tmp_path)
    assert names(list(rows.paths or ()), tmp_path) == ["cat/a.png"]
    assert rows.remarks == (
        "1 file of the train folder is no image that Pillow can read, and left out: 'cat/notes.txt'.",
    )


def test_a_folder_of_everything(tmp_path: Path) -> None:
    """As a person has it: with what the system, tools and other people put there."""
    for name in ("cat/1.png", "cat/2.jfif", "cat/3", "cat/deep/4.avif", "dog/5.png", "stray.png", "cat/.hidden.png",
                 "cat/.ipynb_checkpoints/1.png", ".cache/6.png"):  # fmt: skip
        save(tmp_path / name, "AVIF" if name.endswith("avif") else "JPEG" if "jfif" in name else "PNG")
    for name in ("README.md", "cat/Thumbs.db", "cat/desktop.ini", "cat/.DS_Store", "cat/._1.png", "dog/labels.csv",
                 "dog/clip.mp4", "dog/broken.png"):  # fmt: skip
        (tmp_path / name).write_bytes(b"\0\5\x16\7 no image")
    (tmp_path / "dog" / "linked").symlink_to(tmp_path / "cat")
    (tmp_path / "dog" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "bird").symlink_to(tmp_path / "cat")
    rows = read_images(tmp_path, role="test")
    assert names(list(rows.paths or ()), tmp_path) == [
        "bird/1.png", "bird/2.jfif", "bird/3", "bird/deep/4.avif", "cat/1.png", "cat/2.jfif", "cat/3",
        "cat/deep/4.avif", "dog/5.png", "dog/broken.png",
    ]  # fmt: skip
    assert rows.labels.tolist() == ["bird"] * 4 + ["cat"] * 4 + ["dog"] * 2
    misplaced, others = rows.remarks
    assert (
        "5 images of the test folder are hidden, or beside the class folders, and left out: 'stray.png'," in misplaced
    )
    assert "'cat/.hidden.png'" in misplaced
    assert "'cat/.ipynb_checkpoints/1.png'" in misplaced
    assert others == (
        "4 files of the test folder are no image that Pillow can read, and left out: 'dog/clip.mp4', 'dog/gone.txt', "
        "'dog/labels.csv', 'dog/linked'."
    )


def test_twelve_jfif_and_avif_among_twenty_four(tmp_path: Path) -> None:
    for number in range(24):
        suffix, kind = [("png", "PNG"), ("jfif", "JPEG"), ("jpg", "JPEG"), ("avif", "AVIF")][number % 4]
        save(tmp_path / ("cat", "dog")[number % 2] / f"{number}.{suffix}", kind)
    rows = read_images(tmp_path)
    assert (len(rows), rows.remarks) == (24, ())


def test_nothing_is_said_of_a_plain_folder(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    assert read_images(tmp_path).remarks == ()


def test_a_class_folder_without_an_image_names_what_it_has(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(
        DataError, match=r"'dog' of the train data holds no image that Pillow can read, such as a .png\."
    ):
        read_images(tmp_path)
    (tmp_path / "dog" / "a.mp4").write_bytes(b"film")
    with pytest.raises(DataError, match=r"such as a .png, but 'a.mp4'\. Remove the folder"):
        read_images(tmp_path)


def test_a_name_that_says_image_is_believed_so_that_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"what Pillow cannot read")
    assert is_image(path)
    assert not is_image(path.rename(tmp_path / "a.mov"))
