"""Functions that make trainers, as users write them, for tests of `TrainerTask`; the model is a tiny BERT."""

import random
from typing import Any

from loops_samples import mark

import hpsearch as hp

SPACE = hp.Space(learning_rate=hp.Float(1e-3, 3e-2, log=True), epochs=4, batch_size=16)
DEFAULTS = {"learning_rate": 5e-3}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of which half have a word that the others lack."""
    drawn, made = random.Random(seed), []
    for row in range(count):
        words = [drawn.randrange(2, 30) for _ in range(6)]
        if row % 2:
            words[drawn.randrange(6)] = 1
        made.append({"input_ids": words, "attention_mask": [1] * 6, "labels": row % 2})
    return made


def accuracy(predicted: Any) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean())}


def tiny_model() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=30, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=8, num_labels=2,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def wrapped(model: Any) -> Any:
    """Return a new module around a model, as peft makes one."""
    from torch import nn

    return nn.ModuleDict({"model": model})


def make_trainer(config: dict[str, Any], train_rows: Any, validation_rows: Any, run: Any, **given: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    mark(run, f"start {run.restore() is not None}")
    arguments = TrainingArguments(
        output_dir="out", num_train_epochs=config["epochs"], learning_rate=config["learning_rate"], use_cpu=True,
        **run.arguments(config["batch_size"], at_once=8), report_to="none", disable_tqdm=True, **given,
    )  # fmt: skip
    return Trainer(
        model=tiny_model(), args=arguments, train_dataset=train_rows, eval_dataset=validation_rows,
        compute_metrics=accuracy,
    )  # fmt: skip


def make_fighting_trainer(config: dict[str, Any], train_rows: Any, validation_rows: Any, run: Any) -> Any:
    """A trainer of a script that stops early and keeps its own best checkpoint."""
    from transformers import EarlyStoppingCallback

    class Patience(EarlyStoppingCallback):
        """A user's own kind of it."""

    trainer = make_trainer(
        config, train_rows, validation_rows, run, eval_strategy="epoch", save_strategy="epoch",
        load_best_model_at_end=True, metric_for_best_model="accuracy", save_total_limit=1, seed=7, data_seed=3,
    )  # fmt: skip
    trainer.add_callback(Patience(early_stopping_patience=1))
    return trainer


def make_lookalike(config: dict[str, Any], train_rows: Any, validation_rows: Any, run: Any) -> Any:
    return tiny_model()


def make_blind_trainer(config: dict[str, Any], train_rows: Any, validation_rows: Any, run: Any) -> Any:
    return make_trainer(config, train_rows, None, run)


def task(function: Any = make_trainer, **settings: Any) -> hp.TrainerTask:
    given = {"train": rows(48, 0), "validation": rows(24, 1), "defaults": DEFAULTS, **settings}
    return hp.TrainerTask(function, **given)
