"""A folder as the files of a checkpoint, and back."""

import json
from pathlib import Path

import pytest

from hpsearch.errors import CheckpointError
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.tasks.loops.saved import FACTS_FILE, State, packed, paths_in, unpacked

STATE = State("run-1", 3, 120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "state"
    (place / "1_Pooling").mkdir(parents=True)
    (place / "1_Pooling" / "config with spaces.json").write_text("{}")
    (place / "model.safetensors").write_bytes(bytes(range(256)))
    return place


def test_a_folder_comes_back_through_a_checkpoint_on_disk(folder: Path, tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path / "checkpoints", 10**6)
    checkpoints.write("run-1", 3, 120, packed(STATE, folder))
    read = checkpoints.read("run-1")
    assert read is not None
    target = tmp_path / "restored"
    assert unpacked("run-1", read.files, target) == STATE
    assert paths_in(target) == paths_in(folder) == ["1_Pooling/config with spaces.json", "model.safetensors"]
    assert all((target / path).read_bytes() == (folder / path).read_bytes() for path in paths_in(folder))


def test_what_is_of_another_run_or_damaged_is_not_used(folder: Path, tmp_path: Path) -> None:
    files, target = packed(STATE, folder), tmp_path / "restored"
    facts = json.loads(files[FACTS_FILE])
    astray = json.dumps({**facts, "files": {"file-0": "../elsewhere"}}).encode()
    cases = [
        ("another run", "run-2", files),
        ("cannot be read", "run-1", {**files, FACTS_FILE: b"{}"}),
        ("not those that were saved", "run-1", {FACTS_FILE: files[FACTS_FILE]}),
        ("not those that were saved", "run-1", {**files, FACTS_FILE: astray}),
    ]
    for message, identity, given in cases:
        with pytest.raises(CheckpointError, match=message):
            unpacked(identity, given, target)
        assert not target.exists() and not (tmp_path / "elsewhere").exists()
