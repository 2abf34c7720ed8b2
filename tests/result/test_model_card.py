"""What an exported folder says of itself: true, complete, and read by the programs that read such folders."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tasks_samples import WORDS, image_arrays, save_base, save_text_model

import hpsearch as hp

GOOD, BAD = ("great", "loved", "fine"), ("awful", "hated", "dull")


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Return texts whose class shows in two of their words, and two 0/1 labels."""
    random = np.random.default_rng(seed)
    plain = [word for word in WORDS if word not in (*GOOD, *BAD)]
    texts, labels = [], []
    for row in range(rows):
        words = [*random.choice(plain, size=random.integers(3, 9)), *random.choice((GOOD, BAD)[row % 2], size=2)]
        texts.append(" ".join(random.permutation(words)))
        labels.append(("positive", "negative")[row % 2])
    liked = [int(label == "positive") for label in labels]
    return pd.DataFrame({"text": texts, "label": labels, "liked": liked, "long": [int(len(t) > 40) for t in texts]})


def searched(folder: Path, task: Any, metric: str = "f1_macro", **fixed: Any) -> hp.Result:
    space = hp.Space(
        default={"learning_rate": 3e-3},
        learning_rate=hp.Float(1e-3, 1e-2, log=True),
        **{"epochs": 6, "batch_size": 8, "warmup_ratio": 0.1, **fixed},
    )
    study = hp.Study("card", task, space, sampler="random", cv=2, metric=metric, metrics=["accuracy"], folder=folder)
    return study.run(trials=2, devices="inline", progress=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[hp.Result, Path]:
    folder = tmp_path_factory.mktemp("card")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        model = save_text_model(folder / "tiny-bert")
        task = hp.TextClassification(str(model), train=reviews(48, 1), test=reviews(30, 2))
        result = searched(folder / "runs", task)
        return result, result.export(folder / "model")


def test_the_card_states_what_the_study_recorded(exported: tuple[hp.Result, Path]) -> None:
    result, folder = exported
    facts = json.loads((folder / "hpsearch.json").read_text())
    best = result.best
    assert facts["trial"] == best.number
    assert facts["classes"] == ["negative", "positive"]
    assert (facts["targets"], facts["target_names"]) == ("2 classes", [])
    assert facts["cross_validation"]["value"] == best.value
    assert facts["cross_validation"]["direction"] == "maximize"
    assert facts["cross_validation"]["folds"] == list(best.folds)
    assert facts["test"]["rows"] == 30
    assert facts["test"]["metrics"] == dict(result.test_scores())
    assert facts["config"]["learning_rate"] == best.config["learning_rate"]
    assert facts["config"]["weight_decay"] is not None  # the whole config, defaults filled in
    assert facts["data"]["train"] == result.plan.prepared.data_digest
    assert facts["data"]["test"] == result.plan.prepared.test_digest
    assert facts["pretrained_model"] == result.plan.prepared.model_digest
    assert facts["numerics"] == result.record.numerics().to_dict()
    assert facts["classes"] == ["negative", "positive"]


def test_the_page_shows_it_to_a_person(exported: tuple[hp.Result, Path]) -> None:
    result, folder = exported
    page = (folder / "README.md").read_text()
    _, head, body = page.split("---\n", 2)
    assert yaml.safe_load(head) == {"library_name": "transformers", "pipeline_tag": "text-classification"}
    assert "tiny-bert, fine-tuned to tell 2 classes apart: negative, positive." in body
    assert f"| f1_macro | {result.best.value:.4f} | {result.test_scores()['f1_macro']:.4f} |" in body
    assert f"| learning_rate | {result.best.config['learning_rate']} |" in body
    assert "test (30 rows)" in body
    assert result.plan.prepared.data_digest in body
    assert f"| loss (lower is better) | {result.best.metrics['loss']:.4f} |" in body
    assert "winner is optimistic" in body
    assert str(folder.parent) not in page, "a card travels; the paths of the machine that wrote it do not"


def test_the_call_in_the_card_gives_the_score_in_the_card(exported: tuple[hp.Result, Path]) -> None:
    result, folder = exported
    page = (folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    test = reviews(30, 2)
    names: dict[str, Any] = {"texts": test["text"].tolist()}
    lines = code.replace("path/to/this/folder", str(folder)).strip().splitlines()
    lines[-1] = f"answers = {lines[-1]}"
    exec("\n".join(lines), names)
    found = np.array([answer["label"] for answer in names["answers"]])
    accuracy = float(np.mean(found == test["label"]))
    assert accuracy > 0.6, "a model that has learned nothing would prove nothing"
    assert accuracy == pytest.approx(result.test_scores()["accuracy"], abs=1e-9)


def test_a_multilabel_card_speaks_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    model = save_text_model(tmp_path / "bert")
    task = hp.TextClassification(str(model), train=reviews(24, 1), label=["liked", "long"])
    folder = searched(tmp_path, task, epochs=1).export(tmp_path / "model")
    page = (folder / "README.md").read_text()
    assert "to tell which of 2 labels apply: liked, long" in page
    assert "truncation=True, top_k=2" in page
    assert "test" not in page.partition("## Configuration")[0].partition("## Scores")[2].splitlines()[2]
    assert json.loads((folder / "hpsearch.json").read_text())["test"] is None


def test_an_image_card_names_its_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    task = hp.ImageClassification(str(save_base("vit", tmp_path / "vit")), train=image_arrays(12))
    folder = searched(tmp_path, task, metric="accuracy", epochs=1, batch_size=4).export(tmp_path / "model")
    page = (folder / "README.md").read_text()
    assert "pipeline_tag: image-classification" in page
    assert 'pipeline("image-classification"' in page
    assert "2 classes apart: dark, light" in page


def test_an_export_is_whole_or_not_there(exported: tuple[hp.Result, Path], tmp_path: Path) -> None:
    """What fails on the way leaves neither a half model nor a temporary folder."""
    result, _ = exported

    class BrokenError(Exception):
        pass

    def fail(*_: Any) -> None:
        raise BrokenError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpsearch.result.model_card.write_card", fail)
        with pytest.raises(BrokenError):
            result.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
