"""Runs train weights of their own, whatever make_model returns: the script's stay as they are."""

import numpy as np
import pytest
import torch
from custom_samples import images
from torch import nn

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import detect_environment, resolve_numerics

SHORT = {"batch_size": 8, "epochs": 2, "learning_rate": 1e-2}


def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU())


class Net(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.inner, self.middle, self.classifier = inner, nn.Linear(8, width), nn.Linear(width, 3)

    def forward(self, inputs):
        return self.classifier(torch.relu(self.middle(self.inner(inputs))))


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())


def storages(model):
    return {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}


def study(folder, make, *, trials, task=None, **settings):
    task = task or {}
    space = settings.pop("space", hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True)))
    searched = hp.CustomTask(make, train=images(24), test=images(12, seed=1), **task)
    found = hp.Study(
        "own", searched, space=space, metric="neg_log_loss", cv=2, pruner="none", folder=folder, precision="fp32",
        **{"sampler": "random", **settings},
    )  # fmt: skip
    return found.run(trials=trials, devices="inline", progress=False)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(None, marks=pytest.mark.extended),
        pytest.param("classifier", marks=pytest.mark.extended),
        ["middle", "classifier"],
    ],
)
def test_the_scripts_encoder_stays_as_it_was_and_refits_are_equal(tmp_path, head):
    inner = encoder()
    inner[1].weight.grad = torch.ones_like(inner[1].weight)
    before = bits(inner)
    space = hp.Space(epochs=2, batch_size=8, learning_rate=hp.Float(1e-3, 1e-1, log=True))
    result = study(tmp_path, lambda: Net(inner, 4), trials=2, task={"head": head}, space=space)
    models = [result.refit(0).model, result.refit(0).model]
    assert models[0] is not models[1]
    assert same(*(bits(model) for model in models))
    assert not same(bits(models[0].inner), before)  # it is trained
    result.evidence()
    assert same(bits(inner), before)
    assert all(each.requires_grad for each in inner.parameters()) and inner.training
    assert [each.grad is None for each in inner.parameters()] == [False, True, True, True]
    assert bool((inner[1].weight.grad == 1).all())
    assert not storages(models[0]) & storages(models[1])
    assert not storages(models[0]) & storages(inner)


def test_one_object_may_be_returned_each_time(tmp_path):
    for number, model in enumerate((Net(encoder(), 4), Net(encoder(), 4).double())):
        before, kinds = bits(model), {each.dtype for each in model.parameters()}
        result = study(tmp_path / str(number), lambda model=model: model, trials=1, task={"head": "classifier"})
        one, other = result.refit(0), result.refit(0)
        assert one is not other and one.model is not other.model and one.model is not model
        assert same(bits(one.model), bits(other.model))
        assert same(bits(model), before) and {each.dtype for each in model.parameters()} == kinds


def test_one_object_with_numbers_to_predict(tmp_path):
    """A refit writes the units of the numbers into its head: the next one must not begin there."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
    inputs, _ = images(30)
    targets = 1000 + 100 * inputs.reshape(30, -1).mean(axis=1).astype(np.float64)
    task = hp.CustomTask(lambda: model, train=(inputs, targets), test=(inputs, targets), targets="numbers")
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2, log=True))
    found = hp.Study("numbers", task, space=space, cv=2, pruner="none", folder=tmp_path, precision="fp32")
    result = found.run(trials=1, devices="inline", progress=False)
    before = bits(model)
    one, other = result.refit(0), result.refit(0)
    assert same(bits(one.model), bits(other.model)) and same(bits(model), before)


def test_a_value_does_not_depend_on_the_order_of_trials(tmp_path):
    values = []
    for number, widths in enumerate(([4, 16], [16, 4])):
        inner = encoder()
        space = hp.Space(width=hp.Categorical(widths), learning_rate=0.03, batch_size=8, epochs=2)
        result = study(
            tmp_path / str(number), lambda width=4, inner=inner: Net(inner, width), trials=2, space=space,
            sampler="grid", task={"head": ["middle", "classifier"], "literature_default": {"width": widths[0]}},
        )  # fmt: skip
        values.append({trial.config["width"]: trial.value for trial in result.history.trials.values()})
        order = [trial.config["width"] for _, trial in sorted(result.history.trials.items())]
        assert order == widths
    assert values[0] == values[1]


def learner_of(folder, make, **task):
    found = hp.CustomTask(make, train=images(24), **task)
    prepared = found.prepare(folder)
    return found.learner(prepared, "train", found.complete(SHORT))


def run_of(learner, base, **config):
    rows = np.arange(24)
    run = FineTune(
        learner,
        {**SHORT, **config},
        train_rows=rows[rows % 3 != 0],
        held_out_rows=rows[rows % 3 == 0],
        seed=0,
        evaluations_per_epoch=1,
        numerics=resolve_numerics(detect_environment("cpu"), "fp32"),
        device="cpu",
        base=base,
    )
    return [each.validation_loss for each in run.advance(run.horizon) if each is not None]


def test_what_a_model_writes_to_frozen_weights_is_undone_however_it_writes(tmp_path):
    def in_place(weight):
        with torch.no_grad():
            weight.mul_(0.9)

    losses = []
    for number, write in enumerate((in_place, lambda weight: weight.data.mul_(0.9))):

        class Writing(Net):
            def forward(self, inputs, write=write):
                write(self.inner[1].weight)
                return super().forward(inputs)

        learner = learner_of(tmp_path / str(number), lambda model=Writing: model(encoder(), 4), head="classifier")
        base = BaseModel(learner, "cpu")
        for freeze_layers in ("all", 1, 0, "all"):
            found = run_of(learner, base, freeze_layers=freeze_layers)
            assert found == run_of(learner, BaseModel(learner, "cpu"), freeze_layers=freeze_layers)
            losses.append(found)
    assert losses[:4] == losses[4:]


class Wrapped(Net):
    """Its encoder is called by a function that holds it."""

    def __init__(self, inner, width=4):
        super().__init__(inner, width)
        layer, forward = self.inner[1], self.inner[1].forward
        layer.forward = lambda inputs: forward(inputs) * 2


class Watched(Net):
    """What a hook keeps is read from where the hook was made."""

    def __init__(self, inner, width=4):
        super().__init__(inner, width)
        self.kept = kept = {}
        inner.register_forward_hook(lambda module, inputs, outputs: kept.update(found=outputs))

    def forward(self, inputs):
        self.inner(inputs)
        return self.classifier(torch.relu(self.middle(self.kept["found"])))


@pytest.mark.parametrize("shared", [False, True])
def test_a_layer_held_by_a_function_is_refused_in_words(tmp_path, shared):
    given = Wrapped(encoder())
    make = (lambda: given) if shared else lambda: Wrapped(encoder())
    with pytest.raises(TaskError, match=r"Wrapped cannot train 'inner\.1\.weight': .* copy .* whose forward calls"):
        hp.CustomTask(make, train=images(24), head="classifier").prepare(tmp_path)
    assert all(each.grad is None for each in given.parameters()) and given.training


def test_a_model_that_only_works_uncopied_is_refused_in_words(tmp_path):
    with pytest.raises(TaskError, match=r"Watched takes the rows, but a copy of it does not, .* KeyError: 'found'"):
        hp.CustomTask(lambda: Watched(encoder()), train=images(24)).prepare(tmp_path)


def test_a_method_in_place_of_forward_are_trained(tmp_path):
    class Doubled(nn.Linear):
        def doubled(self, inputs):
            return nn.Linear.forward(self, inputs) * 2

    def make():
        model = Net(encoder(), 4)
        model.inner[1] = layer = Doubled(16, 8)
        layer.forward = layer.doubled
        return model

    learner = learner_of(tmp_path, make, head="classifier")
    base = BaseModel(learner, "cpu")
    before = base.model.inner[1].weight.clone()
    run_of(learner, base)
    assert not torch.equal(base.model.inner[1].weight, before)


def test_a_model_that_cannot_be_copied_is_refused_in_words(tmp_path):
    def make():
        model = Net(encoder(), 4)
        model.scaled = model.middle.weight * 2
        return model

    with pytest.raises(TaskError, match=r"Net cannot be copied, and each run trains a copy of what make returns: Runt"):
        hp.CustomTask(make, train=images(24)).prepare(tmp_path)
