import errno
import json
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from records_samples import die_at_call, killed_in_child

from hpsearch.errors import StoreError
from hpsearch.records.checkpoint_folder import Checkpoint, CheckpointFolder

RUN, OTHER = "a" * 32, "b" * 32
OLD = {"weights.safetensors": b"old" * 1000, "state.json": b"{}"}
NEW = {"weights.safetensors": b"new" * 2000, "state.json": b'{"step": 20}', "extra.safetensors": b""}


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints", budget_bytes=10_000)


def reopened(folder: CheckpointFolder) -> CheckpointFolder:
    return CheckpointFolder(folder.folder, folder.budget_bytes)


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.folder.iterdir())


def test_what_is_written_is_read_by_this_process_and_the_next(folder: CheckpointFolder) -> None:
    assert folder.read(RUN) is None
    folder.write(RUN, point=1, step=10, files=OLD)
    folder.write(RUN, point=2, step=20, files=NEW)
    for each in (folder, reopened(folder)):
        assert each.read(RUN) == Checkpoint(2, 20, NEW)
        assert each.read(OTHER) is None
        assert each.runs() == {RUN}
    assert len(names(folder)) == 1  # the older one is gone
    description = json.loads((folder.folder / names(folder)[0] / "checkpoint.json").read_text())
    lengths = {name: len(NEW[name]) for name in NEW}
    checksum = f"{zlib.crc32(b''.join(NEW.values())):08x}"
    assert description == {"run": RUN, "point": 2, "step": 20, "bytes": lengths, "crc32": checksum}


def test_bytes_are_counted_as_they_lie_on_the_disk(folder: CheckpointFolder) -> None:
    assert (folder.bytes_used, folder.over_budget()) == (0, 0)
    folder.write(RUN, 1, 10, OLD)
    folder.write(OTHER, 1, 10, NEW)
    folder.write(OTHER, 2, 20, NEW)
    on_disk = sum(path.stat().st_size for path in folder.folder.rglob("*") if path.is_file())
    assert folder.bytes_used == reopened(folder).bytes_used == on_disk
    tight = CheckpointFolder(folder.folder, on_disk - 7)
    assert tight.over_budget() == 7
    assert tight.remove(RUN)
    assert not tight.remove(RUN)
    assert (tight.over_budget(), tight.read(RUN), tight.runs()) == (0, None, {OTHER})


def test_a_sweep_leaves_what_is_kept_and_nothing_else(folder: CheckpointFolder) -> None:
    folder.write(RUN, 1, 10, OLD)
    folder.write(OTHER, 1, 10, OLD)
    (folder.folder / f"{RUN}.2.partial").mkdir()
    (folder.folder / f"{RUN}.2.partial" / "weights.safetensors").write_bytes(b"torn")
    (folder.folder / "stray.tmp").write_bytes(b"")
    assert folder.sweep({RUN, "never written"}) == [f"{RUN}.2.partial", f"{OTHER}.1", "stray.tmp"]
    assert names(folder) == [f"{RUN}.1"]
    assert folder.read(RUN) == Checkpoint(1, 10, OLD)
    assert folder.bytes_used == reopened(folder).bytes_used
    assert reopened(folder).sweep(set()) == [f"{RUN}.1"]
    assert names(folder) == []


def damage_size(path: Path) -> None:
    (path / "weights.safetensors").write_bytes(b"short")


def damage_file(path: Path) -> None:
    (path / "state.json").unlink()


def damage_description(path: Path) -> None:
    (path / "checkpoint.json").write_text('{"run": ')


def damage_owner(path: Path) -> None:
    other = (path / "checkpoint.json").read_text().replace(RUN, OTHER)
    (path / "checkpoint.json").write_text(other)


def damage_bit(path: Path) -> None:
    content = bytearray((path / "weights.safetensors").read_bytes())
    content[7] ^= 1
    (path / "weights.safetensors").write_bytes(content)


DAMAGES = [damage_size, damage_file, damage_description, damage_owner, damage_bit, shutil.rmtree]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_logged_and_absent(
    folder: CheckpointFolder, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    folder.write(RUN, 1, 10, OLD)
    damage(folder.folder / f"{RUN}.1")
    with caplog.at_level(logging.WARNING, "hpsearch"):
        assert folder.read(RUN) is None
    assert f"{RUN}.1: this checkpoint is damaged" in caplog.text
    folder.write(RUN, 2, 20, NEW)
    assert folder.read(RUN) == Checkpoint(2, 20, NEW)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "checkpoint.json"])
def test_file_names_cannot_leave_the_folder(folder: CheckpointFolder, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a checkpoint's"):
        folder.write(RUN, 1, 10, {name: b""})


@pytest.mark.parametrize("run", ["../x", "a/b", "", "a.b"])
def test_run_keys_cannot_leave_the_folder(folder: CheckpointFolder, run: str) -> None:
    with pytest.raises(ValueError, match="cannot be a checkpoint's"):
        folder.write(run, 1, 10, OLD)


def test_a_disk_that_refuses_is_a_store_error_and_the_older_one_stays(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(RUN, 1, 10, OLD)
    used = folder.bytes_used

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*checkpoint_bytes="):
        folder.write(RUN, 2, 20, NEW)
    assert folder.read(RUN) == Checkpoint(1, 10, OLD)
    assert (folder.bytes_used, names(folder)) == (used, [f"{RUN}.1"])


def test_a_checkpoint_of_an_earlier_version_has_no_checksum_and_is_read(folder: CheckpointFolder) -> None:
    folder.write(RUN, 1, 10, OLD)
    place = folder.folder / f"{RUN}.1" / "checkpoint.json"
    facts = json.loads(place.read_text())
    del facts["crc32"]
    place.write_text(json.dumps(facts))
    assert folder.read(RUN) == Checkpoint(1, 10, OLD)


@pytest.mark.parametrize("moment", ["before", "while it is written", "as the older one goes"])
def test_a_folder_that_was_deleted_is_made_again(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder.write(RUN, 1, 10, OLD)
    if moment == "before":
        shutil.rmtree(folder.folder)
    else:  # once, at the rename of that moment
        rename, waits = os.rename, [None] * (moment != "while it is written")

        def deleted(source: Path, target: Path) -> None:
            if waits:
                waits.pop()
            elif folder.folder.exists() and not gone:
                gone.append(True)
                shutil.rmtree(folder.folder)
            rename(source, target)

        gone: list[bool] = []
        monkeypatch.setattr(os, "rename", deleted)
    if moment == "while it is written":
        with pytest.raises(StoreError, match="deleted or renamed meanwhile") as caught:
            folder.write(RUN, 2, 20, NEW)
        assert isinstance(caught.value.__cause__, FileNotFoundError)
    folder.write(RUN, 2, 20, NEW)
    if moment == "as the older one goes":  # then the newer one went with it, and the run trains again
        assert folder.read(RUN) is None
    else:
        assert folder.read(RUN) == Checkpoint(2, 20, NEW)
    folder.write(RUN, 3, 30, NEW)
    assert folder.read(RUN) == Checkpoint(3, 30, NEW)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "may not write there"),
        (errno.EROFS, "may not write there"),
        (errno.EIO, "Check the disk or the network drive"),
        (errno.ENOENT, "deleted or renamed"),
    ],
)
def test_only_a_full_disk_is_told_to_make_room(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match=remedy) as caught:
        folder.write(RUN, 1, 10, OLD)
    assert ("room" in str(caught.value)) is (number in (errno.ENOSPC, errno.EDQUOT))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another's link")
def test_a_strangers_link_in_its_place_is_refused_and_nothing_behind_it_is_swept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    (tmp_path / "checkpoints").symlink_to(tmp_path / "mine")
    CheckpointFolder(tmp_path / "checkpoints", 10_000)  # my own link, to a larger disk
    os.lchown(tmp_path / "checkpoints", 65534, 65534)
    with pytest.raises(StoreError, match=r"link that another user made"):
        CheckpointFolder(tmp_path / "checkpoints", 10_000).sweep(set())
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir", "unlink", "rmdir", "open"])
def test_a_kill_at_any_system_call_of_a_write_leaves_the_older_or_the_newer(
    folder: CheckpointFolder, name: str, after: bool
) -> None:
    folder.write(RUN, 1, 10, OLD)
    newer_seen, kills = False, 0
    while True:

        def write(call: int = kills + 1) -> None:
            die_at_call(os, name, call, after)
            reopened(folder).write(RUN, 2, 20, NEW)

        if not killed_in_child(write):
            break
        kills += 1
        now = reopened(folder)
        found = now.read(RUN)
        assert found in (Checkpoint(1, 10, OLD), Checkpoint(2, 20, NEW))
        newer_seen |= found == Checkpoint(2, 20, NEW)
        now.sweep({RUN})
        assert len(names(now)) == 1
        assert now.read(RUN) == found
        now.write(RUN, 1, 10, OLD)  # and it can be gone on from
    assert reopened(folder).read(RUN) == Checkpoint(2, 20, NEW)
    expected_kills = {"fsync": len(NEW) + 3, "rename": 2, "mkdir": 1}
    assert kills >= expected_kills.get(name, 1)
    if name in ("rename", "fsync"):
        assert newer_seen


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
@pytest.mark.parametrize("name", ["rename", "unlink", "rmdir"])
def test_a_kill_inside_a_removal_leaves_it_whole_or_gone(folder: CheckpointFolder, name: str) -> None:
    for call in range(1, 10):
        reopened(folder).write(RUN, 1, 10, OLD)

        def remove(call: int = call) -> None:
            die_at_call(os, name, call)
            reopened(folder).remove(RUN)

        killed = killed_in_child(remove)
        assert reopened(folder).read(RUN) in (None, Checkpoint(1, 10, OLD))
        reopened(folder).sweep(set())
        assert names(folder) == []
        if not killed:
            assert call > 1
            return
    pytest.fail("never came to an end")
