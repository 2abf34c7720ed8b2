"""Workers that do not see the coordinator's folders train the same, from copies that were sent once."""

import os
import signal
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from elsewhere import ElsewherePool, elsewhere, seen_by_this_process_only
from orders import measured, order_of, run_of, train, workload
from tasks_samples import review_rows, save_text_model
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.errors import NodeError, PreparedDataError
from hpsearch.records import Slot
from hpsearch.runtime import node_folders
from hpsearch.runtime import pools as runtime_pools
from hpsearch.runtime.messages import Wanted
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.training.features.store import FeatureStore

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="a folder is hidden by Linux's /proc")


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "hidden").mkdir()
    with seen_by_this_process_only(tmp_path / "hidden") as folder:
        yield folder


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ElsewherePool]:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "node"))
    made = ElsewherePool(workers=1)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.extended
def test_a_study_whose_workers_see_none_of_its_folders_equals_one_in_line(tmp_path, hidden, monkeypatch):
    """Rows, features and two models; each file is sent once, though two workers read it."""
    for name in ("bert", "distilbert"):
        save_text_model(hidden / name, name)
    (hidden / "bert" / "optimizer.pt").write_bytes(b"not needed")
    task = {"kind": "text", "model": str(hidden / "bert"), "train": review_rows(40), "text": "text", "label": "label"}
    models = hp.Categorical([str(hidden / "bert"), str(hidden / "distilbert")])
    space = hp.Space(model=models, freeze_layers=1, batch_size=8, learning_rate=3e-3, epochs=1, warmup_ratio=0.1)
    monkeypatch.setenv("HPSEARCH_CACHE", str(hidden / "cache"))
    toy_study(tmp_path / "inline", task, space=space, cv=2).run(devices="inline", progress=False)

    pools: list[ElsewherePool] = []
    monkeypatch.setattr(runtime_pools, "POOLS", [*runtime_pools.POOLS, elsewhere(pools)])
    study = toy_study(tmp_path / "elsewhere", task, space=space, cv=2)
    assert study.plan.prepared.folder.is_relative_to(hidden)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "node"))
    study.run(devices="elsewhere", progress=False)

    for part in ("evaluations", "predictions"):
        assert known_of(tmp_path / "elsewhere")[part] == known_of(tmp_path / "inline")[part]
    wanted = pools[0].files_wanted
    assert len(wanted) == len(set(wanted))
    assert {Path(folder).name for folder, _ in wanted} >= {"bert", "distilbert", study.plan.prepared.folder.name}
    assert "optimizer.pt" not in {name for _, name in wanted}
    assert len(list((tmp_path / "node" / "features-of-nodes").glob("*/*"))) == 2


def test_folders_that_are_seen_are_used_and_nothing_is_sent(tmp_path, pool):
    pool.prepare(workload(pool, tmp_path / "shared", "seen", opens=True))
    events = train(pool, order_of("seen", run_of("a")))
    assert measured(events)
    assert pool.transport.wanted == []
    assert not (tmp_path / "node").exists()


def test_rows_that_are_lost_on_either_side_come_again(tmp_path, hidden, pool, caplog):
    inline = InlinePool(pool.slots()[0])
    inline.prepare(workload(inline, hidden, "lost", opens=True))
    expected = measured(train(inline, order_of("lost", run_of("a"))))

    told = workload(pool, hidden, "lost", opens=True)
    for file in told.prepared.folder.iterdir():
        file.unlink()
    told.prepared.folder.rmdir()
    pool.prepare(told)  # it makes them anew
    assert "That is done now" in caplog.text
    assert measured(train(pool, order_of("lost", run_of("a")))) == expected

    copy = next((tmp_path / "node" / "copies").glob("*/*/targets.npy"))
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1])
    sent = len(pool.files_wanted)
    killed = pool.processes()
    os.kill(killed[0], signal.SIGKILL)
    while pool.processes() == killed or not pool.idle():
        list(pool.completed(0.2))
    assert measured(train(pool, order_of("lost", run_of("a")))) == expected
    assert copy.read_bytes() == whole
    assert len(pool.files_wanted) == sent + len(list(told.prepared.folder.iterdir()))


def test_a_file_that_is_lost_while_it_is_sent_ends_the_copy_and_nothing_else(tmp_path):
    told = workload(InlinePool(Slot(0, ("cpu",))), tmp_path, "torn", opens=True)
    folder = told.prepared.folder
    (folder / "inputs.npy").unlink()
    for name in ("inputs.npy", ""):
        answer = node_folders.sent(told, Wanted("torn", str(folder), name)).answer
        assert isinstance(answer, PreparedDataError) is bool(name)  # without a name: what is there now


def test_a_node_without_room_refuses_and_says_where_it_may_be_made(tmp_path, hidden, pool):
    (tmp_path / "node").write_text("a file, where a folder is needed")
    with pytest.raises(NodeError, match=r"node/copies cannot be written: not a dir.*HPSEARCH_CACHE .* this node"):
        pool.prepare(workload(pool, hidden, "full", opens=True))


def test_a_module_that_a_node_lacks_is_named_with_what_to_do(tmp_path, pool, monkeypatch):
    module = types.ModuleType("beside_the_script")
    exec("def half(truth, predicted):\n    return 0.5", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(NodeError) as error:
        pool.prepare(replace(workload(pool, tmp_path, "code"), metrics=(module.half,)))
    assert "cannot import a module" in str(error.value)
    assert "No module named 'beside_the_script'" in str(error.value)
    assert "ray.init(runtime_env={'working_dir': '.'})" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_is_found_where_this_process_looks_for_it(tmp_path, pool, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "found_by_path.py").write_text("def half(truth, predicted):\n    return 0.5")
    monkeypatch.syspath_prepend(tmp_path / "modules")  # the worker has begun without
    from found_by_path import half

    told = replace(workload(pool, tmp_path, "code"), metrics=(half,))
    pool.prepare(told)
    assert pool.idle()


def test_what_a_gone_machine_computed_of_frozen_layers_goes_when_it_is_stale(tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path))
    fresh, stale = (tmp_path / "features-of-nodes" / name for name in ("fresh", "stale"))
    for folder in (fresh, stale):
        (folder / "entry").mkdir(parents=True)
    os.utime(stale, (1, 1))
    store = node_folders.own_features(2**40)
    assert store.folder.parent == fresh.parent
    assert store.budget == FeatureStore.within(store.folder, None).budget
    assert node_folders.own_features(1).budget == 1
    assert fresh.exists()
    assert not stale.exists()
    assert store.folder.is_dir()
