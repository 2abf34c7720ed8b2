"""What signals do, without a study: who hears them, when, and what is as it was afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_studies import toy_study
from toy_task import ToyLearner

from hpsearch.errors import Preempted
from hpsearch.runtime.signals import NOTICES, Interruption

SIGNALS = (signal.SIGINT, *NOTICES)


def send(*numbers: int) -> None:
    """Send signals to this process, and wait until they are heard."""
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0.01)


def send_and_work(*numbers: int) -> None:
    send(*numbers)
    time.sleep(60)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests are started in the background
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.signal(signal.SIGINT, ours)
    assert not [thread for thread in threading.enumerate() if thread.name == "hpsearch-notice" and _outlives(thread)]


def _outlives(thread: threading.Thread) -> bool:
    thread.join(5.0)
    return thread.is_alive()


@pytest.mark.parametrize("number", NOTICES, ids=lambda number: number.name)
def test_what_cannot_be_paused_is_left_at_once(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    interruption = Interruption()
    with (
        pytest.raises(KeyboardInterrupt, match=f"^{number.name}: hpsearch has stopped") as caught,
        interruption.heard(),
    ):
        send_and_work(number)
    assert isinstance(caught.value, Preempted)
    assert caught.value.code == 75
    assert caplog.messages == [str(caught.value)]
    assert not interruption.is_set()


@pytest.mark.parametrize("number", NOTICES, ids=lambda number: number.name)
def test_what_can_be_paused_is_paused_once(number: signal.Signals) -> None:
    interruption, calls = Interruption(), []
    with interruption.heard(), interruption.pausing(lambda: calls.append(1)):
        send(number, number, number)
        assert calls == [1]
        assert interruption.is_set()
    raised = interruption.exception("the study was paused")
    assert isinstance(raised, Preempted)
    assert str(raised) == f"{number.name}: the study was paused"


def test_ctrl_c_pauses_what_can_be_paused_and_a_second_one_ends_it() -> None:
    interruption, calls = Interruption(), []
    with interruption.heard(), interruption.pausing(lambda: calls.append(1)):
        send(signal.SIGINT)
        assert calls == [1]
        with pytest.raises(KeyboardInterrupt) as caught:
            send_and_work(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt
    assert type(interruption.exception("paused")) is KeyboardInterrupt


def test_ctrl_c_after_a_notice_ends_it_and_a_notice_after_ctrl_c_counts() -> None:
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.heard(), interruption.pausing(lambda: None):
        send_and_work(signal.SIGTERM, signal.SIGINT)
    both = Interruption()
    with both.heard(), both.pausing(lambda: None):
        send(signal.SIGINT, signal.SIGTERM)
    assert isinstance(both.exception("paused"), Preempted)


def test_ctrl_c_where_nothing_can_be_paused_is_pythons_own() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, Interruption().heard():
        send_and_work(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt


def test_when_the_notice_is_over_what_still_runs_is_left() -> None:
    interruption, began = Interruption(0.5), time.monotonic()
    late = r"^SIGUSR1: hpsearch did not pause within 0\.5 seconds and has stopped"
    with pytest.raises(Preempted, match=late), interruption.heard(), interruption.pausing(lambda: None):
        send_and_work(signal.SIGUSR1)
    assert 0.3 < time.monotonic() - began < 5.0


def test_the_innermost_hears_and_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    outer, inner = Interruption(), Interruption()
    with pytest.raises(Preempted), outer.heard(), inner.heard():
        send_and_work(signal.SIGTERM)
    assert len(caplog.messages) == 1


def test_another_thread_hears_nothing_and_changes_nothing() -> None:
    handlers: list[object] = []

    def run() -> None:
        interruption = Interruption()
        with interruption.heard(), interruption.pausing(lambda: None):
            handlers.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == before


SWALLOWING = """
import os, signal, sys, time
from hpsearch.errors import Preempted
from hpsearch.runtime.signals import Interruption

with Interruption(1.0).heard():
    while True:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(60)
        except Preempted:
            pass
"""
UNCAUGHT = """
import os, signal, time
from hpsearch.runtime.signals import Interruption

with Interruption().heard():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (SWALLOWING, "hpsearch: 1 seconds after SIGUSR1 this process ends.\n"),
        (UNCAUGHT, "SIGTERM: hpsearch has stopped. Everything recorded is safe; run the same command to continue.\n"),
    ],
    ids=["what hears nothing is ended", "a script that catches nothing ends"],
)
def test_the_exit_code_is_one_to_requeue_on(code: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (75, said)


def test_a_refit_is_left_at_once_and_trained_anew_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = toy_study(tmp_path).run(trials=1, devices="inline", progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(ToyLearner, "_trouble", lambda *_: send_and_work(signal.SIGUSR1))
        with pytest.raises(Preempted, match="SIGUSR1"):
            result.export(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert result.export(tmp_path / "model").is_dir()
