"""On nodes of a Ray cluster that do not see the coordinator's folders, and on those that do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elsewhere import seen_by_this_process_only
from ray_nodes import RayCluster
from tasks_samples import review_rows, save_base, save_image_folder, save_text_model
from toy_studies import known_of, toy_study

import hpsearch as hp

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Nodes:
    """Two nodes of one core each.

    Attributes:
        caches: Each one's own folder for what is kept.
    """

    cluster: RayCluster
    caches: tuple[Path, Path]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    caches = tmp_path_factory.mktemp("head"), tmp_path_factory.mktemp("second")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(caches[0]))
        with RayCluster(1) as cluster:
            patched.setenv("HPSEARCH_CACHE", str(caches[1]))
            cluster.start(1)
            patched.undo()
            cluster.used(patched)
            yield Nodes(cluster, caches)


def two_studies(folder: Path, place: Path) -> list[hp.Study]:
    """Return a study of texts, with two models, and one of images, whose models lie in `place`."""
    space: dict[str, Any] = {"freeze_layers": 1, "batch_size": 8, "learning_rate": 3e-3, "epochs": 1}
    text = {"kind": "text", "model": str(place / "bert"), "train": review_rows(40), "text": "text", "label": "label"}
    image = {"kind": "image", "model": str(place / "vit"), "train": str(place / "pictures")}
    models = hp.Categorical([str(place / "bert"), str(place / "distilbert")])
    return [
        toy_study(folder / "text", text, space=hp.Space(model=models, **space), cv=2),
        toy_study(folder / "image", image, space=hp.Space(**space), cv=2),
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    save_text_model(place / "bert", "bert")
    save_text_model(place / "distilbert", "distilbert")
    save_base("vit", place / "vit")
    save_image_folder(place / "pictures", 24)
    return place


def test_studies_on_nodes_that_see_none_of_their_folders_equal_those_in_line(
    tmp_path: Path, nodes: Nodes, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of texts and images, features, and models from folders: sent once to each node."""
    shutil.copytree(models, tmp_path / "hidden" / "models")
    with seen_by_this_process_only(tmp_path / "hidden") as hidden:
        monkeypatch.setenv("HPSEARCH_CACHE", str(hidden / "cache"))
        for study in two_studies(tmp_path / "inline", hidden / "models"):
            study.run(devices="inline", progress=False)
        hp.run(two_studies(tmp_path / "ray", hidden / "models"), devices="ray", progress=False)
    for kind in ("text", "image"):
        for part in ("evaluations", "predictions"):
            assert known_of(tmp_path / "ray" / kind)[part] == known_of(tmp_path / "inline" / kind)[part]
    for cache in nodes.caches:
        copied = {folder.name for folder in (cache / "copies").glob("*/*")}
        assert copied > {"bert", "vit"}
        assert list((cache / "features-of-nodes").glob("*/*"))


@pytest.mark.extended
def test_a_node_without_room_gets_no_work_and_the_others_go_on(
    tmp_path: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hidden").mkdir()
    copies, aside = nodes.caches[1] / "copies", nodes.caches[1] / "aside"
    if copies.exists():
        copies.rename(aside)
    copies.write_text("a file, where a folder is needed")
    with seen_by_this_process_only(tmp_path / "hidden") as hidden:
        monkeypatch.setenv("HPSEARCH_CACHE", str(hidden))
        result = toy_study(tmp_path / "study", {"opens": True}).run(trials=3, devices="ray", progress=False)
    copies.unlink()
    if aside.exists():
        aside.rename(copies)
    assert len(result.table()) == 3
    (warning,) = (record.getMessage() for record in caplog.records if "gets no work" in record.getMessage())
    assert "refuses the study 'toy'" in warning
    assert "copies cannot be written: file exists" in warning
    assert "HPSEARCH_CACHE in the environment that Ray was started with on this node" in warning


def test_with_a_shared_folder_nothing_is_put_into_the_object_store(
    tmp_path: Path, nodes: Nodes, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    kept = sorted(path for cache in nodes.caches for path in cache.glob("copies/*"))
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    ray.init(log_to_driver=False, logging_level="ERROR")
    try:
        before = created_bytes()
        study = two_studies(tmp_path / "ray", models)[0]
        result = study.run(devices="ray", progress=False)
        assert created_bytes() < before + 1000  # some for each actor that has ended, of Ray's own
        large = ray.put(bytes(200_000))
        assert created_bytes() > before + 200_000
        del large
    finally:
        ray.shutdown()
    assert len(result.table()) == 2
    assert sorted(path for cache in nodes.caches for path in cache.glob("copies/*")) == kept


def created_bytes() -> int:
    """Return how many bytes were ever put into the stores of the cluster that this process is connected to."""
    import ray
    from ray._private.internal_api import node_stats

    stats = [node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False) for node in ray.nodes()]
    return sum(int(each.store_stats.cumulative_created_bytes) for each in stats)
