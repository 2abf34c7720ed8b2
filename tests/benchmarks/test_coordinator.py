"""What the coordinator costs: the benchmark itself, on a study of few trials."""

import json
from pathlib import Path

import pytest

from benchmarks import coordinator, measurements
from benchmarks.simulated_slots import Parts


def test_it_times_segments_and_keeps_simulated_slots_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "FOLDER", tmp_path)
    monkeypatch.setattr(coordinator, "LOADS", ((3, 0.3, "random", "none"), (2, 0.2, "random", "racing")))
    monkeypatch.setattr(coordinator, "GOALS_MS", {"random": 10.0})
    found = coordinator.main(["--trials", "5", "--segments", "6", "--seconds", "1.5"])
    assert json.loads((tmp_path / "coordinator.json").read_text())["simulated slots"] == found["simulated slots"]
    assert set(found["milliseconds a segment"]) == {f"random, pruner {each}" for each in ("none", "median", "racing")}
    for load in found["simulated slots"]:
        assert 0.0 < load["busy"] <= 1.0  # how much of it depends on who else is on this machine
        shares = load["shares of the time"]
        assert sum(shares.values()) == pytest.approx(1.0, abs=0.1)
        assert {"evaluations", "waiting for events"} <= set(shares)


def test_what_a_part_calls_of_another_counts_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("benchmarks.simulated_slots.time.perf_counter", lambda: float(next(clock)))
    parts = Parts()  # at 0
    with parts.during("outer"), parts.during("inner"):
        pass
    assert parts.seconds == {"the rest": 1.0, "outer": 2.0, "inner": 1.0}
