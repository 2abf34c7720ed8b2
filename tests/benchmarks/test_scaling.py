"""Two workers against one: what is run in which order, and what is counted."""

import pytest

from benchmarks import scaling


def test_runs_alternate_and_every_round_begins_with_the_other() -> None:
    assert scaling.order(3) == [1, 2, 2, 1, 1, 2]
    assert all(scaling.order(5).count(workers) == 5 for workers in (1, 2))


def test_medians_are_compared_and_pairs_give_the_spread() -> None:
    found = scaling.figures({1: [10.0, 20.0, 18.0], 2: [5.0, 12.5, 9.0]})
    assert found == {"times": 2.0, "low": 1.6, "high": 2.0, "goal": 1.8, "met": True}
    assert not scaling.figures({1: [17.0], 2: [10.0]})["met"]


def test_without_the_data_it_is_skipped_and_says_what_is_wanting(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scaling.main(["--data", str(tmp_path)]) is None
    assert "skipped" in capsys.readouterr().out
