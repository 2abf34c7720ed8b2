"""A one-dimensional CNN on raw waveforms, searched with `hp.CustomTask`; nothing is downloaded.

Six kinds of sound are synthesised: steady tones, rising and falling chirps, beating pairs of tones, trains of clicks
and bursts of noise, each of another pitch, phase, loudness and length, all under noise. Beside the search stands a
baseline that costs a second: logistic regression on the spectrum (32 bands of the Fourier transform).

    python studies/audio_signals.py [--trials 6] [--rows 240] [--devices auto]
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

import hpsearch as hp

KINDS = ("tone", "rising", "falling", "beating", "clicks", "noise")
RATE = 4000


def synthesised(rows: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return waveforms of a tenth to a quarter of a second, of different lengths, and the names of their kinds."""
    random = np.random.default_rng(seed)
    kinds = np.array(KINDS)[np.arange(rows) % len(KINDS)]
    return [_wave(kind, random) for kind in kinds], kinds


def _wave(kind: str, random: np.random.Generator) -> np.ndarray:
    samples = int(random.integers(RATE // 10, RATE // 4))
    place = np.arange(samples) / samples
    pitch, width, phase = random.uniform(0.05, 0.3), random.uniform(0.03, 0.12), random.uniform(0, 2 * np.pi)
    sweep = {"rising": width, "falling": -width}.get(kind, 0.0)
    angle = 2 * np.pi * samples * (pitch * place + sweep * (place**2 - place) / 2) + phase
    wave = np.sin(angle)
    if kind == "beating":
        wave = (wave + np.sin(angle * (1 + random.uniform(0.08, 0.2)))) / 2
    elif kind == "clicks":
        wave = (np.sin(angle / random.uniform(4, 8)) > 0.97) * np.sin(angle * 3) * 2
    elif kind == "noise":
        wave = random.normal(size=samples) * np.exp(-(((place - random.uniform(0.3, 0.7)) / 0.15) ** 2))
    loud = random.uniform(0.3, 1.0)
    return (loud * wave + 0.35 * random.normal(size=samples)).astype(np.float32)


# What a user writes of their own: a model. Its arguments are what the search may vary.
class SoundNet(nn.Module):
    def __init__(self, width: int = 16, depth: int = 3, kernel: int = 9, classes: int = len(KINDS)):
        super().__init__()
        widths = [1, *(width * 2**step for step in range(depth))]
        convolutions = [nn.Conv1d(a, b, kernel, stride=2, padding=kernel // 2) for a, b in pairwise(widths)]
        self.convolutions, self.norms = nn.ModuleList(convolutions), nn.ModuleList(map(nn.BatchNorm1d, widths[1:]))
        self.head = nn.Linear(2 * widths[-1], classes)

    def forward(self, waves, lengths):
        found, lengths = waves.unsqueeze(1), lengths.unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            found, lengths = norm(convolution(found)).relu(), (lengths + 1) // 2
            found = found * (torch.arange(found.shape[2], device=waves.device) < lengths).unsqueeze(1)  # no padding
        return self.head(torch.cat([found.sum(dim=2) / lengths, found.amax(dim=2)], dim=1))


def study(rows: int = 240, folder: str | Path = "runs", seed: int = 0) -> hp.Study:
    """Return the study."""
    task = hp.CustomTask(
        SoundNet, train=synthesised(rows, seed), test=synthesised(2 * rows, seed + 1),
        literature_default={"epochs": 20, "learning_rate": 3e-3, "batch_size": 16},
    )  # fmt: skip
    space = hp.Space(
        learning_rate=hp.Float(1e-3, 3e-2, log=True), width=hp.Int(8, 24, step=8), depth=hp.Int(2, 4),
        kernel=hp.Categorical([5, 9, 17]), epochs=20, batch_size=16,
    )  # fmt: skip
    rules = {"cv": 3, "metric": "accuracy", "evaluations_per_epoch": 1, "early_stopping": 5.0}
    return hp.Study("audio-signals", task, space, **rules, folder=folder)


def baseline(rows: int, seed: int = 0) -> float:
    """Return the test accuracy of logistic regression on the logarithm of 32 bands of each sound's spectrum."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def bands(waves: list[np.ndarray]) -> np.ndarray:
        spectra = [np.abs(np.fft.rfft(wave, 2048)[:1024]) ** 2 for wave in waves]
        return np.log(np.array(spectra).reshape(len(waves), 32, 32).mean(axis=2) + 1e-6)

    (train, kinds), (test, answers) = synthesised(rows, seed), synthesised(2 * rows, seed + 1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(bands(train), kinds)
    return float(model.score(bands(test), answers))


def main() -> None:
    parser = argparse.ArgumentParser(description="Search a CNN on synthesised sounds.")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--folder", default="runs")
    words = parser.parse_args()
    devices = int(words.devices) if words.devices.isdigit() else words.devices
    result = study(words.rows, words.folder).run(trials=words.trials, devices=devices)
    print(result.text())
    found = result.evidence()
    print(f"\naccuracy on {2 * words.rows} sounds that no search has seen:")
    print(f"  logistic regression on the spectrum  {baseline(words.rows):.3f}")
    if result.default is not None:
        print(f"  SoundNet, the default                 {result.test_scores(result.default.number)['accuracy']:.3f}")
    print(f"  SoundNet, tuned                       {result.test_scores()['accuracy']:.3f}")
    if found is not None:
        print(f"does the winner beat the default? {found.verdict} ({found.method})")


if __name__ == "__main__":
    main()
