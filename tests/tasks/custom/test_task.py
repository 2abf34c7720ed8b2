"""Any torch module on any rows: what a task of a user's own is, and what is said where it cannot be one."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from custom_samples import (
    CarelessSounds,
    Flat,
    Images,
    Items,
    Lazy,
    Sounds,
    Two,
    Wrapped,
    batches,
    focal,
    images,
    load_images,
    mixed,
    pretrained,
    smoothed,
    sounds,
    streamed,
)
from torch import nn

import hpsearch as hp
from hpsearch.data.dataset import open_dataset
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks import Task
from hpsearch.tasks.frozen_layers import with_whole_layers
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import detect_environment, resolve_numerics

BATCH_BUFFERS = "body.1.running_mean"


def fine_tune(task, prepared, seed=0, **config):
    whole = task.complete({"batch_size": 8, "epochs": 2, "learning_rate": 1e-2, **config})
    learner = task.learner(prepared, "train", whole)
    rows = np.arange(prepared.rows)
    return FineTune(
        learner,
        whole,
        train_rows=rows[rows % 3 != 0],
        held_out_rows=rows[rows % 3 == 0],
        seed=seed,
        evaluations_per_epoch=2,
        numerics=resolve_numerics(detect_environment("cpu"), "fp32"),
        device="cpu",
        base=BaseModel(learner, "cpu"),
    )


def measured(run, stop=None):
    return [each for each in run.advance(run.horizon if stop is None else stop) if each is not None]


def shifted(rows):
    """Images whose classes are in another order than the rows."""
    inputs, targets = images(rows)
    return inputs, np.array(["low", "middle", "top"])[targets]


class TestRows:
    def test_arrays_lists_mappings_datasets_and_functions_are_one(self, tmp_path):
        inputs, targets = images(24)
        forms = [
            (inputs, targets),
            (torch.from_numpy(inputs), torch.from_numpy(targets)),
            (list(inputs), list(targets)),
            Items(inputs, targets),
            load_images,
            lambda: Items(inputs, targets),
        ]
        found = {hp.CustomTask(Images, train=form).prepare(tmp_path).data_digest for form in forms}
        assert len(found) == 1

    def test_sounds_are_padded_with_zeros_to_a_multiple_of_the_longest(self, tmp_path):
        waves, targets = sounds()
        for form in ((waves, targets), Items(waves, targets)):
            task = hp.CustomTask(Sounds, train=form)
            learner = task.learner(task.prepare(tmp_path))
            assert learner.lengths.tolist() == [len(wave) for wave in waves]
            batch = learner.batch(np.array([3, 0, 3]), 16)
            assert batch["lengths"].tolist() == [len(waves[3]), len(waves[0]), len(waves[3])]
            width = -(-max(len(waves[3]), len(waves[0])) // 16) * 16
            assert batch["input"].shape == (3, width)
            assert torch.equal(batch["input"][1, : len(waves[0])], torch.from_numpy(waves[0]))
            assert not batch["input"][1, len(waves[0]) :].any()

    def test_the_dimension_that_differs_may_be_another_than_the_first(self, tmp_path):
        waves, targets = sounds()
        stereo = [np.stack([wave, -wave]) for wave in waves]

        def model():
            return nn.Sequential(nn.Conv1d(2, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())

        task = hp.CustomTask(model, train=(stereo, targets))
        learner = task.learner(task.prepare(tmp_path))
        batch = learner.batch(np.array([0, 1]), 16)
        assert batch["input"].shape[:2] == (2, 2)
        assert torch.equal(batch["input"][1, :, : len(waves[1])], torch.from_numpy(stereo[1]))
        from_items = hp.CustomTask(model, train=Items(stereo, targets)).prepare(tmp_path)
        assert from_items.data_digest == task.prepare(tmp_path).data_digest

    def test_inputs_by_name_are_the_arguments_of_forward(self, tmp_path):
        inputs, targets = mixed()
        task = hp.CustomTask(Two, train=(inputs, targets))
        prepared = task.prepare(tmp_path)
        assert prepared.data_digest == hp.CustomTask(Two, train=Items(*mixed())).prepare(tmp_path).data_digest
        batch = task.learner(prepared).batch(np.arange(5), 16)
        assert {name: tensor.dtype for name, tensor in batch.items()} == {
            "words": torch.int64,
            "words_lengths": torch.int64,
            "numbers": torch.float32,
        }
        first, *_, last = measured(fine_tune(task, prepared, epochs=4, learning_rate=0.05))
        assert last.validation_loss < first.validation_loss

    @pytest.mark.parametrize(
        "targets, kind, classes",
        [
            (np.arange(24) % 2, "binary", (0, 1)),
            (np.array(["no", "yes"])[np.arange(24) % 2], "binary", ("no", "yes")),
            (np.arange(24) % 3 * 10, "multiclass", (0, 10, 20)),
            (pd.Series(["c", "a", "b"] * 8), "multiclass", ("a", "b", "c")),
            ((np.arange(24) % 3)[:, None], "multiclass", (0, 1, 2)),
            (np.arange(48).reshape(24, 2) // 3 % 2, "multilabel", ("0", "1")),
            (pd.DataFrame({"x": [0, 1] * 12, "y": [1, 1, 0] * 8}), "multilabel", ("x", "y")),
            (torch.arange(24) % 3, "multiclass", (0, 1, 2)),
        ],
    )
    def test_kind_and_classes_are_told_by_the_targets(self, tmp_path, targets, kind, classes):
        model = functools.partial(Images, classes=len(classes))
        prepared = hp.CustomTask(model, train=(images(24)[0], targets)).prepare(tmp_path)
        assert (prepared.judge.kind, prepared.judge.classes) == (kind, classes)

    def test_test_rows_groups_and_weights_are_kept(self, tmp_path):
        groups, weights = [f"g{row // 2}" for row in range(24)], np.linspace(0.5, 2, 24)
        task = hp.CustomTask(
            Images,
            train=shifted(24),
            test=shifted(9),
            group=groups,
            sample_weight=weights,
            test_group=np.arange(9) // 3,
        )
        prepared = task.prepare(tmp_path)
        train, test = open_dataset(prepared.folder), open_dataset(prepared.test_folder)
        assert train["groups"].tolist() == [row // 2 for row in range(24)]
        assert np.array_equal(train["weights"], weights.astype(np.float32))
        assert test["groups"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert "weights" not in test
        assert prepared.test_rows == 9
        assert torch.equal(task.learner(prepared, "test").targets(np.arange(3)), torch.tensor([0, 1, 2]))

    def test_a_dataset_is_read_once_and_never_travels(self, tmp_path):
        inputs, targets = images(24)
        read = []

        class Counted(Items):
            def __getitem__(self, row):
                read.append(row)
                return super().__getitem__(row)

        task = hp.CustomTask(Images, train=Counted(inputs, targets))
        task.prepare(tmp_path)
        kept = task.snapshot(tmp_path / "data")
        assert read.count(5) == 1
        assert len(pickle.dumps(kept)) < 3000
        assert kept == task
        assert kept.prepare(tmp_path).data_digest == task.prepare(tmp_path).data_digest
        assert read.count(5) == 1

    def test_one_way_of_making_batches_is_the_users(self, tmp_path):
        task = hp.CustomTask(CarelessSounds, train=sounds(), collate=batches)
        prepared = task.prepare(tmp_path)
        lengths = task.learner(prepared).lengths
        batch = task.learner(prepared).batch(np.array([0, 1, 2]), 16)
        assert batch["input"].shape == (3, min(lengths[:3]))
        assert prepared.model_digest != hp.CustomTask(CarelessSounds, train=sounds()).prepare(tmp_path).model_digest


class TestModel:
    def test_arguments_with_plain_defaults_are_hyperparameters(self):
        known = hp.CustomTask(Images, train=images()).hyperparameters()
        assert [known[name].default for name in ("width", "depth", "drop", "classes")] == [4, 1, 0.1, 3]
        assert known["width"].check(8.0) == 8
        assert isinstance(known["drop"].check(1), float)
        for name, value in (("width", 2.5), ("width", True), ("drop", "much"), ("drop", None)):
            with pytest.raises(TaskError, match=f"argument {name}="):
                known[name].check(value)

    def test_types_are_those_of_the_defaults(self):
        def model(rate: float = 1, optional: int | None = None, name: str = "gelu", deep: bool = False, of=nn.ReLU):
            """Return nothing: it is never called."""

        known = hp.CustomTask(model, train=images()).hyperparameters()
        assert known["rate"].check(1) == 1.0
        assert isinstance(known["rate"].check(1), float)
        assert known["optional"].check(None) is None
        assert known["optional"].check(3) == 3
        assert known["name"].check("relu") == "relu"
        assert known["deep"].check(True) is True
        assert "of" not in known
        with pytest.raises(TaskError, match="deep=1 is not True or False"):
            known["deep"].check(1)

    def test_an_argument_called_dropout_is_the_models_own(self, tmp_path):
        def model(dropout: float = 0.2):
            return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(16, 3))

        task = hp.CustomTask(model, train=images())
        config = task.complete({"dropout": 0.4})
        assert fine_tune(task, task.prepare(tmp_path), dropout=0.4).model[1].p == 0.4
        assert task.base_key(config) != task.base_key(task.complete({}))

    def test_dropout_of_the_whole_model_is_set_where_the_model_has_some(self, tmp_path):
        task = hp.CustomTask(Images, train=images())
        prepared = task.prepare(tmp_path)
        assert fine_tune(task, prepared, dropout=0.4).model.drop.p == 0.4
        assert fine_tune(task, prepared).model.drop.p == 0.1
        with pytest.raises(TaskError, match="has no dropout anywhere"):
            fine_tune(hp.CustomTask(Flat, train=images()), prepared, dropout=0.4)

    def test_configs_of_one_key_have_models_of_one_make(self, tmp_path):
        task = hp.CustomTask(Images, train=images())
        prepared = task.prepare(tmp_path)
        narrow, wide = (task.complete({"width": width}) for width in (4, 6))
        assert task.base_key(narrow) == task.base_key(task.complete({"width": 4, "learning_rate": 0.5}))
        assert task.base_key(narrow) != task.base_key(wide)
        assert task.learner(prepared, "train", wide).load_model().head.in_features == 6

    def test_the_whole_model_is_drawn_by_the_factory_under_the_seed(self, tmp_path):
        task = hp.CustomTask(Images, train=images())
        learner = task.learner(task.prepare(tmp_path))
        base = BaseModel(learner, "cpu")
        assert base.head == {name for name, _ in learner.load_model().named_parameters()}
        first = {name: each.clone() for name, each in base.fresh({}, 1).state_dict().items()}
        other = {name: each.clone() for name, each in base.fresh({}, 2).state_dict().items()}
        again = base.fresh({}, 1).state_dict()
        assert all(torch.equal(first[name], each) for name, each in again.items())
        assert not torch.equal(first["body.0.weight"], other["body.0.weight"])

    def test_a_head_is_drawn_and_the_rest_kept(self, tmp_path):
        task = hp.CustomTask(pretrained, train=images(), head="head")
        base = BaseModel(task.learner(task.prepare(tmp_path)), "cpu")
        assert base.head == {"head.weight", "head.bias"}
        first = {name: each.clone() for name, each in base.fresh({}, 1).state_dict().items()}
        other = base.fresh({}, 2).state_dict()
        assert torch.equal(first["body.0.weight"], other["body.0.weight"])
        assert torch.equal(first["body.0.weight"], pretrained().body[0].weight)
        assert not torch.equal(first["head.weight"], other["head.weight"])

    def test_layers_are_counted_without_norms_and_activations(self, tmp_path):
        task = hp.CustomTask(lambda: Images(depth=2), train=images(), head=["head"])
        prepared = task.prepare(tmp_path)
        assert prepared.layers == 2
        assert hp.CustomTask(Images, train=images()).prepare(tmp_path).layers == 0
        assert hp.CustomTask(Images, train=images(), head="head").prepare(tmp_path).layers is None  # depth is searched
        frozen = fine_tune(task, prepared, freeze_layers=1)
        trained = {name for name, each in frozen.model.named_parameters() if each.requires_grad}
        assert trained == {"body.3.weight", "body.3.bias", "body.4.weight", "body.4.bias", "head.weight", "head.bias"}
        before = frozen.model.body[1].running_mean.clone()
        measured(frozen)
        assert torch.equal(frozen.model.body[1].running_mean, before)
        assert frozen.model.body[4].running_mean.any()
        assert {
            name
            for name, each in fine_tune(task, prepared, freeze_layers="all").model.named_parameters()
            if each.requires_grad
        } == {"head.weight", "head.bias"}

    def test_layers_of_a_plain_sequence(self, tmp_path):
        def model():
            return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))

        task = hp.CustomTask(model, train=images(), head="4")
        assert task.prepare(tmp_path).layers == 2

    def test_a_network_wrapped_with_its_head_has_its_layers(self, tmp_path):
        task = hp.CustomTask(Wrapped, train=images(), head="inner.head")
        prepared = task.prepare(tmp_path)
        assert prepared.layers == 1
        for layers, trained in ((0, {"inner.body.0", "inner.body.1", "inner.head"}), ("all", {"inner.head"})):
            parameters = fine_tune(task, prepared, freeze_layers=layers).model.named_parameters()
            assert {name.rpartition(".")[0] for name, each in parameters if each.requires_grad} == trained

    def test_lazy_modules_are_drawn_with_the_first_row(self, tmp_path):
        task = hp.CustomTask(Lazy, train=images())
        base = BaseModel(task.learner(task.prepare(tmp_path)), "cpu")
        first = base.fresh({}, 1).inner.weight.clone()
        assert first.shape == (5, 16)
        assert not torch.equal(first, base.fresh({}, 2).inner.weight)
        assert torch.equal(first, base.fresh({}, 1).inner.weight)

    def test_a_batch_of_one_row_trains_past_batch_normalization(self, tmp_path):
        task = hp.CustomTask(Flat, train=images(24))
        found = measured(fine_tune(task, task.prepare(tmp_path), batch_size=5))  # 16 rows: the last batch has one
        assert len(found) == 4
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            Flat()(torch.zeros(1, 16))

    def test_a_model_that_minds_the_padding_is_warned_of(self, tmp_path):
        warnings = hp.CustomTask(CarelessSounds, train=sounds()).prepare(tmp_path).warnings
        assert any("change with the zeros that fill short rows up" in each for each in warnings)
        assert not hp.CustomTask(Sounds, train=sounds(40)).prepare(tmp_path).warnings

    def test_a_model_that_seeds_itself_is_warned_of(self, tmp_path):
        def model():
            torch.manual_seed(0)
            return Images()

        warnings = hp.CustomTask(model, train=images()).prepare(tmp_path).warnings
        assert any("the same Images under every seed" in each for each in warnings)

    def test_a_factory_with_a_generator_of_its_own_is_refused(self, tmp_path):
        def model():
            made, random = Images(), np.random.default_rng()
            with torch.no_grad():
                for each in made.parameters():
                    each.copy_(torch.from_numpy(random.normal(0, 0.3, tuple(each.shape)).astype("float32")))
            return made

        with pytest.raises(TaskError, match=r"two models under one seed: .* draws outside torch's and NumPy's global"):
            hp.CustomTask(model, train=images()).prepare(tmp_path)

    def test_a_generator_that_is_seeded_from_the_global_states_is_taken(self, tmp_path):
        def model():
            made, random = Images(), np.random.default_rng(np.random.randint(2**31))
            with torch.no_grad():
                for each in made.parameters():
                    each.copy_(torch.from_numpy(random.normal(0, 0.3, tuple(each.shape)).astype("float32")))
            return made

        warnings = hp.CustomTask(model, train=images()).prepare(tmp_path).warnings
        assert not any("every seed" in each for each in warnings)

    def test_a_model_that_holds_no_numbers_in_a_buffer_is_taken(self, tmp_path):
        """NaN differs from itself: two models are compared bit by bit."""

        class Marked(Images):
            def __init__(self):
                super().__init__()
                self.register_buffer("unknown", torch.full((2,), float("nan")), persistent=False)

        hp.CustomTask(Marked, train=images()).prepare(tmp_path)


class TestLoss:
    def test_the_users_loss_is_what_is_learned_and_measured(self, tmp_path):
        task = hp.CustomTask(Images, train=images(), loss=focal)
        learner = task.learner(task.prepare(tmp_path))
        logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
        assert torch.equal(learner.losses(logits, targets, 0.0), focal(logits, targets))

    def test_a_module_with_weights_of_classes_is_a_loss(self, tmp_path):
        loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]), reduction="none")
        task = hp.CustomTask(Images, train=images(), loss=loss)
        prepared = task.prepare(tmp_path)
        assert len(measured(fine_tune(task, prepared))) == 4
        other = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.6]), reduction="none")
        changed = hp.CustomTask(Images, train=images(), loss=other)
        assert changed.prepare(tmp_path).model_digest != prepared.model_digest

    def test_smoothing_goes_to_a_loss_that_takes_it(self, tmp_path):
        task = hp.CustomTask(Images, train=images(), loss=smoothed)
        logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
        learner = task.learner(task.prepare(tmp_path))
        assert torch.equal(learner.losses(logits, targets, 0.3), smoothed(logits, targets, 0.3))
        assert task.complete({"label_smoothing_factor": 0.3})["label_smoothing_factor"] == 0.3
        with pytest.raises(TaskError, match="has no argument label_smoothing"):
            hp.CustomTask(Images, train=images(), loss=focal).complete({"label_smoothing_factor": 0.3})


class TestRuns:
    @pytest.mark.parametrize("model, rows", [(Images, images), (Sounds, sounds), (Two, mixed)])
    def test_a_run_paused_and_resumed_is_the_run_bit_by_bit(self, tmp_path, model, rows):
        task = hp.CustomTask(model, train=rows(25))
        prepared = task.prepare(tmp_path)
        straight = fine_tune(task, prepared)
        whole = measured(straight)
        broken = fine_tune(task, prepared)
        parts = measured(broken, 1)
        parts += [each for _, each in zip(range(2), broken.advance(broken.horizon), strict=False) if each is not None]
        files = broken.checkpoint()
        resumed = fine_tune(task, prepared)
        resumed.restore(files)
        parts += measured(resumed)
        assert [each.validation_loss for each in parts] == [each.validation_loss for each in whole]
        for one, other in zip(whole, parts, strict=True):
            assert np.array_equal(one.outputs, other.outputs)
        ends = straight.model.state_dict(), resumed.model.state_dict()
        assert all(torch.equal(ends[0][name], each) for name, each in ends[1].items())
        if model is Images:
            assert ends[0][BATCH_BUFFERS].any()

    def test_runs_that_share_a_base_leave_nothing_behind(self, tmp_path):
        task = hp.CustomTask(Images, train=images(24))
        prepared = task.prepare(tmp_path)
        alone = measured(fine_tune(task, prepared, seed=5))
        learner = task.learner(prepared, "train", task.complete({}))
        base = BaseModel(learner, "cpu")
        for seed in (3, 5):
            run = FineTune(
                learner, task.complete({"batch_size": 8, "epochs": 2, "learning_rate": 1e-2}),
                train_rows=np.flatnonzero(np.arange(24) % 3), held_out_rows=np.arange(0, 24, 3), seed=seed,
                evaluations_per_epoch=2, numerics=resolve_numerics(detect_environment("cpu"), "fp32"), device="cpu",
                base=base,
            )  # fmt: skip
            after = measured(run)
        assert all(np.array_equal(one.outputs, other.outputs) for one, other in zip(alone, after, strict=True))


class TestIdentity:
    def test_equal_tasks_are_equal_and_their_code_counts(self):
        assert hp.CustomTask(Images, train=images()) == hp.CustomTask(Images, train=images())
        assert hp.CustomTask(Images, train=images()) != hp.CustomTask(Flat, train=images())
        assert hp.CustomTask(Images, train=images()) != hp.CustomTask(Images, train=images(seed=1))
        assert hp.CustomTask(Images, train=images()) != hp.CustomTask(Images, train=images(), loss=focal)

    def test_a_description_brings_the_task_back(self, tmp_path):
        task = hp.CustomTask(
            Images, train=shifted(24), test=load_images, loss=focal, group=np.arange(24) // 2, head="head",
            literature_default={"learning_rate": 0.01, "width": 6},
        ).snapshot(tmp_path)  # fmt: skip
        found = Task.from_description(task.describe())
        assert found == task
        assert found.recommended()["width"] == 6
        assert found.complete({})["width"] == 6

    def test_the_digest_of_the_model_covers_code_and_loaded_weights_but_not_what_is_drawn(self, tmp_path):
        def made(shift):
            def model():
                found = pretrained()
                with torch.no_grad():
                    found.body[0].weight[0, 0, 0, 0] += shift[0]
                return found

            return hp.CustomTask(model, train=images(), head="head").prepare(tmp_path).model_digest

        shift = np.zeros(1)  # an array in a closure is a part of the code
        assert made(shift) == made(np.zeros(1))
        assert made(shift) != made(np.ones(1))
        weights = {"shift": 0.0}

        def loading():
            found = pretrained()
            with torch.no_grad():
                found.body[0].weight.add_(open_weights())
            return found

        def open_weights():
            return weights["shift"]

        task = hp.CustomTask(loading, train=images())
        before = task.prepare(tmp_path).model_digest
        assert task.prepare(tmp_path).model_digest == before
        weights["shift"] = 1.0  # a file of weights that was replaced
        assert task.prepare(tmp_path).model_digest != before

    def test_making_a_task_imports_no_torch(self):
        import subprocess
        import sys

        code = (
            "import sys, numpy as np, hpsearch as hp\n"
            "task = hp.CustomTask(lambda width=3: None, train=(np.zeros((4, 2)), [0, 1, 0, 1]))\n"
            "assert task.complete({'width': 5})['width'] == 5\n"
            "print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


def one_output():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 1))


def with_softmax_of_text():
    return nn.Sequential(nn.Flatten(), nn.Linear(17, 3))


def required(width):
    return Images(width)


def shadowing(epochs=3):
    return Images()


def no_model():
    return "a model"


def failing(width=4):
    raise KeyError("weights.pt")


def nothing_to_train():
    return nn.Flatten()


def detached(logits, targets):
    return nn.functional.cross_entropy(logits.detach(), targets, reduction="none")


class Noisy(Items):
    def __getitem__(self, row):
        inputs, target = super().__getitem__(row)
        return inputs + torch.rand(inputs.shape), target


class Broken(Items):
    def __getitem__(self, row):
        if row == 5:
            raise OSError("5.wav: no such file")
        return super().__getitem__(row)


X, Y = images(24)
NAN = X.copy()
NAN[[3, 7], 0, 1, 1] = np.nan
ODD = [*X[:-1], X[-1, :, :2, :3]]
FLAT = [*X[:-1], X[-1, 0]]

BAD = {
    "one class": (Images, {"train": (X, np.zeros(24, dtype=int))}, DataError, "one class only, 0"),
    "empty": (Images, {"train": (X[:0], Y[:0])}, DataError, "train data has no rows"),
    "empty dataset": (Images, {"train": Items(X[:0], Y[:0])}, DataError, "train data has no rows"),
    "different numbers": (Images, {"train": (X, Y[:-1])}, DataError, "the input 24, the targets 23"),
    "NaN targets": (Images, {"train": (X, np.where(Y == 2, np.nan, Y))}, DataError, "8 of 24 train targets"),
    "float targets": (Images, {"train": (X, Y + 0.5)}, DataError, "is 0.5, a float"),
    "NaN inputs": (Images, {"train": (NAN, Y)}, DataError, "not finite .* in 2 of 24 rows: rows 3, 7"),
    "NaN sounds": (Images, {"train": ([np.ones(2), np.array([1, np.nan, 1])] * 2, [0, 1] * 2)}, DataError, "rows 1, 3"),
    "two dimensions differ": (Images, {"train": (ODD, Y)}, DataError, r"differs in 2 dimensions, \(1, 4, 4\) in row 0"),
    "dimensions": (Images, {"train": (FLAT, Y)}, DataError, r"shape \(1, 4, 4\) in row 0 and \(4, 4\) in row 23"),
    "dtype": (Images, {"train": ([*X[:-1], X[-1].astype(int)], Y)}, DataError, "float32 in row 0 and int64 in row 23"),
    "dtype of an item": (Images, {"train": Items([*X[:-1], X[-1].astype(int)], Y)}, DataError, "int64 in row 23"),
    "text inputs": (Images, {"train": (["a", "b"], [0, 1])}, DataError, "is 'a' in row 0, a str"),
    "item": (Images, {"train": [(X[0], 0), X[1]]}, DataError, "item 1 of the train dataset is a ndarray, not a pair"),
    "broken item": (Images, {"train": Broken(X, Y)}, DataError, "item 5 .* cannot be read: OSError: 5.wav"),
    "random items": (Images, {"train": Noisy(X, Y)}, DataError, "another each time it is read"),
    "path": (Images, {"train": "rows.npz"}, TaskError, "train='rows.npz' is a str.*your function reads the file"),
    "frame": (Images, {"train": pd.DataFrame({"a": [1]})}, TaskError, "is a DataFrame"),
    "stream": (Images, {"train": streamed()}, TaskError, "is a generator that only streams"),
    "array alone": (Images, {"train": X}, TaskError, "is a ndarray without targets"),
    "three": (Images, {"train": (X, Y, Y)}, TaskError, "is a tuple of 3"),
    "failing loader": (Images, {"train": lambda: 1 // 0}, DataError, "given as train= fails: ZeroDivisionError"),
    "unseen test label": (Images, {"train": (X, Y), "test": (X, Y + 1)}, DataError, "have labels that the training"),
    "test shape": (Images, {"train": (X, Y), "test": (X[:, :, :3], Y)}, DataError, r"\(1, 3, 4\) in the test data"),
    "test inputs": (Images, {"train": (X, Y), "test": ({"a": X}, Y)}, DataError, "the test data 'a'"),
    "group": (Images, {"train": (X, Y), "group": [1, 2]}, DataError, r"group= has shape \(2,\).* 24 train rows"),
    "group column": (Images, {"train": (X, Y), "group": "site"}, TaskError, "group='site' is a str"),
    "weights": (Images, {"train": (X, Y), "sample_weight": -np.ones(24)}, DataError, "not finite numbers"),
    "not callable": (3, {"train": (X, Y)}, TaskError, "make_model=3 is a int"),
    "model itself": (Images(), {"train": (X, Y)}, TaskError, "is a model already, a Images"),
    "required": (required, {"train": (X, Y)}, TaskError, "'width' without a default.*functools.partial"),
    "shadowing": (shadowing, {"train": (X, Y)}, TaskError, "an argument 'epochs'.*model_epochs"),
    "no model": (no_model, {"train": (X, Y)}, TaskError, "returns a str and not a torch.nn.Module"),
    "failing model": (failing, {"train": (X, Y)}, TaskError, r"raises KeyError: 'weights.pt' \(line"),
    "nothing to train": (nothing_to_train, {"train": (X, Y)}, TaskError, "no parameters that can be trained"),
    "inputs": (with_softmax_of_text, {"train": (X, Y)}, TaskError, r"\(input \(2, 1, 4, 4\) torch.float32\)"),
    "outputs": (one_output, {"train": (X, Y)}, TaskError, r"outputs of shape \(2, 1\) .* 3 classes: \(2, 3\)"),
    "binary": (one_output, {"train": (X, Y > 0)}, TaskError, "A binary task has two outputs"),
    "head": (Images, {"train": (X, Y), "head": "haed"}, TaskError, "head='haed' names no .* Did you mean 'head'"),
    "head type": (Images, {"train": (X, Y), "head": 3}, TaskError, "head=3: give the name"),
    "mean loss": (Images, {"train": (X, Y), "loss": nn.CrossEntropyLoss()}, TaskError, "reduction='none'"),
    "loss of another": (Images, {"train": (X, Y), "loss": nn.BCEWithLogitsLoss()}, TaskError, "the loss fails"),
    "detached": (Images, {"train": (X, Y), "loss": detached}, TaskError, "no gradient reaches the model"),
    "default": (Images, {"train": (X, Y), "literature_default": {"widht": 3}}, TaskError, "Did you mean 'width'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_learned_is_said_in_one_paragraph(name, tmp_path):
    model, arguments, kind, words = BAD[name]
    with pytest.raises(kind, match=words) as caught:
        hp.CustomTask(model, **arguments).prepare(tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "!"))


def test_what_is_pretrained_must_be_named_before_it_can_be_frozen():
    with pytest.raises(TaskError, match=r"names nothing pretrained.*head='classifier'"):
        hp.CustomTask(Images, train=images()).complete({"freeze_layers": 1})


def test_a_share_of_the_layers_is_of_the_depth_that_a_config_asks_for(tmp_path):
    task = hp.CustomTask(Images, train=images(), head="head")
    prepared = task.prepare(tmp_path)
    for depth in (1, 2, 4):
        config = with_whole_layers(task.complete({"depth": depth, "freeze_layers": 0.5}), task, lambda _: prepared)
        learner = task.learner(prepared, "train", config)
        assert config["freeze_layers"] == (len(learner.layers(learner.load_model())) - 1) // 2
    assert config["freeze_layers"] > 1


def test_what_misleads_is_said(tmp_path):
    twice = (np.concatenate([X, X[:2]]), np.concatenate([Y, [Y[0], (Y[1] + 1) % 3]]))
    task = hp.CustomTask(Images, train=twice, test=(X[:6], Y[:6]))
    found = " ".join(task.prepare(tmp_path).warnings)
    assert "2 of 26 training rows repeat the inputs of another row, and 1 of the repeated ones" in found
    assert "6 of 6 test rows have inputs that are training rows too" in found
    one_hot = hp.CustomTask(Images, train=(X, np.eye(3)[Y])).prepare(tmp_path)
    assert one_hot.judge.kind == "multilabel"
    assert any("exactly one of the 3 labels" in each for each in one_hot.warnings)


def test_targets_are_named_and_classes_have_strata_of_their_own(tmp_path):
    with pytest.raises(TaskError, match="targets='class': Did you mean 'classes'"):
        hp.CustomTask(Images, train=images(24), targets="class")
    with pytest.raises(TaskError, match="strata=3: folds are stratified by 3 classes as they are"):
        hp.CustomTask(Images, train=images(24), strata=3).prepare(tmp_path)
    with pytest.raises(TaskError, match="strata=1: give a whole number from 2"):
        hp.CustomTask(Images, train=images(24), strata=1)
