"""What is promised on a GPU, checked on this machine's: `make gpu-check`.

Tiny models made from configs, nothing downloaded; one table in less than eight minutes, and exit status 1 where a
promise does not hold. Each part has a time limit; what it does not come to is skipped, and the table says why.

    python -m benchmarks gpu_check [--device cuda:0] [--parts runs,graphs]

`--device cpu` shows that the checks themselves work where there is no GPU; what only a GPU has is then skipped.
"""

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurements import machine, write_measurements

ROWS, CLASSES = 192, 3
CONFIG = {"learning_rate": 3e-4, "batch_size": 16, "epochs": 2, "weight_decay": 0.01, "warmup_ratio": 0.1}
TOLERANCE = 0.05
"""Largest difference of a class's probability between fp32 and bf16 or fp16, after the same two epochs of a tiny
model."""

WHOLE_SECONDS = 470.0
"""What all parts may take together: a part has its own limit, or what is left of this."""

HUGE_BATCH = 1 << 16
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
LARGER = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
"""A vision transformer of the size of MiniLM, 65 tokens an image."""


@dataclass(frozen=True)
class Check:
    """One promise: what was found, and whether it held; None where it cannot be tried on this device."""

    name: str
    text: str
    holds: bool | None = True


class Bench:
    """One task of generated images, and fine-tunes of it on one device."""

    def __init__(self, folder: Path, device: str, **size: int) -> None:
        import torch
        from transformers import ViTConfig, ViTModel

        from hpsearch.tasks import ImageClassification
        from hpsearch.training.numerics import Numerics, detect_environment, resolve_numerics

        torch.manual_seed(0)
        settings: dict[str, Any] = {**TINY, **size}
        model = ViTModel(ViTConfig(image_size=32, patch_size=4, **settings), add_pooling_layer=False)
        model.save_pretrained(folder / "model")
        random = np.random.default_rng(0)
        labels = np.arange(ROWS) % CLASSES
        images = random.integers(0, 128, size=(ROWS, 32, 32, 3)) + 40 * labels[:, None, None, None]
        self.task = ImageClassification(str(folder / "model"), train=(images.astype(np.uint8), labels))
        self.prepared = self.task.prepare(folder / "cache")
        self.learner = self.task.learner(self.prepared)
        self.device = torch.device(device)
        self.environment = detect_environment(self.device)
        self.numerics: Numerics = resolve_numerics(self.environment, "fp32", deterministic=True)
        self.base = self.new_base()

    def new_base(self) -> Any:
        from hpsearch.training.base_model import BaseModel

        return BaseModel(self.learner, self.device)

    def fine_tune(self, numerics: Any = None, base: Any = None, **config: Any) -> Any:
        from hpsearch.training.fine_tune import FineTune
        from hpsearch.training.numerics import honour

        numerics = numerics or self.numerics
        honour(numerics, self.device)
        rows = np.arange(ROWS)
        return FineTune(
            self.learner,
            self.task.complete({**CONFIG, **config}),
            train_rows=rows[: ROWS * 2 // 3],
            held_out_rows=rows[ROWS * 2 // 3 :],
            seed=0,
            evaluations_per_epoch=2,
            numerics=numerics,
            device=self.device,
            base=base or self.base,
        )

    def trained(self, numerics: Any = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return (weights by name, logits of the held-out rows) of one run to its end."""
        run = self.fine_tune(numerics)
        return ended(run, run.advance(run.horizon))


def ended(run: Any, items: Iterator[Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Train to the end and return (weights by name, logits of the held-out rows)."""
    last = None
    for measurement in items:
        last = measurement or last
    assert last is not None
    weights = {name: tensor.detach().cpu().numpy().copy() for name, tensor in run.model.state_dict().items()}
    return weights, last.outputs


def differences(one: tuple[Any, Any], other: tuple[Any, Any]) -> list[str]:
    """Return what is not equal to the last bit."""
    found = [name for name, weight in one[0].items() if weight.tobytes() != other[0][name].tobytes()]
    return found + (["outputs"] if one[1].tobytes() != other[1].tobytes() else [])


def repeated(bench: Bench) -> Check:
    different = differences(bench.trained(), bench.trained())
    return Check("a run repeated", _verdict(different), not different)


def paused(bench: Bench, precision: str) -> Check:
    """Leave a run between two steps in the middle of an epoch, and go on from its bytes on another base model."""
    numerics = replace(bench.numerics, precision=precision)
    straight = bench.trained(numerics)
    run = bench.fine_tune(numerics)
    for _, _item in zip(range(run.steps_total // 2 + 1), run.advance(run.horizon), strict=False):
        pass
    files = run.checkpoint()
    again = bench.fine_tune(numerics, base=bench.new_base())
    again.restore(files)
    different = differences(straight, ended(again, again.advance(again.horizon)))
    size = sum(map(len, files.values())) / 1024
    text = f"{_verdict(different)}; a checkpoint of {size:.0f} KiB"
    return Check(f"paused at step {run.step} of {run.steps_total}, {precision}", text, not different)


def _verdict(different: Sequence[str]) -> str:
    if different:
        return f"{len(different)} tensors differ, {different[0]} first"
    return "weights and logits equal, bit by bit"


def beside_fp32(bench: Bench, precision: str) -> Check:
    """Compare what a run comes to in another precision. The steps of fp16 that were left out are counted."""
    from hpsearch.tasks.classes.labels import probabilities
    from hpsearch.training.run_checkpoint import FACTS

    name = f"{precision} against fp32"
    if precision == "bf16" and not bench.environment["bf16"]:
        return Check(name, "this device has no native bf16", None)
    exact = probabilities(bench.trained()[1], "multiclass")
    run = bench.fine_tune(replace(bench.numerics, precision=precision))
    rough = probabilities(ended(run, run.advance(run.horizon))[1], "multiclass")
    largest = float(np.abs(exact - rough).max())
    text = f"probabilities differ by {largest:.4f} at most, {TOLERANCE} allowed"
    if precision == "fp16":
        scale = json.loads(run.checkpoint()[FACTS])["loss_scale"]["scale"]
        text += f"; loss scale {scale:,.0f} at the end, from 65,536"
    return Check(name, text, largest <= TOLERANCE)


def memory(bench: Bench) -> Check:
    """Ask for a batch that no GPU takes at once; on a CPU, where memory is rarely refused, for one that fits."""
    from hpsearch.training.memory_probe import memory_trial
    from hpsearch.training.numerics import honour, probe_micro_batch

    honour(bench.numerics, bench.device)
    rows = HUGE_BATCH if bench.device.type == "cuda" else 32
    base = _Repeated.base(bench, rows)
    fits = probe_micro_batch(memory_trial(base, bench.numerics, bench.task.complete(CONFIG)), rows)
    return Check("memory probe", f"{fits:,} of {rows:,} rows fit at once", 1 <= fits <= rows)


class _Repeated:
    """A learner whose rows are another's over and over: many rows that take no room of their own."""

    def __init__(self, learner: Any, rows: int) -> None:
        self._learner = learner
        self.lengths = np.resize(np.asarray(learner.lengths), rows)

    @classmethod
    def base(cls, bench: Bench, rows: int) -> Any:
        from hpsearch.training.base_model import BaseModel

        return BaseModel(cls(bench.learner, rows), bench.device)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._learner, name)
        if name not in ("batch", "targets", "weights"):
            return found
        return lambda rows, *more: found(np.asarray(rows) % ROWS, *more)


def workers(bench: Bench) -> Check:
    """Start a worker a device, each seeing its own alone, and have each take the task on."""
    from hpsearch.runtime.devices import inventory, slots, worker_environment
    from hpsearch.runtime.messages import Workload
    from hpsearch.runtime.pools.local import LocalPool
    from hpsearch.tasks.classes.metric import resolve_metric

    wanted = slots("cuda" if bench.device.type == "cuda" else 1, inventory())
    rows = np.arange(ROWS)
    pool = LocalPool(wanted)
    try:
        pool.environment()
        pool.prepare(
            Workload(
                study="gpu-check", task=bench.task, prepared=bench.prepared, folds=((rows[::2], rows[1::2]),),
                metrics=(resolve_metric("accuracy", "multiclass", bench.prepared.judge.classes),), seed=0,
                evaluations_per_epoch=2, early_stopping=None, numerics=bench.numerics, checkpoint_every=300.0,
            )
        )  # fmt: skip
        until = time.monotonic() + 300
        while len(pool.idle()) < len(wanted) and time.monotonic() < until:
            list(pool.completed(0.2))
        ready = [slot.devices[0] for slot in pool.idle()]
        seen = [worker_environment(slot, os.environ, 1)["CUDA_VISIBLE_DEVICES"] for slot in wanted]
    finally:
        pool.close()
    apart = len(set(seen)) == len(wanted)
    text = f"ready: {', '.join(ready) or 'none'}; CUDA_VISIBLE_DEVICES of each: {', '.join(map(repr, seen))}"
    return Check("a worker a device", text, len(ready) == len(wanted) and apart)


def speed(bench: Bench, precision: str) -> Check:
    """Time one run in its steady state: from the first evaluation point to the last, evaluations included."""
    from hpsearch.training.memory import peak_memory_bytes

    name, kind = f"speed in {precision}", bench.device.type
    if kind == "cpu" and precision == "fp16":
        return Check(name, "a CPU computes fp16 at a thirtieth of the speed of fp32", None)
    if precision == "bf16" and not bench.environment["bf16"]:
        return Check(name, "this device has no native bf16", None)
    numerics = replace(bench.numerics, precision=precision, deterministic=kind == "cpu")
    run = bench.fine_tune(numerics, epochs=1 if kind == "cpu" else 30, batch_size=32)
    measured = [item for item in run.advance(run.horizon) if item is not None]
    rows = measured[-1].rows_seen - measured[0].rows_seen
    per_second = rows / sum(item.seconds for item in measured[1:])
    peak = peak_memory_bytes(bench.device) / 2**20
    return Check(name, f"{per_second:,.0f} rows trained a second, peak memory {peak:,.0f} MiB")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what transformers reports of models that it loads."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield


class Benches:
    """The tasks that parts share, each made when it is first wanted."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device

    @cached_property
    def tiny(self) -> Bench:
        return Bench(self.folder / "tiny", self.device)

    @cached_property
    def larger(self) -> Bench:
        return Bench(self.folder / "larger", self.device, **LARGER)


Part = tuple[float, Callable[[Benches], Iterator[Check]]]
"""The seconds that a part may take at most, and its checks."""


def parts() -> dict[str, Part]:
    from benchmarks.gpu_graphs import graphs
    from benchmarks.gpu_sharing import sharing
    from benchmarks.gpu_studies import freed, together

    return {
        # First: on a CPU the memory that the others leave to this process would help the study out that is short of it.
        "memory": (90.0, _memory),
        "runs": (90.0, _runs),
        "speed": (60.0, lambda benches: (speed(benches.larger, precision) for precision in ("fp32", "bf16", "fp16"))),
        "graphs": (60.0, lambda benches: graphs(benches.larger)),
        "workers": (60.0, lambda benches: iter([workers(benches.tiny), freed(benches.larger)])),
        "studies": (120.0, lambda benches: iter([together(benches.tiny)])),
        "language": (150.0, _language),
        "sharing": (240.0, lambda benches: sharing(benches.larger)),
    }


def _memory(benches: Benches) -> Iterator[Check]:
    from benchmarks.gpu_memory import forecasts, survived

    yield memory(benches.larger)
    yield forecasts(benches.larger if benches.device.startswith("cuda") else benches.tiny)
    yield survived(benches.tiny)


def _language(benches: Benches) -> Iterator[Check]:
    import importlib.util

    if missing := [name for name in ("peft", "accelerate") if importlib.util.find_spec(name) is None]:
        yield Check("LoRA", f"{missing[0]} is not installed", None)
        return
    from benchmarks.gpu_language import language

    yield from language(benches.folder / "language", benches.device)


def _runs(benches: Benches) -> Iterator[Check]:
    yield repeated(benches.tiny)
    for precision in ("fp32", "fp16"):
        yield paused(benches.tiny, precision)
    for precision in ("bf16", "fp16"):
        yield beside_fp32(benches.tiny, precision)


class _TimeIsUpError(Exception):
    pass


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUpError` in a block that takes longer."""

    def end(*_: object) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.0 if math.isinf(seconds) else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def checks(benches: Benches, chosen: Mapping[str, Part], whole: float) -> Iterator[Check]:
    """Yield the checks of some parts. One that fails with an error does not hold, and the other parts follow.

    Args:
        whole: The seconds that all of them may take together; on a CPU `math.inf`, and then each may take any time.
    """
    ends = time.monotonic() + whole
    for name, (own_limit, part) in chosen.items():
        limit = whole if math.isinf(whole) else min(own_limit, ends - time.monotonic())
        if limit < 1.0:
            yield Check(f"part {name}", f"no time was left of {whole:.0f} s; --parts {name} runs it alone", None)
            continue
        found: list[Check] = []
        try:
            with quiet(), at_most(limit):
                found += part(benches)
        except _TimeIsUpError:
            text = f"what is not listed here took longer than the {limit:.0f} s that the part had"
            found.append(Check(f"part {name}", text, None))
        except Exception as error:  # noqa: BLE001  # whatever a device raises: the other parts are to be seen
            traceback.print_exc()
            found.append(Check(f"part {name}", f"{type(error).__name__}: {error}", False))
        yield from found


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:0, another GPU, or cpu (default: cuda:0)")
    parser.add_argument("--parts", help=f"some of {','.join(parts())}, listed like this (default: all)")
    given = parser.parse_args(arguments)
    names = given.parts.split(",") if given.parts else list(parts())
    if unknown := [name for name in names if name not in parts()]:
        parser.error(f"--parts {given.parts}: there is no part {unknown[0]!r}; there are {', '.join(parts())}")
    chosen = {name: part for name, part in parts().items() if name in names}
    # As a worker's environment has it: cuBLAS repeats itself only when this is set before a GPU is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("gpu-check: torch sees no CUDA device here, so there is nothing to check; --device cpu tries the checks")
        return None
    name = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else "CPU"
    print(f"gpu-check on {given.device} ({name}), torch {torch.__version__}")
    found = []
    with tempfile.TemporaryDirectory(prefix="hpsearch-gpu-check-") as folder:
        os.environ["HPSEARCH_CACHE"] = str(Path(folder) / "cache")
        whole = WHOLE_SECONDS if given.device.startswith("cuda") else math.inf
        for check in checks(Benches(Path(folder), given.device), chosen, whole):
            found.append(check)
            word = "skip" if check.holds is None else "ok" if check.holds else "FAIL"
            print(f"{word:<6}{check.name:<32}{check.text}", flush=True)
    results = {check.name: {"holds": check.holds, "found": check.text} for check in found}
    measurements = {"machine": {**machine(), "device": name}, "checks": results}
    if not given.parts:
        write_measurements("gpu_check" if given.device.startswith("cuda") else "gpu_check_on_cpu", measurements)
    if any(check.holds is False for check in found):
        sys.exit(1)
    return measurements


if __name__ == "__main__":
    main()
