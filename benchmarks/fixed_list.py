"""A fixed list of small studies: every score of theirs stays the same to the last bit while the inside is rebuilt.

The studies differ in models, hyperparameters, folds, samplers and pruners, and use the public interface only. The
models are tiny and drawn from a seed; nothing is downloaded. Numbers are written as hexadecimal floats, arrays and
weights as SHA-256 digests. Seconds and memory are left out.

    python -m benchmarks.fixed_list --write FILE      run the list and write what it came to
    python -m benchmarks.fixed_list --against FILE    run the list and compare: exit status 1 where anything differs

Files compare only between equal versions and CPU capabilities (exit status 2 otherwise). `--only NAME ...` runs some of
the studies.
"""

import argparse
import contextlib
import hashlib
import io
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import hpsearch as hp

if TYPE_CHECKING:
    from torch import Tensor, nn

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
"""Set before torch and transformers are imported, which is why functions import them."""

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy", "optuna", "pillow")
WORDS = ("the", "a", "film", "was", "great", "awful", "fine", "dull", "plot", "loved", "hated", "minute", "of", "it")
IMBALANCED = (0, 0, 0, 1, 1, 2)
RATE = hp.Float(1e-5, 2e-2, log=True, grid=[1e-3, 1e-2])
BATCH = hp.Categorical([8, 32])
FROZEN = hp.Categorical([0, 1, "all"])
"""These three hold what the tasks recommend, so that each study has a literature default to compare its winner with."""


@dataclass(frozen=True)
class Case:
    """One study of the list, and how it is run.

    Attributes:
        task: What it fine-tunes.
        searched: Parameters of its space besides the usual ones.
        trials: Trials in all, or None for all points of a grid.
        settings: Arguments of `hp.Study` besides the usual ones.
        enqueued: Configurations to try first.
        devices: Where it runs.
        pauses: Whether it pauses after the first trial and is continued by another `hp.Study` of the same name.
        exports: Whether the best model is exported, too.
    """

    task: Any
    searched: Mapping[str, Any]
    trials: int | None = 4
    settings: Mapping[str, Any] = field(default_factory=dict)
    enqueued: Sequence[Mapping[str, Any]] = ()
    devices: str | int = "inline"
    pauses: bool = False
    exports: bool = False

    def study(self, name: str, **more: Any) -> hp.Study:
        space = hp.Space(**{"epochs": 2, "batch_size": 8, "learning_rate": RATE, **self.searched})
        usual = {"sampler": "random", "pruner": "none", "cv": 2, "early_stopping": None, "metrics": ["accuracy"]}
        settings = {**usual, "precision": "fp32", "seed": 3, "folder": "studies", **self.settings, **more}
        study = hp.Study(name, self.task, space, **settings)
        for config in self.enqueued:
            study.enqueue(config)
        return study


def save_models(folder: Path) -> None:
    """Write the base models, each with its tokenizer into a folder of its name."""
    import torch
    import transformers as hf

    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    text = {"vocab_size": 24, "initializer_range": 0.2}
    configs = {
        "bert": hf.BertConfig(**size, **text, max_position_embeddings=40),
        "distilbert": hf.DistilBertConfig(**text, dim=32, n_layers=3, n_heads=2, hidden_dim=48),
        "gpt2": hf.GPT2Config(**text, n_embd=32, n_layer=2, n_head=2, n_positions=40, bos_token_id=4, eos_token_id=4),
        "vit": hf.ViTConfig(**size, image_size=16, patch_size=4, initializer_range=0.2),
        "resnet": hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    }
    for name, config in configs.items():
        torch.manual_seed(7)
        hf.AutoModel.from_config(config).save_pretrained(folder / name)
        if "vocab_size" in config:
            save_tokenizer(folder / name, name)


def save_tokenizer(folder: Path, model: str) -> None:
    """Write a tokenizer of whole words: for BERT with types of tokens, for GPT-2 without special tokens and padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<end>", *WORDS)
    built = Tokenizer(models.WordLevel({word: code for code, word in enumerate(words)}, "[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    special: dict[str, Any] = {"unk_token": "[UNK]", "eos_token": "<end>"}
    if model != "gpt2":
        special["pad_token"] = "[PAD]"
        built.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if model == "bert" else [])]
    PreTrainedTokenizerFast(tokenizer_object=built, model_input_names=inputs, **special).save_pretrained(folder)


def network(width: int = 6, dropout: float = 0.1) -> "nn.Module":
    """Return a small network with batch normalization for arrays of 1 x 4 x 4."""
    from torch import nn

    inner = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*inner, nn.Linear(16 * width, 12), nn.Dropout(dropout))
    model.add_module("head", nn.Linear(12, 3))
    return model


def wave_network(width: int = 4) -> "nn.Module":
    """Return a small network for rows of any length; it reads the zeros behind their ends, too."""
    from torch import nn

    inner = [nn.Unflatten(1, (1, -1)), nn.Conv1d(1, width, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1)]
    return nn.Sequential(*inner, nn.Flatten(), nn.Linear(width, 3))


def focal(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the focal loss (Lin et al. 2017, equation 4) with gamma 2, one number a row."""
    import torch

    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (1.0 - torch.exp(-losses)) ** 2 * losses


def reviews(rows: int, classes: Sequence[int], seed: int) -> pd.DataFrame:
    """Return texts whose words lean towards their class, with a second text, three labels, a group and a weight."""
    random = np.random.default_rng(seed)
    codes = np.resize(classes, rows)

    def text(code: int, longest: int) -> str:
        chances = np.where(np.arange(len(WORDS)) % 4 == code, 3.0, 1.0)
        return " ".join(random.choice(WORDS, size=random.integers(4, longest), p=chances / chances.sum()))

    table = {"text": [text(code, 20) for code in codes], "second": [text(code, 8) for code in codes]}
    table |= {"label": np.array(["bad", "good", "mixed"])[codes], "is_first": (codes == 0).astype(int)}
    table |= {"is_long": [int(len(each) > 55) for each in table["text"]], "is_even": 1 - np.arange(rows) % 2}
    return pd.DataFrame({**table, "site": np.arange(rows) // 3, "weight": np.linspace(0.5, 2.0, rows)})


def pictures(rows: int, channels: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images of 16 x 16 and their labels; the classes differ a little in brightness."""
    codes = np.arange(rows) % 3
    noise = np.random.default_rng(seed).integers(0, 176, size=(rows, 16, 16, *channels))
    brightness = 40 * codes.reshape(-1, *[1] * (noise.ndim - 1))
    return (noise + brightness).astype(np.uint8), np.array(["dark", "grey", "light"])[codes]


def tensors(rows: int, classes: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays of 1 x 4 x 4 in three classes."""
    codes = np.resize(classes, rows)
    return np.random.default_rng(seed).normal(size=(rows, 1, 4, 4)) + 0.4 * codes.reshape(-1, 1, 1, 1), codes


def waves(rows: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return tones of three heights, from 12 to 40 samples long, each moved up or down."""
    random = np.random.default_rng(0)
    codes = np.arange(rows) % 3
    heights = [0.4 + 0.3 * code for code in codes]
    return [np.sin(height * np.arange(random.integers(12, 40))) + random.normal() for height in heights], codes


def text(model: str = "bert", *, classes: Sequence[int] = (0, 1), **arguments: Any) -> hp.TextClassification:
    rows = {"train": reviews(60, classes, 0), "test": reviews(30, classes, 1)}
    return hp.TextClassification(f"models/{model}", **{**rows, **arguments})


def image(model: str, *channels: int, **arguments: Any) -> hp.ImageClassification:
    rows = {"train": pictures(54, channels, 0), "test": pictures(30, channels, 1)}
    return hp.ImageClassification(f"models/{model}", **{**rows, **arguments})


def custom(*, classes: Sequence[int] = (0, 1, 2), **arguments: Any) -> hp.CustomTask:
    rows = {"train": tensors(72, classes, 0), "test": tensors(36, classes, 1)}
    return hp.CustomTask(network, **{**rows, **arguments})


def text_cases() -> dict[str, Case]:
    """Return the studies of texts."""
    schedules = ("linear", "cosine", "constant", "warmup_stable_decay", "constant_with_warmup")
    by_schedule = [{"learning_rate": 2e-3 + 1e-3 * at, "lr_scheduler_type": name} for at, name in enumerate(schedules)]
    adam = {"adam_beta1": hp.Float(0.8, 0.95), "adam_beta2": hp.Float(0.95, 0.999), "adam_epsilon": 1e-6}
    smooth = {"dropout": hp.Float(0.0, 0.3), "label_smoothing_factor": hp.Float(0.0, 0.2)}
    warm = {"warmup_steps": hp.Categorical([None, 2]), "warmup_ratio": hp.Float(0.0, 0.4).when(warmup_steps=None)}
    either = {"model": hp.Categorical(["models/bert", "models/distilbert"]), "freeze_layers": hp.Int(0, 3)}
    pairs = text(text=["text", "second"], label=["is_first", "is_long", "is_even"], sample_weight="weight")
    probabilities = ["roc_auc", "neg_log_loss"]
    return {
        "text-grid": Case(text(), {"batch_size": BATCH, "weight_decay": 0.1}, None, {
            "sampler": "grid", "cv": 3, "early_stopping": 1.0, "metrics": probabilities}, exports=True),
        "text-schedules": Case(text(test=None), {
            "lr_scheduler_type": hp.Categorical(schedules), "decay_ratio": 0.4, "warmup_steps": 3}, 8,
            enqueued=by_schedule),
        "text-warmup": Case(text("distilbert"), {**warm, "lr_scheduler_type": hp.Categorical(["linear", "cosine"])}, 5),
        "text-frozen": Case(text(), {"freeze_layers": FROZEN}, None, {"sampler": "grid"}),
        "text-frozen-uncached": Case(text(), {"freeze_layers": FROZEN}, None, {
            "sampler": "grid", "feature_cache_bytes": 0}),
        "text-bf16": Case(text("distilbert"), {**smooth, "freeze_layers": hp.Int(0, 2), "epochs": 4}, 5, {
            "precision": "bf16", "cv": hp.Holdout(0.3), "repeats": 2, "early_stopping": 0.5}),
        "text-gpt2": Case(text("gpt2", classes=IMBALANCED, group="site"), {
            **adam, "max_grad_norm": hp.Float(0.1, 2.0, log=True), "freeze_layers": hp.Int(0, 1)}, 6, {
            "sampler": "qmc", "metric": "balanced_accuracy"}),
        "text-multilabel": Case(pairs, {"max_grad_norm": 0.0}, 3, {"metrics": ["accuracy", "roc_auc"]}),
        "text-models": Case(text(), either, 6, exports=True),
        "text-scratch": Case(text(pretrained=False, test=None), {"epochs": 5}, pauses=True, settings={
            "evaluations_per_epoch": 1, "early_stopping": hp.EarlyStopping(2.0, monitor="objective")}),
        "text-racing": Case(text(), {"batch_size": 4, "epochs": 3, "freeze_layers": 2}, 8, {
            "sampler": "qmc", "pruner": hp.Racing(synchronous=True)}),
    }  # fmt: skip


def image_cases() -> dict[str, Case]:
    """Return the studies of images."""
    decay = hp.Float(1e-4, 0.3, log=True)
    return {
        "image-vit": Case(image("vit", 3), {"freeze_layers": hp.Int(0, 3), "weight_decay": decay}, 6, exports=True),
        "image-vit-bf16": Case(image("vit", 3, test=None), {"freeze_layers": FROZEN}, 4, {
            "precision": "bf16", "cv": 3}),
        "image-resnet": Case(image("resnet"), {"freeze_layers": FROZEN, "epochs": 3}, None, {"sampler": "grid"}),
        "image-workers": Case(image("vit", 3), {"freeze_layers": hp.Int(0, 3)}, 5, {"early_stopping": 0.5},
            devices=2, pauses=True),
    }  # fmt: skip


def custom_cases() -> dict[str, Case]:
    """Return the studies of a torch module of one's own, most of them to see the samplers and pruners at work."""
    model = {"width": hp.Int(3, 8), "dropout": hp.Float(0.0, 0.4)}
    long = {**model, "epochs": 5, "batch_size": 4}
    halving, brackets = hp.SuccessiveHalving(synchronous=True), hp.SuccessiveHalving(brackets=None, synchronous=True)
    sides = {"sample_weight": np.linspace(0.5, 2.0, 72), "group": np.arange(72) // 3}
    tones = hp.CustomTask(wave_network, train=waves(60))
    defaults = {"sampler": "bayesian", "pruner": "racing", "early_stopping": 1.0, "cv": 3}
    return {
        "custom-defaults": Case(custom(), long, 9, defaults),
        "custom-bayesian": Case(custom(), {**model, "epochs": 3}, 14, {
            "sampler": "bayesian", "pruner": "median", "cv": 3}),
        "custom-gp": Case(custom(test=None), model, 13, {
            "sampler": "gp", "pruner": "wilcoxon", "cv": 3, "repeats": 2, "evaluations_per_epoch": 1}),
        "custom-racing": Case(custom(), long, 9, {"pruner": hp.Racing(synchronous=True), "early_stopping": 1.0}),
        "custom-asha": Case(custom(), long, 9, {"cv": 3, "pruner": halving}, exports=True),
        "custom-hyperband": Case(custom(test=None), long, 10, {"cv": 3, "pruner": brackets}),
        "custom-frozen": Case(custom(head="head", loss=focal, classes=IMBALANCED, **sides), {
            "freeze_layers": FROZEN}, None, {"sampler": "grid", "cv": 3}),
        "custom-lengths": Case(tones, {"label_smoothing_factor": 0.1, "width": hp.Int(3, 6), "epochs": 4}, 4, {
            "metric": "neg_log_loss"}),
        "custom-workers": Case(custom(), model, 6, {"repeats": 2}, devices=2),
    }  # fmt: skip


def outcome(name: str, case: Case) -> dict[str, str]:
    """Run a study; return all that is compared of it, by what it is of."""
    if case.pauses:
        with contextlib.redirect_stderr(io.StringIO()):  # which says how to continue
            paused = case.study(name, callbacks=[lambda study, _: study.stop()])
            paused.run(case.trials, devices=case.devices, progress=False)
    result = case.study(name).run(case.trials, devices=case.devices, progress=False)
    facts = evaluations_and_trials(result)
    for number in result.table().query("state == 'complete'")["number"]:
        facts[f"out of fold {number:02}"] = digest({"probabilities": result.out_of_fold(number)})
    best, refit, evidence = result.best, result.refit(), result.evidence()
    facts["best"] = line(trial=best.number, value=best.value, point=best.point, folds=best.folds, of=best.interval)
    weights = digest({key: weight.numpy() for key, weight in refit.model.state_dict().items()})
    facts["refit"] = line(epochs=refit.epochs, train_loss=refit.train_loss, weights=weights)
    if case.task.test is not None:
        facts["test"] = line(**result.test_scores())
    if evidence is not None:
        facts["evidence"] = line(difference=evidence.difference, of=evidence.interval, p_value=evidence.p_value)
    if case.exports:
        exported = result.export(Path("exports") / name) / "model.safetensors"
        facts["export"] = hashlib.sha256(exported.read_bytes()).hexdigest()
    return facts


def evaluations_and_trials(result: hp.Result) -> dict[str, str]:
    """Return each evaluation by configuration, fold, repeat and point, and each trial by number."""
    curves, space = result.curves(), result.study.space
    names, metrics = (*space.parameters, *space.fixed), sorted(curves["metric"].unique())
    points = {(trial, epoch): int(point) for trial, epoch, point in curves[["trial", "epoch", "point"]].to_numpy()}
    facts, configs = {}, {}
    for row in result.table().to_dict("records"):
        plain = {name: row[name].item() if isinstance(row[name], np.generic) else row[name] for name in names}
        absent = [name for name in names if pd.isna(plain[name]) or plain[name] == "none"]  # as None is written
        config = json.dumps({name: plain[name] for name in names if name not in absent}, sort_keys=True)
        configs[row["number"]] = config
        numbers = {name: row[name] for name in ("state", "origin", "value", "std", "interval_low", "interval_high")}
        numbers |= {name: row[name] for name in ("folds", *metrics)}
        point = points.get((row["number"], row["epoch"]))
        facts[f"trial {row['number']:02}"] = f"{line(point=point, **numbers)} config={config}"
    for (trial, fold, repeat, point), rows in curves.groupby(["trial", "fold", "repeat", "point"]):
        measured = dict(zip(rows["metric"], rows["value"], strict=True))
        measured |= rows[["epoch", "train_loss", "learning_rate"]].iloc[0].to_dict()
        facts[f"evaluation {configs[trial]} fold {fold} repeat {repeat} point {point:02}"] = line(**measured)
    return facts


def line(**values: Any) -> str:
    """Return values by name as one line, each float in hexadecimal."""
    return " ".join(f"{name}={exact(value)}" for name, value in sorted(values.items()))


def exact(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(exact, value))
    return float(value).hex() if isinstance(value, float) else str(value)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays and their names; one bit pattern stands for all that are not numbers."""
    content = hashlib.sha256()
    for name, array in arrays.items():
        one = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
        content.update(f"{name} {one.dtype} {one.shape}\n".encode() + one.tobytes())
    return content.hexdigest()


def setting() -> dict[str, str]:
    """Return what else the bits depend on: versions, and what the CPU can."""
    import torch

    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(flag)]
    cpu = " ".join([torch.backends.cpu.get_cpu_capability(), *flags])
    return {"python": platform.python_version(), "cpu": cpu, **{name: version(name) for name in PACKAGES}}


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in words what differs, by name."""
    names = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return [f"{name}\n    was {was.get(name, 'absent')}\n    is  {now.get(name, 'absent')}" for name in names]


def run_list(names: Sequence[str] | None, before: Mapping[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """Run the studies of these names, or all, and say how each compares; return them, and whether all are the same."""
    came_to, is_same = {}, True
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["HPSEARCH_CACHE"] = str(Path(folder) / "cache")
        save_models(Path("models"))
        cases = {**text_cases(), **image_cases(), **custom_cases()}
        for name in names or cases:
            began = time.perf_counter()
            facts = came_to[name] = outcome(name, cases[name])
            differing = [] if before is None else differences(before.get(name, {}), facts)
            is_same &= not differing
            word = "written" if before is None else f"{len(differing)} differ" if differing else "same"
            count = sum(fact.startswith("evaluation") for fact in facts)
            print(f"{name}: {word}: {count} evaluations ({time.perf_counter() - began:.1f} s)", flush=True)
            print("".join(f"  {each}\n" for each in differing[:3]), end="", flush=True)
    return came_to, is_same


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write what the list comes to")
    what.add_argument("--against", type=Path, metavar="FILE", help="compare with what was written")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these studies alone")
    given = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT)
    logging.getLogger("hpsearch").setLevel(logging.ERROR)
    before = json.loads(given.against.read_text()) if given.against else None
    other = differences(before["setting"], setting()) if before else []
    if other:
        print("\n  ".join(["Nothing was run, for bits depend on these, and they differ:", *other]), file=sys.stderr)
        return 2
    started = time.perf_counter()
    studies, is_same = run_list(given.only, before and before["studies"])
    if given.write:
        given.write.write_text(json.dumps({"setting": setting(), "studies": studies}, indent=1, sort_keys=True) + "\n")
    print(f"{len(studies)} studies, {time.perf_counter() - started:.0f} s")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
