import logging

from hpsearch.display.display import Guarded
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
        "The display of the study failed, and shows nothing more; the study goes on."
    ] * 2
    assert "no such colour" in caplog.text
