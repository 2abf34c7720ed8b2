"""The sender: everything arrives once, in order, and nobody waits for a service that is away."""

import json
import logging
import threading
from pathlib import Path

import pytest

from hpsearch.callbacks import sender as module
from hpsearch.callbacks.sender import RETRY_SECONDS, Sender
from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord
from hpsearch.records import Origin, TrialState

END = StudyRecord("study", "toy", "f1", {"complete": 1}, None)


def record(number: int) -> TrialRecord:
    return TrialRecord(
        number=number, state=TrialState.COMPLETE, origin=Origin.SAMPLER, config={}, value=0.5, point=1, epoch=1.0,
        folds=(), runs=1, interval=None, metrics={}, std=None, seconds=1.0, peak_memory_bytes=0, reason=None, note="",
        ended_runs=1, id=f"id-{number}", study="toy", study_id="study", objective="f1", curves=(),
    )  # fmt: skip


class Service:
    """Takes records, unless it is away or will not have one."""

    def __init__(self) -> None:
        self.taken: list[int | str] = []
        self.attempts = 0
        self.is_away = False
        self.refused: set[int] = set()
        self.attempted = threading.Event()

    def send(self, each: TrialRecord) -> None:
        self.attempts += 1
        try:
            if self.is_away or each.number in self.refused:
                raise ConnectionError("nobody answers")
            self.taken.append(each.number)
        finally:
            self.attempted.set()

    def finish(self, each: StudyRecord) -> None:
        if self.is_away:
            raise ConnectionError("nobody answers")
        self.taken.append(each.study)

    def sender(self, folder: Path, now: float = 0.0) -> Sender:
        self.now = now
        return Sender("The service", self.send, self.finish, folder / "ledger.json", lambda: self.now)


def test_everything_is_sent_in_order_and_the_end_last(tmp_path: Path) -> None:
    service = Service()
    sender = service.sender(tmp_path)
    for number in range(5):
        sender.offer(record(number))
    sender.finish(END)
    assert service.taken == [0, 1, 2, 3, 4, "toy"]
    assert json.loads((tmp_path / "ledger.json").read_text())["sent"] == [f"id-{number}" for number in range(5)]


def test_what_was_sent_before_is_not_sent_again(tmp_path: Path) -> None:
    first, second = Service(), Service()
    for service, numbers in ((first, [0, 1]), (second, [0, 1, 2])):
        sender = service.sender(tmp_path)
        for number in numbers:
            sender.offer(record(number))
        sender.finish(END)
    assert second.taken == [2, "toy"]


def test_a_service_that_is_away_is_left_alone_for_a_while_and_asked_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service()
    service.is_away = True
    sender = service.sender(tmp_path)
    for number in range(4):
        service.attempted.clear()
        sender.offer(record(number))
        if number == 0:
            service.attempted.wait(10)
    while sender._queue.qsize():
        pass
    assert service.attempts == 1
    service.is_away = False
    sender.finish(END)
    assert service.taken == [0, 1, 2, 3, "toy"]
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "The service could not be reached: ConnectionError: nobody answers. The study continues" in caplog.text


def test_it_is_asked_again_after_a_while(tmp_path: Path) -> None:
    service = Service()
    service.is_away = True
    sender = service.sender(tmp_path)
    sender.offer(record(0))
    service.attempted.wait(10)
    while sender._silent_until < RETRY_SECONDS:  # it has taken note of the failure
        pass
    service.is_away, service.now = False, RETRY_SECONDS + 1
    service.attempted.clear()
    sender.offer(record(1))
    service.attempted.wait(10)
    sender.finish(END)
    assert service.taken == [0, 1, "toy"]


def test_what_was_not_taken_is_sent_by_the_next_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away, there = Service(), Service()
    away.is_away = True
    for service in (away, there):
        sender = service.sender(tmp_path)
        sender.offer(record(0))
        sender.finish(END)
    assert "1 trials were not sent to The service; they will be when the study runs again" in caplog.text
    assert there.taken == [0, "toy"]


def test_one_record_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    service = Service()
    service.refused = {1}
    service.is_away = False
    sender = service.sender(tmp_path)
    for number in range(4):
        sender.offer(record(number))
    sender.finish(END)
    assert service.taken == [0, 2, 3, "toy"]
    assert json.loads((tmp_path / "ledger.json").read_text())["sent"] == ["id-0", "id-2", "id-3"]


def test_nobody_waits_for_a_service_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    released = threading.Event()
    sender = Sender("The service", lambda _: released.wait(30), lambda _: None, tmp_path / "ledger.json")
    sender.offer(record(0))
    sender.offer(record(1))
    sender.finish(END)
    assert "The service has not taken all trials within 0.2 seconds" in caplog.text
    released.set()
    sender._thread.join(30)
