"""A run is a pure function: pauses, new processes, workers and neighbours change no bit of a study, on a CPU."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from study_processes import Launcher
from tasks_samples import image_arrays, review_rows, save_base, save_text_model
from toy_studies import known_of, table, toy_study

import hpsearch as hp
from hpsearch.records import Run, Segment
from hpsearch.records.checkpoint_folder import Checkpoint, CheckpointFolder
from hpsearch.runtime.messages import Checkpointed, Stop, Train
from hpsearch.runtime.refit import honoured
from hpsearch.runtime.study_run import workload_of
from hpsearch.runtime.worker import Worker
from hpsearch.training.numerics import detect_environment
from hpsearch.training.run_checkpoint import FACTS, TENSORS

pytestmark = pytest.mark.slow

TRIALS = 2
needs_bf16 = pytest.mark.skipif(
    not detect_environment("cpu")["bf16"], reason="this CPU has no native bf16 (avx512_bf16, amx_bf16)"
)


@dataclass(frozen=True)
class Case:
    """What is run straight, in parts, and in company."""

    task: str
    sampler: str
    precision: str


CASES = [
    pytest.param(Case("toy", "grid", "fp32"), id="toy-grid-fp32"),
    pytest.param(Case("toy", "random", "bf16"), id="toy-random-bf16", marks=[needs_bf16, pytest.mark.extended]),
    pytest.param(Case("toy", "random", "fp16"), id="toy-random-fp16", marks=pytest.mark.extended),
    pytest.param(Case("text", "random", "fp32"), id="text-random-fp32"),
    pytest.param(Case("text", "grid", "bf16"), id="text-grid-bf16", marks=[needs_bf16, pytest.mark.long]),
    pytest.param(Case("image", "random", "fp32"), id="image-random-fp32", marks=pytest.mark.long),
    pytest.param(Case("numbers", "random", "fp32"), id="numbers-random-fp32", marks=pytest.mark.long),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exactness")


@pytest.fixture(scope="module")
def tasks(place: Path) -> Mapping[str, Mapping[str, Any]]:
    """Arguments of small tasks of each kind: the toy, a BERT of three layers with dropout (for classes and for two
    numbers), a ViT of three layers."""
    import PIL.Image

    rows = review_rows(24)
    rows.assign(length=rows["text"].str.len()).to_csv(place / "train.csv", index=False)
    for row, (image, label) in enumerate(zip(*image_arrays(16), strict=True)):
        (place / "images" / label).mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(place / "images" / label / f"{row:02}.png")
    vit = save_base("vit", place / "vit", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    text = {"model": str(save_text_model(place / "bert")), "train": str(place / "train.csv")}
    return {
        "toy": {},
        "text": {"kind": "text", **text},
        "numbers": {"kind": "text numbers", "label": ["length", "weight"], "strata": 3, **text},
        "image": {"kind": "image", "model": str(vit), "train": str(place / "images")},
    }


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def arguments(case: Case, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "task": tasks[case.task],
        "trials": TRIALS,
        "sampler": case.sampler,
        "precision": case.precision,
        "cv": 2,
        "evaluations_per_epoch": 2 if case.task == "toy" else 1,
        "metrics": ["mae"] if case.task == "numbers" else ["accuracy"],
        "seed": 7,  # with which the first random trial has two epochs, so that it can be paused between them
    }


@pytest.fixture(scope="module")
def straight(case: Case, launcher: Launcher, place: Path, arguments: dict[str, Any]) -> Path:
    """The folder of a study that ran inline, alone, without a pause."""
    folder = place / f"{case.task}-{case.sampler}-{case.precision}"
    process = launcher.launch("run", folder=str(folder), **arguments)
    assert process.wait() == 0, process.text()
    (known,) = {trial["state"].name for trial in known_of(folder)["trials"].values()}
    assert known == "COMPLETE"
    assert hp.load("toy", folder=folder).record.numerics().precision == case.precision
    return folder


def compare(folder: Path, straight: Path) -> None:
    """Check that tables, and every metric, loss and predicted bit, are the same."""
    assert table(folder).equals(table(straight))
    found, expected = known_of(folder), known_of(straight)
    assert found == expected
    assert found["mismatches"] == 0
    assert len(found["predictions"]) >= TRIALS * 2


# ---------------------------------------------------------------- in parts


def test_paused_and_gone_on_in_a_new_process_at_every_evaluation_point(
    launcher: Launcher, tmp_path: Path, straight: Path, arguments: dict[str, Any]
) -> None:
    folder, pauses, checked = tmp_path / "parts", 0, 0
    points = sum(map(len, known_of(straight)["evaluations"].values()))
    for _ in range(points + 2):
        process = launcher.launch("run", folder=str(folder), stops=1, **arguments)
        assert process.wait() == 0, process.text()
        study = hp.load("toy", folder=folder)
        history = study.store().reload()
        if len(history.finished()) == TRIALS:
            break
        pauses += 1
        assert sum(map(len, history.evaluations.values())) == pauses  # one point a process
        for run, saved in paused_runs(study):
            assert saved.point == history.point(run)
            compare_checkpoints(saved, straight_to(study, run, saved.step))
            checked += 1
        study.store().close()
    assert pauses in (points - 1, points)  # the last evaluation ends the study, whoever stops it
    assert checked == points - 2 * TRIALS > 0  # at the end of a run (two folds a trial) no checkpoint is left
    compare(folder, straight)


def paused_runs(study: hp.Study) -> list[tuple[Run, Checkpoint]]:
    """Return the runs that have a checkpoint, with it."""
    kept = CheckpointFolder(study.folder / "checkpoints", 1 << 40)
    runs = {run.key: run for trial in study.store().history.trials.values() for run in trial.runs}
    found = [(runs[key], kept.read(key)) for key in kept.runs()]
    return [(run, saved) for run, saved in found if saved is not None]


def straight_to(study: hp.Study, run: Run, step: int) -> Checkpointed:
    """Train a run from its beginning to a step, without a pause, and write it down there."""
    workload = workload_of(study.plan, study.record.numerics())
    with honoured(workload.numerics, torch.device("cpu")):
        worker = Worker("cpu")
        worker.prepare(workload)
        order = Train(workload.study, Segment(run, 0, run.horizon))
        events = list(worker.train(order, lambda: Stop(checkpoint=True) if worker.steps == step else None))
    (written,) = (event for event in events if isinstance(event, Checkpointed))
    return written


def compare_checkpoints(saved: Checkpoint, expected: Checkpointed) -> None:
    """Check that weights, optimizer, random states and position are the same, byte by byte."""
    assert (saved.point, saved.step) == (expected.point, expected.step)
    assert saved.files.keys() == expected.files.keys() == {TENSORS, FACTS}
    assert saved.files[TENSORS] == expected.files[TENSORS]
    for files in (saved.files, expected.files):
        names = tensor_names(files[TENSORS])
        assert {name.partition("/")[0] for name in names} >= {"parameters", "optimizer", "random", "loss_sum"}
        assert {"random/torch", "random/numpy", "random/python"} <= names
    found, wanted = (json.loads(files[FACTS]) for files in (saved.files, expected.files))
    for facts in (found, wanted):
        facts.pop("seconds")  # a measurement
    assert found == wanted


def tensor_names(content: bytes) -> set[str]:
    """Return the names in a safetensors file: JSON of so many bytes as its first eight say (its own documentation)."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return set(header) - {"__metadata__"}


# ---------------------------------------------------------------- in company


def test_two_workers_and_a_neighbour_change_nothing(
    launcher: Launcher, tmp_path: Path, straight: Path, arguments: dict[str, Any]
) -> None:
    """Two studies at once on the cores of this machine: on two workers, and in its own process."""
    run_at_once({"two workers": 2, "inline": "inline"}, launcher, tmp_path, straight, arguments)


@pytest.mark.extended
def test_a_worker_and_neighbours_change_nothing(
    launcher: Launcher, tmp_path: Path, straight: Path, arguments: dict[str, Any]
) -> None:
    """Three studies at once on the cores of this machine: on one worker, on two, and in its own process."""
    run_at_once({"one worker": 1, "two workers": 2, "inline": "inline"}, launcher, tmp_path, straight, arguments)


def run_at_once(
    devices: Mapping[str, Any], launcher: Launcher, place: Path, straight: Path, arguments: dict[str, Any]
) -> None:
    started = {
        name: launcher.launch("run", folder=str(place / name), devices=each, **arguments)
        for name, each in devices.items()
    }
    for name, process in started.items():
        assert process.wait() == 0, process.text()
        compare(place / name, straight)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        pytest.param("grid", "none", id="none-grid"),
        pytest.param("random", "none", id="none-random", marks=pytest.mark.long),
        pytest.param("grid", hp.Racing(synchronous=True), id="racing-grid", marks=pytest.mark.long),
        pytest.param("random", hp.Racing(synchronous=True), id="racing-random"),
    ],
)
def test_one_two_and_four_workers_give_the_same_study(
    sampler: str, pruner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: which trials there are, how far each was trained, what it measured and predicted."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    for devices in ("inline", "cpu:1", "cpu:2", "cpu:4"):
        study = toy_study(tmp_path / devices, sampler=sampler, pruner=pruner, cv=3, evaluations_per_epoch=4)
        study.run(trials=8, devices=devices, progress=False)
        study.store().close()
        compare(tmp_path / devices, tmp_path / "inline")


def test_in_fp16_a_study_killed_twice_and_continued_by_two_workers_is_the_one_left_alone(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed as it has renamed a checkpoint, and as it records a decision."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    given: dict[str, Any] = {"precision": "fp16", "sampler": "random"}
    for moment in ("after a rename", "inside a decision"):
        process = launcher.launch(
            "run", {"HPSEARCH_CACHE": str(tmp_path / "cache")}, folder=str(tmp_path / "killed"), trials=TRIALS,
            die=(moment, 2), checkpoint_every=0.01, **given,
        )  # fmt: skip
        assert process.wait() == -signal.SIGKILL, process.text()
    for name, devices in (("killed", 2), ("alone", "inline")):
        study = toy_study(tmp_path / name, **given)
        study.run(trials=TRIALS, devices=devices, progress=False)
        study.store().close()
    assert hp.load("toy", folder=tmp_path / "killed").record.numerics().precision == "fp16"
    compare(tmp_path / "killed", tmp_path / "alone")


def test_two_workers_train_at_the_same_time(launcher: Launcher, tmp_path: Path) -> None:
    """Else the comparison above would say nothing of a run beside another one."""
    process = launcher.launch(
        "run", {"HPSEARCH_CACHE": str(tmp_path / "cache")}, folder=str(tmp_path), devices=2, trials=6,
        task={"pause": 0.05},
    )  # fmt: skip
    assert process.wait() == 0, process.text()
    with hp.load("toy", folder=tmp_path).store() as store:
        spans = [
            (ended - sum(evaluation.seconds for evaluation in store.history.of(result.segment.run.key)), ended)
            for ended, result in store.results()
        ]
    overlaps = [min(a[1], b[1]) - max(a[0], b[0]) for a in spans for b in spans if a < b]
    assert max(overlaps) > 0.1


def test_a_study_in_this_process_equals_one_in_a_process_of_its_own(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    process = launcher.launch("run", dict(os.environ), folder=str(tmp_path / "own"), trials=TRIALS)
    study = toy_study(tmp_path / "this")
    study.run(trials=TRIALS, devices="inline", progress=False)
    study.store().close()
    assert process.wait() == 0, process.text()
    compare(tmp_path / "this", tmp_path / "own")
