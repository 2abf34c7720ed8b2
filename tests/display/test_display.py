import logging
import time
from pathlib import Path

import pytest

from hpsearch.display.display import Guarded, check_progress
from hpsearch.display.live import LiveDisplay, LivePart
from hpsearch.display.standing import Watch
from hpsearch.display.wording import devices_text
from hpsearch.errors import UsageError
from hpsearch.records import History


class Broken:
    def __init__(self) -> None:
        self.calls = 0

    def observe(self, history, trial):
        self.calls += 1
        raise ValueError("no such colour")

    def close(self):
        raise ValueError("nor this one")


def test_a_display_that_fails_ends_nothing_and_is_asked_no_more(caplog):
    broken = Broken()
    display = Guarded(broken)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        display.observe(History(), None)
        display.observe(History(), None)
        display.close()
    assert broken.calls == 1
    assert [record.getMessage() for record in caplog.records] == [
        "The study's display failed and shows nothing more. The study continues."
    ] * 2
    assert "no such colour" in caplog.text


def test_an_error_in_the_drawing_thread_ends_nothing_either(caplog):
    class Torn:
        seconds = 0.0

        def show(self, drawing):
            raise ValueError("no such colour")

        def close(self, text):
            self.left = text.plain

    torn = Torn()
    watch = Watch("toy", Path("toy"), "f1", 3, 1)
    display = Guarded(LivePart(LiveDisplay([watch], torn), watch))
    limit = time.monotonic() + 20
    with caplog.at_level(logging.WARNING, "hpsearch"):
        while not caplog.records and time.monotonic() < limit:
            display.observe(History(), None)
        display.observe(History(), None)
        display.close()
    assert len(caplog.records) == 1
    assert "no such colour" in caplog.text
    assert torn.left.startswith("toy: 0/3 trials")


@pytest.mark.parametrize("progress", ["line", "plane", "auto", 1, None])
def test_a_display_that_there_is_not_is_refused_with_those_that_there_are(progress):
    with pytest.raises(UsageError, match=r"progress=.* is not understood.*Use True .*, 'plain' for .*, or False"):
        check_progress(progress)


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ({"cpu": 4}, "4 x cpu"),
        ({"cuda:0": 1, "cuda:1": 2}, "cuda:0, 2 x cuda:1"),
        ({"a/cpu": 2, "b/cpu": 1}, "2 x a/cpu, b/cpu"),
        ({"a/cuda:0": 1, "a/cuda:1": 1, "b/cuda:0": 2}, "2 x a/cuda, 2 x b/cuda"),
        ({f"gpu-{node}/cuda:{gpu}": 1 for node in range(16) for gpu in range(8)}, "128 x cuda of 16 nodes"),
    ],
)
def test_devices_of_a_cluster_are_counted_by_node_or_of_many_nodes_together(devices, text):
    assert devices_text(devices) == text
