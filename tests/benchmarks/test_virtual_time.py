"""The benchmark of virtual time: what its pool notes, and what is made of it. The figures are another matter."""

import json
from pathlib import Path

import numpy as np
import pytest
from grid_samples import made_up, write

from benchmarks import grid_table, measurements, policy, virtual_time
from benchmarks.grid_table import GridTable
from benchmarks.noisy_pool import Noise, NoisyPool
from benchmarks.policy_replay import Ours, Until
from benchmarks.table_pool import TablePool
from benchmarks.virtual_time import Case
from hpsearch.records import Run, Segment
from hpsearch.runtime.messages import Train

NONE = Noise(0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def table() -> GridTable:
    return made_up()


@pytest.fixture
def stored(table: GridTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the benchmarks find the made-up table, and write into the same folder."""
    monkeypatch.setattr(grid_table, "FOLDER", tmp_path)
    monkeypatch.setattr(measurements, "FOLDER", tmp_path)
    write(table, tmp_path)
    policy.read.cache_clear()
    return tmp_path


def order(table: GridTable, index: int, fold: int = 0) -> Train:
    horizon = len(table.points[index][fold])
    config = {**table.params[index], "warmup_ratio": 0.1}
    return Train("s", Segment(Run(f"{index}-{fold}", config, fold, 0, horizon), 0, horizon))


def finish(pool: TablePool) -> None:
    while pool.busy():
        list(pool.completed(0.5))


def test_noise_is_of_a_run_and_a_seed_and_has_rare_long_points() -> None:
    noise = Noise(0.3, 0.01, 10.0)
    factors = np.concatenate([noise.factors(0, index, 0, 1000) for index in range(20)])
    assert np.array_equal(factors[:1000], noise.factors(0, 0, 0, 1000))
    assert not np.array_equal(factors[:1000], noise.factors(1, 0, 0, 1000))
    assert np.median(factors) == pytest.approx(1.0, abs=0.02)
    assert (factors > 4.0).mean() == pytest.approx(0.01, abs=0.003)
    assert np.array_equal(NONE.factors(0, 0, 0, 3), np.ones(3))


def test_a_pool_notes_how_long_its_slots_train_and_a_slow_one_takes_longer(table: GridTable) -> None:
    seconds = [sum(point.seconds for point in table.points[1][fold]) for fold in range(2)]
    pool = NoisyPool(table, [0.5, 1.0], NONE, 0)
    for fold, slot in enumerate(pool.idle()):
        pool.submit(slot, order(table, 1, fold))
    finish(pool)
    assert pool.now == pytest.approx(max(2 * seconds[0], seconds[1]))
    assert pool.trained == pytest.approx(2 * seconds[0] + seconds[1])
    assert pool.idle_share == pytest.approx(1.0 - pool.trained / (2 * pool.now))
    assert pool.idle_share_until_last == 0.0
    at = (pool.now, pool.trained)
    pool.submit(pool.slots()[1], order(table, 2))
    finish(pool)
    assert pool.at_last == at
    assert pool.idle_share_until_last == pytest.approx(1.0 - at[1] / (2 * at[0]))


@pytest.mark.parametrize("virtual", [None, 4])
def test_nothing_is_trained_in_vain_where_everything_is_decided_on(table: GridTable, virtual: int | None) -> None:
    pool = NoisyPool(table, [1.0, 1.0], Noise(), 0)
    replayed, history = Ours("bayesian", "none", in_memory=True, virtual_slots=virtual).replay_on(
        pool, table, 0, None, Until()
    )
    assert replayed.compute == table.exhaustive
    assert pool.in_vain(history) == pytest.approx(0.0)
    run = next(iter(history.evaluations))
    fewer = {key: of for key, of in history.evaluations.items() if key != run}
    assert 0.0 < pool.in_vain(type(history)(history.trials, fewer, history.results)) < 0.5


def test_one_worker_with_one_virtual_slot_decides_as_on_arrival(stored: Path) -> None:
    case = Case("made-up", "racing", 1, 1)
    assert case.done(0) == case.on_arrival.done(0)
    assert case.done(0)["idle"] == pytest.approx(0.0)


def test_figures_are_ratios_against_arrival_with_as_many_workers() -> None:
    case = Case("made-up", "racing", 2, 4)
    one = {
        "seconds": 10.0,
        "idle until the last trial": 0.25,
        "idle": 0.5,
        "in vain": 0.0,
        "compute": 8.0,
        "never": 0.0,
    }
    made = {case: [one, one | {"never": 1.0}], case.on_arrival: [one | {"seconds": 5.0, "compute": 4.0}] * 2}
    waited, reached = virtual_time.waited(made, case), virtual_time.reached(made, case)
    assert waited["idle until the last trial"] == {"value": 0.25, "from": 0.25, "to": 0.25}
    assert waited["seconds over those on arrival"]["value"] == 2.0
    assert reached["compute over that on arrival"]["value"] == 2.0
    assert [reached[name] for name in ("compute", "compute on arrival")] == pytest.approx([8.0, 4.0])
    assert reached["never reached"] == 1
    assert "slots at half speed" not in waited
    slow = virtual_time.waited({Case("made-up", "racing", 2, slots, None, 1): [one] for slots in (None, 4)},
                               Case("made-up", "racing", 2, 4, None, 1))  # fmt: skip
    assert slow["slots at half speed"] == 1


def test_the_benchmark_runs_and_keeps_the_other_parts(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(virtual_time, "PRUNERS", ("racing",))
    path = stored / "virtual_time.json"
    options = ["--tables", "made-up", "missing", "--seeds", "1", "--processes", "1", "--parts"]
    virtual_time.main([*options, "found"])
    assert "skipped, for want of the table 'missing'" in capsys.readouterr().out
    virtual_time.main([*options, "waiting"])
    found = json.loads(path.read_text())
    cases = {part: virtual_time.__dict__[f"{part}_cases"]("made-up") for part in ("found", "waiting")}
    for part, listed in cases.items():
        assert len(found[part]["made-up"]) == len(listed)
        assert all(row["seeds"] == 1 for row in found[part]["made-up"])
    goals = {row["what"]: row["met"] for row in found["readme"]}
    assert len(goals) == 7
    assert all(-1e-9 < row["idle"]["value"] < 1.0 for row in found["waiting"]["made-up"])
