"""Language models with LoRA: as good as peft with `Trainer`, what they learn on real rows, how fast, how much memory.

The model is SmolLM2-135M-Instruct, or its first layers (`--layers`): two cores train all 30 at some 90 tokens a second.

    python -m benchmarks language --model FOLDER [--data FOLDER] [--parts recipe,speed,instructions,translation]

Parts:
    recipe        losses of 50 steps against peft with `Trainer`: the same rows, masks, batches, first adapters; fp32
    speed         eight LoRA configurations of 200 rows, step for step against peft with `Trainer`, and peak memory
    instructions  the untuned model, LoRA and full fine-tuning: loss a token and chrF on held-out rows
    translation   the same, English to German
It needs the model as a folder of transformers', the data (instructions/, multi30k-en-de/) and the packages peft,
accelerate and sacrebleu, and ends with a word where they are missing.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.language_parties import recipe, speeds
from benchmarks.language_rows import DATA, instructions, translations
from benchmarks.measurements import FOLDER, machine, write_measurements

PARTS = ("recipe", "speed", "instructions", "translation")
RATES = {"lora": (3e-4, 1e-3), "full": (3e-5, 1e-4)}
"""Learning rates that are tried: the best two of a sweep over 35 models with LoRA, and a third to a tenth of them."""

SPEED_ROWS, SPEED_LENGTH = 200, 128
SPEED_LIST = [
    {"lora_r": rank, "lora_alpha": 2.0 * rank, "learning_rate": rate, **where}
    for where in ({"lora_target_modules": "all-linear"}, {"lora_target_modules": "all-linear", "freeze_layers": 0.5})
    for rank in (4, 16)
    for rate in (3e-4, 1e-3)
]
"""Eight configurations: adapters in all layers, and in the upper half only."""


def learned(model: str, rows: Any, test: Any, *, epochs: int, max_length: int, folder: Path) -> dict[str, Any]:
    """Return what the untuned model, LoRA and full fine-tuning reach on test rows, and what each took.

    Of the training rows a fifth chooses among two learning rates, alike for both; then the winner is trained on all.
    """
    import hpsearch as hp

    found: dict[str, Any] = {"rows": len(rows), "test rows": len(test), "epochs": epochs, "max_length": max_length}
    task = hp.ChatFineTuning(model, train=rows, test=test, max_length=max_length, max_new_tokens=64)
    for name, rates in RATES.items():
        adapters = {"lora_r": 16, "lora_alpha": 32.0} if name == "lora" else {}
        fixed = {"batch_size": 8, "epochs": epochs, "warmup_ratio": 0.1, "weight_decay": 0.0, **adapters}
        study = hp.Study(
            name, task, hp.Space(learning_rate=hp.Categorical(list(rates)), **fixed), sampler="grid",
            cv=hp.Holdout(0.2), metrics=["chrf", "token_accuracy"], pruner="none", early_stopping=None,
            evaluations_per_epoch=1, folder=folder,
        )  # fmt: skip
        result = study.run(trials=len(rates), devices="inline")
        table = result.table()
        found[name] = {
            "learning rate": result.best.config["learning_rate"], "validation loss": result.best.value,
            "test": dict(result.test_scores()), "seconds of the search": float(table["seconds"].sum()),
            "peak bytes": max(
                each.peak_memory_bytes
                for trial in study.history.trials.values() for run in trial.runs for each in study.history.of(run.key)
            ),
        }  # fmt: skip
    found["untuned"] = untuned(task, folder)
    return found


def untuned(task: Any, folder: Path) -> dict[str, float]:
    """Return loss a token, token accuracy and chrF of the model as it came, on the test rows."""
    import numpy as np

    from hpsearch.training.numerics import detect_environment, honour, kept_flags, resolve_numerics
    from hpsearch.training.prediction import predict

    prepared = task.prepare(folder / "untuned")
    learner = task.learner(prepared, "test").for_answers()
    numerics = resolve_numerics(detect_environment("cpu"), "fp32", attention=prepared.attention)
    with kept_flags():
        honour(numerics, "cpu")
        kept = predict(learner.load_model(), learner, np.arange(prepared.test_rows), numerics, "cpu")
    rows = np.arange(prepared.test_rows)
    predictions, targets = prepared.judge.predictions(learner.own_units(kept)), learner.truth(rows)
    metrics = {name: prepared.judge.metric(name)(targets, predictions, None) for name in ("chrf", "token_accuracy")}
    return {**metrics, "loss": learner.mean_loss(kept, rows)}


def cut(model: Path, layers: int | None, folder: Path) -> str:
    """Return the folder of a model's first layers; the model itself where all are meant."""
    if layers is None:
        return str(model)
    import torch
    import transformers

    whole: Any = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    whole.model.layers = whole.model.layers[:layers]
    whole.config.num_hidden_layers = layers
    whole.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks language", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=None, help="folder of a causal language model with a template")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--layers", type=int, default=None, help="only the first so many layers of the model")
    parser.add_argument("--rows", type=int, default=400, help="rows of the translation")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args(arguments)
    missing = [name for name in ("peft", "accelerate", "sacrebleu") if importlib.util.find_spec(name) is None]
    if missing or given.model is None or not given.model.is_dir() or not given.data.is_dir():
        print(f"language: skipped, for want of {', '.join(missing) or 'the model (--model) or the data (--data)'}")
        return None
    found: dict[str, Any] = {"machine": machine(), "model": given.model.name, "layers": given.layers or "all"}
    with tempfile.TemporaryDirectory(prefix="hpsearch-language-") as place:
        folder = Path(place)
        model = cut(given.model, given.layers, folder / "model")
        rows = instructions(given.data)
        for part in given.parts.split(","):
            if part == "recipe":
                found[part] = recipe(model, rows, folder / part)
            elif part == "speed":
                found[part] = speeds(model, rows[:SPEED_ROWS], SPEED_LIST, SPEED_LENGTH)
            elif part == "instructions":
                train, test = rows.iloc[:-40].reset_index(drop=True), rows.iloc[-40:].reset_index(drop=True)
                found[part] = learned(model, train, test, epochs=given.epochs, max_length=256, folder=folder / part)
            else:
                train, test = translations(given.data, given.rows), translations(given.data, 100, "test")
                found[part] = learned(model, train, test, epochs=given.epochs, max_length=128, folder=folder / part)
            print(f"{part}: {found[part]}", flush=True)
            path = write_measurements("language" if given.layers is None else f"language_{given.layers}_layers", found)
    print(f"written: {path.relative_to(FOLDER.parent.parent)}")
    return found


if __name__ == "__main__":
    main()
