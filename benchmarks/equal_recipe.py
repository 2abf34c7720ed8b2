"""Whether hpsearch and `Trainer` train by the same recipe: the same losses, step by step, from the same beginning.

The model, its head's first weights, the batches and their order, AdamW with its groups, the schedule and the clipping
are the same; dropout is off and the precision is fp32. What is left is rounding, and it must stay below `TOLERANCE`.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.jobs import BATCH_SIZE, LEARNING_RATES, WEIGHT_DECAY, splitter

TOLERANCE, STEPS = 1e-4, 50


def equal_recipe(model: str, frame: Any, schedule: str, freeze_layers: int = 0, steps: int = STEPS) -> dict[str, Any]:
    """Train both for some steps and compare the loss of every one.

    Args:
        model: Folder of a BERT.
        frame: Rows with columns text and label.
        schedule: By its name.
        freeze_layers: Frozen layers.
        steps: Optimizer steps.

    Returns:
        JSON-able: the largest difference of a loss and of a weight, and whether the first is within tolerance.
    """
    import torch

    from hpsearch.training.numerics import kept_flags

    with tempfile.TemporaryDirectory(prefix="hpsearch-equal-recipe-") as folder, kept_flags():
        torch.set_num_threads(1)
        ours = _ours(model, frame, schedule, freeze_layers, steps, Path(folder))
        first, losses, batches, weights, config = ours
        peer_losses, peer_weights = _trainers(model, first, batches, config, steps, Path(folder))
    difference = max(abs(one - other) for one, other in zip(losses, peer_losses, strict=True))
    moved = max(float((weights[name] - tensor).abs().max()) for name, tensor in peer_weights.items())
    travelled = max(float((weights[name] - first[name]).abs().max()) for name in peer_weights)
    return {
        "schedule": schedule, "freeze_layers": freeze_layers, "steps": steps, "first loss": losses[0],
        "last loss": losses[-1], "largest difference of a loss": difference, "tolerance": TOLERANCE,
        "largest difference of a weight": moved, "largest way of a weight": travelled,
        "holds": len(losses) == steps and difference <= TOLERANCE,
    }  # fmt: skip


def _ours(model: str, frame: Any, schedule: str, freeze_layers: int, steps: int, folder: Path) -> Any:
    """Return (first weights, losses, batches, last weights, config) of hpsearch's fine-tune."""
    import hpsearch as hp
    from hpsearch.training.base_model import BaseModel
    from hpsearch.training.batches import epoch_batches, steps_per_epoch
    from hpsearch.training.fine_tune import FineTune
    from hpsearch.training.numerics import detect_environment, honour, resolve_numerics

    task = hp.TextClassification(model, train=frame, text="text", label="label")
    prepared = task.prepare(folder)
    learner = task.learner(prepared)
    rows = next(iter(splitter().split(frame, frame["label"])))[0]
    each = steps_per_epoch(len(rows), BATCH_SIZE)
    config = task.complete(
        {
            "learning_rate": LEARNING_RATES[0] / 3, "batch_size": BATCH_SIZE, "epochs": -(-steps // each),
            "weight_decay": WEIGHT_DECAY, "warmup_ratio": 0.1, "lr_scheduler_type": schedule, "dropout": 0.0,
            "freeze_layers": freeze_layers,
        }
    )  # fmt: skip
    numerics = resolve_numerics(detect_environment("cpu"), "fp32", attention=prepared.attention)
    honour(numerics, "cpu")
    run = FineTune(
        learner, config, train_rows=rows, held_out_rows=None, seed=0, evaluations_per_epoch=each,
        numerics=numerics, device="cpu", base=BaseModel(learner, "cpu"),
    )  # fmt: skip
    first = {name: tensor.detach().clone() for name, tensor in run.model.state_dict().items()}
    losses = [item.train_loss for item in run.advance(steps) if item is not None]
    lengths = np.asarray(learner.lengths)[rows]
    order = [batch for epoch in range(config["epochs"]) for batch in epoch_batches(lengths, BATCH_SIZE, 0, epoch)]
    padded = numerics.padding_multiple if freeze_layers else numerics.training_padding_multiple
    batches = [{**learner.batch(rows[at], padded), "labels": learner.targets(rows[at])} for at in order]
    return first, losses, batches, run.model.state_dict(), {**config, "steps_total": len(batches)}


def _trainers(model: str, first: Any, batches: Sequence[Any], config: Any, steps: int, folder: Path) -> Any:
    """Return (losses, last weights of what was trained) of transformers' Trainer on the same batches."""
    from dataclasses import replace

    import torch
    import transformers
    from transformers import AutoModelForSequenceClassification, PrinterCallback, Trainer, TrainerCallback

    from benchmarks.trainer import PeerSettings, freeze_first, training_arguments

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    network = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=len(first["classifier.bias"]), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    network.load_state_dict(first)
    freeze_first(network, config["freeze_layers"])
    arguments = training_arguments(config, PeerSettings(quiet=True), str(folder / "trainer"))
    arguments = replace(arguments, eval_strategy="no")
    losses: list[float] = []

    class Batches(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            return iter(batches)

    class SameBatches(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Batches(), batch_size=None)

        def compute_loss(self, *given: Any, **named: Any) -> Any:
            found = super().compute_loss(*given, **named)
            losses.append((found[0] if isinstance(found, tuple) else found).item())
            return found

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = state.global_step >= steps

    arguments.max_steps = len(batches)
    trainer = SameBatches(model=network, args=arguments, train_dataset=Batches(), callbacks=[Stop()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trained = {name: tensor.detach() for name, tensor in network.named_parameters() if tensor.requires_grad}
    return losses, trained
