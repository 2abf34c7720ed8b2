"""LoRA on one GPU: a language model made from a config, its speed beside peft with `Trainer`, and its memory.

A part of `python -m benchmarks gpu_check`.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_check import Check, differences, ended
from benchmarks.language_parties import Rows, collate, peft_model
from hpsearch.training.adapters import held_in
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.memory import empty_cache, peak_memory_bytes, reset_peak_memory
from hpsearch.training.numerics import detect_environment, honour, resolve_numerics

SIZES: Mapping[str, Mapping[str, int]] = {
    "cuda": {
        "vocab_size": 32000, "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32,
        "num_key_value_heads": 4, "intermediate_size": 5632, "max_position_embeddings": 1024,
    },
    "cpu": {
        "vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 256,
    },
}  # fmt: skip
"""A Llama of 1.1 billion parameters on a GPU (the shape of TinyLlama, Zhang et al. 2024), and a tiny one."""

ROWS = {"cuda": 256, "cpu": 32}
WORDS = {"cuda": 500, "cpu": 60}
"""Most bytes of an answer, each a token; lengths are spread from a tenth of it on."""

BATCH, RANK, ALPHA = 8, 16, 32.0
TRIALS, MORE_MEMORY = 8, 1.05
ROUNDS = 2
_TEMPLATE = (
    "{% for turn in messages %}{{ '<|' + turn.role + '|>' + turn.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


class LanguageBench:
    """A chat task of made-up rows over a language model with random weights, and LoRA runs of it on one device."""

    def __init__(self, folder: Path, device: str) -> None:
        import hpsearch as hp

        self.device = torch.device(device)
        self.kind = self.device.type
        self.parameters = _save_model(folder / "model", SIZES[self.kind])
        random = np.random.default_rng(0)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
        sizes = random.integers(WORDS[self.kind] // 10, WORDS[self.kind], ROWS[self.kind])
        answers = ["x" + "".join(random.choice(letters, size)) + "x" for size in sizes.tolist()]
        rows = [{"prompt": f"Write {number}.", "completion": answer} for number, answer in enumerate(answers)]
        self.model = str(folder / "model")
        self.task = hp.ChatFineTuning(self.model, train=rows, max_length=SIZES[self.kind]["max_position_embeddings"])
        self.prepared = self.task.prepare(folder / "cache")
        environment = detect_environment(self.device)
        self.precision = "bf16" if environment["bf16"] else "fp32"
        self.numerics = resolve_numerics(environment, self.precision, attention=self.prepared.attention)
        self.rows = np.arange(self.prepared.rows)
        self.learner = self.task.learner(self.prepared, "train", self.config())
        self.tokens = int(np.asarray(self.learner.lengths).sum())

    def config(self, **more: Any) -> dict[str, Any]:
        lora = {"lora_r": RANK, "lora_alpha": ALPHA, "lora_target_modules": "all-linear"}
        fixed = {"batch_size": BATCH, "epochs": 1, "weight_decay": 0.0, "warmup_ratio": 0.1, "learning_rate": 3e-4}
        return dict(self.task.complete({**fixed, **lora, **more}))

    def new_base(self) -> BaseModel:
        return BaseModel(self.learner, self.device, held_in=held_in(self.learner, self.config(), self.numerics))

    def fine_tune(self, base: BaseModel, numerics: Any = None, **more: Any) -> FineTune:
        numerics = numerics or self.numerics
        honour(numerics, self.device)
        return FineTune(
            self.learner, self.config(**more), train_rows=self.rows, held_out_rows=self.rows[:BATCH], seed=0,
            evaluations_per_epoch=1, numerics=numerics, device=self.device, base=base,
        )  # fmt: skip


def _save_model(folder: Path, sizes: Mapping[str, int]) -> int:
    """Write a Llama with random weights and a tokenizer of bytes; return its parameters."""
    import tokenizers
    import transformers

    alphabet = {token: code for code, token in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(alphabet, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>", chat_template=_TEMPLATE
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            **sizes, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None
        )
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def language(folder: Path, device: str) -> Iterator[Check]:
    """Yield the checks of LoRA on one device."""
    bench = LanguageBench(folder, device)
    base = bench.new_base()
    yield paused(bench, base)
    yield memory_of_trials(bench, base)
    yield beside_trainer(bench, base)


def paused(bench: LanguageBench, base: BaseModel) -> Check:
    """Leave a run in the middle, and go on from its bytes: adapters, losses and all."""
    numerics = replace(bench.numerics, deterministic=True)
    run = bench.fine_tune(base, numerics)
    straight = _of_adapters(ended(run, run.advance(run.horizon)))
    run = bench.fine_tune(base, numerics)
    for _, _item in zip(range(run.steps_total // 2 + 1), run.advance(run.horizon), strict=False):
        pass
    files, step = run.checkpoint(), run.step
    again = bench.fine_tune(base, numerics)
    again.restore(files)
    different = differences(straight, _of_adapters(ended(again, again.advance(again.horizon))))
    trained = [parameter for parameter in again.model.parameters() if parameter.requires_grad]
    kept = 3 * sum(parameter.numel() * parameter.element_size() for parameter in trained)  # AdamW has two moments
    size = sum(map(len, files.values()))
    text = (
        f"{f'{len(different)} tensors differ' if different else 'adapters and losses equal, bit by bit'}; a checkpoint "
        f"of {size / 2**20:.1f} MiB, {size / kept:.2f} times adapters and optimizer"
    )
    large = size > 1.2 * kept and bench.kind == "cuda"  # a tiny model's is mostly names
    return Check(f"LoRA, paused at step {step}, {bench.precision}", text, not different and not large)


def _of_adapters(found: tuple[dict[str, np.ndarray], Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    weights, outputs = found
    return {name: weight for name, weight in weights.items() if "lora_" in name}, np.asarray(outputs)


def memory_of_trials(bench: LanguageBench, base: BaseModel) -> Check:
    """Train eight configurations one after the other over one base; compare the peak of the last with the first."""
    name = f"LoRA, memory of {TRIALS} trials"
    peaks = []
    for number in range(TRIALS):
        reset_peak_memory(bench.device)
        run = bench.fine_tune(base, learning_rate=3e-4 / (1 + number))
        for _, _item in zip(range(3), run.advance(run.horizon), strict=False):
            pass
        run.close()
        peaks.append(peak_memory_bytes(bench.device))
    ratio, weights = peaks[-1] / peaks[0], bench.parameters * (2 if bench.precision == "bf16" else 4)
    text = f"peak {peaks[-1] / 2**30:.2f} GiB, {ratio:.3f} times the first's, {MORE_MEMORY} allowed"
    if bench.kind == "cuda":
        text += f"; the base alone {weights / 2**30:.2f} GiB"
    return Check(name, text, ratio <= MORE_MEMORY)


def beside_trainer(bench: LanguageBench, base: BaseModel) -> Check:
    """Train the same rows by both, in turns: tokens a second of one epoch, after one that is not counted."""
    name = f"LoRA, {bench.parameters / 1e9:.1f} billion parameters"
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(ROUNDS + 1):
        seconds = _ours(bench, base), _trainers(bench)
        if number:
            ours.append(seconds[0])
            theirs.append(seconds[1])
    ratio = statistics.median(ours) / statistics.median(theirs)
    rates = [bench.tokens / statistics.median(each) for each in (ours, theirs)]
    text = f"{rates[0]:,.0f} tokens a second, peft with Trainer {rates[1]:,.0f}: {ratio:.2f} times its seconds a step"
    return Check(name, text, ratio <= 1.05 if bench.kind == "cuda" else None)


def _ours(bench: LanguageBench, base: BaseModel) -> float:
    run = bench.fine_tune(base)
    began = time.perf_counter()
    for _, _item in zip(range(run.steps_total - 1), run.advance(run.horizon), strict=False):  # no evaluation
        pass
    _wait(bench.device)
    return (time.perf_counter() - began) * run.steps_total / (run.steps_total - 1)


def _trainers(bench: LanguageBench) -> float:
    """Return the seconds of peft with `Trainer` at its best settings: those of its steps alone."""
    import transformers

    is_bf16, is_gpu = bench.precision == "bf16", bench.kind == "cuda"
    made = peft_model(bench.model, bench.config(), "bfloat16" if is_bf16 else "float32")
    times: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            _wait(bench.device)
            times.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            _wait(bench.device)
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=3e-4, warmup_steps=0.1,
            weight_decay=0.0, bf16=is_bf16, tf32=True if is_gpu else None, optim="adamw_torch_fused",
            report_to="none", save_strategy="no", use_cpu=not is_gpu, disable_tqdm=True, logging_strategy="no",
            train_sampling_strategy="group_by_length", length_column_name="length", remove_unused_columns=False,
            dataloader_pin_memory=is_gpu,
        )  # fmt: skip
        trainer = transformers.Trainer(
            made, arguments, train_dataset=Rows(bench.learner, bench.rows.tolist()), data_collator=collate,
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    del trainer, made
    empty_cache(bench.device)
    return times[1] - times[0]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
