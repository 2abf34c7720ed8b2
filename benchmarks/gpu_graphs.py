"""The time of a training step with and without CUDA graphs, for each length that rows are padded to.

A part of `python -m benchmarks gpu_check`: it says whether capturing steps would pay. Nothing in hpsearch does so yet.
A step that is not captured also waits for the device once: transformers looks whether a mask masks anything.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.gpu_check import Bench, Check

LENGTHS = {"cuda": (16, 32, 64, 128, 256), "cpu": (16, 32)}
"""Tokens of a batch's longest row."""

STEPS = {"cuda": 30, "cpu": 2}
BATCH = 16
WARM_UP = 3
MINILM: dict[str, Any] = {
    "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536, "num_labels": 3,
}  # fmt: skip
PAYS = 1.2
"""From what ratio on the weightiest lengths gain enough to be worth a second way to train."""


class Steps:
    """Full fine-tuning of a BERT of MiniLM's size, of random weights: forwards, backwards, clipping, AdamW.

    With what capturing asks of it: memory that stays where it is, a learning rate on the device, gradients that are not
    made anew.
    """

    def __init__(self, bench: Bench) -> None:
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        from hpsearch.training.numerics import automatic_precision

        torch.manual_seed(0)
        self.device, self.precision = bench.device, automatic_precision(bench.environment)
        self.model = BertForSequenceClassification(BertConfig(**MINILM)).to(self.device).train()
        on_gpu = self.device.type == "cuda"
        rate = torch.tensor(1e-5, device=self.device) if on_gpu else 1e-5
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, fused=True, capturable=on_gpu)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def batch(self, length: int) -> dict[str, Any]:
        """Return rows of random tokens, one of them shorter, so that there is a mask."""
        import torch

        tokens = torch.randint(1, 30_000, (BATCH, length))
        mask = torch.ones_like(tokens)
        mask[0, length // 2 :] = 0
        batch = {"input_ids": tokens, "attention_mask": mask, "labels": torch.arange(BATCH) % 3}
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def step(self, batch: dict[str, Any]) -> None:
        import torch

        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        # Weights that were cast before a capture would not be cast again by it.
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None, cache_enabled=False):
            loss = self.model(**batch).loss
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def captured(self, batch: dict[str, Any]) -> Callable[[], None]:
        """Capture a step on a batch's memory, as torch's "CUDA semantics" do: a few on a side stream come before."""
        import torch

        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.step(batch)
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step(batch)
        return graph.replay

    def milliseconds(self, one: Callable[[], None]) -> float:
        """Return the mean time of a step, after a few that do not count."""
        import torch

        def wait() -> None:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

        for _ in range(WARM_UP if self.device.type == "cuda" else 1):
            one()
        wait()
        started, steps = time.perf_counter(), STEPS[self.device.type]
        for _ in range(steps):
            one()
        wait()
        return (time.perf_counter() - started) / steps * 1e3


def graphs(bench: Bench) -> Iterator[Check]:
    """Yield the time of a step for each length, and what graphs make of it."""
    import torch

    from hpsearch.training.numerics import honour

    kind = bench.device.type
    if kind == "cuda":
        torch.cuda.set_device(bench.device)
    honour(bench.numerics, bench.device)
    torch.use_deterministic_algorithms(kind == "cpu")
    steps = Steps(bench)
    plain = {}
    for length in LENGTHS[kind]:
        batch = steps.batch(length)
        plain[length] = steps.milliseconds(lambda batch=batch: steps.step(batch))  # type: ignore[misc]
    shown = ", ".join(f"{length} tokens {time:.1f}" for length, time in plain.items())
    yield Check("ms a step", f"{steps.precision}, {BATCH} rows: {shown}")
    if kind != "cuda":
        yield Check("ms a step, CUDA graphs", "only NVIDIA's GPUs have them", None)
        return
    gains, captured, seconds = {}, {}, time.perf_counter()
    used = torch.cuda.memory_reserved(bench.device)
    for length in LENGTHS[kind]:
        captured[length] = steps.captured(steps.batch(length))
    seconds, used = time.perf_counter() - seconds, torch.cuda.memory_reserved(bench.device) - used
    for length, replay in captured.items():
        gains[length] = plain[length] / steps.milliseconds(replay)
    shown = ", ".join(f"{length} tokens {plain[length] / gain:.1f} ({gain:.2f}x)" for length, gain in gains.items())
    cost = f"{len(gains)} captured in {seconds:.1f} s and {used / 2**20:,.0f} MiB"
    verdict = "it pays to build them" if max(gains.values()) >= PAYS else f"none gains {PAYS} times"
    yield Check("ms a step, CUDA graphs", f"{shown}; {cost}; {verdict}")
