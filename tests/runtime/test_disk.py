"""The disk stays bounded: however many trials wait for a promotion, their checkpoints never hold more than was allowed.

The folder is weighed whenever Python is about to open, rename or remove something in it, so also between the writing
of a new checkpoint and the removal of an older one.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from toy_studies import known_of, toy_study

import hpsearch as hp
from hpsearch.records import TrialState

CHECKPOINT = 18_200
"""Bytes, about, of one toy run's: weights, the optimizer's moments, and the random states, the largest part."""

SETTINGS: Mapping[str, Any] = {
    "space": hp.Space(
        learning_rate=hp.Float(1e-4, 1e-1, log=True),
        batch_size=hp.Categorical([16, 32]),
        epochs=hp.Int(2, 4),
        warmup_ratio=0.1,
    ),
    "task": {"rows": 30},
    "sampler": "random",
    "pruner": hp.SuccessiveHalving(synchronous=True),
    "cv": 2,
    "metric": "accuracy",
    "metrics": (),
    "evaluations_per_epoch": 1,
    "seed": 1,
}


class Weighed:
    """The most bytes that the files below a folder have had at once, and how many checkpoints there were then."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.bytes = self.checkpoints = 0
        self._is_weighing = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        about = event in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree")
        if not about or self._is_weighing or not any(str(each).startswith(self.folder) for each in arguments[:2]):
            return
        self._is_weighing = True  # to look at the folder is an event too
        try:
            places = list(Path(self.folder).iterdir()) if Path(self.folder).exists() else []
            sizes = [sum(path.stat().st_size for path in place.iterdir()) for place in places if place.is_dir()]
            self.bytes, self.checkpoints = max(self.bytes, sum(sizes)), max(self.checkpoints, len(sizes))
        finally:
            self._is_weighing = False


_WEIGHED: list[Weighed] = []


@pytest.fixture(scope="module", autouse=True)
def _audited() -> None:
    """An audit hook stays until the process ends, so there is one, which is deaf outside these tests."""
    sys.addaudithook(lambda event, arguments: [each(event, arguments) for each in _WEIGHED] and None)


@pytest.fixture
def weighed(tmp_path: Path) -> Iterator[Weighed]:
    _WEIGHED.append(Weighed(tmp_path / "tight" / "toy" / "checkpoints"))
    yield _WEIGHED[0]
    _WEIGHED.clear()


def run(folder: Path, trials: int, **more: Any) -> hp.Study:
    study = toy_study(folder, **{**SETTINGS, **more})
    study.run(trials=trials, devices="inline", progress=False)
    return study


@pytest.mark.slow
@pytest.mark.long
def test_two_hundred_trials_that_pause_never_hold_more_than_the_budget(tmp_path: Path, weighed: Weighed) -> None:
    budget = 6 * CHECKPOINT
    study = run(tmp_path / "tight", 200, checkpoint_bytes=budget)
    states = [trial.state for trial in study.result.history.trials.values()]
    assert len(states) == 200
    assert {TrialState.COMPLETE, TrialState.PRUNED} == set(states)
    assert weighed.bytes <= budget
    assert weighed.checkpoints >= 5  # the room was wanted, and used
    assert not list((study.folder / "checkpoints").iterdir())


@pytest.mark.parametrize("room", [0, 1, 3])
def test_with_little_room_the_results_are_the_same(tmp_path: Path, weighed: Weighed, room: int) -> None:
    run(tmp_path / "wide", 12, checkpoint_every=0.0)
    run(tmp_path / "tight", 12, checkpoint_every=0.0, checkpoint_bytes=room * CHECKPOINT)
    assert weighed.bytes <= room * CHECKPOINT
    assert (weighed.bytes > 0) is (room > 0)
    assert known_of(tmp_path / "tight") == known_of(tmp_path / "wide")


def test_a_budget_that_was_lowered_is_kept_from_the_start(tmp_path: Path, weighed: Weighed) -> None:
    study = toy_study(
        tmp_path / "tight", **SETTINGS, callbacks=[lambda study, trial: study.stop() if trial.number == 10 else None]
    )
    study.run(trials=12, devices="inline", progress=False)
    held = [path for path in (study.folder / "checkpoints").iterdir() if path.is_dir()]
    assert len(held) > 2
    study.store().close()
    lower = toy_study(tmp_path / "tight", **SETTINGS, checkpoint_bytes=2 * CHECKPOINT)
    seen: list[int] = []
    lower.callbacks = (lambda study, trial: seen.append(len(list((study.folder / "checkpoints").iterdir()))),)
    lower.run(trials=12, devices="inline", progress=False)
    assert max(seen) <= 2
