"""Replays on grids: the pool, the charge, the parties' common terms. The figures are another matter."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from grid_samples import made_up, write

from benchmarks import (
    exact_wilcoxon,
    grid_table,
    measurements,
    policy,
    policy_list,
    policy_measures,
    policy_syne_tune,
    policy_tuning,
)
from benchmarks.grid_table import GridTable, Untried
from benchmarks.policy_peers import Halving, Hyperband, Median, OptunaPeer, Rule, Wilcoxon
from benchmarks.policy_replay import Complete, Ours, Replayed, Until
from benchmarks.policy_replay import replay as replayed
from benchmarks.policy_syne_tune import SyneTune
from benchmarks.policy_walk import Ways, longest
from benchmarks.table_pool import TablePool
from hpsearch.records import Outcome, Run, Segment
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Train


@pytest.fixture(scope="module")
def table() -> GridTable:
    return made_up()


@pytest.fixture(scope="module")
def larger() -> GridTable:
    return made_up(6, (8, 16, 32), (1, 2, 4))


# The table


def test_a_table_is_read_as_it_was_written(table: GridTable, tmp_path: Path) -> None:
    write(table, tmp_path)
    read = GridTable.read("made-up", tmp_path)
    assert read.params == table.params
    assert read.points == table.points
    assert read.tested == table.tested
    assert read.values == table.values
    assert (read.folds, len(read.params), read.exhaustive) == (3, 12, 3 * 6 * (1 + 2))


def test_a_proposal_is_places_on_the_grid_and_what_is_trained_is_the_recorded_configuration(table: GridTable) -> None:
    assert table.space.parameters["learning_rate"].high == 2
    for index, params in enumerate(table.params):
        assert table.proposed(table.proposal(index)) == index
        assert table.config(table.proposal(index)) == {**params, "warmup_ratio": 0.1}
        assert table.index(params) == index
    assert table.params[table.default] == table.recorded.default
    assert table.space.default == table.proposal(table.default)


def test_a_tried_proposal_becomes_the_nearest_untried_one_which_of_equals_by_the_seed(table: GridTable) -> None:
    middle = {"learning_rate": 1, "batch_size": 8, "epochs": 0}
    at = table.proposed(middle)
    found = []
    for seed in range(20):
        untried = Untried(table, seed)
        assert untried.nearest(middle, set()) == at
        found.append(table.proposal(untried.nearest(middle, {at})))
        assert untried.nearest(middle, {at}) == untried.nearest(middle, {at})
        assert untried.nearest(middle, range(12)) is None
    assert {each["learning_rate"] for each in found} == {0, 2}
    assert {each["batch_size"] for each in found} == {8}


# The pool


def order(table: GridTable, index: int, fold: int = 0, start: int = 0, stop: int | None = None, **more) -> Train:
    config = {**table.params[index], "warmup_ratio": 0.1}
    horizon = len(table.points[index][fold])
    return Train("s", Segment(Run(f"{index}-{fold}", config, fold, 0, horizon), start, stop or horizon), **more)


def finished(pool: TablePool) -> list[Event]:
    found: list[Event] = []
    while pool.busy():
        found += pool.completed(0.5)
    return found


def points_of(events: Sequence[Event]) -> list[int]:
    return [event.evaluation.point for event in events if isinstance(event, Evaluated)]


def test_an_order_ends_once_after_its_evaluations_in_order(table: GridTable) -> None:
    pool = TablePool(table, 1)
    pool.submit(pool.idle()[0], order(table, 1))
    assert (pool.idle(), len(pool.training())) == ([], 1)
    events = finished(pool)
    assert points_of(events) == [1, 2, 3, 4]
    assert [type(event) for event in events[-1:]] == [Ended]
    assert (events[-1].result.outcome, events[-1].result.point) == (Outcome.OK, 4)
    assert [event.evaluation.metrics for event in events[:-1]] == [point.metrics for point in table.points[1][0]]
    assert pool.compute == 2.0
    assert pool.now == pytest.approx(sum(point.seconds for point in table.points[1][0]))
    assert (pool.idle(), pool.training()) == (pool.slots(), [])


def test_workers_take_turns_in_the_order_of_simulated_time(table: GridTable) -> None:
    pool = TablePool(table, 2)
    for fold, slot in enumerate(pool.idle()):
        pool.submit(slot, order(table, 1, fold))
    events = finished(pool)
    at = {0: 0.0, 1: 0.0}
    times = []
    for event in events:
        if isinstance(event, Evaluated):
            fold = int(event.evaluation.run[-1])
            at[fold] += event.evaluation.seconds
            times.append(at[fold])
    assert times == sorted(times)
    assert pool.now == pytest.approx(times[-1])


def test_a_run_that_goes_on_from_its_checkpoint_is_trained_once_and_without_one_anew(table: GridTable) -> None:
    pool = TablePool(table, 1)
    slot = pool.slots()[0]
    pool.submit(slot, order(table, 1, stop=2, leaves_checkpoint=True))
    events = finished(pool)
    assert [type(event) for event in events] == [Evaluated, Evaluated, Checkpointed, Ended]
    pool.submit(slot, order(table, 1, start=2, checkpoint=events[2].files))
    assert points_of(finished(pool)) == [3, 4]
    assert pool.compute == 2.0
    pool.submit(slot, order(table, 1, start=2))
    assert points_of(finished(pool)) == [1, 2, 3, 4]
    assert pool.compute == 4.0


def test_interrupted_it_leaves_a_checkpoint_and_cancelled_none_and_begun_points_are_charged(table: GridTable) -> None:
    for action in ("interrupt", "cancel"):
        pool = TablePool(table, 2)
        for fold, slot in enumerate(pool.idle()):
            pool.submit(slot, order(table, 1, fold))
        first = next(iter(pool.completed(0.5)))
        behind = int(first.evaluation.run[-1])
        share = table.points[1][behind][0].seconds / table.points[1][1 - behind][0].seconds
        assert pool.compute == pytest.approx((1 + share) / 2)
        pool.cancel("s", "another run")
        if action == "interrupt":
            pool.interrupt("s")
        else:
            pool.cancel("s", "1-0")
            pool.cancel("s", "1-1")
            pool.interrupt("s")  # does not bring the checkpoint back
        now, events = pool.now, finished(pool)
        expected = [Checkpointed, Ended, Ended] if action == "interrupt" else [Ended, Ended]
        assert [type(event) for event in events] == expected
        assert {event.result.outcome for event in events if isinstance(event, Ended)} == {Outcome.PAUSED}
        assert pool.now == now
        assert pool.compute == pytest.approx((1 + share) / 2)


# Ours


def test_the_whole_grid_without_pruning_finds_the_best_and_costs_all(table: GridTable) -> None:
    for sampler in ("grid", "random", "bayesian"):
        found = replayed(table, Ours(sampler, "none", in_memory=sampler != "grid"), 0)
        assert sorted(each.configuration for each in found.complete) == list(range(12))
        assert all(each.value == table.values[each.configuration] for each in found.complete)
        assert found.complete[0].configuration == table.default
        assert found.compute == found.complete[-1].compute == table.exhaustive
        assert found.incumbent().value == table.best
        assert found.incumbent(0.1) is None


@pytest.mark.parametrize("slots", [None, 4])
def test_what_is_tried_and_charged_is_the_same_without_a_database(table: GridTable, slots: int | None) -> None:
    policy_ = Ours("bayesian", "asha", virtual_slots=slots)
    in_memory = replace(policy_, in_memory=True)
    kept = replayed(table, policy_, 1)
    assert kept == replayed(table, in_memory, 1)
    assert kept != replayed(table, in_memory, 2)


def test_promoted_trials_go_on_from_where_they_stood(larger: GridTable) -> None:
    found = replayed(larger, Ours("random", "asha", in_memory=True), 0)
    assert found.trials == 54
    assert 3 < len(found.complete) < 30
    assert found.compute < larger.exhaustive / 2
    assert float(found.compute * 2).is_integer()  # whole points: nothing was trained twice or in part


def test_a_replay_ends_when_it_has_shown_enough(larger: GridTable) -> None:
    policy_ = Ours("random", "none", in_memory=True)
    whole = replayed(larger, policy_, 0)
    good = larger.best - 0.1
    assert replayed(larger, policy_, 0, trials=7).trials == 7
    reached = replayed(larger, policy_, 0, until=Until(value=good))
    assert reached.compute_to(good) == whole.compute_to(good)
    assert reached.compute < whole.compute
    longer = replayed(larger, policy_, 0, until=Until(value=good, least=100.0))
    assert 100.0 <= longer.compute < 110.0


# Peers


def test_the_axes_of_the_peers_and_what_is_reported_on_them(table: GridTable) -> None:
    short, long = (Ways(table).of(index) for index in (0, 1))
    assert [each.steps["points"] for each in long] == list(range(1, 13))
    assert [each.steps["quarters"] for each in long] == list(range(1, 13))
    assert [each.steps["quarters"] for each in short] == [2, 4, 6, 8, 10, 12]
    assert (longest(table, "points"), longest(table, "quarters")) == (12, 12)
    scores = table.curves(1)
    assert long[5].value == pytest.approx((max(scores[0]) + max(scores[1][:2])) / 2)
    assert (long[5].best, long[5].score) == (max(scores[1][:2]), scores[1][1])
    assert [each.ends_fold for each in short] == [False, True] * 3
    assert [each.is_last for each in short] == [False] * 5 + [True]


@pytest.mark.parametrize("rule", [Wilcoxon(0.0), Wilcoxon(0.0, 2, "quarters"), Median(99)])
def test_a_peer_that_stops_nobody_trains_the_whole_grid(rule: Rule, table: GridTable) -> None:
    found = replayed(table, OptunaPeer(rule), 0)
    assert sorted(each.configuration for each in found.complete) == list(range(12))
    assert all(each.value == table.values[each.configuration] for each in found.complete)
    assert found.compute == table.exhaustive
    assert table.default in {each.configuration for each in found.complete[:2]}
    assert replayed(table, OptunaPeer(rule), 0, trials=5).trials == 5


@pytest.mark.parametrize(
    "rule", [Halving(2, 2, "quarters"), Halving(3), Hyperband(3), Median(2, "quarters"), Wilcoxon(0.3)]
)
def test_a_peer_that_stops_trials_pays_for_what_it_trained(rule: Rule, larger: GridTable) -> None:
    found = replayed(larger, OptunaPeer(rule), 0)
    assert found == replayed(larger, OptunaPeer(rule), 0)
    assert found.trials == 54
    assert 0 < len(found.complete) < 54
    whole = sum(sum(map(len, larger.points[each.configuration])) for each in found.complete) / 2
    assert whole < found.compute < larger.exhaustive
    assert found != replayed(larger, OptunaPeer(rule), 1)


@pytest.mark.skipif(not policy_syne_tune.is_installed(), reason="needs syne-tune 0.13.0")
@pytest.mark.parametrize(
    ("kind", "axis"), [*itertools.product(["promotion", "stopping"], ["points", "quarters"]), ("pasha", "quarters")]
)
def test_syne_tunes_scheduler_decides(kind: str, axis: str, larger: GridTable) -> None:
    found = replayed(larger, SyneTune(kind, 3, 1, axis), 0)
    assert found == replayed(larger, SyneTune(kind, 3, 1, axis), 0)
    assert found.trials == 54
    assert 0 < len(found.complete) < 54
    assert found.compute < larger.exhaustive
    assert replayed(larger, SyneTune(kind, 3, 1, axis), 0, trials=9).trials == 9


@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_the_fast_signed_rank_test_is_scipys(alternative: str) -> None:
    random = np.random.default_rng(0)
    for pairs in (2, 3, 5, 8):
        for largest in (2, 100):  # with ties and zeros, and mostly without
            differences = random.integers(-largest, largest + 1, size=pairs) / 8.0
            theirs = scipy.stats.wilcoxon(differences, alternative=alternative, zero_method="zsplit").pvalue
            found = exact_wilcoxon.wilcoxon(differences, alternative, "zsplit").pvalue
            assert found == pytest.approx(theirs, abs=1e-12)


# Measures


def test_what_is_measured_of_replays(table: GridTable) -> None:
    best, worst = table.values.index(table.best), table.values.index(min(table.values))
    steps = (Complete(3.0, worst, table.values[worst]), Complete(9.0, best, table.best))
    found = Replayed("made-up", 0, steps, 2, 9.0, 1.0)
    never = replace(found, seed=1, complete=steps[:1])
    assert policy_measures.computes([found, never], table) == [9.0, table.exhaustive]
    spread = table.best - table.values[worst]
    assert policy_measures.regrets([found, never], table, 8.9) == [spread, spread]
    assert policy_measures.regrets([found, never], table, 9.0) == [0.0, spread]
    assert policy_measures.regrets([found], table, 2.0) == [spread]
    assert policy_measures.in_top([found, never], table) == [True, False]
    assert policy_measures.scores_on_test([found], table) == [table.tested[best]["f1_macro"]]
    twice = [replace(found, complete=(replace(steps[1], compute=2 * 9.0),))]
    ratio = policy_measures.against([found], twice, table)["geometric mean of the ratios"]
    assert ratio == {"value": 2.0, "from": 2.0, "to": 2.0}
    row = policy_measures.figures([found, never], table)
    assert row["never reached"] == 1
    assert row["compute"]["median"]["from"] == 9.0


def test_an_interval_is_of_the_seeds_and_holds_the_statistic() -> None:
    found = policy_measures.interval(policy_measures.mean, [1.0, 2.0, 3.0, 4.0, 5.0] * 6)
    assert found["value"] == 3.0
    assert 2.4 < found["from"] < 2.6
    assert 3.4 < found["to"] < 3.6


def test_the_benchmark_and_the_tuning_run(
    table: GridTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid_table, "FOLDER", tmp_path)
    monkeypatch.setattr(measurements, "FOLDER", tmp_path)
    write(table, tmp_path)
    policy.read.cache_clear()
    policy.main(["--table", "made-up", "--policies", "tpe", "asha", "optuna-halving", "--seeds", "3", "--trials", "9",
                 "--processes", "1"])  # fmt: skip
    found = json.loads((tmp_path / "policy-made-up.json").read_text())
    assert set(found["policies"]) == {"tpe", "asha", "optuna-halving", "racing"}  # who all are compared with is added
    for name, row in found["policies"].items():
        assert row["seeds"] == 3
        assert row["after 9 trials"]["trials"] == 9
        assert 0 < row["compute"]["median"]["value"] <= table.exhaustive
        assert ("compute of tpe over its own" in row) == (name != "tpe")
    assert "TPE, full cross-validation" in (tmp_path / "policy-made-up.svg").read_text()
    assert "optuna-halving" in capsys.readouterr().out
    policy.main(
        ["--table", "made-up", "--policies", "asha-random", "--seeds", "3", "--trials", "9", "--processes", "1"]
    )
    both = json.loads((tmp_path / "policy-made-up.json").read_text())
    assert set(both["policies"]) == {*found["policies"], "asha-random"}  # put among those of the earlier call
    assert found["policies"].items() <= both["policies"].items()
    assert set(policy_list.policies()) >= {"random", "tpe", "asha", "optuna-hyperband"}
    peer = "optuna-wilcoxon-folds"
    policy_tuning.main(["--tables", "made-up", "--peers", peer, "--seeds", "2", "--processes", "1"])
    tuned = json.loads((tmp_path / "policy_tuning.json").read_text())
    ranked = tuned["scores"][peer]
    assert {row["setting"] for row in ranked} == {repr(each) for each in policy_list.CANDIDATES[peer]}
    assert [row["score"] for row in ranked] == sorted(row["score"] for row in ranked)
    assert repr(policy_list.peers()[peer]) == tuned["chosen"][peer] == ranked[0]["setting"]


def test_a_clairvoyant_pruner_trains_only_the_default_and_what_is_found_to_the_end(table: GridTable) -> None:
    best = table.values.index(table.best)
    assert table.default is not None
    others = [
        index for index in range(len(table.params)) if index != table.default and table.values[index] < 0.9 * table.best
    ]
    order = [table.default, *others, best]
    steps = tuple(Complete(float(place), index, table.values[index]) for place, index in enumerate(order, 1))
    found = Replayed("made-up", 0, steps, len(order), 99.0, 1.0)
    epochs = [int(table.params[index]["epochs"]) for index in order]
    first = [{1: 0.5, 2: 0.5}[each] for each in epochs[1:-1]]  # two points an epoch: a quarter of it is one of them
    assert policy_measures.clairvoyant(found, table) == 3 * (epochs[0] + epochs[-1]) + sum(first)
    assert policy_measures.clairvoyant(replace(found, complete=steps[:-1]), table) is None
    bound = policy_measures.limit([found, replace(found, seed=1, complete=steps[:-1])], table)
    assert bound["seeds"] == 1
    ratio = len(order) / (3 * (epochs[0] + epochs[-1]) + sum(first))
    assert bound["geometric mean of the ratios"]["value"] == pytest.approx(ratio, rel=1e-4)
