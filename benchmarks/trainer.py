"""One fold by transformers' `Trainer`, as people write it and at its best."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.jobs import CLASSES, DECAY_RATIO, Config, Job, fold_pairs, training_rows


@dataclass(frozen=True)
class PeerSettings:
    """How the peer does the same work; the defaults are what people write.

    Attributes:
        bf16: Autocast to bf16 instead of fp32.
        group_by_length: Batches of rows of like length, and held-out rows sorted by length.
        optim: `TrainingArguments.optim`; empty for transformers' default.
        eval_batch_size: Rows of a batch in evaluation.
        once: Tokenize and read the weights once a process, instead of once a trial and once a fold.
        quiet: No progress bars and no logs.
        processes: Processes that share the study; 0 for this one alone.
        threads: Threads of each process; 0 for as many as torch chooses.
        loaders: Processes that collate batches for each; 0 for none.
    """

    bf16: bool = False
    group_by_length: bool = False
    optim: str = ""
    eval_batch_size: int = 16
    once: bool = False
    quiet: bool = False
    processes: int = 0
    threads: int = 0
    loaders: int = 0


WRITTEN = PeerSettings()


def tuned(cores: int) -> PeerSettings:
    """Return the settings of the tuned peer: one process a core, one thread each."""
    return PeerSettings(
        bf16=True, group_by_length=True, optim="adamw_torch_fused", eval_batch_size=64, once=True, quiet=True,
        processes=cores, threads=1,
    )  # fmt: skip


class Rows:
    """Encoded rows as torch's datasets are: a dict a row."""

    def __init__(self, encoded: Sequence[Mapping[str, Any]]) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._encoded[index]


def encoded_rows(tokenizer: Any, frame: Any) -> list[dict[str, Any]]:
    """Return each row's token ids and label; padding comes with the batch."""
    tokens = tokenizer(frame["text"].tolist(), truncation=True)
    labels = frame["label"].tolist()
    known = {name: code for code, name in enumerate(sorted(set(labels)))}
    return [
        {**{name: values[index] for name, values in tokens.items()}, "labels": known[label]}
        for index, label in enumerate(labels)
    ]


def freeze_first(model: Any, layers: int) -> None:
    """Freeze a BERT's embeddings and first layers, as people do it; none for 0."""
    if layers == 0:
        return
    for module in (model.bert.embeddings, *model.bert.encoder.layer[:layers]):
        for parameter in module.parameters():
            parameter.requires_grad = False


def macro_f1(prediction: Any) -> dict[str, float]:
    from sklearn.metrics import f1_score

    found = prediction.predictions.argmax(axis=-1)
    return {"f1_macro": float(f1_score(prediction.label_ids, found, average="macro"))}


def training_arguments(config: Config, settings: PeerSettings, folder: str) -> Any:
    """Return transformers' `TrainingArguments` of a configuration."""
    from transformers import TrainingArguments

    schedule = config["lr_scheduler_type"]
    given: dict[str, Any] = {
        "output_dir": folder,
        "learning_rate": config["learning_rate"],
        "per_device_train_batch_size": config["batch_size"],
        "per_device_eval_batch_size": settings.eval_batch_size,
        "num_train_epochs": config["epochs"],
        "weight_decay": config["weight_decay"],
        "warmup_steps": config["warmup_ratio"],  # below 1 it is a share of the steps
        "lr_scheduler_type": schedule,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
    }
    if schedule == "warmup_stable_decay":
        decay = math.ceil(DECAY_RATIO * config["steps_total"])
        given["lr_scheduler_kwargs"] = {"num_decay_steps": decay, "decay_type": "1-sqrt"}
    if settings.optim:
        given["optim"] = settings.optim
    if settings.group_by_length:
        given["train_sampling_strategy"] = "group_by_length"
    if settings.quiet:
        given |= {"disable_tqdm": True, "logging_strategy": "no", "dataloader_pin_memory": False}
    if settings.loaders:
        given |= {"dataloader_num_workers": settings.loaders, "dataloader_persistent_workers": True}
    return TrainingArguments(**given, bf16=settings.bf16)


class FoldTrainer:
    """Trains configurations on folds, one after the other.

    Attributes:
        folds: (training rows, held-out rows) of each fold.
        seconds: Training with the evaluations, and evaluation alone, so far.
        began: When the first training began, in seconds since 1970.
    """

    def __init__(self, job: Job, settings: PeerSettings) -> None:
        self.job, self.settings = job, settings
        self.frame = training_rows(Path(job.data), job.rows)
        self.folds = fold_pairs(self.frame["label"])
        self.seconds = {"train": 0.0, "eval": 0.0}
        self.began: float | None = None
        self._kept: dict[str, Any] = {}

    def forget(self) -> None:
        """Forget tokens and weights before the next trial, unless they are to be read once a process."""
        if not self.settings.once:
            self._kept.clear()

    def tokenized(self) -> tuple[Any, list[dict[str, Any]]]:
        """Return the tokenizer and the encoded rows."""
        from transformers import AutoTokenizer

        if "rows" not in self._kept:
            tokenizer = AutoTokenizer.from_pretrained(self.job.model)
            self._kept["rows"] = tokenizer, encoded_rows(tokenizer, self.frame)
        tokenizer, rows = self._kept["rows"]
        return tokenizer, rows

    def model(self, fold: int) -> Any:
        """Return a model with the pretrained weights and a head drawn from the fold's seed."""
        import copy

        from transformers import AutoModelForSequenceClassification, set_seed

        name = f"model {fold}"
        if name in self._kept:
            return copy.deepcopy(self._kept[name])
        set_seed(fold)
        found = AutoModelForSequenceClassification.from_pretrained(self.job.model, num_labels=CLASSES)
        if self.settings.once:
            self._kept[name] = copy.deepcopy(found)
        return found

    def train(self, config: Config, fold: int, callbacks: Sequence[Any] = ()) -> list[float]:
        """Train one fold and return the objective after each of its epochs."""
        from transformers import DataCollatorWithPadding

        tokenizer, rows = self.tokenized()
        model = self.model(fold)
        freeze_first(model, config["freeze_layers"])
        train, held_out = ([rows[index] for index in part] for part in self.folds[fold])
        if self.settings.group_by_length:
            held_out.sort(key=lambda row: len(row["input_ids"]))
        steps = -(-len(train) // config["batch_size"]) * config["epochs"]
        self.began = self.began or time.time()
        trainer = trainer_class(self.settings)(
            model=model,
            args=training_arguments({**config, "steps_total": steps}, self.settings, self.job.folder),
            train_dataset=Rows(train),
            eval_dataset=Rows(held_out),
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=macro_f1,
            callbacks=list(callbacks),
        )
        began = time.perf_counter()
        trainer.train()
        self.seconds["train"] += time.perf_counter() - began
        evaluations = [entry for entry in trainer.state.log_history if "eval_f1_macro" in entry]
        self.seconds["eval"] += sum(entry["eval_runtime"] for entry in evaluations)
        return [entry["eval_f1_macro"] for entry in evaluations]


def trainer_class(settings: PeerSettings) -> Any:
    """Return `Trainer`; where rows are grouped by length, one that evaluates them in the order they are sorted in."""
    from transformers import Trainer

    if not settings.group_by_length:
        return Trainer

    class SortedEvaluation(Trainer):
        def _get_eval_sampler(self, eval_dataset: Any) -> Any:
            from torch.utils.data import SequentialSampler

            return SequentialSampler(eval_dataset)

    return SortedEvaluation
