"""What may be meant is not refused: it is said, and the study runs."""

import runpy
import subprocess
from pathlib import Path

import pytest
from mistake import TEXT, Mistake, changed_table, run_earlier, world_of, written
from tasks_samples import review_rows

from hpsearch.errors import HpsearchError, StoreError

TESTED = 'hp.TextClassification("model", train="train.csv", test="test.csv"{more})'


def _table(name: str, rows: int) -> object:
    return lambda place: review_rows(rows).to_csv(place / name, index=False)


WARNED = [
    (
        "test rows that are training rows",
        TESTED.format(more=""),
        _table("test.csv", 10),
        "10 of 10 test rows have texts",
    ),
    (
        "groups on both sides",
        TESTED.format(more=', group="site"'),
        _table("test.csv", 10),
        "groups of 'site' stand in both the training and the test rows",
    ),
    ("copies of rows", TEXT, changed_table(text="a film"), "23 of 24 training rows repeat the texts of another row"),
    ("a class that is rare", TEXT, changed_table(label=["odd"] * 3 + ["even"] * 21), "'odd' (3)"),
    (
        "labels in two spellings",
        TEXT,
        changed_table(label=["01", "1"] * 12),
        "the labels '01' and '1' differ in their spelling only",
    ),
    (
        "files among images that are none",
        'hp.ImageClassification("image-model", train="images")',
        written("images/cat/notes.txt", "no image"),
        "1 file of the train folder is no image that Pillow can read, and left out: 'cat/notes.txt'",
    ),
    ("texts that are cut", TEXT.replace(")", ", max_length=8)"), lambda _: None, "rows are longer than 8 tokens"),
    ("texts in another language", TEXT, changed_table(text=[f"wort {i}" for i in range(24)]), "does not know"),
]


@pytest.mark.parametrize(("task", "world", "words"), [each[1:] for each in WARNED], ids=[each[0] for each in WARNED])
def test_what_may_be_meant_is_said(task: str, world: object, words: str) -> None:
    with world_of(Mistake("", (), HpsearchError, task=task, world=world)):  # type: ignore[arg-type]
        prepared = runpy.run_path("study.py")["study"].plan.prepared
        assert any(words in warning for warning in prepared.warnings), prepared.warnings
        assert all("\n" not in warning for warning in prepared.warnings)


@pytest.mark.parametrize("size", ["100k", "300k"])
def test_a_disk_that_is_really_full(size: str, tmp_path: Path) -> None:
    """On a file system of its own, where this process may mount one: the refusal is the system's, ENOSPC."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this process may not mount a file system")
    try:
        mistake = Mistake("", (), HpsearchError, settings=f'folder="{disk}"')
        with world_of(mistake) as place, pytest.raises(StoreError, match="room") as caught:
            run_earlier(place)
        assert "\n" not in str(caught.value)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
