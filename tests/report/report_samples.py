"""A study as it comes out of a search: forty trials, conditional hyperparameters, pruned, failed and running ones."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hpsearch.analysis.pairing import winner_against_default
from hpsearch.records import Evaluation, History, Origin, Run, Trial, TrialState
from hpsearch.records.objective_values import best_common_point, objective_curve
from hpsearch.report import Content

OBJECTIVE = "f1_macro"
POINTS_PER_EPOCH = 4
SPACE = {
    "parameters": [
        {"name": "learning_rate", "type": "float", "low": 1e-6, "high": 1e-3, "log": True},
        {"name": "batch_size", "type": "categorical", "choices": [8, 16, 32]},
        {"name": "epochs", "type": "int", "low": 1, "high": 4},
        {"name": "weight_decay", "type": "float", "low": 1e-5, "high": 0.3, "log": True},
        {"name": "freeze_layers", "type": "int", "low": 0, "high": 6},
        {"name": "lr_scheduler_type", "type": "categorical", "choices": ["linear", "cosine", "warmup_stable_decay"]},
        {
            "name": "decay_ratio",
            "type": "float",
            "low": 0.1,
            "high": 0.5,
            "when": {"lr_scheduler_type": ["warmup_stable_decay"]},
        },
    ],
    "fixed": {"warmup_ratio": 0.1, "label_smoothing_factor": 0.0},
    "default": {},
}
DEFAULT = {
    "learning_rate": 2e-5,
    "batch_size": 16,
    "epochs": 3,
    "weight_decay": 0.01,
    "freeze_layers": 0,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "label_smoothing_factor": 0.0,
}


def realistic_content(trials: int = 40, folds: int = 5, seed: int = 3, **changes: Any) -> Content:
    """Return what a report shows of a made-up study; equal arguments give equal content."""
    history = realistic_history(trials, folds, seed)
    shares = [1 / folds] * folds if folds > 1 else [0.2]
    content: dict[str, Any] = {
        "name": "emotion",
        "task": "TextClassification of distilbert-base-uncased",
        "facts": {
            "training rows": 3257,
            "test rows": 1421,
            "classes": "anger, joy, optimism, sadness",
            "folds": folds,
            "repeats": 1,
            "sampler": "bayesian",
            "pruner": "median",
            "seed": 0,
            "warnings": "12 rows of the test set are also in the training set",
        },
        "history": history,
        "objective": OBJECTIVE,
        "metrics": (OBJECTIVE, "accuracy", "recall_macro", "neg_log_loss"),
        "space": SPACE,
        "test_shares": shares,
        "evidence": winner_against_default(history, OBJECTIVE, shares),
        "test_scores": {
            "winner": {OBJECTIVE: 0.7431, "accuracy": 0.7902, "recall_macro": 0.7310, "neg_log_loss": -0.6121},
            "literature default": {
                OBJECTIVE: 0.7190,
                "accuracy": 0.7741,
                "recall_macro": 0.7082,
                "neg_log_loss": -0.66,
            },
        },
        "numerics": {
            "precision": "fp32",
            "micro_batch": None,
            "attention": "sdpa",
            "threads": 1,
            "deterministic": True,
            "device_model": "AVX512, bf16",
            "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"},
        },
        "fingerprints": {"data": "9f" * 16, "model": "31" * 16, "folds": "c4" * 16},
        "logs": {9: "logs/trial-9-fold-0.log", 23: "logs/trial-23-fold-1.log"},
    }
    return Content(**{**content, **changes})


def realistic_history(trials: int, folds: int, seed: int) -> History:
    random_state = random.Random(seed)
    history = History()
    for number in range(trials):
        config = dict(DEFAULT) if number == 0 else _sampled(random_state)
        fate = _fate(number, trials, _quality(config))
        history = _with_trial(history, number, config, folds, fate, random_state)
    return history


def _sampled(random_state: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        "learning_rate": 10 ** random_state.uniform(-6, -3),
        "batch_size": random_state.choice([8, 16, 32]),
        "epochs": random_state.randint(1, 4),
        "weight_decay": 10 ** random_state.uniform(-5, math.log10(0.3)),
        "freeze_layers": random_state.randint(0, 6),
        "lr_scheduler_type": random_state.choice(["linear", "cosine", "warmup_stable_decay"]),
        "warmup_ratio": 0.1,
        "label_smoothing_factor": 0.0,
    }
    if config["lr_scheduler_type"] == "warmup_stable_decay":
        config["decay_ratio"] = random_state.uniform(0.1, 0.5)
    return config


def _quality(config: Mapping[str, Any]) -> float:
    distance = math.log10(config["learning_rate"]) + 4.2
    return 0.745 - 0.11 * distance**2 - 0.006 * config["freeze_layers"] - 0.01 * abs(config["epochs"] - 3)


def _fate(number: int, trials: int, quality: float) -> TrialState:
    if number == 9:
        return TrialState.FAIL
    if number == trials - 1 and number > 0:
        return TrialState.RUNNING
    return TrialState.PRUNED if number and (quality < 0.62 or number == 23) else TrialState.COMPLETE


def _with_trial(
    history: History,
    number: int,
    config: Mapping[str, Any],
    folds: int,
    fate: TrialState,
    random_state: random.Random,
) -> History:
    horizon = config["epochs"] * POINTS_PER_EPOCH
    runs = tuple(Run(f"{number}-{fold}", config, fold, 0, horizon) for fold in range(folds))
    reached = {
        TrialState.COMPLETE: [horizon] * folds,
        TrialState.PRUNED: [0 if number == 23 else max(1, horizon // 2), *[0] * (folds - 1)],
        TrialState.RUNNING: [horizon, *([max(1, horizon // 3)] * (folds > 1)), *[0] * (folds - 2)],
        TrialState.FAIL: [0] * folds,
    }[fate]
    final = max(0.15, _quality(config))
    history = history.with_trial(
        Trial(
            number,
            config,
            {name: value for name, value in config.items() if name not in ("warmup_ratio", "label_smoothing_factor")},
            TrialState.RUNNING,
            Origin.DEFAULT if number == 0 else Origin.ENQUEUED if number == 1 else Origin.SAMPLER,
            runs,
        )
    )
    for run, last in zip(runs, reached, strict=True):
        level = final + random_state.gauss(0, 0.012)
        for point in range(1, last + 1):
            value = 0.15 + (level - 0.15) * (1 - math.exp(-3.2 * point / horizon)) + random_state.gauss(0, 0.006)
            history = history.with_evaluation(_evaluation(run, point, value))
    return _ended(history, number, fate)


def _evaluation(run: Run, point: int, value: float) -> Evaluation:
    loss = 1.55 - 1.25 * value + 0.02 * max(0.0, point - 9)
    return Evaluation(
        run=run.key,
        point=point,
        epoch=point / POINTS_PER_EPOCH,
        train_loss=1.5 - 1.35 * value - 0.012 * point,
        metrics={
            OBJECTIVE: value,
            "accuracy": value + 0.05,
            "recall_macro": value - 0.01,
            "neg_log_loss": -loss,
            "loss": loss,
        },
        learning_rate=1e-4,
        rows_seen=650 * point,
        seconds=3.7 * (1 + 6 / run.config["batch_size"]),
        peak_memory_bytes=700 * 2**20,
    )


def _ended(history: History, number: int, fate: TrialState) -> History:
    trial = history.trials[number]
    if fate is TrialState.RUNNING:
        return history
    if fate is TrialState.FAIL:
        return history.with_trial(replace(trial, state=fate, reason="failed on fold 0, after point 0 of 12"))
    curves = [objective_curve(history, run, OBJECTIVE) for run in trial.runs if history.point(run)]
    if not curves:
        reason = "ran out of memory on fold 0, after point 0 of 16"
        return history.with_trial(replace(trial, state=fate, reason=reason))
    point, value = best_common_point(curves, None)
    reason = "every fold reached its end"
    if fate is TrialState.PRUNED:
        point, value = len(curves[0]), curves[0][-1]
        reason = f"median: partial value {value:.4g} after 2/4 of run 1 of {len(trial.runs)}"
    return history.with_trial(replace(trial, state=fate, value=value, point=point, stop=len(curves[0]), reason=reason))
