"""The studies that come with hpsearch, run as a person runs them: as scripts, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

ROOT = Path(__file__).parents[1]
GOOD, BAD = ("great", "loved", "fine"), ("awful", "hated", "dull")
NEUTRAL = ("the", "a", "film", "was", "plot", "every", "minute", "of", "it")


def reviews(rows: int, seed: int) -> pandas.DataFrame:
    """Return texts of which one word tells the label."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    texts = [
        " ".join([*random.choice(NEUTRAL, size=random.integers(2, 12)), random.choice(GOOD if label else BAD)])
        for label in labels
    ]
    return pandas.DataFrame({"review": texts, "sentiment": np.array(["bad", "good"])[labels]})


def save_tiny_bert(folder: Path) -> None:
    """Write a BERT of two layers and its tokenizer of whole words, as `save_pretrained` does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: code for code, word in enumerate([*special, *NEUTRAL, *GOOD, *BAD])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model and a person's tables."""
    save_tiny_bert(tmp_path / "tiny-bert")
    reviews(48, 0).to_csv(tmp_path / "train.csv", index=False)
    reviews(24, 1).to_csv(tmp_path / "held-out.csv", index=False)
    return tmp_path


def sentiment(place: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    words = [
        "--train", "train.csv", "--test", "held-out.csv", "--text", "review", "--label", "sentiment",
        "--model", "tiny-bert", "--name", "reviews", "--folder", "studies", "--cv", "2", "--devices", "inline", *more,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HPSEARCH_CACHE": str(place / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, str(ROOT / "studies" / "sentiment_bert.py"), *words]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sentiment_takes_a_persons_table_to_a_model_and_a_report(place: Path) -> None:
    from transformers import pipeline

    done = sentiment(place, "--trials", "2")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "0 (default)" in done.stdout
    assert "best: trial" in done.stdout
    assert "literature default" in done.stdout
    assert "</html>" in (place / "studies" / "reviews" / "report.html").read_text(encoding="utf-8")

    folder = place / "studies" / "reviews" / "model"
    card = json.loads((folder / "hpsearch.json").read_text())
    assert card["classes"] == ["bad", "good"]
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    test = pandas.read_csv(place / "held-out.csv")
    found = [answer["label"] for answer in classify(test["review"].tolist(), truncation=True)]
    assert card["test"]["metrics"]["accuracy"] == pytest.approx(np.mean(test["sentiment"] == found))
    assert f"accuracy {card['test']['metrics']['accuracy']:.4f}" in done.stdout

    again = sentiment(place, "--trials", "3")
    assert again.returncode == 0, again.stderr
    assert "reviews: trial 2 " in again.stderr
    assert "reviews: trial 1 " not in again.stderr  # it went on where it stood


@pytest.mark.slow
def test_sentiment_says_what_is_wrong_with_a_table_in_one_paragraph(place: Path) -> None:
    done = sentiment(place, "--text", "reviews", "--trials", "1")
    assert done.returncode == 1
    assert "'reviews'" in done.stderr
    assert "review" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "studies").exists()


RESERVATIONS = [
    {"userInput": {"text": "two at 8"}, "labels": [{"slot": "people", "valueSpan": {"endIndex": 3}}]},
    {"userInput": {"text": "at 8"}, "labels": [{"slot": "time", "valueSpan": {"startIndex": 3, "endIndex": 4}}]},
    {"userInput": {"text": "hello"}, "context": {"requestedSlots": ["time"]}},
]
"""Rows as restaurant8k has them."""


def test_restaurant_spans_reads_the_published_files_and_others(tmp_path: Path) -> None:
    from studies.restaurant_spans import read

    (tmp_path / "test.json").write_text(json.dumps(RESERVATIONS))
    assert read(str(tmp_path / "test.json")) == [
        {"text": "two at 8", "spans": [(0, 3, "people")]},
        {"text": "at 8", "spans": [(3, 4, "time")]},
        {"text": "hello", "spans": []},
    ]
    (tmp_path / "own.json").write_text(json.dumps([{"text": "hello", "spans": []}]))
    assert read(str(tmp_path / "own.json")) == [{"text": "hello", "spans": []}]
    assert read("rows.conll") == "rows.conll"


def test_restaurant_spans_as_it_comes_warns_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studies import restaurant_spans

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    made = restaurant_spans.study(restaurant_spans.parsed(["--folder", str(tmp_path)]))
    assert made.plan.warnings == ()
    assert (made.prepared.rows, made.prepared.test_rows) == (100, 50)


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_restaurant_spans_takes_a_persons_rows_to_a_model(place: Path) -> None:
    rows = [{"text": text, "spans": [[text.rindex(" ") + 1, len(text), "mood"]]} for text in reviews(60, 0)["review"]]
    (place / "rows.json").write_text(json.dumps(rows))
    words = ["--train", "rows.json", "--test", "rows.json", "--model", "tiny-bert", "--trials", "1", "--cv", "2"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HPSEARCH_CACHE": str(place / "cache"),
    }
    command = [sys.executable, str(ROOT / "studies" / "restaurant_spans.py"), *words, "--devices", "inline"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "f1:mood" in done.stdout
    card = json.loads((place / "runs" / "restaurant-spans" / "model" / "hpsearch.json").read_text())
    assert card["check"]["agrees"]


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_translation_takes_a_persons_pairs_to_a_model_that_writes(tmp_path: Path) -> None:
    from sequence_samples import pairs, save_sequence_model

    save_sequence_model(tmp_path / "tiny-marian")
    pairs(48).to_csv(tmp_path / "train.csv", index=False)
    pairs(10, seed=1).to_csv(tmp_path / "test.csv", index=False)
    words = ["--train", "train.csv", "--test", "test.csv", "--source", "en", "--target", "de", "--model", "tiny-marian"]
    words += [
        "--max-length",
        "16",
        "--learning-rate",
        "3e-3",
        "--metric",
        "chrf",
        "--trials",
        "1",
        "--devices",
        "inline",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HPSEARCH_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
    }

    def ran(*command: str, asked: str = "") -> "subprocess.CompletedProcess[str]":
        whole = [sys.executable, *command]
        return subprocess.run(
            whole, cwd=tmp_path, env=environment, input=asked, capture_output=True, text=True, check=False, timeout=300
        )

    done = ran(str(ROOT / "studies" / "translation.py"), *words)
    assert done.returncode == 0, done.stderr
    assert "test rows, once, after training on all training rows: chrf" in done.stdout
    folder = tmp_path / "runs" / "translation" / "model"
    assert json.loads((folder / "hpsearch.json").read_text())["check"]["agrees"]
    written = ran(str(folder / "predict.py"), asked="the film\na plot\n")
    assert written.returncode == 0 and written.stdout.count("\n") == 2, written.stderr


@pytest.mark.extended
@pytest.mark.parametrize("name, rows", [("plain_cnn", "100"), ("audio_signals", "60")])
def test_studies_of_own_models_run_in_small(tmp_path: Path, name: str, rows: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HPSEARCH_CACHE": str(tmp_path / "cache"),
    }
    words = ["--trials", "1", "--rows", rows, "--devices", "inline", "--folder", "studies"]
    command = [sys.executable, str(ROOT / "studies" / f"{name}.py"), *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "0 (default)" in done.stdout
    assert "logistic regression on the" in done.stdout
    assert "warning" not in done.stderr.lower()


@pytest.mark.parametrize("name", ["quickstart", "head-only", "plain_cnn", "audio_signals"])
def test_a_study_as_it_comes_warns_of_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studies import audio_signals, plain_cnn, quickstart

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(quickstart, "PRETRAINING_EPOCHS", 1)
    made = {
        "quickstart": lambda: quickstart.study(name, 0),
        "head-only": lambda: quickstart.study(name, 0, freeze_layers=quickstart.HEAD_ONLY),
        "plain_cnn": plain_cnn.study,
        "audio_signals": audio_signals.study,
    }[name]()
    assert made.plan.warnings == ()


@pytest.mark.parametrize("name, maker", [("plain_cnn", "PlainCNN"), ("audio_signals", "SoundNet")])
def test_what_a_user_writes_of_their_own_fits_thirty_lines(name: str, maker: str) -> None:
    import ast

    text = (ROOT / "studies" / f"{name}.py").read_text(encoding="utf-8")
    own = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    parts = [text.splitlines()[own[part].lineno - 1 : own[part].end_lineno] for part in (maker, "study")]
    lines = [line for part in parts for line in part if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(lines) <= 30


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_chat_lora_takes_a_persons_conversations_to_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    from chat_samples import ROWS, save_chat_model

    from studies.chat_lora import main

    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    save_chat_model(tmp_path / "tiny-llama")
    for name, count in (("chats.jsonl", 16), ("held-out.jsonl", 4)):
        (tmp_path / name).write_text("\n".join(json.dumps(ROWS[row % 8]) for row in range(count)), encoding="utf-8")
    given = {"train": "chats.jsonl", "test": "held-out.jsonl", "model": "tiny-llama", "metric": "chrf", "seed": 0}
    given |= {"max_new_tokens": 6, "max_length": None, "validation": None, "packing": True, "apart": True, "trials": 1}
    given |= {"timeout": None, "devices": "inline", "folder": "studies", "name": "chats"}
    assert main(argparse.Namespace(**given)) == 0
    folder = tmp_path / "studies" / "chats" / "model"
    assert (folder / "adapter_model.safetensors").exists() and (folder / "predict.py").exists()
    assert json.loads((folder / "hpsearch.json").read_text())["check"]["agrees"]


def save_images(folder: Path, rows: int, seed: int) -> Path:
    """Write made-up images into a folder for each class, as a person has them."""
    from PIL import Image

    from studies.chest_xrays import made_up

    for number, (image, name) in enumerate(zip(*made_up(("disc", "cross"), rows, seed), strict=True)):
        (folder / str(name)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(name) / f"{number}.png")
    return folder


def test_chest_xrays_names_what_each_configuration_trains() -> None:
    from studies.chest_xrays import WAYS, way_of

    assert [way_of({"gradual_unfreezing": None, **config}) for config in WAYS.values()] == list(WAYS)


@pytest.mark.extended
def test_chest_xrays_as_it_comes_warns_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks_samples import save_base

    from studies import chest_xrays

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    model = str(save_base("resnet", tmp_path / "tiny-resnet", num_channels=1))
    made = chest_xrays.study(chest_xrays.parsed(["--folder", str(tmp_path), "--model", model, "--image-size", "32"]))
    assert made.plan.warnings == ()
    assert (made.prepared.rows, made.prepared.test_rows, len(made.enqueued)) == (90, 90, len(chest_xrays.WAYS) - 1)


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_own", [True, False], ids=["own images", "made-up images"])
def test_chest_xrays_tries_each_way_to_train_and_writes_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_own: bool
) -> None:
    from tasks_samples import save_base

    from studies import chest_xrays

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    words = ["--trials", "5", "--cv", "2", "--epochs", "1", "--devices", "inline"]
    if is_own:
        save_base("resnet", tmp_path / "tiny-resnet", num_channels=3)
        words += [
            "--train",
            str(save_images(tmp_path / "train", 24, 0)),
            "--test",
            str(save_images(tmp_path / "test", 12, 1)),
        ]
        words += ["--model", "tiny-resnet", "--image-size", "32"]
    assert chest_xrays.main(chest_xrays.parsed(words)) == 0
    shown = capsys.readouterr().out
    for way in chest_xrays.WAYS:
        assert f"  {way:<15} 0." in shown
    assert "test rows, once, after training on all training rows: f1_macro" in shown
    card = json.loads((tmp_path / "runs" / "chest-xrays" / "model" / "hpsearch.json").read_text())
    assert card["check"]["agrees"]
