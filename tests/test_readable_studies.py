"""A finished study is always readable: without its data, its model, its script, and the right to write."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading import as_another_user, give_to_another_user, prints, told
from tasks_samples import review_rows, save_text_model
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import DataError, StoreError, StudyChangedError, UsageError
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, two CSV files, and a study of them: `told.json` is what it had to tell when it ended."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        model = save_text_model(folder / "tiny-bert")
        review_rows(36).to_csv(folder / "train.csv", index=False)
        review_rows(18, seed=1).to_csv(folder / "test.csv", index=False)
        sources = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
        task = hp.TextClassification(str(model), text="text", label="label", **sources)
        space = hp.Space(
            default={"learning_rate": 3e-3}, learning_rate=hp.Float(1e-3, 2e-2, log=True), epochs=1, batch_size=8
        )
        settings: dict[str, Any] = {"sampler": "random", "cv": 2, "pruner": "none", "metrics": ["accuracy", "log_loss"]}
        study = hp.Study("texts", task, space, folder=folder / "runs", **settings)
        result = study.run(trials=3, devices="inline", progress=False)
        (folder / "told.json").write_text(json.dumps(told(result, folder)))
        yield folder


@pytest.fixture
def moved(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A copy of the study's folder on its own, and what it has to tell; its data, model and cache are out of reach."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "empty"))
    shutil.copytree(place / "runs" / "texts", tmp_path / "texts")
    hidden = place.with_name(f"{place.name}-hidden")
    place.rename(hidden)
    yield tmp_path / "texts", json.loads((hidden / "told.json").read_text())
    hidden.rename(place)


def test_a_study_alone_tells_all_it_told(moved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, expected = moved
    before = prints(folder)
    result = hp.load(folder).result
    assert json.loads(json.dumps(told(result, tmp_path))) == expected
    assert prints(folder) == before
    with pytest.raises(DataError, match=r"train\.csv"):
        result.export(tmp_path / "model")
    with pytest.raises(DataError, match=r"train\.csv"):
        result.test_scores(next(number for number in range(3) if number not in (0, result.best.number)))
    assert json.loads(json.dumps(told(result, tmp_path))) == expected  # nothing of the failures stays
    assert prints(folder) == before


def test_what_was_not_scored_before_is_said_to_be_missing(
    moved: tuple[Path, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _ = moved
    shutil.rmtree(folder / "test")
    result = hp.load(folder).result
    page = result.report(tmp_path / "report.html").read_text()
    assert "The test rows could not be scored here" in page
    assert "The test rows could not be scored here, so the verdict is over the folds: " in caplog.text
    assert "train.csv" in caplog.text
    shutil.copytree(folder, tmp_path / "other")
    other = hp.load(tmp_path / "other").result
    assert len(hp.compare([result, other]).table()) == 2
    assert any("train.csv" in (judged.why_not or "") for judged in hp.compare([result, other]).evidence())


def test_a_study_whose_rows_were_edited_is_read_and_not_trained(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    expected = json.loads((place / "told.json").read_text())
    kept = (place / "train.csv").read_text()
    review_rows(40).to_csv(place / "train.csv", index=False)
    try:
        study = hp.load("texts", folder=place / "runs")
        assert json.loads(json.dumps(told(study.result, tmp_path))) == expected
        for trains in (lambda: study.result.export(tmp_path / "model"), lambda: study.run(trials=4, devices="inline")):
            with pytest.raises(StudyChangedError, match="the training data"):
                trains()
        assert json.loads(json.dumps(told(study.result, tmp_path))) == expected  # nor do its rows change meanwhile
    finally:
        (place / "train.csv").write_text(kept)


def test_another_users_study_is_read_and_nothing_is_written(moved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, expected = moved
    give_to_another_user(folder)
    before = prints(folder)
    (tmp_path / "own").mkdir()
    read = as_another_user(str(Path(__file__).with_name("result") / "reading.py"), str(folder), cwd=tmp_path / "own")
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout.splitlines()[-1])
    assert found["told"] == expected
    codes = {name: code for name, (code, _) in found["commands"].items()}
    assert codes == {"show": 0, "list": 0, "report": 0, "export": 2, "resume": 2}
    assert (tmp_path / "own" / "texts-report.html").is_file()  # where it may be written
    for name in ("export", "resume"):
        assert "train.csv" in found["commands"][name][1]
    assert prints(folder) == before


@pytest.mark.parametrize("killed", [False, True], ids=["write-ahead", "with a log"])
def test_a_database_in_write_ahead_mode_is_read_where_nothing_can_be_written(tmp_path: Path, killed: bool) -> None:
    """So earlier versions left it; with its log beside it, a kill."""
    result = toy_study(tmp_path, {}).run(trials=2, devices="inline", progress=False)
    database = tmp_path / "toy" / "study.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("UPDATE hpsearch_lease SET since = 0")
    connection.commit()
    folder = tmp_path / "copy"
    if killed:
        shutil.copytree(tmp_path / "toy", folder, ignore=shutil.ignore_patterns("*-shm"))
        connection.close()
    else:
        connection.close()
        shutil.copytree(tmp_path / "toy", folder)
    assert (folder / "study.db-wal").exists() == killed
    give_to_another_user(folder)
    before = prints(folder)
    (tmp_path / "own").mkdir()
    shown = as_another_user("-m", "hpsearch", "show", str(folder), cwd=tmp_path / "own")
    assert shown.returncode == 0, shown.stderr
    assert result.text() in shown.stdout
    assert prints(folder) == before


def test_an_ended_study_is_one_file_and_opening_it_writes_nothing(tmp_path: Path) -> None:
    study = toy_study(tmp_path, {})
    study.run(trials=2, devices="inline", progress=False)
    assert sorted(file.name for file in (tmp_path / "toy").glob("study.db*")) == ["study.db", "study.db.toy.lock"]
    before = prints(tmp_path / "toy")
    with Store.open(sqlite_url(tmp_path / "toy" / "study.db"), "toy") as store:
        assert len(store.history.trials) == 2
        assert len(store.optuna_study().trials) == 2
        with pytest.raises(Exception, match=r"not hold|attempt to write"):
            store.replace_description({})
    assert prints(tmp_path / "toy") == before


def test_an_optuna_study_that_is_kept_holds_no_file_open(tmp_path: Path) -> None:
    """A notebook looks at it while the study runs on: that is one file at its end too."""
    study = toy_study(tmp_path, {})
    study.run(trials=1, devices="inline", progress=False)
    kept = hp.load("toy", folder=tmp_path).optuna
    study.callbacks = (lambda _study, _trial: kept.get_trials(),)
    study.run(trials=2, devices="inline", progress=False)
    assert sorted(file.name for file in (tmp_path / "toy").glob("study.db*")) == ["study.db", "study.db.toy.lock"]
    assert len(kept.trials) == 2


def test_the_history_is_read_once_for_a_run_and_once_for_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpsearch.records import reading

    toy_study(tmp_path, {}).run(trials=2, devices="inline", progress=False)
    read, times = reading.read_history, []

    def counted(*arguments: Any) -> Any:
        times.append("read")
        return read(*arguments)

    monkeypatch.setattr(reading, "read_history", counted)
    result = hp.load("toy", folder=tmp_path).run(trials=3, devices="inline", progress=False)
    assert (len(times), len(result.history.trials)) == (1, 3)
    del result, times[:]
    hp.load("toy", folder=tmp_path).result.content(with_test=False)
    assert len(times) == 1


def test_what_is_computed_but_cannot_be_kept_is_refused_before_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = toy_study(tmp_path, {}).run(trials=2, devices="inline", progress=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StoreError, match=r"may not be written to.*Copy the study's folder"):
        result.test_scores()


def test_a_folder_under_another_name_is_listed_by_the_name_that_commands_take(tmp_path: Path) -> None:
    from hpsearch.cli.listing import list_rows

    toy_study(tmp_path, {}).run(trials=1, devices="inline", progress=False)
    shutil.copytree(tmp_path / "toy", tmp_path / "kept")
    (tmp_path / "toy").rename(tmp_path / "renamed")
    rows = list(list_rows(tmp_path, None))
    assert [row[0] for row in rows] == ["kept", "renamed"]
    assert all("called 'toy'" in row[-1] for row in rows)
    for row in rows:
        assert len(hp.load(row[0], folder=tmp_path).result.history.trials) == 1
    assert [description.name for description in hp.studies(tmp_path)] == ["toy", "toy"]


def test_a_study_that_kept_nothing_needs_its_data_as_before(moved: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = moved
    with Store.open(sqlite_url(folder / "study.db"), "texts") as store:
        store.acquire()
        store.replace_description({**store.description, "rows": None})
    with pytest.raises(UsageError, match=r"train\.csv"):
        _ = hp.load(folder).result
