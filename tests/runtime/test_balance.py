"""The end of a study on several workers, in virtual time: none is idle while another trains; no result differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_studies import known_of, table, toy_study
from virtual_pool import VirtualPool

import hpsearch as hp
from hpsearch.records import Run
from hpsearch.runtime.pools import POOLS
from hpsearch.runtime.pools.base import PoolChoice

pytestmark = pytest.mark.slow

UNEQUAL = hp.Space(
    learning_rate=hp.Float(1e-3, 1e-1, log=True, grid=[1e-3, 1e-2]),
    batch_size=hp.Categorical([8, 16, 32]),
    epochs=hp.Int(1, 6, step=5),
    warmup_ratio=0.1,
)
"""Trials that take up to eighteen times as long as others; twelve on the grid."""

IDLE = 0.1


def seconds(run: Run) -> float:
    """Return what an evaluation point takes: the smaller the batches, the longer."""
    return {8: 40.0, 16: 22.0, 32: 13.0}[run.config["batch_size"]]


Study = Callable[..., VirtualPool]


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[VirtualPool]:
    """The virtual pools that `devices="virtual:2"` has opened."""
    pools: list[VirtualPool] = []

    def opening(devices: Any) -> Callable[[], VirtualPool]:
        pools.append(VirtualPool(int(str(devices).partition(":")[2]), seconds))
        return lambda: pools[-1]

    virtual = PoolChoice(("virtual",), lambda devices: str(devices).startswith("virtual"), opening, is_in_process=True)
    monkeypatch.setattr("hpsearch.runtime.pools.POOLS", [virtual, *POOLS])
    return pools


@pytest.fixture
def study(pools: list[VirtualPool], tmp_path: Path) -> Study:
    """Runs a study of twelve unequal trials in a folder of a name, on so many virtual workers."""

    def run(name: str, workers: int, trials: int | None = 12, **settings: Any) -> VirtualPool:
        made = toy_study(tmp_path / name, **{"space": UNEQUAL, "sampler": "random", **settings})
        made.run(trials=trials, devices=f"virtual:{workers}", progress=False)
        made.store().close()
        return pools[-1]

    return run


def idle_shares(pool: VirtualPool, since: float = 0.0) -> list[float]:
    """Return the share of the time that each worker trained nothing, from some share of the time on."""
    end = max(span[3] for span in pool.spans)
    begin = since * end
    busy = [
        sum(until - max(began, begin) for slot, _, began, until in pool.spans if slot == each.index and until > begin)
        for each in pool.slots()
    ]
    return [1.0 - trained / (end - begin) for trained in busy]


@pytest.mark.parametrize("seed", range(4))
def test_no_worker_is_idle_while_another_trains_on(study: Study, seed: int) -> None:
    pool = study("two", 2, seed=seed)
    assert max(idle_shares(pool)) <= IDLE
    assert max(idle_shares(pool, since=0.75)) <= IDLE


def test_nor_at_the_end_of_a_grid_of_which_no_number_is_said(study: Study) -> None:
    pool = study("two", 2, None, sampler="grid")
    assert max(idle_shares(pool, since=0.75)) <= IDLE


@pytest.mark.parametrize("seed", range(2))
def test_with_a_sampler_that_learns_little_is_asked_ahead(study: Study, seed: int) -> None:
    pool = study("two", 2, sampler="bayesian", seed=seed)
    assert max(idle_shares(pool)) <= IDLE


@pytest.mark.parametrize("sampler", ["random", "bayesian"])
def test_trials_that_wait_for_promotions_begin_in_time(study: Study, sampler: str) -> None:
    settings = {"sampler": sampler, "pruner": "racing", "reproducible": False}  # a plan waits a little more
    shares = [idle_shares(study(f"two {seed}", 2, seed=seed, **settings)) for seed in range(2)]
    assert max(map(max, shares)) <= IDLE


@pytest.mark.parametrize("pruner", ["none", "racing"])
def test_three_uneven_studies_end_within_a_twentieth_of_the_ideal_packing(
    pools: list[VirtualPool], tmp_path: Path, pruner: str
) -> None:
    """The ideal: two workers that end at the same moment. Under a plan promotions come a little later."""
    planned = pruner == "none"
    studies = [
        toy_study(tmp_path / sampler, space=UNEQUAL, sampler=sampler, pruner=pruner, seed=seed, reproducible=planned)
        for seed, sampler in enumerate(["random", "grid", "bayesian"])
    ]
    hp.run(studies, [9, 9, 3], devices="virtual:2", progress=False)
    for each in studies:
        each.store().close()
    assert sum(idle_shares(pools[-1])) / 2 <= 1 - 1 / 1.05


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("sampler", ["grid", "random"])
@pytest.mark.parametrize("pruner", ["none", hp.Racing(synchronous=True)], ids=["none", "racing"])
def test_the_order_changes_no_result(study: Study, tmp_path: Path, workers: int, sampler: str, pruner: Any) -> None:
    study("one", 1, sampler=sampler, pruner=pruner)
    study("several", workers, sampler=sampler, pruner=pruner)
    assert table(tmp_path / "several").equals(table(tmp_path / "one"))
    assert known_of(tmp_path / "several") == known_of(tmp_path / "one")


def test_one_worker_alone_keeps_its_order(study: Study, tmp_path: Path) -> None:
    """The oldest trial first, and a new one only when none can continue."""
    pool = study("one", 1)
    trials = hp.load("toy", folder=tmp_path / "one").store().history.trials
    assert [run for _, run, _, _ in pool.spans] == [run.key for trial in trials.values() for run in trial.runs]
