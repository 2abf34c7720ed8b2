import json
import pickletools
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from training_learners import (
    CPU,
    BertLearner,
    ImageLearner,
    TextLearner,
    assert_same_state,
    everything,
    fine_tune,
    measured,
    numerics,
)

from hpsearch.errors import CheckpointError
from hpsearch.training import run_checkpoint
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.run_checkpoint import FACTS, TENSORS

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def files() -> Files:
    run = fine_tune(TextLearner())
    measured(run, 1)
    next(iter(run.advance(2)))
    return run.checkpoint()


def with_facts(files: Files, **changed: Any) -> Files:
    facts = {**json.loads(files[FACTS]), **changed}
    return {**files, FACTS: json.dumps(facts).encode()}


def with_tensors(files: Files, changed: dict[str, Tensor | None]) -> Files:
    tensors = {**load(files[TENSORS]), **changed}
    identity = json.loads(files[FACTS])["identity"]
    facts = {name: value for name, value in json.loads(files[FACTS]).items() if name not in {"identity", "sha256"}}
    return run_checkpoint.dump(identity, {name: item for name, item in tensors.items() if item is not None}, facts)


def refused(files: Files, match: str, **arguments: Any) -> None:
    """Assert that a fresh run refuses the files, stays as it was, and can still be trained."""
    run = fine_tune(TextLearner(), **arguments)
    before = everything(run)
    with pytest.raises(CheckpointError, match=match) as caught:
        run.restore(files)
    assert str(caught.value).startswith("A checkpoint cannot be used: ")
    assert_same_state(before, everything(run))


def test_it_is_safetensors_and_json_and_no_pickle(files: Files) -> None:
    assert set(files) == {"state.safetensors", "state.json"}
    assert json.loads(files[FACTS])["format"] == 1
    assert load(files[TENSORS])
    for data in files.values():
        assert b"torch" not in data.replace(b"random/torch", b"")
        with pytest.raises(ValueError):  # noqa: PT011  # whatever pickle's reader says of what is no pickle
            list(pickletools.genops(data))


def test_the_same_state_is_the_same_bytes() -> None:
    runs = [fine_tune(TextLearner()) for _ in range(2)]
    for run in runs:
        measured(run, 2)
    assert runs[0].checkpoint()[TENSORS] == runs[1].checkpoint()[TENSORS]
    assert runs[0].checkpoint()[TENSORS] == runs[0].checkpoint()[TENSORS]


def test_it_holds_only_what_differs_from_the_base() -> None:
    learner = BertLearner()
    run = fine_tune(learner, {"freeze_layers": "all"})
    measured(run, 1)
    names = set(load(run.checkpoint()[TENSORS]))
    kinds = ("parameters", "optimizer/step", "optimizer/exp_avg", "optimizer/exp_avg_sq")
    assert names == {
        *(f"{kind}/classifier.{part}" for kind in kinds for part in ("weight", "bias")),
        *(f"random/{what}" for what in ("torch", "numpy", "python")),
        "loss_sum",
    }


def test_it_holds_the_statistics_of_batch_norms_that_train_and_no_others() -> None:
    for freeze_layers, layers in ((0, {"stem.1", "stage.1"}), (1, set()), ("all", set())):
        run = fine_tune(ImageLearner(), {"freeze_layers": freeze_layers})
        measured(run, 1)
        names = {name for name in load(run.checkpoint()[TENSORS]) if name.startswith("buffers/")}
        assert names == {
            f"buffers/{layer}.{what}"
            for layer in layers
            for what in ("running_mean", "running_var", "num_batches_tracked")
        }


def test_a_restored_run_forgets_what_it_had_done() -> None:
    """Buffers that the checkpoint leaves out are as they were loaded, also in a run that has moved on."""
    run = fine_tune(ImageLearner())
    beginning, files = everything(run), run.checkpoint()
    expected = measured(run)
    run.restore(files)
    assert_same_state(beginning, everything(run))
    assert [item.validation_loss for item in measured(run)] == [item.validation_loss for item in expected]


def test_tied_weights_are_saved_once() -> None:
    class Tied(TextLearner):
        def build(self) -> nn.Module:
            model = super().build()
            model.register_module("again", nn.Linear(16, 40, bias=False))
            model.get_submodule("again").weight = model.get_parameter("words.weight")  # type: ignore[assignment]
            return model

    run = fine_tune(Tied())
    measured(run, 1)
    files = run.checkpoint()
    names = {name.removeprefix("parameters/") for name in load(files[TENSORS]) if name.startswith("parameters/")}
    # The embeddings are also registered under the names of a ModuleDict, so that all of these are tied.
    assert names & {"words.weight", "embeddings.words.weight", "again.weight"} == {"words.weight"}
    again = fine_tune(Tied())
    again.restore(files)
    assert again.model.get_parameter("again.weight") is again.model.get_parameter("words.weight")
    assert_same_state(everything(run), everything(again))


def test_a_parameter_without_gradient_has_no_optimizer_state(files: Files) -> None:
    names = load(files[TENSORS]).keys()
    assert "parameters/never_used.weight" in names
    assert not any("never_used" in name for name in names if name.startswith("optimizer/"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(files: Files, share: float) -> None:
    for name, data in files.items():
        refused({**files, name: data[: int(share * len(data))]}, name)


def test_a_flipped_bit_is_refused(files: Files) -> None:
    data = bytearray(files[TENSORS])
    data[-100] ^= 1
    refused({**files, TENSORS: bytes(data)}, r"state.safetensors \(\d+ bytes\) is not what was written")


def test_missing_and_further_files_are_refused(files: Files) -> None:
    refused({TENSORS: files[TENSORS]}, r"its files are \['state.safetensors'\]")
    refused({**files, "model.pt": b""}, "model.pt")
    refused({}, r"its files are \[\]")


def test_json_of_another_kind_is_refused(files: Files) -> None:
    refused({**files, FACTS: b"[1]"}, "not of format 1")
    refused({**files, FACTS: b"\xff\xfe"}, "is not JSON")
    refused(with_facts(files, format=2), "not of format 1")


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"learning_rate": 1e-4}},
        {"config": {"epochs": 3}},
        {"seed": 6},
        {"evaluations_per_epoch": 1},
        {"computing": numerics(micro_batch=3)},
        {"held_out_rows": None},
    ],
)
def test_a_checkpoint_of_another_run_is_refused(files: Files, other: dict[str, Any]) -> None:
    refused(files, "it belongs to run", **other)


def test_a_changed_shape_or_dtype_is_refused(files: Files) -> None:
    refused(
        with_tensors(files, {"parameters/classifier.weight": torch.zeros(4, 16)}),
        r"'parameters/classifier.weight' is torch.float32 of shape \(4, 16\) in it, and .* \(3, 16\) in this run",
    )
    refused(with_tensors(files, {"parameters/classifier.bias": torch.zeros(3).double()}), "torch.float64 of shape")
    refused(with_tensors(files, {"optimizer/exp_avg/classifier.bias": torch.zeros(4)}), "exp_avg/classifier.bias")
    refused(with_tensors(files, {"random/torch": torch.zeros(16, dtype=torch.uint8)}), "random/torch")


def test_missing_and_foreign_tensors_are_refused(files: Files) -> None:
    refused(with_tensors(files, {"parameters/classifier.bias": None}), "'parameters/classifier.bias' is missing")
    refused(with_tensors(files, {"parameters/other": torch.zeros(3)}), "'parameters/other' is nothing that this run")
    refused(with_tensors(files, {"optimizer/exp_avg/classifier.bias": None}), "'classifier.bias' it has only")
    refused(with_tensors(files, {"random/python": None}), "'random/python' is missing")


@pytest.mark.parametrize(
    "changed",
    [
        {"step": -1},
        {"step": 2},
        {"step": 4},
        {"step": 2.0},
        {"step": None},
        {"point": 0},
        {"point": 5},
        {"rows_seen": "9"},
        {"weight_sum": float("nan")},
        {"random": None},
        {"random": {}},
    ],
)
def test_an_impossible_position_is_refused(files: Files, changed: dict[str, Any]) -> None:
    assert json.loads(files[FACTS])["step"] == 3
    assert json.loads(files[FACTS])["point"] == 2
    refused(with_facts(files, **changed), "A checkpoint cannot be used")


def test_files_with_a_right_digest_and_no_safetensors_in_them_are_refused(files: Files) -> None:
    import hashlib

    data = save({"a": torch.zeros(2)})[:-3]
    changed = with_facts({**files, TENSORS: data}, sha256=hashlib.sha256(data).hexdigest())
    refused(changed, "cannot be read")


def test_restoring_does_not_tie_the_run_to_the_bytes(files: Files) -> None:
    one, other = fine_tune(TextLearner()), fine_tune(TextLearner())
    for run in (one, other):
        run.restore(files)
    assert_same_state(everything(one), everything(other))
    measured(one)
    again: FineTune = fine_tune(TextLearner(), base=BaseModel(TextLearner(), CPU))
    again.restore(files)
    assert_same_state(everything(other), everything(again))


def test_only_in_fp16_it_holds_the_scale_of_the_loss_and_a_damaged_one_is_refused(files: Files) -> None:
    assert "loss_scale" not in json.loads(files[FACTS])
    computing = numerics("fp16")
    run = fine_tune(TextLearner(), computing=computing)
    measured(run, 1)
    written = run.checkpoint()
    scale = json.loads(written[FACTS])["loss_scale"]
    assert scale["scale"] == 2.0**16
    assert scale["_growth_tracker"] == run.step == 2
    damages: list[dict[str, Any]] = [{"scale": float("inf")}, {"scale": "1"}, {"_growth_tracker": -1}]
    for wrong in (None, {}, *({**scale, **damage} for damage in damages)):
        refused(with_facts(written, loss_scale=wrong), "loss.scale", computing=computing)
    refused(files, "belongs to run", computing=computing)
