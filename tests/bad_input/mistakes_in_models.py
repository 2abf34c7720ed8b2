"""Mistakes in models: folders that are none, weights, tokenizers, processors, the hub without a connection."""

import json
import shutil
from pathlib import Path

from mistake import Mistake, World, written
from tasks_samples import review_rows, save_base, save_text_model, save_tokenizer

from hpsearch.errors import TaskError


def _text(model: str = "model", more: str = "") -> str:
    return f'hp.TextClassification("{model}", train="train.csv"{more})'


_UNSEEDED = """import numpy as np
import torch
from torch import nn

import hpsearch as hp


def network():
    model = nn.Linear(3, 2)
    drawn = np.random.default_rng().normal(size=(2, 3)).astype("float32")
    model.weight = nn.Parameter(torch.from_numpy(drawn))
    return model


rows = np.arange(72, dtype="float32").reshape(24, 3), np.arange(24) % 2
space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, batch_size=8)
study = hp.Study("mine", hp.CustomTask(network, train=rows), space, cv=2, pruner="none")
"""

_WRAPPED = """import numpy as np
from torch import nn

import hpsearch as hp


def network():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    forward = model[0].forward
    model[0].forward = lambda rows: 2 * forward(rows)
    return model


rows = np.arange(72, dtype="float32").reshape(24, 3), np.arange(24) % 2
space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, batch_size=8)
study = hp.Study("mine", hp.CustomTask(network, train=rows), space, cv=2, pruner="none")
"""

_GREAT = """import numpy as np
from torch import nn

import hpsearch as hp


def network():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    nn.init.constant_(model[0].bias, 50_000.0)
    return model


rows = np.arange(72, dtype="float32").reshape(24, 3), np.arange(24) % 2
space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, batch_size=8)
study = hp.Study("mine", hp.CustomTask(network, train=rows), space, cv=2, pruner="none", precision="fp16")
"""


def _config(**changes: object) -> World:
    def change(place: Path) -> None:
        path = place / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _without_pad(place: Path) -> None:
    save_tokenizer(place / "model", pad=False)
    path = place / "model" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in settings.items() if name != "eos_token"}))
    _config(pad_token_id=None)(place)


def _other_weights(place: Path) -> None:
    save_base("gpt2", place / "other")
    shutil.copy(place / "other" / "model.safetensors", place / "model" / "model.safetensors")


def _other_tokenizer(place: Path) -> None:
    save_text_model(place / "model", vocab_size=12)


def _removed(*names: str) -> World:
    def remove(place: Path) -> None:
        for name in names:
            (place / "model" / name).unlink()

    return remove


def _other_vocabulary(place: Path) -> None:
    _removed("tokenizer.json", "tokenizer_config.json")(place)
    (place / "model" / "spiece.model").write_bytes(b"of another tokenizer")


def _end_token(place: Path) -> None:
    shutil.rmtree(place / "model")
    save_text_model(place / "model", "bart", ends=True)
    table = review_rows(12)
    table.loc[4, "text"] = "a film <end> it was"
    table.to_csv(place / "test.csv", index=False)


MODELS = [
    Mistake(
        "a model folder that is not there",
        ("model='./modle' is not a folder", "config.json"),
        TaskError,
        task=_text("./modle"),
    ),
    Mistake(
        "a file in place of a model folder",
        ("model='train.csv' is not a folder", "config.json"),
        TaskError,
        task=_text("train.csv"),
    ),
    Mistake(
        "a folder that holds no model",
        ("no usable model at", "images", "config.json"),
        TaskError,
        task=_text("images"),
        quotes=True,
    ),
    Mistake(
        "a model of the hub, without a connection",
        ("no usable model at 'distilbert-base-uncased'", "without a connection", "local cache"),
        TaskError,
        task=_text("distilbert-base-uncased"),
        quotes=True,
        process=True,
    ),
    Mistake(
        'a model whose numbers fp16 cannot hold, and `precision="fp16"`',
        ("precision='fp16'", "too near to 65,504", "give precision='fp32'"),
        TaskError,
        body=_GREAT,
        call="study.run(trials=2, devices='inline', progress=False)",
        leaves=True,
    ),
    Mistake(
        "a config.json that is not JSON",
        ("no usable model at", "config.json"),
        TaskError,
        task=_text(),
        world=written("model/config.json", "{"),
        quotes=True,
    ),
    Mistake(
        "a model that transformers does not know",
        ("no usable model at", "my-own"),
        TaskError,
        task=_text(),
        world=_config(model_type="my-own"),
        quotes=True,
    ),
    Mistake(
        "a model that brings its own code",
        ("no usable model at", "code of their own are not run"),
        TaskError,
        task=_text(),
        world=_config(model_type="my-own", auto_map={"AutoConfig": "mine.Config"}),
        quotes=True,
    ),
    Mistake(
        "weights that are not a safetensors file",
        ("cannot be loaded", "whose weights are complete"),
        TaskError,
        task=_text(),
        world=written("model/model.safetensors", "not weights"),
        quotes=True,
    ),
    Mistake(
        "weights that are cut off",
        ("cannot be loaded", "whose weights are complete"),
        TaskError,
        task=_text(),
        world=lambda place: (place / "model" / "model.safetensors").write_bytes(
            (place / "model" / "model.safetensors").read_bytes()[:5000]
        ),
        quotes=True,
    ),
    Mistake(
        "weights of another architecture",
        ("not those of its config.json", "Give the folder that the weights"),
        TaskError,
        task=_text(),
        world=_other_weights,
    ),
    Mistake(
        "an image model for texts",
        ("cannot classify texts", "Give an encoder"),
        TaskError,
        task=_text("image-model"),
        quotes=True,
    ),
    Mistake(
        "a text model for images",
        ("cannot be loaded as ImageClassification", "matching architecture"),
        TaskError,
        task='hp.ImageClassification("model", train="images")',
        quotes=True,
    ),
    Mistake(
        "a model without a tokenizer",
        ("has no tokenizer", "save_pretrained"),
        TaskError,
        task=_text(),
        world=_removed("tokenizer.json", "tokenizer_config.json"),
    ),
    Mistake(
        "a broken tokenizer.json",
        ("the tokenizer of", "cannot be loaded", "save_pretrained"),
        TaskError,
        task=_text(),
        world=written("model/tokenizer.json", "{}"),
        quotes=True,
    ),
    Mistake(
        "a tokenizer without a pad token, for a model whose config names none",
        ("neither a pad token nor an end-of-text token", "tokenizer.pad_token"),
        TaskError,
        task=_text(),
        world=_without_pad,
    ),
    Mistake(
        "the tokenizer of another model",
        ("embeddings for 12 tokens only", "the tokenizer that the model"),
        TaskError,
        task=_text(),
        world=_other_tokenizer,
    ),
    Mistake(
        "a pad token that the model has no embedding for",
        ("has pad_token_id 50", "the 40 tokens from 0 to 39", "resize_token_embeddings"),
        TaskError,
        task=_text(),
        world=_config(pad_token_id=50),
    ),
    Mistake(
        "a tokenizer without its vocabulary",
        ("knows no tokens but its special ones", "save_pretrained"),
        TaskError,
        task=_text(),
        world=_other_vocabulary,
    ),
    Mistake(
        "an end token inside a text, for a model that reads the class off it",
        ("test row 4 has '<end>' in column 'text'", "same number of <eos>", "write it otherwise"),
        TaskError,
        task=_text(more=', test="test.csv"'),
        world=_end_token,
        quotes=True,
    ),
    Mistake("`max_length=0`", ("max_length=0", "a whole number from 1"), TaskError, task=_text(more=", max_length=0")),
    Mistake(
        "more tokens than the model has positions for",
        ("max_length=512", "66 tokens only"),
        TaskError,
        task=_text(more=", max_length=512"),
    ),
    Mistake(
        "a length that leaves no room for a text",
        ("max_length=2 leaves no room", "Give 3 or more"),
        TaskError,
        task=_text(more=", max_length=2"),
    ),
    Mistake(
        "a size of images that the model cannot take",
        ("does not take the rows", "image_size="),
        TaskError,
        task='hp.ImageClassification("image-model", train="images", image_size=18)',
        quotes=True,
    ),
    Mistake(
        "a head that was trained for other labels",
        ("keep_head=True", "Leave keep_head out"),
        TaskError,
        task=_text(more=", keep_head=True"),
        world=_config(id2label={"0": "spam", "1": "ham"}),
    ),
    Mistake(
        "a factory of models with random numbers of its own",
        ("two models under one seed", "draws outside torch's and NumPy's global random states", "np.random.randint"),
        TaskError,
        body=_UNSEEDED,
    ),
    Mistake(
        "a layer whose forward is replaced by a lambda",
        ("cannot train '0.weight'", "each run trains a copy", "Write it as a module of your own"),
        TaskError,
        body=_WRAPPED,
    ),
    Mistake("a path in place of a task", ("task=", "hp.TextClassification"), TaskError, task='"train.csv"'),
    Mistake("a task's class in place of a task", ("task=", "ToyTask"), TaskError, task="ToyTask"),
]


GROUPS = {"Models and tokenizers": MODELS}
