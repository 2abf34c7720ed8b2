import threading
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from records_samples import add_trial, url_of
from sqlalchemy import create_engine, update

from hpsearch.errors import LeaseHeldError, StoreError, StudyNotFoundError, UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.records import tables
from hpsearch.records.file_lock import FileLock
from hpsearch.records.store import Store
from hpsearch.records.studies import lock_path


def test_asking_for_a_study_makes_nothing(tmp_path: Path) -> None:
    url = url_of(tmp_path / "none")
    assert Store.names(url) == []
    with pytest.raises(StudyNotFoundError, match="no study 'emotion'"):
        Store.open(url, "emotion")
    assert not (tmp_path / "none").exists()


def test_several_studies_share_a_database(url: str) -> None:
    description = {"metric": "f1_macro", "space": {"low": 1e-6}, "note": "ü \udcff"}
    for name in ("emotion", "sentiment"):
        with Store.create(url, name, {**description, "name": name}) as store:
            store.acquire()
            add_trial(store, 0)
    assert Store.names(url) == ["emotion", "sentiment"]
    with Store.open(url, "sentiment") as store:
        assert dict(store.description) == {**description, "name": "sentiment"}
        assert list(store.history.trials) == [0]
        assert store.name == "sentiment"


def test_a_study_is_made_once(url: str) -> None:
    Store.create(url, "emotion", {"first": True}).close()
    with pytest.raises(StoreError, match="exists already"):
        Store.create(url, "emotion", {"first": False})
    with Store.open(url, "emotion") as store:
        assert store.description == {"first": True}


def test_a_name_that_is_nearly_right_is_suggested(url: str) -> None:
    Store.create(url, "emotion", {}).close()
    with pytest.raises(StudyNotFoundError, match=r"no study 'emotoin'. Did you mean 'emotion'.*Known here: emotion"):
        Store.open(url, "emotoin")


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_that_no_database_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="1 to 255"):
        Store.create(url_of(tmp_path), name, {})


@pytest.mark.parametrize("name", ["a/b", "../../x", "x" * 255, "ü☃" * 100, "a b?c{d}%e"])
def test_any_other_name_and_path_is_fine(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a b {c} %20?d#e"
    url = url_of(folder)
    with Store.create(url, name, {}) as store:
        store.acquire()
        assert Store.names(url) == [name]
    assert {path.parent for path in tmp_path.rglob("*.lock")} == {folder}


def test_a_study_of_a_later_version_is_refused(url: str) -> None:
    Store.create(url, "emotion", {}).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(tables.studies).values(layout=tables.LAYOUT + 1))
    engine.dispose()
    with pytest.raises(StoreError, match=r"later version.*Upgrade"):
        Store.open(url, "emotion")


def test_a_study_that_is_being_made_is_not_made_twice(tmp_path: Path) -> None:
    lock = FileLock(lock_path(tmp_path / "study.db", "emotion"))
    assert lock.acquire("not yet written")
    with pytest.raises(LeaseHeldError, match="not yet written down"):
        Store.create(url_of(tmp_path), "emotion", {})
    lock.release()
    Store.create(url_of(tmp_path), "emotion", {}).close()


def test_of_many_that_make_one_study_at_once_one_does(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            Store.create(url_of(tmp_path), "emotion", {}).close()
            outcomes.append("made")
        except StoreError:
            outcomes.append("refused")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]


def test_an_optuna_study_of_that_name_is_taken_if_it_maximizes(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    for name, direction in (("emotion", StudyDirection.MAXIMIZE), ("loss", StudyDirection.MINIMIZE)):
        theirs = optuna.create_study(study_name=name, storage=storage, direction=direction)
        theirs.add_trial(optuna.trial.create_trial(value=0.5))
    storage.remove_session()
    storage.engine.dispose()
    with Store.create(url, "emotion", {}) as store:
        store.acquire()
        assert store.history.trials == {}
        assert add_trial(store, 0).number == 1  # a gap where the other tool's trial is
    with pytest.raises(StoreError, match=r"MINIMIZE.*another name"):
        Store.create(url, "loss", {})
    assert Store.names(url) == ["emotion"]


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made here"):
        Store.create(url_of(tmp_path / "file"), "emotion", {})


def test_a_study_that_minimizes_is_optunas_too(url: str) -> None:
    with Store.create(url, "emotion", {}, Direction.MINIMIZE) as store:
        store.acquire()
        assert add_trial(store, 0).number == 0
        assert store.history.direction is Direction.MINIMIZE
        assert store.optuna_study().direction is StudyDirection.MINIMIZE
    with Store.open(url, "emotion") as opened:
        assert opened.history.direction is Direction.MINIMIZE
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(study_name="accuracy", storage=storage, direction="maximize")
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(
        StoreError, match=r"'accuracy' exists that does not minimize one value .*MAXIMIZE.*another name"
    ):
        Store.create(url, "accuracy", {}, Direction.MINIMIZE)
