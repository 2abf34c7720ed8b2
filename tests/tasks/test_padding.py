"""Pad token, side and inputs: what a model was trained with is what its export pads with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tasks_samples import review_rows, save_base, save_tokenizer

from hpsearch.data.dataset import open_dataset
from hpsearch.errors import TaskError
from hpsearch.tasks.heads import draw_head
from hpsearch.tasks.pretrained import quiet
from hpsearch.tasks.text import TextClassification

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "the config's, and the tokenizer has none": ("gpt2", {"pad_token_id": 0}, {}, 0),
    "the config's, and the tokenizer has another": ("gpt2", {"pad_token_id": 0}, {"pad_token": "<end>"}, 0),
    "the tokenizer's, and the config has none": ("gpt2", {}, {"pad_token": "[PAD]"}, 0),
    "end of text, and neither has one": ("gpt2", {}, {}, 5),
    "the tokenizer's, and the config's has no token": ("gpt2", {"pad_token_id": 39}, {"pad_token": "[PAD]"}, 0),
    "the config's, and the tokenizer pads on the left": ("gpt2", {"pad_token_id": 0}, {"padding_side": "left"}, 0),
    "of a model that counts positions by it": ("roberta", {"pad_token_id": 1}, {"pad_token": "[PAD]"}, 1),
    "of an encoder whose tokenizer pads on the left": (
        "bert",
        {},
        {"pad_token": "[PAD]", "padding_side": "left", "truncation_side": "left"},
        0,
    ),
    "with types that the model was never given": (
        "gpt2",
        {},
        {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
        5,
    ),
    "with types that the model does not take": (
        "distilbert",
        {},
        {"pad_token": "[PAD]", "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
        0,
    ),
}


def model_of(folder: Path, name: str, config: dict[str, Any], tokenizer: dict[str, Any]) -> Path:
    """Write a tiny model without a head, and a tokenizer whose own settings say this."""
    save_tokenizer(save_base(name, folder, **config), pad=False, pairs=name != "gpt2")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **tokenizer}))
    return folder


def predicted(pipeline: Any, texts: list[str], batch_size: int) -> np.ndarray:
    answers = pipeline(texts, truncation=True, top_k=None, batch_size=batch_size)
    names = list(pipeline.model.config.label2id)
    return np.array([[{each["label"]: each["score"] for each in row}[name] for name in names] for row in answers])


@pytest.mark.parametrize("case", CASES)
def test_an_export_pads_as_it_was_trained(case: str, tmp_path: Path) -> None:
    name, config, tokenizer, pad = CASES[case]
    table = review_rows()
    task = TextClassification(model_of(tmp_path / "model", name, config, tokenizer), train=table, max_length=20)
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    model = learner.load_model()
    torch.manual_seed(1)
    draw_head(model)
    with torch.no_grad():
        for parameter in (parameter for key, parameter in model.named_parameters() if key in model.new_parameters):
            parameter.mul_(20.0)  # probabilities far apart
        logits = learner.outputs(model, learner.batch(np.arange(24), 16))
    ours = torch.softmax(logits, dim=1).numpy()
    assert ours.std() > 0.02
    task.save(model, tmp_path / "saved", prepared)
    with quiet():
        pipeline = transformers.pipeline("text-classification", str(tmp_path / "saved"), device="cpu")
        for batch_size in (1, 16):
            found = predicted(pipeline, table["text"].tolist(), batch_size)
            assert np.abs(ours - found).max() < 1e-5, batch_size
    facts = open_dataset(prepared.folder).facts
    exported = pipeline.tokenizer
    assert facts["pad_token_id"] == exported.pad_token_id == pipeline.model.config.pad_token_id == pad
    assert facts["padding_side"] == exported.padding_side == "right"
    assert exported.truncation_side == tokenizer.get("truncation_side", "right")
    assert exported.model_max_length == 20
    assert "token_type_ids" not in exported.model_input_names or name in ("bert", "roberta")


def test_a_pair_keeps_its_types(bert_folder: Path, tmp_path: Path) -> None:
    task = TextClassification(bert_folder, train=review_rows(), text=("text", "second"))
    prepared = task.prepare(tmp_path / "cache")
    task.save(task.learner(prepared).load_model(), tmp_path / "saved", prepared)
    assert "token_type_ids" in transformers.AutoTokenizer.from_pretrained(tmp_path / "saved").model_input_names


def test_a_tokenizer_without_any_token_to_pad_with(tmp_path: Path) -> None:
    folder = model_of(tmp_path / "model", "gpt2", {}, {"eos_token": None})
    with pytest.raises(TaskError, match="neither a pad token nor an end-of-text token"):
        TextClassification(folder, train=review_rows()).prepare(tmp_path / "cache")
