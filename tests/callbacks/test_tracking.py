"""What the callbacks of all services share: each ended trial once, whatever became of the process before."""

import sys
from pathlib import Path

import pytest
from callback_studies import run, study

import hpsearch as hp
from hpsearch.callbacks import Tracking
from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord
from hpsearch.errors import UsageError


class Notebook(Tracking):
    """A service that is a list."""

    def __init__(self, pages: list[object]) -> None:
        super().__init__()
        self.pages = pages
        self.is_away = False

    service = "Notebook"  # type: ignore[assignment]
    destination = "a list"  # type: ignore[assignment]

    def send(self, record: TrialRecord) -> None:
        if self.is_away:
            raise ConnectionError("nobody answers")
        self.pages.append(record.number)

    def finish(self, record: StudyRecord) -> None:
        if self.is_away:
            raise ConnectionError("nobody answers")
        assert record.best is not None
        self.pages.append((dict(record.states), record.best.number))


def test_a_resumed_study_sends_what_is_new(tmp_path: Path) -> None:
    pages: list[object] = []
    run(study(tmp_path, Notebook(pages)), 1).store().close()
    assert pages == [0, ({"complete": 1}, 0)]
    run(study(tmp_path, Notebook(pages)), 2)
    assert pages[2] == 1
    assert len(pages) == 4


def test_one_callback_serves_many_calls_of_one_process(tmp_path: Path) -> None:
    pages: list[object] = []
    made = study(tmp_path, Notebook(pages))
    run(made, 1)
    run(made, 2)
    assert [page for page in pages if isinstance(page, int)] == [0, 1]


def test_trials_that_ended_while_nobody_was_told_are_sent_too(tmp_path: Path) -> None:
    pages: list[object] = []
    run(study(tmp_path), 1).store().close()  # without the callback: as if killed before it was told
    run(study(tmp_path, Notebook(pages)), 2)
    assert [page for page in pages if isinstance(page, int)] == [0, 1]


def test_a_service_that_is_away_ends_nothing_and_is_told_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages: list[object] = []
    away = Notebook(pages)
    away.is_away = True
    made = run(study(tmp_path, away), 2)
    assert len(made.result.table()) == 2
    assert pages == []
    assert caplog.text.count("could not be reached") == 1
    assert "2 trials were not sent to Notebook" in caplog.text
    made.store().close()
    run(study(tmp_path, Notebook(pages)), 2)  # nothing is left to train
    assert [page for page in pages if isinstance(page, int)] == [0, 1]


@pytest.mark.parametrize(
    "name, extra, make",
    [
        ("wandb", "wandb", lambda: hp.WandbCallback("p", mode="offline")),
        ("mlflow", "mlflow", lambda: hp.MLflowCallback("e")),
    ],
)
def test_a_missing_package_is_said_at_once_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str, make
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf'needs the package {name}, .* pip install "hpsearch\[{extra}\]"'):
        make()
