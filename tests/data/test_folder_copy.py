"""Folders of another machine: seen, or copied once, whole, and compared with what was written."""

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_dataset import ARRAYS

from hpsearch.data import folder_copy
from hpsearch.data.dataset import open_dataset, write_dataset
from hpsearch.data.folder_copy import Content, Listing, places
from hpsearch.errors import PreparedDataError, StoreError


@dataclass
class OtherMachine:
    """The machine that has the folders, here under another path; it counts what it is asked for."""

    moved: dict[str, Path]
    asked: list[str] = field(default_factory=list)

    def content(self, listing: Listing) -> Content:
        self.asked.append("content")
        return self._there(listing).content()

    def part(self, listing: Listing, name: str, start: int) -> bytes:
        self.asked.append(name)
        return self._there(listing).part(name, start)

    def _there(self, listing: Listing) -> Listing:
        return Listing(str(self.moved[listing.folder]), listing.files)


@pytest.fixture
def rows(tmp_path: Path) -> Listing:
    write_dataset(tmp_path / "cache" / "rows", ARRAYS, {"model": "m"})
    return Listing.of(tmp_path / "cache" / "rows")


@pytest.fixture
def away(tmp_path: Path, rows: Listing) -> OtherMachine:
    """The rows are on another machine only."""
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    return OtherMachine({rows.folder: tmp_path / "elsewhere" / "rows"})


def test_a_folder_that_is_seen_is_used_and_nothing_of_it_is_asked_or_read(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(folder_copy, "file_digest", None)
    sender = OtherMachine({})
    assert places([rows], tmp_path / "copies", sender) == {rows.folder: Path(rows.folder)}
    assert sender.asked == []
    assert not (tmp_path / "copies").exists()


def test_a_folder_that_its_own_machine_lacks_is_for_whoever_opens_it_to_miss(tmp_path):
    listing = Listing.of(tmp_path / "none")
    assert places([listing], tmp_path / "copies", OtherMachine({})) == {listing.folder: tmp_path / "none"}


def test_the_same_content_at_the_same_path_is_used_whatever_its_times(tmp_path, rows):
    shutil.copytree(tmp_path / "cache", tmp_path / "elsewhere")
    for file in Path(rows.folder).iterdir():
        os.utime(file, ns=(1, 1))
    listed = Listing.of(tmp_path / "elsewhere" / "rows")
    sender = OtherMachine({rows.folder: tmp_path / "elsewhere" / "rows"})
    here = Listing(rows.folder, listed.files)
    assert places([here], tmp_path / "copies", sender) == {rows.folder: Path(rows.folder)}
    assert sender.asked == ["content"]


def test_other_content_at_the_same_path_is_not_used(tmp_path, rows, away):
    write_dataset(rows.folder, {**ARRAYS, "targets": ARRAYS["targets"] + 1}, {"model": "m"})
    place = places([rows], tmp_path / "copies", away)[rows.folder]
    assert open_dataset(place)["targets"].tolist() == ARRAYS["targets"].tolist()


def test_what_is_not_seen_is_copied_in_parts_once(tmp_path, rows, away, monkeypatch):
    monkeypatch.setattr(folder_copy, "PART_BYTES", 100)
    place = places([rows], tmp_path / "copies", away)[rows.folder]
    dataset = open_dataset(place)
    assert dataset.facts == {"model": "m"}
    for name, array in ARRAYS.items():
        assert dataset[name].tobytes() == array.tobytes()
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        path.name: path.read_bytes() for path in away.moved[rows.folder].iterdir()
    }
    assert away.asked.count("targets.npy") == 2  # of 152 bytes
    away.asked.clear()
    assert places([rows], tmp_path / "copies", away) == {rows.folder: place}
    assert away.asked == ["content"]


@pytest.mark.parametrize("damage", ["flipped", "torn", "gone"])
def test_a_damaged_copy_is_noticed_and_made_anew(tmp_path, rows, away, damage):
    place = places([rows], tmp_path / "copies", away)[rows.folder]
    file = place / "targets.npy"
    before = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(before[:-1] + (b"\xff" if damage == "flipped" else b""))
    away.asked.clear()
    assert places([rows], tmp_path / "copies", away) == {rows.folder: place}
    assert file.read_bytes() == before
    assert away.asked.count("targets.npy") == 1
    assert [path.name for path in (tmp_path / "copies").iterdir() if path.is_dir()] == [place.parent.name]


def test_files_that_change_while_they_are_copied_leave_no_copy(tmp_path, rows, away):
    class Changing(OtherMachine):
        def part(self, listing: Listing, name: str, start: int) -> bytes:
            return super().part(listing, name, start)[:-1] + b"?"

    with pytest.raises(PreparedDataError, match="changed while they were copied"):
        places([rows], tmp_path / "copies", Changing(away.moved))
    (away.moved[rows.folder] / "facts.json").unlink()
    with pytest.raises(PreparedDataError, match="changed while they were copied"):
        places([rows], tmp_path / "copies", away)
    assert [path for path in (tmp_path / "copies").iterdir() if path.is_dir()] == []


def test_of_several_that_need_a_folder_at_once_one_copies_it(tmp_path, rows, away):
    class Slow(OtherMachine):
        def part(self, listing: Listing, name: str, start: int) -> bytes:
            time.sleep(0.05)
            return super().part(listing, name, start)

    sender, found = Slow(away.moved), []
    threads = [
        threading.Thread(target=lambda: found.append(places([rows], tmp_path / "copies", sender))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(place == found[0] for place in found)
    assert sender.asked.count("targets.npy") == 1


def test_without_locks_the_first_of_two_copies_counts(tmp_path, rows, away, monkeypatch):
    class Second(OtherMachine):
        def part(self, listing: Listing, name: str, start: int) -> bytes:
            if not self.asked.count("targets.npy"):
                first.extend(places([rows], tmp_path / "copies", away).values())
            return super().part(listing, name, start)

    def no_locks(*_, **__):
        raise NotImplementedError("this file system has none")

    first: list[Path] = []
    monkeypatch.setattr(folder_copy.filelock.FileLock, "acquire", no_locks)
    assert list(places([rows], tmp_path / "copies", Second(away.moved)).values()) == [first[0]]
    assert open_dataset(first[0]).facts == {"model": "m"}
    assert list((tmp_path / "copies").glob(".*.partial")) == []


KILLED = """
import os, sys
from pathlib import Path
from hpsearch.data.folder_copy import Listing, places
from test_folder_copy import OtherMachine

class Killed(OtherMachine):
    def part(self, listing, name, start):
        if name == "targets.npy":
            os.kill(os.getpid(), 9)
        return super().part(listing, name, start)

moved, folder, copies = map(Path, sys.argv[1:])
places([Listing(str(folder), Listing.of(moved).files)], copies, Killed({str(folder): moved}))
"""


def test_a_copy_whose_writer_is_killed_is_absent_and_made_by_the_next(tmp_path, rows, away):
    words = [sys.executable, "-c", KILLED, str(away.moved[rows.folder]), rows.folder, str(tmp_path / "copies")]
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    ended = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    assert len(list((tmp_path / "copies").glob(".*.partial"))) == 1
    place = places([rows], tmp_path / "copies", away)[rows.folder]
    assert open_dataset(place).facts == {"model": "m"}
    assert list((tmp_path / "copies").glob(".*.partial")) == []


def test_copies_beyond_the_budget_go_unless_they_are_in_use(tmp_path, rows, away, monkeypatch):
    copies = tmp_path / "copies"
    others = [copies / name / "rows" for name in ("oldest", "older", "used")]
    for age, folder in zip((3.0, 2.0, 0.0), others, strict=True):
        folder.mkdir(parents=True)
        (folder / "values").write_bytes(bytes(1000))
        then = time.time() - age * folder_copy.IN_USE_SECONDS
        os.utime(folder.parent, (then, then))
    size = sum(size for _, size, _ in rows.files)
    monkeypatch.setattr(folder_copy, "COPIES_BYTES", 2000 + size)
    place = places([rows], copies, away)[rows.folder]
    assert [folder.exists() for folder in others] == [False, True, True]
    shutil.rmtree(place.parent)
    monkeypatch.setattr(folder_copy, "COPIES_BYTES", 0)
    assert places([rows], copies, away) == {rows.folder: place}
    assert [folder.exists() for folder in others] == [False, False, True]


def test_a_machine_without_room_says_what_is_needed_and_loses_nothing(tmp_path, rows):
    class Enormous(OtherMachine):
        def content(self, listing: Listing) -> Content:
            return Content("rows", (("targets.npy", 10**18, "0" * 64),))

    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    old = tmp_path / "copies" / "old" / "rows"
    old.mkdir(parents=True)
    os.utime(old.parent, (1, 1))
    with pytest.raises(StoreError, match=r"^'rows' takes 1000000000.0 GB, and .* are free .*HPSEARCH_CACHE"):
        places([rows], tmp_path / "copies", Enormous({}))
    assert old.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path, rows, away):
    (tmp_path / "copies").write_text("a file")
    with pytest.raises(StoreError, match=r"copies cannot be written: file exists.*HPSEARCH_CACHE in the environment"):
        places([rows], tmp_path / "copies", away)
