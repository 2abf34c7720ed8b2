import gc
import sys

import numpy as np
import peft
import pytest
import torch
from adapter_samples import ADAPTERS, base_of, image_task, learner_of, run_of, tensors_of, text_task
from peft.tuners.lora import LoraLayer
from tasks_samples import save_base, save_text_model
from training_learners import CPU, HAS_BF16, TRAIN_ROWS, measured, numerics

from hpsearch.errors import TaskError
from hpsearch.tasks.adapters.lora import adapter_tensors, is_adapter
from hpsearch.tasks.pretrained import quiet
from hpsearch.training.batches import epoch_batches
from hpsearch.training.prediction import predict


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_come_and_go_and_leave_the_base_as_it_was(learner, kind):
    base = base_of(learner)
    model = base.fresh({}, seed=1)
    before = tensors_of(model)
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters())

    measured(run_of(base, ADAPTERS[kind]))
    assert [name for name, _ in model.named_parameters() if is_adapter(name)]

    again = base.fresh({}, seed=1)
    assert again is model
    after = tensors_of(again)
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert dict(again.named_modules()) == modules
    assert all(parameter is parameters[name] for name, parameter in again.named_parameters())
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_only_adapters_and_the_new_head_are_trained(learner):
    base = base_of(learner)
    run = run_of(base, {"lora_r": 2})
    before = tensors_of(run.model)
    measured(run)
    after = tensors_of(run.model)
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {name for name in before if is_adapter(name) or name.startswith("classifier.")}
    assert not any("classifier" in name for name in adapter_tensors(run.model))
    # So a checkpoint holds no more than these, and nobody copies a weight of the base.
    trained = sum(parameter.numel() for parameter in run.model.parameters() if parameter.requires_grad)
    assert trained == sum(before[name].numel() for name in changed)
    assert not base._pristine


def test_a_checkpoint_holds_adapters_and_optimizer_alone(tmp_path):
    folder = save_text_model(tmp_path, hidden_size=256, intermediate_size=512, num_attention_heads=4)
    base = base_of(learner_of(text_task(folder), tmp_path / "rows"))
    run = run_of(base, {"lora_r": 8})
    measured(run, 1)
    trained = sum(parameter.nbytes for parameter in run.model.parameters() if parameter.requires_grad)
    whole = sum(parameter.nbytes for parameter in run.model.parameters())
    size = sum(map(len, run.checkpoint().values()))
    assert 3 * trained <= size <= 1.2 * 3 * trained  # the weights, and two moments of each
    assert size < whole


def test_a_run_begins_with_the_pretrained_model_and_adapters_of_its_seed_alone(learner):
    base = base_of(learner)
    rows = np.arange(8)
    model = base.fresh({}, seed=3)
    expected = predict(model, learner, rows, numerics(), CPU)
    drawn = {}
    for seed, config in ((3, {"lora_r": 2}), (4, {"lora_r": 2}), (3, {"lora_r": 5}), (3, {"lora_r": 2})):
        model = base.fresh(config, seed=seed)
        assert np.array_equal(predict(model, learner, rows, numerics(), CPU), expected) or seed != 3
        drawn.setdefault((seed, config["lora_r"]), []).append(
            {name: tensor.clone() for name, tensor in adapter_tensors(model).items()}
        )
    first, again = drawn[3, 2]
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    other = drawn[4, 2][0]
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items() if "lora_A" in name)
    model = base.fresh({"lora_r": 2, "lora_variant": "dora"}, seed=3)
    assert np.allclose(predict(model, learner, rows, numerics(), CPU), expected, atol=1e-6)


@pytest.mark.parametrize("precision", [*(["bf16"] if HAS_BF16 else []), "fp16"])
def test_matrices_of_the_base_are_held_in_the_type_that_is_computed_in(learner, precision):
    base = base_of(learner, precision)
    held = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    for variant in ("lora", "dora"):
        run = run_of(base, {"lora_r": 2, "lora_variant": variant}, precision)
        measured(run)
        for name, parameter in run.model.named_parameters():
            trained = is_adapter(name) or name.startswith("classifier.")
            assert parameter.requires_grad == trained
            assert parameter.dtype == (torch.float32 if trained or parameter.ndim == 1 else held), name
        moments = [each for state in run._state.optimizer.state.values() for each in state.values()]
        assert {each.dtype for each in moments if each.ndim} == {torch.float32}
    magnitudes = [each for name, each in run.model.named_parameters() if "magnitude" in name]
    assert magnitudes and all(each.dtype == torch.float32 for each in magnitudes)

    loaded = learner.load_model()
    trained = {name: tensor.clone() for name, tensor in adapter_tensors(run.model).items()}
    whole = base.in_float32()
    for name, parameter in loaded.named_parameters():
        found = dict(whole.named_parameters())
        own = found.get(
            name, found.get(name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias"))
        )
        assert own.dtype == torch.float32
        assert name.startswith("classifier.") or torch.equal(own, parameter)
    assert all(torch.equal(tensor, trained[name]) for name, tensor in adapter_tensors(whole).items())


def test_running_statistics_stay_as_pretrained(tmp_path):
    task = image_task(save_base("resnet", tmp_path / "model"))
    base = base_of(learner_of(task, tmp_path / "rows"))
    run = run_of(base, {"lora_r": 2, "lora_target_modules": "convolution", "dropout": None})
    before = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    assert before and adapter_tensors(run.model)
    measured(run)
    assert all(torch.equal(buffer, before[name]) for name, buffer in run.model.named_buffers())


@pytest.mark.extended
def test_eight_runs_leave_no_more_behind_than_one(learner):
    base = base_of(learner)
    alive = []
    for rank in (4, 4, 2, 8, 1, 4, 3, 4):
        measured(run_of(base, {"lora_r": rank, "lora_variant": "dora"}), 1)
        base.fresh({}, seed=0)
        gc.collect()
        alive.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))
        assert not any(issubclass(type(each), LoraLayer) for each in gc.get_objects())
    assert alive[-1] <= alive[1]


def plain_losses(learner, config, model, steps):
    """Return the losses of a plain loop over the same batches with a model of peft."""
    optimizer = torch.optim.AdamW(
        [each for each in model.parameters() if each.requires_grad], lr=3e-3, weight_decay=0.0
    )
    losses = []
    model.train()
    for step in range(steps):
        epoch, place = divmod(step, 3)
        rows = TRAIN_ROWS[epoch_batches(np.asarray(learner.lengths)[TRAIN_ROWS], 6, 5, epoch)[place]]
        batch = learner.batch(rows, 1)
        loss = torch.nn.functional.cross_entropy(model(**batch).logits, learner.targets(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_losses_are_those_of_peft_itself(learner, kind):
    """The same rows in the same order, and adapters drawn from the same seed, in fp32 without dropout."""
    config = {"lora_r": 4, "lora_variant": kind, "dropout": 0.0, "epochs": 7, "learning_rate": 3e-3}
    config |= {"lr_scheduler_type": "constant", "warmup_ratio": 0.0, "weight_decay": 0.0, "max_grad_norm": None}
    config |= {"label_smoothing_factor": 0.0}
    base = base_of(learner)
    run = run_of(base, config, evaluations_per_epoch=3)
    own = {name: tensor.detach().clone() for name, tensor in run.model.named_parameters()}

    config_of_peft = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=16,
        target_modules="all-linear",
        use_rslora=kind == "rslora",
        use_dora=kind == "dora",
    )
    with quiet():
        plain = peft.get_peft_model(learner.load_model(), config_of_peft)
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trained = {name: each for name, each in plain.named_parameters() if each.requires_grad}
    names = {name: name.removeprefix("base_model.model.").replace("modules_to_save.default.", "") for name in trained}
    assert sorted(names.values()) == sorted(name for name, each in run.model.named_parameters() if each.requires_grad)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(own[names[name]])

    losses = [each.train_loss for each in measured(run)][:20]
    assert losses == pytest.approx(plain_losses(learner, config, plain, 20), abs=1e-5)
    assert all(each.any() for name, each in adapter_tensors(run.model).items() if "lora_B" in name)


def test_what_cannot_be_adapted_is_one_sentence_and_leaves_the_base_as_it_was(learner, monkeypatch):
    base = base_of(learner)
    base.fresh({}, seed=0)
    modules = dict(base.model.named_modules())
    with pytest.raises(TaskError, match=r"has no module 'q_proj' that takes an adapter.*query, key, value, dense"):
        base.fresh({"lora_r": 2, "lora_target_modules": "q_proj,value"}, seed=0)
    with pytest.raises(TaskError, match="all in layers that freeze_layers keeps as pretrained"):
        base.fresh({"lora_r": 2, "lora_target_modules": "query", "freeze_layers": 3}, seed=0)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TaskError, match=r'is not installed. Install it: pip install "hpsearch\[peft\]"'):
        base.fresh({"lora_r": 2}, seed=0)
    monkeypatch.undo()
    assert dict(base.model.named_modules()) == modules
    assert adapter_tensors(base.fresh({"lora_r": 2}, seed=0))
