"""Models by name: a revision of one, no hub at all, a hub that wants a token. Nothing is downloaded."""

import json
import shutil
import socket

import huggingface_hub
import pytest
import torch
import transformers
from tasks_samples import review_rows

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.tasks import hub

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def cached_model(bert_folder, tmp_path, monkeypatch):
    """Put two revisions of a model into a local cache of the hub; in v1 all weights of the first layer are zero."""
    place = tmp_path / "hub" / "models--org--tiny"
    (place / "refs").mkdir(parents=True)
    for revision, commit in COMMITS.items():
        (place / "refs" / revision).write_text(commit)
        shutil.copytree(bert_folder, place / "snapshots" / commit)
    changed = transformers.AutoModel.from_pretrained(bert_folder)
    with torch.no_grad():
        changed.encoder.layer[0].output.dense.weight.zero_()
    changed.save_pretrained(place / "snapshots" / COMMITS["v1"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return "org/tiny"


@pytest.fixture
def reachable_or_not(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_answers", {})
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def at(endpoint: str) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)

    return at


def test_a_revision_is_part_of_the_name(bert_folder):
    rows = review_rows(12)
    task = hp.TextClassification("org/tiny", train=rows, revision="v1")
    assert (str(task.model), task.revision) == ("org/tiny@v1", None)
    assert task == hp.TextClassification("org/tiny@v1", train=rows)
    assert "revision" not in task.describe()["arguments"]
    assert hub.named("org/tiny@feature/x") == ("org/tiny", "feature/x")
    assert hub.named(str(bert_folder)) == (str(bert_folder), None)
    for model, revision in (("org/tiny@v1", "v2"), ("org/tiny", ""), ("org/tiny@", None), ("org/tiny", 1)):
        with pytest.raises(TaskError, match="give a branch, a tag or a commit, once"):
            hp.TextClassification(model, train=rows, revision=revision)
    with pytest.raises(TaskError, match=r"revision='v1', and model=.* is a folder, which has none"):
        hp.TextClassification(bert_folder, train=rows, revision="v1")


def test_each_revision_is_read_as_it_is(cached_model, tmp_path):
    digests = {}
    for revision in (None, "main", "v1"):
        task = hp.TextClassification(cached_model, train=review_rows(12), revision=revision)
        prepared = task.prepare(tmp_path / "rows")
        weight = task.learner(prepared).load_model().bert.encoder.layer[0].output.dense.weight
        assert bool(weight.any()) == (revision != "v1")
        digests[revision] = prepared.model_digest
    assert digests[None] == digests["main"] != digests["v1"]


def test_an_adapter_names_the_commit_of_its_base(cached_model, tmp_path):
    task = hp.TextClassification(cached_model, train=review_rows(24), revision="v1")
    space = hp.Space(learning_rate=1e-3, epochs=1, batch_size=12, lora_r=2)
    result = hp.Study("commit", task, space, folder=tmp_path, cv=2).run(trials=1, devices="inline")
    folder = result.export(tmp_path / "adapter", merge=False)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", COMMITS["v1"])
    assert json.loads((folder / "hpsearch.json").read_text())["check"]["agrees"]
    card = (folder / "README.md").read_text()
    assert "base_model: org/tiny\n" in card and COMMITS["v1"] in card


def test_a_hub_that_cannot_be_reached_is_said_at_once(reachable_or_not, cached_model, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        reachable_or_not(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(TaskError) as caught:
            hp.TextClassification("org/other", train=review_rows(12)).prepare(tmp_path / "rows")
        text = str(caught.value)
        assert (
            "The hub cannot be reached (127.0.0.1: Connection refused), and its files are not in the local cache"
            in text
        )
        # What is in the cache is read without asking.
        assert hp.TextClassification(cached_model, train=review_rows(12)).prepare(tmp_path / "rows").rows == 12


def test_a_hub_that_can_be_reached_is_asked(reachable_or_not):
    with socket.create_server(("127.0.0.1", 0)) as server:
        reachable_or_not(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert hub.unreachable() == ""
        assert hub.hub_arguments("org/tiny@v1") == {"pretrained_model_name_or_path": "org/tiny", "revision": "v1"}
    assert hub.unreachable() == ""  # an answer holds for a while


def test_a_gated_model_says_where_the_token_goes(reachable_or_not):
    with socket.create_server(("127.0.0.1", 0)) as server:
        reachable_or_not(f"http://127.0.0.1:{server.getsockname()[1]}")
        message = "You are trying to access a gated repo. 401 Client Error."
        assert "set HF_TOKEN to a token of yours in the environment" in hub.advice("org/gated", message)
        assert hub.advice("org/none", "does not appear to have a file named config.json") == ""
