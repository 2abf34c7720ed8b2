"""What every optimizer must do: train, be continued to the bit, anywhere, and keep what it declares."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_run_checkpoint import with_tensors
from torch import nn
from training_learners import (
    PRECISIONS,
    TextLearner,
    assert_resumes_after_every_step,
    fine_tune,
    measured,
    numbers,
    numerics,
)

import hpsearch
from hpsearch.errors import CheckpointError
from hpsearch.training.hyperparameters import OPTIMIZERS, TrainingSettings
from hpsearch.training.optimizers import kept_of, make_optimizer
from hpsearch.training.run_checkpoint import TENSORS

LATER = [name for name in OPTIMIZERS if name != "adamw"]  # AdamW's resumption is test_fine_tune's
RATES = {"adamw": 3e-3, "sgd": 0.1, "adafactor": 0.02, "lion": 1e-3, "schedule_free_adamw": 5e-3}


def config_of(optimizer: str, **settings: Any) -> dict[str, Any]:
    return {"optimizer": optimizer, "learning_rate": RATES[optimizer], **settings}


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("optimizer", LATER)
def test_a_run_resumed_after_every_step_is_the_straight_one(optimizer: str, kind: str, precision: str) -> None:
    config = config_of(optimizer, freeze_layers=1, lr_scheduler_type="constant")
    assert_resumes_after_every_step(kind, config, precision)


@pytest.mark.extended
@pytest.mark.parametrize("optimizer", LATER)
def test_a_run_resumed_in_another_process_is_the_straight_one(optimizer: str, tmp_path: Path) -> None:
    config, precision = config_of(optimizer), PRECISIONS[-1]
    straight = fine_tune(TextLearner(), config, computing=numerics(precision))
    measured(straight, 1)
    for name, data in straight.checkpoint().items():
        (tmp_path / name).write_bytes(data)
    expected = [numbers(measurement) for measurement in measured(straight)]
    script = Path(__file__).with_name("resume_in_process.py")
    command = [sys.executable, str(script), "text", precision, "4", str(tmp_path), json.dumps(config)]
    environment = {**os.environ, "PYTHONPATH": str(Path(hpsearch.__file__).parents[1])}
    subprocess.run(command, check=True, timeout=300, env=environment)
    for measurement in expected:
        measurement["outputs"] = measurement["outputs"][2].hex()
    assert json.loads((tmp_path / "measurements.json").read_text()) == expected
    assert (tmp_path / TENSORS).read_bytes() == straight.checkpoint()[TENSORS]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_is_declared_is_what_is_kept(optimizer: str, momentum: float) -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    model.append(nn.Conv2d(1, 2, 3))
    made = make_optimizer(model, TrainingSettings.of(config_of(optimizer, sgd_momentum=momentum)))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    for parameter in model.parameters():
        kept = dict(made.state[parameter])
        kept.pop("x", None)  # of schedule-free AdamW, which a checkpoint has as the parameter
        declared = kept_of(made, parameter.detach())
        assert kept.keys() == declared.keys()
        for name, tensor in declared.items():
            assert (tensor.shape, tensor.dtype, tensor.device) == (
                kept[name].shape, kept[name].dtype, kept[name].device
            ), name  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_learns(optimizer: str) -> None:
    """Which rows have which class, by heart."""
    config = config_of(optimizer, epochs=20, dropout=None, label_smoothing_factor=0.0, lr_scheduler_type="constant")
    losses = [item.train_loss for item in measured(fine_tune(TextLearner(), config, evaluations_per_epoch=1))]
    assert losses[-1] < 0.7 * losses[0], losses


@pytest.mark.parametrize("optimizer", LATER)
def test_a_checkpoint_that_lacks_a_part_or_is_anothers_is_refused(optimizer: str) -> None:
    run = fine_tune(TextLearner(), config_of(optimizer))
    measured(run, 2)
    files = run.checkpoint()
    with pytest.raises(CheckpointError, match="it belongs to run"):
        fine_tune(TextLearner(), config_of("adamw", learning_rate=RATES[optimizer])).restore(files)
    names = list(kept_of(run._state.optimizer, run.model.get_parameter("pooler.weight").detach()))
    if len(names) > 1:
        damaged = with_tensors(files, {f"optimizer/{names[-1]}/pooler.weight": None})
        with pytest.raises(CheckpointError, match=r"state of 'pooler\.weight' it has only"):
            fine_tune(TextLearner(), config_of(optimizer)).restore(damaged)
    foreign = with_tensors(files, {f"optimizer/{names[0]}/pooler.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"pooler\.weight.* is torch"):
        fine_tune(TextLearner(), config_of(optimizer)).restore(foreign)


def test_evaluations_checkpoints_and_the_model_handed_on_have_the_averaged_weights() -> None:
    run = fine_tune(TextLearner(), config_of("schedule_free_adamw", dropout=None))
    averages = run._state.optimizer.state
    seen = set()
    for measurement in run.advance(run.horizon):
        is_average = all(torch.equal(item, state["x"]) for item, state in averages.items())
        if run.step > 2:  # the first step that the warmup lets through is the whole average
            assert is_average == (measurement is not None)
            seen.add(is_average)
        run.checkpoint()
        assert all(torch.equal(item, state["x"]) for item, state in averages.items())
    assert seen == {True, False}


def test_torchs_own_optimizers_step_as_torch_does() -> None:
    torchs = {
        "sgd": (torch.optim.SGD, {"momentum": 0.8}),
        "adafactor": (torch.optim.Adafactor, {}),
    }
    for name, (made_of, arguments) in torchs.items():
        torch.manual_seed(0)
        ours, plain = nn.Linear(6, 5), nn.Linear(6, 5)
        plain.load_state_dict(ours.state_dict())
        settings = TrainingSettings.of(config_of(name, weight_decay=0.0, sgd_momentum=0.8))
        optimizers = [make_optimizer(ours, settings), made_of(plain.parameters(), lr=RATES[name], **arguments)]
        for _ in range(3):
            for model, optimizer in zip((ours, plain), optimizers, strict=True):
                optimizer.zero_grad()
                model(torch.ones(4, 6)).square().sum().backward()
                optimizer.step()
        assert torch.equal(ours.weight, plain.weight), name
