"""The frame of `make gpu-check`: a part that takes too long, or fails, leaves room for the others."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gpu_check import Benches, Check, Part, checks, main, parts


def _quick(_: Benches) -> Iterator[Check]:
    yield Check("quick", "done")


def _slow(_: Benches) -> Iterator[Check]:
    yield Check("first", "done")
    time.sleep(5.0)
    yield Check("second", "done")


def _broken(_: Benches) -> Iterator[Check]:
    yield Check("before", "done")
    raise RuntimeError("CUDA error: no kernel image is available")


@pytest.fixture
def benches(tmp_path: Path) -> Benches:
    return Benches(tmp_path, "cpu")


def test_a_part_has_its_time_and_what_it_does_not_come_to_is_skipped(benches: Benches) -> None:
    parts: dict[str, Part] = {"slow": (1.2, _slow), "quick": (60.0, _quick)}
    started = time.monotonic()
    found = list(checks(benches, parts, whole=100.0))
    assert time.monotonic() - started < 5.0
    assert [(check.name, check.holds) for check in found] == [("first", True), ("part slow", None), ("quick", True)]
    assert "took longer than the 1 s" in found[1].text


def test_no_part_begins_after_the_time_of_all(benches: Benches) -> None:
    parts: dict[str, Part] = {"slow": (60.0, _slow), "quick": (60.0, _quick)}
    found = list(checks(benches, parts, whole=1.5))
    assert [(check.name, check.holds) for check in found] == [
        ("first", True),
        ("part slow", None),
        ("part quick", None),
    ]
    assert "no time was left" in found[2].text


def test_a_part_that_fails_does_not_hold_and_the_others_follow(benches: Benches) -> None:
    parts: dict[str, Part] = {"broken": (60.0, _broken), "quick": (60.0, _quick)}
    found = list(checks(benches, parts, whole=math.inf))
    assert [check.holds for check in found] == [True, False, True]
    assert found[1].text == "RuntimeError: CUDA error: no kernel image is available"


def test_a_part_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--device", "cpu", "--parts", "runs,graph"])
    assert f"there is no part 'graph'; there are {', '.join(parts())}" in capsys.readouterr().err
