"""LoRA by hpsearch and by peft with `Trainer`, on the same rows, masks and batches."""

import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE, STEPS, BATCH = 1e-4, 50, 4
RECIPE = {
    "lora_r": 8, "lora_alpha": 16.0, "learning_rate": 3e-4, "warmup_ratio": 0.1, "weight_decay": 0.0,
    "lr_scheduler_type": "linear",
}  # fmt: skip


class Party:
    """A prepared chat task, from which both parties take their rows."""

    def __init__(self, model: str, rows: Any, max_length: int, folder: Path, precision: str) -> None:
        import hpsearch as hp
        from hpsearch.training.numerics import detect_environment, honour, resolve_numerics

        self.task = hp.ChatFineTuning(model, train=rows, max_length=max_length)
        self.prepared = self.task.prepare(folder)
        self.numerics = resolve_numerics(detect_environment("cpu"), precision, attention=self.prepared.attention)
        honour(self.numerics, "cpu")
        self.rows = np.arange(self.prepared.rows // BATCH * BATCH)  # so that every batch is a whole one

    def fine_tune(self, config: Mapping[str, Any], base: Any = None, points: int = 1) -> Any:
        """Return the fine-tune of a config on all rows, over a base model that may be kept."""
        from hpsearch.training.base_model import BaseModel
        from hpsearch.training.fine_tune import FineTune

        whole = self.task.complete(config)
        base = base or BaseModel(self.task.learner(self.prepared, "train", whole), "cpu")
        return FineTune(
            base.learner, whole, train_rows=self.rows, held_out_rows=None, seed=0, evaluations_per_epoch=points,
            numerics=self.numerics, device="cpu", base=base,
        )  # fmt: skip


def recipe(model: str, rows: Any, folder: Path) -> dict[str, Any]:
    """Train both for some steps, fp32 without dropout, and compare the loss of every one."""
    import torch

    from hpsearch.training.batches import epoch_batches, steps_per_epoch

    torch.set_num_threads(1)
    party = Party(model, rows, 128, folder, "fp32")
    each = steps_per_epoch(len(party.rows), BATCH)
    config = {**RECIPE, "batch_size": BATCH, "epochs": -(-STEPS // each)}
    run = party.fine_tune(config, points=each)
    first = {name: tensor.detach().clone() for name, tensor in run.model.named_parameters() if tensor.requires_grad}
    losses = [item.train_loss for item in run.advance(STEPS) if item is not None]
    learner = party.task.learner(party.prepared, "train", party.task.complete(config))
    lengths = np.asarray(learner.lengths)[party.rows]
    order = [batch for epoch in range(config["epochs"]) for batch in epoch_batches(lengths, BATCH, 0, epoch)]
    theirs = _trainer_losses(model, learner, order[:STEPS], config, run.steps_total, first)
    difference = max(abs(one - other) for one, other in zip(losses, theirs, strict=True))
    return {
        "steps": len(losses), "first loss": losses[0], "last loss": losses[-1],
        "largest difference of a loss": difference, "tolerance": TOLERANCE, "holds": difference <= TOLERANCE,
    }  # fmt: skip


def _trainer_losses(
    model: str, learner: Any, order: Sequence[np.ndarray], config: Mapping[str, Any], steps_total: int,
    first: Mapping[str, Any],
) -> list[float]:  # fmt: skip
    """Return the losses of peft with `Trainer` on batches in this order, from the same first adapters."""
    import torch
    from transformers import Trainer, TrainingArguments

    made = peft_model(model, config, "float32")
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(first[name.removeprefix("base_model.model.")])
    losses: list[float] = []
    flat = [row for batch in order for row in batch.tolist()]

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return range(len(flat))

        def compute_loss(self, *given: Any, **named: Any) -> Any:
            loss = super().compute_loss(*given, **named)
            losses.append(float(loss.detach()))
            return loss

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, max_steps=steps_total, learning_rate=config["learning_rate"],
            warmup_steps=math.ceil(config["warmup_ratio"] * steps_total), weight_decay=0.0, lr_scheduler_type="linear",
            max_grad_norm=1.0, adam_epsilon=1e-8, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True,
            logging_strategy="no",
        )  # fmt: skip
        trainer = InOrder(made, arguments, train_dataset=Rows(learner, flat), data_collator=collate)
        trainer.add_callback(_stop_after(len(order)))
        trainer.train()
    return losses


def _stop_after(steps: int) -> Any:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            control.should_training_stop = state.global_step >= steps

    return Stop()


def peft_model(model: str, config: Mapping[str, Any], dtype: str) -> Any:
    """Return a model with LoRA as people make it with peft."""
    import transformers
    from peft import LoraConfig, get_peft_model
    from torch import nn

    base: Any = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    layers = base.config.num_hidden_layers
    frozen = int(config.get("freeze_layers", 0.0) * layers)
    base.config.use_cache = False
    linear = {path.rpartition(".")[2] for path, part in base.named_modules() if isinstance(part, nn.Linear)}
    return get_peft_model(
        base,
        LoraConfig(
            r=config["lora_r"], lora_alpha=config["lora_alpha"], lora_dropout=0.0, task_type="CAUSAL_LM",
            target_modules=sorted(linear - {"lm_head"}),  # "all-linear", which cannot be of some layers only
            layers_to_transform=list(range(frozen, layers)) if frozen else None,
        ),
    )  # fmt: skip


class Rows:
    """Prepared rows as `Trainer` takes them: tokens, and labels that are -100 where nothing is trained."""

    def __init__(self, learner: Any, rows: Sequence[int]) -> None:
        self._learner, self._rows = learner, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        batch = self._learner.batch(np.array([row]), 1)
        tokens = batch["input_ids"][0]
        labels = tokens.new_full(tokens.shape, -100)
        wanted = batch["labels"][0] >= 0
        labels[batch["label_places"][0][wanted] + 1] = batch["labels"][0][wanted]
        return {"input_ids": tokens, "labels": labels, "length": len(tokens)}


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch, padded on the right to its longest row."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tokens = pad_sequence([row["input_ids"] for row in rows], batch_first=True, padding_value=0)
    labels = pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=-100)
    mask = pad_sequence([torch.ones_like(row["input_ids"]) for row in rows], batch_first=True)
    return {"input_ids": tokens, "attention_mask": mask, "labels": labels}


def speeds(model: str, rows: Any, configs: Sequence[Mapping[str, Any]], max_length: int) -> dict[str, Any]:
    """Train the configurations for an epoch, by each party in a process of its own; they take turns at each.

    One thread each; in bf16 where the CPU has it, else in fp32. Seconds are of the training, after what was prepared.
    """
    parties = {name: _Turns(name, model, rows, configs, max_length) for name in ("hpsearch", "peft with Trainer")}
    seconds: dict[str, list[float]] = {name: [] for name in parties}
    for number, _ in enumerate(configs):
        order = list(parties) if number % 2 else list(reversed(parties))
        for name in order:
            seconds[name].append(parties[name].next())
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)]
    halves = [bool(config.get("freeze_layers")) for config in configs]
    found = {name: {"seconds of each": seconds[name], **party.end()} for name, party in parties.items()}
    alone = _Turns("hpsearch", model, rows, configs[:1], max_length)
    alone.next()
    peak = alone.end()["peak bytes"]
    return {
        **found, "seconds, hpsearch over Trainer": {
            "all-linear": float(np.median([ratio for ratio, half in zip(ratios, halves, strict=True) if not half])),
            "upper half": float(np.median([ratio for ratio, half in zip(ratios, halves, strict=True) if half])),
            "in all": sum(seconds["hpsearch"]) / sum(seconds["peft with Trainer"]),
        },
        "peak bytes of one trial": peak, "peak of all over that of one": found["hpsearch"]["peak bytes"] / peak,
    }  # fmt: skip


class _Turns:
    """A party in a process of its own, which trains the next configuration when it is its turn."""

    def __init__(self, party: str, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_take_turns, args=(theirs, party, *arguments))
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def next(self) -> float:
        """Return the seconds that the next one takes."""
        self._pipe.send("next")
        return float(self._pipe.recv())

    def end(self) -> dict[str, Any]:
        """Return what it has to say of all of them."""
        self._pipe.send("end")
        said: dict[str, Any] = self._pipe.recv()
        self._process.join()
        return said


def _take_turns(
    pipe: Any, party: str, model: str, rows: Any, configs: Sequence[Mapping[str, Any]], max_length: int
) -> None:
    import torch

    from hpsearch.training.numerics import detect_environment

    torch.set_num_threads(1)
    precision = "bf16" if detect_environment("cpu")["bf16"] else "fp32"
    with tempfile.TemporaryDirectory() as folder:
        source = Party(model, rows, max_length, Path(folder), precision)
        trained = _ours(source, configs, Path(folder)) if party == "hpsearch" else _trainers(model, source, configs)
        pipe.send("ready")
        while pipe.recv() == "next":
            pipe.send(next(trained))
        tokens = int(np.asarray(source.task.learner(source.prepared).lengths).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pipe.send({"precision": precision, "tokens an epoch": tokens, "peak bytes": peak})


def _ours(source: Party, configs: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[float]:
    """Yield the seconds of each, the base kept between them, and the outputs of frozen layers where they are read."""
    from hpsearch.training.adapters import held_in
    from hpsearch.training.base_model import BaseModel
    from hpsearch.training.features.cache import FeatureCache
    from hpsearch.training.features.store import FeatureStore

    base: Any = None
    for config in configs:
        began = time.perf_counter()
        whole = {**config, "batch_size": 8, "epochs": 1, "weight_decay": 0.0, "warmup_ratio": 0.1}
        whole["lr_scheduler_type"] = "linear"
        if base is None:
            learner = source.task.learner(source.prepared, "train", source.task.complete(whole))
            features = FeatureCache(FeatureStore(folder / "features", 2**32), ("the model", "the rows"))
            base = BaseModel(learner, "cpu", features, held_in=held_in(learner, whole, source.numerics))
        run = source.fine_tune(whole, base)
        for _ in run.advance(run.horizon):
            pass
        yield time.perf_counter() - began


def _trainers(model: str, source: Party, configs: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Yield the seconds of each by peft with `Trainer` at its best settings, the model read anew for each trial."""
    import transformers

    learner = source.task.learner(source.prepared)
    transformers.logging.set_verbosity_error()
    is_bf16 = source.numerics.precision == "bf16"
    for config in configs:
        began = time.perf_counter()
        made = peft_model(model, config, "bfloat16" if is_bf16 else "float32")
        with tempfile.TemporaryDirectory() as folder:
            arguments = transformers.TrainingArguments(
                folder, per_device_train_batch_size=8, num_train_epochs=1, learning_rate=config["learning_rate"],
                warmup_steps=0.1, weight_decay=0.0, bf16=is_bf16, optim="adamw_torch_fused", report_to="none",
                save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no",
                train_sampling_strategy="group_by_length", length_column_name="length", remove_unused_columns=False,
            )  # fmt: skip
            transformers.Trainer(
                made, arguments, train_dataset=Rows(learner, source.rows.tolist()), data_collator=collate
            ).train()
        yield time.perf_counter() - began
