"""The benchmarks run: their figures are another matter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import curves, measurements
from benchmarks.__main__ import BENCHMARKS, main

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measurements, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


def test_each_is_listed_and_is_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    for name in BENCHMARKS:
        assert f"  {name} " in listed
        assert (ROOT / "benchmarks" / f"{name}.py").is_file()
    assert main(["speed"]) == 2


def test_the_product_does_not_know_them() -> None:
    for path in (ROOT / "hpsearch").rglob("*.py"):
        assert "benchmarks" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("name", ["spans", "xrays", "translation"])
def test_without_its_data_it_ends_with_a_word(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--data", str(tmp_path / "absent")]) == 0
    assert f"{name}: skipped, for want of" in capsys.readouterr().out


@pytest.mark.long
def test_the_coordinators_time_is_measured_each_way(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coordinator", "--trials", "6", "--segments", "5", "--seconds", "1"]) == 0
    found = json.loads((results / "coordinator.json").read_text())
    assert found["trials"] == 6
    assert len(found["milliseconds a segment"]) == 6
    for row in found["milliseconds a segment"].values():
        assert row["segments"] == 5
        assert 0 < row["every segment"]["median"] <= row["every segment"]["p95"]
        assert row["evaluations a segment"] >= 1
    assert "bayesian  median" in capsys.readouterr().out


@pytest.mark.extended
def test_what_a_large_study_takes_is_measured(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "--trials", "40", "--studies", "3"]) == 0
    found = json.loads((results / "scale.json").read_text())["found"]
    assert list(found) == ["resume", "show", "list", "report"]
    assert all(figures["seconds"] > 0 for figures in found.values())
    assert found["report"]["MB"] > 50
    assert "goal 8 s, 400 MB" in capsys.readouterr().out


def test_samplers_are_replayed_on_recorded_fine_tunes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["curves", "--seeds", "3", "--trials", "12", "--samplers", "random", "qmc", "bayesian"])
    found = json.loads((results / "curves.json").read_text())
    assert found["configurations"] > 100
    for of_objective in found["objectives"].values():
        for name, row in of_objective["samplers"].items():
            assert row["seeds"] == 3
            regrets = [each["median"] for mark, each in row["regret"].items() if mark.endswith("trials")]
            assert regrets == sorted(regrets, reverse=True)
            assert 0.0 <= regrets[-1] < of_objective["best"] - of_objective["median"]
            assert ("against random" in row) == (name != "random")
    assert "median regret" in capsys.readouterr().out


def test_a_replay_is_judged_by_the_real_policy_and_pays_for_what_it_trains() -> None:
    table = curves.Table.read(curves.RECORDED)
    whole = curves.Replay(table, curves.made("random", table, 0), "none").run(12)
    pruned = curves.Replay(table, curves.made("random", table, 0), "median").run(12)
    tried = [trial.params for trial in whole._history.trials.values()]
    assert len({str(params) for params in tried}) == 12
    values = dict(zip(map(str, table.params), table.values, strict=True))
    assert [trial.value for trial in whole._history.trials.values()] == [values[str(params)] for params in tried]
    assert whole.spent[-1] == sum(3 * params["epochs"] for params in tried)
    assert pruned.spent[-1] < whole.spent[-1]
    assert whole.best[-1] == max(values[str(params)] for params in tried)


def test_the_nearest_recorded_configuration_is_itself_until_it_has_been_tried() -> None:
    table = curves.Table.read(curves.RECORDED)
    for index in (0, 7):
        assert table.nearest(table.params[index], set()) == index
        assert table.nearest(table.params[index], {index}) != index


def test_the_startup_is_measured(results: Path) -> None:
    main(["startup", "--repeats", "1"])
    found = json.loads((results / "startup.json").read_text())
    assert {"import hpsearch", "hpsearch --help"} <= set(found["seconds"])
    assert all(0 < each["median"] < 600 for each in found["seconds"].values())


def test_without_a_gpu_the_gpu_check_says_so_in_a_line() -> None:
    environment = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    command = [sys.executable, "-m", "benchmarks", "gpu_check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert "no CUDA device" in done.stdout


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (1.0, 10), (0.05, 1)])
def test_a_percentile_is_the_value_that_so_many_are_not_above(share: float, expected: int) -> None:
    assert measurements.percentile(list(range(10, 0, -1)), share) == expected
