"""A run is a pure function: paused or not, alone or beside others, in this process or another."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_learners import (
    CONFIG,
    CPU,
    HELD_OUT_ROWS,
    LEARNERS,
    PRECISIONS,
    TRAIN_ROWS,
    BertLearner,
    ImageLearner,
    LengthLearner,
    LoudLearner,
    TagLearner,
    TextLearner,
    TinyLearner,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
    numbers,
    numerics,
    without_seconds,
)

import hpsearch
from hpsearch.data.ragged import Ragged, to_bytes
from hpsearch.errors import DataError, TaskError, UsageError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.batches import epoch_batches
from hpsearch.training.divergence import Diverged
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import stream_seed
from hpsearch.training.run_checkpoint import FACTS, TENSORS

CONFIGS: dict[str, dict[str, Any]] = {
    "linear": {"freeze_layers": 0},
    "linear, first layer frozen": {"freeze_layers": 1},
    "linear, head only": {"freeze_layers": "all"},
    "warmup-stable-decay": {"lr_scheduler_type": "warmup_stable_decay", "decay_ratio": 0.5, "dropout": None},
    "cosine, no clipping": {"lr_scheduler_type": "cosine", "max_grad_norm": None, "label_smoothing_factor": 0.0},
}
IN_FP16 = ("linear, first layer frozen", "cosine, no clipping")
CASES = [
    pytest.param(
        kind, precision, config, micro_batch, weighted, id=f"{kind}-{precision}-{name}-{micro_batch or 'whole'}"
    )
    for kind in LEARNERS
    for precision in (*PRECISIONS, "fp16")
    for name, config in CONFIGS.items()
    for micro_batch, weighted in ((None, False), (4, True))
    if precision != "fp16" or name == "linear" or (kind == "text" and name in IN_FP16)
]


@pytest.mark.parametrize(("kind", "precision", "config", "micro_batch", "weighted"), CASES)
def test_a_run_resumed_after_every_step_is_the_straight_one(
    kind: str, precision: str, config: dict[str, Any], micro_batch: int | None, weighted: bool
) -> None:
    computing = numerics(precision, micro_batch)
    straight = fine_tune(LEARNERS[kind](weighted=weighted), config, computing=computing)
    expected, states = [], []
    for item in straight.advance(straight.horizon):
        expected.append(item)
        states.append(everything(straight))
    assert straight.step == len(expected) == 6
    assert sum(item is not None for item in expected) == straight.horizon == 4

    files = None
    for item, state in zip(expected, states, strict=True):
        resumed = fine_tune(LEARNERS[kind](weighted=weighted), config, computing=computing)
        if files is not None:
            resumed.restore(files)
        found = next(iter(resumed.advance(resumed.horizon)))
        assert (item is None) == (found is None)
        if item is not None and found is not None:
            assert_same_measurements([item], [found])
        assert_same_state(state, everything(resumed))
        files = resumed.checkpoint()


@pytest.mark.parametrize("config", [{}, {"freeze_layers": 1, "dropout": None}])
@pytest.mark.parametrize("kind", [TagLearner, LengthLearner])
def test_a_run_whose_outputs_are_no_logits_resumes_too(kind: type[TinyLearner], config: dict[str, Any]) -> None:
    straight = fine_tune(kind(weighted=True), config)
    expected = measured(straight)
    assert type(expected[0].outputs) is (Ragged if kind is TagLearner else np.ndarray)
    assert len({to_bytes(item.outputs) for item in expected if item.outputs is not None}) == 4

    base, found, files = BaseModel(kind(weighted=True), CPU), [], None
    for point in range(1, straight.horizon + 1):
        resumed = fine_tune(base.learner, config, base=base)  # type: ignore[arg-type]
        if files is not None:
            resumed.restore(files)
        found += measured(resumed, point)
        files = resumed.checkpoint()
    assert_same_measurements(expected, found)
    assert_same_state(everything(straight), everything(resumed))


def test_a_learner_is_fitted_to_the_rows_of_a_run_and_what_it_keeps_is_in_the_users_units() -> None:
    learner = LengthLearner()
    run = fine_tune(learner)
    last = measured(run)[-1]
    own = learner.lengths[TRAIN_ROWS]
    fitted = LengthLearner(mean=float(own.mean()), deviation=float(own.std()))
    assert (learner.mean, learner.deviation) == (0.0, 1.0)
    kept = predict(run.model, fitted, HELD_OUT_ROWS, numerics(), CPU)
    assert isinstance(kept, np.ndarray) and isinstance(last.outputs, np.ndarray)
    assert last.outputs.dtype == np.float64
    assert np.array_equal(last.outputs, kept[:, :1].astype(np.float64) * own.std() + own.mean())
    standardised = (learner.lengths[HELD_OUT_ROWS] - own.mean()) / own.std()
    assert last.validation_loss == pytest.approx(np.mean((kept[:, 0] - standardised) ** 2), rel=1e-6)
    assert last.validation_loss < 5  # in deviations, not in tokens


@pytest.mark.parametrize("kind", [TagLearner, LengthLearner])
def test_one_kept_number_that_is_not_finite_diverges(kind: type[TinyLearner]) -> None:
    class Broken(kind):  # type: ignore[valid-type, misc]
        def keep(self, outputs: Tensor, batch: Any, *_: Any) -> Any:
            kept = super().keep(outputs, batch, *_)
            kept[0][0] = torch.inf
            return kept

    with pytest.raises(Diverged, match="output for held-out rows is not finite after step 2"):
        measured(fine_tune(Broken()))


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_run_resumed_at_every_evaluation_point_is_the_straight_one(kind: str, precision: str) -> None:
    computing = numerics(precision)
    straight = fine_tune(LEARNERS[kind](), computing=computing)
    expected = measured(straight)

    found, files = [], None
    for point in range(1, straight.horizon + 1):
        resumed = fine_tune(LEARNERS[kind](), computing=computing)
        if files is not None:
            resumed.restore(files)
        found += measured(resumed, point)
        assert resumed.point == point
        files = resumed.checkpoint()
    assert_same_measurements(expected, found)
    assert_same_state(everything(straight), everything(resumed))


@pytest.mark.parametrize(
    ("kind", "precision", "points"), [("text", PRECISIONS[-1], [0, 1, 2, 3, 4]), ("bert", "fp32", [2, 4])]
)
def test_a_run_resumed_in_new_processes_is_the_straight_one(
    kind: str, precision: str, points: list[int], tmp_path: Path
) -> None:
    straight = fine_tune(LEARNERS[kind](), computing=numerics(precision))
    expected, states = [], [straight.checkpoint()]
    for point in range(1, straight.horizon + 1):
        expected += measured(straight, point)
        states.append(straight.checkpoint())

    script = Path(__file__).with_name("resume_in_process.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(hpsearch.__file__).parents[1])}
    for name, data in states[points[0]].items():
        (tmp_path / name).write_bytes(data)
    for start, stop in itertools.pairwise(points):
        command = [sys.executable, str(script), kind, precision, str(stop), str(tmp_path)]
        subprocess.run(command, check=True, timeout=300, env=environment)
        found = json.loads((tmp_path / "measurements.json").read_text())
        known = [numbers(measurement) for measurement in expected[start:stop]]
        for measurement in known:
            measurement["outputs"] = measurement["outputs"][2].hex()
        assert found == known
        assert (tmp_path / TENSORS).read_bytes() == states[stop][TENSORS]
        assert without_seconds((tmp_path / FACTS).read_bytes()) == without_seconds(states[stop][FACTS])


def test_other_runs_in_the_worker_change_nothing() -> None:
    for kind, make in LEARNERS.items():
        alone = fine_tune(make())
        expected = measured(alone)
        learner = make()
        base = BaseModel(learner, CPU)
        others: list[dict[str, Any]] = [
            {"dropout": 0.5, "freeze_layers": 0, "learning_rate": 1e-2},
            {"dropout": None, "freeze_layers": 1, "lr_scheduler_type": "warmup_stable_decay"},
            {"freeze_layers": "all"},
        ]
        for other in others:
            list(zip(range(4), fine_tune(learner, other, base=base, seed=9).advance(4), strict=False))
            again = fine_tune(learner, base=base)
            assert_same_measurements(expected, measured(again))
            assert_same_state(everything(alone), everything(again))
        assert learner.loads == 1, f"the weights of {kind} are read once"


def test_random_numbers_drawn_by_the_caller_change_nothing_and_are_left_alone() -> None:
    def draw() -> tuple[float, ...]:
        return (torch.rand(3).sum().item(), float(np.random.randn()), random.random(), random.gauss(0, 1))

    quiet = fine_tune(TextLearner(noise=True))
    expected = measured(quiet)

    def seed_everything() -> None:
        torch.manual_seed(3), np.random.seed(3), random.seed(3)

    seed_everything()
    undisturbed = [draw() for _ in range(8)]
    seed_everything()
    drawn = [draw()]
    run = fine_tune(TextLearner(noise=True))
    drawn.append(draw())
    found = []
    for item in run.advance(run.horizon):
        found.append(item)
        drawn.append(draw())
    assert drawn == undisturbed
    assert_same_measurements(expected, [item for item in found if item is not None])
    assert_same_state(everything(quiet), everything(run))


def test_the_run_does_depend_on_its_random_states() -> None:
    """Without this, the tests above would hold for runs that draw nothing."""
    run, other = fine_tune(TextLearner(noise=True)), fine_tune(TextLearner(noise=True))
    files = run.checkpoint()
    before = everything(run)
    next(iter(run.advance(1)))
    drawn = run.checkpoint()
    facts = json.loads(drawn[FACTS])["random"]
    assert facts["numpy_position"] > 0
    assert facts["python_normal"] is not None
    from safetensors.torch import load

    first, then = load(before["tensors"]), load(drawn[TENSORS])
    for name in ("random/torch", "random/numpy", "random/python"):
        assert not torch.equal(first[name], then[name]), name
    other.restore(files)
    assert_same_state(before, everything(other))


def test_runs_of_two_bases_may_take_turns_step_by_step() -> None:
    expected = [measured(fine_tune(TextLearner(noise=True), seed=seed)) for seed in (1, 2)]
    runs = [fine_tune(TextLearner(noise=True), seed=seed) for seed in (1, 2)]
    turns = [run.advance(run.horizon) for run in runs]
    found: list[list[Any]] = [[], []]
    for items in zip(*turns, strict=True):
        for index, item in enumerate(items):
            found[index] += [] if item is None else [item]
    for known, seen in zip(expected, found, strict=True):
        assert_same_measurements(known, seen)


def test_a_run_whose_model_was_taken_over_says_so() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    first = fine_tune(learner, base=base)
    items = first.advance(2)
    next(items)
    files = first.checkpoint()
    second = fine_tune(learner, base=base)
    for use in (lambda: next(items), first.checkpoint, lambda: first.restore(files)):
        with pytest.raises(UsageError, match="at step 1, no longer has its model"):
            use()
    second.restore(files)
    assert second.step == 1


def plain_loop(learner: TextLearner, config: dict[str, Any], clip: float, fp16: bool = False) -> dict[str, Tensor]:
    """Fine-tune as one would by hand: torch's AdamW, transformers' schedule, the same batches and random numbers, in
    fp16 as torch's "Automatic Mixed Precision examples" do.
    """
    from transformers import get_linear_schedule_with_warmup

    model = learner.load_model()
    torch.manual_seed(stream_seed(5, "head"))
    learner.initialize_head(model)
    learner.configure(model, config)
    biases_and_norms = [p for name, p in model.named_parameters() if name.endswith("bias") or "norm" in name.lower()]
    others = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "norm" in name.lower())]
    groups = [{"params": others, "weight_decay": 0.1}, {"params": biases_and_norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config["learning_rate"], fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 6)
    scaler = torch.amp.GradScaler("cpu", enabled=fp16)
    model.train()
    torch.manual_seed(stream_seed(5, "training"))
    for epoch in range(2):
        for positions in epoch_batches(learner.lengths[TRAIN_ROWS], 6, 5, epoch):
            rows = TRAIN_ROWS[positions]
            with torch.autocast("cpu", torch.float16, enabled=fp16):
                logits = learner.outputs(model, learner.batch(rows, 1)).float()
            losses = nn.functional.cross_entropy(logits, learner.targets(rows), reduction="none", label_smoothing=0.1)
            weights = learner.weights(rows)
            loss = losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
    return dict(model.named_parameters())


@pytest.mark.parametrize("kind", ["text", "bert"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_loop_is_the_plain_loop_bit_for_bit(kind: str, weighted: bool, clip: float, precision: str) -> None:
    learner: Any = LEARNERS[kind](weighted=weighted)
    config = {**CONFIG, "max_grad_norm": clip}
    run = fine_tune(learner, config, computing=numerics(precision))
    measured(run)
    state = torch.get_rng_state()
    plain = plain_loop(learner, config, clip, precision == "fp16")
    torch.set_rng_state(state)
    assert plain.keys() == dict(run.model.named_parameters()).keys()
    for name, parameter in run.model.named_parameters():
        assert torch.equal(parameter, plain[name]), name


def test_in_fp16_a_gradient_that_overflows_is_a_step_left_out_until_the_scale_fits() -> None:
    """The weights and AdamW's state stay; the batches and the schedule go on. The run may be left in the midst of it,
    and is no divergence.
    """
    computing, config = numerics("fp16"), {"warmup_ratio": 0.0, "learning_rate": 1e-4}
    straight = fine_tune(LoudLearner(), config, computing=computing)
    weights = {name: parameter.detach().clone() for name, parameter in straight.model.named_parameters()}
    files, skipped, scale = None, 0, 2.0**16
    for item in straight.advance(straight.horizon):
        run = fine_tune(LoudLearner(), config, computing=computing)
        if files is not None:
            run.restore(files)
        found = next(iter(run.advance(run.horizon)))
        assert (item is None) == (found is None)
        if item is not None and found is not None:
            assert_same_measurements([item], [found])
            assert item.learning_rate == pytest.approx(1e-4 * (7 - run.step) / 6)
        assert_same_state(everything(straight), everything(run))
        files = run.checkpoint()
        facts, before = json.loads(files[FACTS]), scale
        scale = facts["loss_scale"]["scale"]
        skipped += scale < before
        (steps,) = {float(state["step"]) for state in run._state.optimizer.state.values()}
        same = [torch.equal(weights[name], parameter) for name, parameter in run.model.named_parameters()]
        assert all(same) if skipped == run.step else not any(same[:4])
        assert steps == run.step - skipped
        assert facts["step"] == run.step and scale == 2.0 ** (16 - skipped)
    assert 1 <= skipped <= 4


def test_in_fp16_a_gradient_that_is_never_finite_diverges_and_fp32_is_named() -> None:
    class Endless(TextLearner):
        def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
            losses = super().losses(logits, targets, label_smoothing)
            return losses + (0.0 * losses).sqrt()  # whose slope at 0 is infinite

    run = fine_tune(Endless(), {"epochs": 7}, computing=numerics("fp16"))
    with pytest.raises(Diverged, match=r"its gradient is not finite after step 17 .*give precision='fp32'") as caught:
        measured(run)
    assert caught.value.precision == "fp16"
    run = fine_tune(Endless(), {"epochs": 7})
    with pytest.raises(Diverged, match="not finite after step 2") as caught:
        measured(run)
    assert "fp32" not in str(caught.value)


@pytest.mark.parametrize(("freeze_layers", "multiple"), [(0, 1), (1, 16), ("all", 16)])
def test_rows_are_padded_for_any_company_only_where_layers_are_frozen(freeze_layers: int | str, multiple: int) -> None:
    """What is computed once for all must not depend on who else is in a batch; a step's batch is always the same."""
    learner: Any = LEARNERS["bert"]()
    real, seen = learner.batch, set()

    def batch(rows: np.ndarray, padding_multiple: int) -> Any:
        seen.add((torch.is_grad_enabled(), padding_multiple))
        return real(rows, padding_multiple)

    learner.batch = batch
    measured(fine_tune(learner, {**CONFIG, "freeze_layers": freeze_layers}))
    assert seen == {(True, multiple), (False, 16)}


def test_micro_batches_add_up_to_the_weighted_mean_over_the_batch() -> None:
    """In float64, where sums in another order differ by no more than 1e-12, and without dropout."""
    ends = []
    for micro_batch in (None, 6, 4, 1):
        learner = TextLearner(weighted=True)
        base = BaseModel(learner, CPU)
        base.model.double(), base._template.double()
        config = {"dropout": 0.0, "max_grad_norm": 0.5}
        run = fine_tune(learner, config, base=base, computing=numerics(micro_batch=micro_batch), held_out_rows=None)
        # The learner's losses take the logits' precision; only the cast before them is undone here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "float", Tensor.double)
            measured(run)
        ends.append({name: parameter.detach().clone() for name, parameter in run.model.named_parameters()})
    for other in ends[1:]:
        for name, parameter in ends[0].items():
            torch.testing.assert_close(other[name], parameter, rtol=1e-9, atol=1e-9)


def test_the_training_loss_is_the_weighted_mean_since_the_last_point() -> None:
    learner = TextLearner(weighted=True)
    run = fine_tune(learner, {"learning_rate": 1e-30, "weight_decay": 0.0, "dropout": 0.0, "epochs": 1})
    losses = measured(run)
    batches = epoch_batches(learner.lengths[TRAIN_ROWS], 6, 5, 0)
    # Of three steps the first point comes after two, the second after three.
    for measurement, positions in zip(losses, (np.concatenate(batches[:2]), batches[2]), strict=True):
        rows = TRAIN_ROWS[positions]
        logits = torch.from_numpy(predict(run.model, learner, rows, numerics(), CPU))
        smoothed = learner.losses(logits, learner.targets(rows), 0.1).double()
        weights = learner.weights(rows).double()
        assert measurement.train_loss == pytest.approx(((smoothed * weights).sum() / weights.sum()).item(), rel=1e-6)
    held_out = learner.losses(torch.from_numpy(losses[-1].outputs), learner.targets(HELD_OUT_ROWS), 0.0).double()
    weights = learner.weights(HELD_OUT_ROWS).double()
    assert losses[-1].validation_loss == pytest.approx(((held_out * weights).sum() / weights.sum()).item(), rel=1e-12)


def test_measurements_tell_where_the_run_stands() -> None:
    run = fine_tune(TextLearner(), {"lr_scheduler_type": "constant", "warmup_ratio": 0.0})
    found = measured(run)
    assert [item.point for item in found] == [1, 2, 3, 4]
    assert [run.step_of(point) for point in range(5)] == [0, 2, 3, 5, 6]
    assert [item.rows_seen for item in found][1::2] == [16, 32]
    assert [item.epoch for item in found] == [item.rows_seen / 16 for item in found]
    assert all(item.learning_rate == 3e-3 for item in found)
    assert all(item.seconds > 0 and item.peak_memory_bytes > 2**20 for item in found)
    logits = predict(run.model, TextLearner(), HELD_OUT_ROWS, numerics(), CPU)
    assert np.array_equal(found[-1].outputs, logits)


def test_time_that_the_caller_takes_is_not_the_runs() -> None:
    import time

    items = fine_tune(TextLearner()).advance(1)
    started = time.perf_counter()
    next(items)
    time.sleep(0.5)
    measurement = next(items)
    assert measurement is not None
    assert measurement.seconds <= time.perf_counter() - started - 0.5


def test_several_points_on_one_step_are_several_items() -> None:
    expected = measured(fine_tune(TextLearner(), evaluations_per_epoch=7))
    assert [item.point for item in expected] == list(range(1, 15))
    assert expected[0].train_loss == expected[1].train_loss
    assert numbers(expected[0])["outputs"] == numbers(expected[1])["outputs"]

    files, found = None, []
    for point in range(1, 15):
        run = fine_tune(TextLearner(), evaluations_per_epoch=7)
        if files is not None:
            run.restore(files)
        found += measured(run, point)
        files = run.checkpoint()
    assert_same_measurements(expected, found)


def test_a_refit_measures_the_training_loss_only() -> None:
    run, beside = fine_tune(TextLearner(), held_out_rows=None), fine_tune(TextLearner())
    found, full = measured(run), measured(beside)
    assert all(item.outputs is None and np.isnan(item.validation_loss) for item in found)
    assert [item.train_loss for item in found] == [item.train_loss for item in full]
    for name, parameter in run.model.named_parameters():
        assert torch.equal(parameter, dict(beside.model.named_parameters())[name])


@pytest.mark.parametrize("held_out_rows", [None, HELD_OUT_ROWS])
def test_a_run_at_an_absurd_learning_rate_diverges(held_out_rows: np.ndarray | None) -> None:
    run = fine_tune(TextLearner(), {"learning_rate": 1e6, "epochs": 20}, held_out_rows=held_out_rows)
    with pytest.raises(Diverged, match="not finite after step") as caught:
        measured(run)
    assert 0 < caught.value.step == run.step
    assert caught.value.epoch == run.epoch


def test_not_a_number_among_the_outputs_diverges_at_the_next_point() -> None:
    run = fine_tune(ImageLearner())
    items = run.advance(4)
    next(items)
    with torch.no_grad():
        run.model.get_buffer("stage.1.running_var").fill_(torch.nan)
    with pytest.raises(Diverged, match="output for held-out rows is not finite after step 2"):
        next(items)


def test_a_failed_allocation_is_an_out_of_memory_error() -> None:
    class Greedy(TextLearner):
        def outputs(self, model: nn.Module, batch: Any) -> Tensor:
            return super().outputs(model, batch) + torch.empty(10**15)[0]

    run = fine_tune(Greedy())
    with pytest.raises(torch.OutOfMemoryError):
        next(run.advance(1))


def test_weights_of_zero_leave_the_loss_finite() -> None:
    learner = TextLearner(weighted=True)
    learner._weights = torch.zeros(22)
    found = measured(fine_tune(learner))
    assert all(item.train_loss == 0.0 and item.validation_loss == 0.0 for item in found)


def test_arguments_that_make_no_run_are_errors() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    with pytest.raises(TaskError, match="batch_size=0"):
        fine_tune(learner, {"batch_size": 0}, base=base)
    with pytest.raises(DataError, match="no rows to evaluate on"):
        fine_tune(learner, base=base, held_out_rows=np.array([], dtype=np.int64))
    run = fine_tune(learner, base=base)
    with pytest.raises(UsageError, match="point 0 of 4 cannot advance to point 5"):
        run.advance(5)
    assert list(run.advance(0)) == []
    assert run.horizon == 4
    assert run.steps_total == 6


def test_the_config_is_read_as_it_is_spelled_elsewhere() -> None:
    """Defaults named or left out, whole numbers as floats: the same run, whose checkpoints fit."""
    learner = BertLearner()
    run = fine_tune(learner, {"weight_decay": 0, "adam_beta1": 0.9})
    next(iter(run.advance(1)))
    same = fine_tune(learner, {"weight_decay": 0.0, "freeze_layers": 0})
    same.restore(run.checkpoint())
    assert isinstance(same, FineTune)
    assert same.step == 1
