"""A study that chooses among pretrained models: each is trained, keyed and taken away as if it were the only one."""

import json
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tasks_samples import WORDS, image_arrays, save_base, save_text_model, save_tokenizer
from toy_studies import known_of

import hpsearch as hp
from hpsearch.errors import SpaceError, StudyChangedError, TaskError
from hpsearch.plan.run_keys import run_keys
from hpsearch.plan.starting_point import literature_default
from hpsearch.records import Origin, Segment, TrialState
from hpsearch.runtime.messages import Evaluated, Probe, Train
from hpsearch.runtime.study_run import batch_size, each_choice, least_frozen, workload_of
from hpsearch.runtime.worker import BASES_KEPT, Worker
from hpsearch.study import Study
from hpsearch.tasks.classes.labels import probabilities
from hpsearch.training.numerics import detect_environment, resolve_numerics

GOOD, BAD = ("great", "loved", "fine"), ("awful", "hated", "dull")
LAYERS = {"bert": 3, "distilbert": 2}


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Return texts whose class shows in two of their words."""
    random = np.random.default_rng(seed)
    plain = [word for word in WORDS if word not in (*GOOD, *BAD)]
    texts = []
    for row in range(rows):
        words = [*random.choice(plain, size=random.integers(3, 9)), *random.choice((GOOD, BAD)[row % 2], size=2)]
        texts.append(" ".join(random.permutation(words)))
    return pd.DataFrame({"text": texts, "label": [("positive", "negative")[row % 2] for row in range(rows)]})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the models bert (three layers) and distilbert (two, another vocabulary), and rows beside them."""
    folder = tmp_path_factory.mktemp("choice")
    save_text_model(folder / "bert")
    save_base("distilbert", folder / "distilbert", n_layers=2)
    save_tokenizer(folder / "distilbert", words=tuple(reversed(WORDS)))
    reviews(32, 1).to_csv(folder / "train.csv", index=False)
    reviews(20, 2).to_csv(folder / "test.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        yield folder


def task_of(place: Path, model: str = "bert", **more: Any) -> hp.TextClassification:
    return hp.TextClassification(place / model, train=place / "train.csv", test=place / "test.csv", **more)


FIXED = {"epochs": 2, "batch_size": 8, "warmup_ratio": 0.1}
RATE = hp.Float(1e-5, 3e-2, log=True)


def space_of(place: Path, **more: Any) -> hp.Space:
    bert, distilbert = str(place / "bert"), str(place / "distilbert")
    return hp.Space(
        model=hp.Categorical([bert, distilbert]),
        freeze_layers=hp.Float(0.0, 1.0),
        learning_rate=RATE,
        **{**FIXED, **more},
    )


def study_of(place: Path, folder: Path, space: hp.Space | None = None, **settings: Any) -> Study:
    given = {"sampler": "random", "cv": 2, "metrics": ["accuracy"], "pruner": "none", "early_stopping": None, "seed": 3}
    task = settings.pop("task", None) or task_of(place)
    return Study("choice", task, space or space_of(place), folder=folder, precision="fp32", **{**given, **settings})


def run(study: Study, trials: int, devices: Any = "inline") -> hp.Result:
    return study.run(trials=trials, devices=devices, progress=False)


@pytest.fixture(scope="module")
def result(place: Path) -> hp.Result:
    return run(enqueued(place, study_of(place, place / "runs")), 7)


def enqueued(place: Path, study: Study) -> Study:
    """Return a study that is to try each model at a rate it learns at, with fewer and with all of its layers."""
    for name, layers in LAYERS.items():
        for frozen in (1, layers):
            study.enqueue({"model": str(place / name), "freeze_layers": frozen / layers, "learning_rate": 0.02})
    return study


def measured(result: hp.Result, number: int) -> list[Any]:
    """Return keys, folds and evaluations of a trial's runs, all but seconds and memory."""
    found = []
    for each in result.history.trials[number].runs:
        evaluations = [asdict(evaluation) for evaluation in result.history.of(each.key)]
        plain = [{k: v for k, v in e.items() if k not in ("seconds", "peak_memory_bytes")} for e in evaluations]
        found.append((each.key, each.fold, plain))
    return found


def of_model(result: hp.Result, name: str) -> list[int]:
    return [n for n, trial in result.history.trials.items() if Path(str(trial.config["model"])).name == name]


# ---------------------------------------------------------------- what is searched


def test_both_models_are_trained_with_layers_of_their_own(result: hp.Result) -> None:
    trials = result.history.trials.values()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for name, layers in LAYERS.items():
        configs = [result.history.trials[number].config for number in of_model(result, name)]
        frozen = {result.plan.complete(config)["freeze_layers"] for config in configs}
        assert {type(config["freeze_layers"]) for config in configs} == {float}  # a trial keeps what was searched
        assert {1, layers} <= frozen <= set(range(layers + 1))


def test_the_default_is_the_tasks_own_model_else_the_first(place: Path, result: hp.Result, tmp_path: Path) -> None:
    first = result.history.trials[0]
    assert (first.origin, Path(str(first.config["model"])).name) == (Origin.DEFAULT, "bert")
    assert first.config["freeze_layers"] == 0
    default = literature_default(study_of(place, tmp_path, task=task_of(place, "distilbert")).plan)
    assert default is not None
    assert default["model"] == str(place / "distilbert")
    stranger = study_of(place, tmp_path, task=hp.TextClassification("no/model", train=place / "train.csv"))
    assert stranger.default is not None
    assert stranger.default["model"] == str(place / "bert")  # and the task's own is never looked for
    assert len(stranger.plan.prepared_choices) == 2


def test_optuna_keeps_the_share(result: hp.Result) -> None:
    for trial in result.record.store.optuna_study().get_trials(deepcopy=False):
        assert (trial.distributions["freeze_layers"].low, trial.distributions["freeze_layers"].high) == (0.0, 1.0)
        assert set(trial.params) == {"model", "freeze_layers", "learning_rate"}


# ---------------------------------------------------------------- work is keyed by what it is


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_a_run_is_that_of_a_study_with_the_model_alone(
    place: Path, result: hp.Result, tmp_path: Path, name: str
) -> None:
    """The same key, and the same bits, whichever model its worker held before, whether layers are a share or not."""
    alone = study_of(place, tmp_path, hp.Space(freeze_layers=hp.Int(0, LAYERS[name]), learning_rate=RATE, **FIXED),
                     task=task_of(place, name))  # fmt: skip
    numbers = of_model(result, name)
    for number in numbers:
        params, whole = (
            result.history.trials[number].params,
            result.plan.complete(result.history.trials[number].config),
        )
        alone.enqueue({"freeze_layers": whole["freeze_layers"], "learning_rate": params["learning_rate"]})
    found = run(alone, len(numbers) + 1)
    by_key = {key: rest for number in found.history.trials for key, *rest in measured(found, number)}
    for number in numbers:
        for key, *rest in measured(result, number):
            assert by_key[key] == rest


def test_a_model_under_two_names_has_one_run(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "bert", tmp_path / "copy")
    names = [str(place / "bert"), str(tmp_path / "copy")]
    study = study_of(
        place, tmp_path, hp.Space(model=hp.Categorical(names), learning_rate=0.01, **FIXED), sampler="grid"
    )
    history = run(study, 2).history
    assert [trial.config["model"] for trial in history.trials.values()] == names
    assert history.trials[0].runs == history.trials[1].runs
    assert len(history.evaluations) == 2  # one a fold


def test_a_share_and_the_number_of_layers_it_stands_for_share_their_runs(place: Path, tmp_path: Path) -> None:
    """2 of 3 layers, written in both ways; 1.0 is all layers, and 1 one of them."""
    choices = [0.7, 2, 1.0, 3]
    space = hp.Space(freeze_layers=hp.Categorical(choices), learning_rate=0.01, **FIXED)
    study = study_of(place, tmp_path, space)
    for choice in choices:
        study.enqueue({"freeze_layers": choice})
    trials = {repr(trial.config["freeze_layers"]): trial for trial in run(study, 4).history.trials.values()}
    assert trials["0.7"].runs == trials["2"].runs
    assert trials["1.0"].runs == trials["3"].runs
    assert len(study.result.history.evaluations) == 4  # two runs, one a fold each
    stored = [trial.params["freeze_layers"] for trial in study.optuna.get_trials(deepcopy=False)]
    assert sorted(map(repr, stored)) == sorted(map(repr, choices))
    assert study.plan.complete({"freeze_layers": 1})["freeze_layers"] == 1
    loaded = hp.load("choice", folder=tmp_path)
    assert {repr(trial.config["freeze_layers"]) for trial in loaded.result.history.trials.values()} == set(trials)


def test_equal_tokenizers_share_their_rows(place: Path, tmp_path: Path) -> None:
    save_base("bert", tmp_path / "other", num_hidden_layers=2)
    save_tokenizer(tmp_path / "other")
    choices = hp.Categorical([str(place / "bert"), str(tmp_path / "other"), str(place / "distilbert")])
    bert, other, distilbert = study_of(place, tmp_path, hp.Space(model=choices)).plan.prepared_choices.values()
    assert (bert.folder, bert.test_folder) == (other.folder, other.test_folder)
    assert bert.model_digest != other.model_digest
    assert bert.folder != distilbert.folder
    assert (bert.layers, other.layers, distilbert.layers) == (3, 2, 2)


def test_each_model_has_its_attention_in_its_keys(place: Path, tmp_path: Path) -> None:
    save_text_model(tmp_path / "deberta", "deberta")
    names = [str(place / "bert"), str(tmp_path / "deberta")]
    space = hp.Space(model=hp.Categorical(names), learning_rate=0.01, **FIXED)
    found = run(study_of(place, tmp_path / "both", space, sampler="grid"), 2)
    task = hp.TextClassification(tmp_path / "deberta", train=place / "train.csv", test=place / "test.csv")
    alone = run(study_of(place, tmp_path / "alone", hp.Space(learning_rate=0.01, **FIXED), task=task), 1)
    assert measured(found, 1) == measured(alone, 0)
    trials = found.history.trials.values()
    attention = {trial.config["model"]: found.record.numerics_for(trial).attention for trial in trials}
    assert attention == {names[0]: "sdpa", names[1]: "eager"}
    assert f"eager ({names[1]})" in found.content(with_test=False).numerics["attention"]


# ---------------------------------------------------------------- workers


@pytest.mark.slow
@pytest.mark.long
def test_two_workers_and_a_resumed_study_find_the_same(place: Path, result: hp.Result, tmp_path: Path) -> None:
    run(enqueued(place, study_of(place, tmp_path)), 4, devices=2)
    run(study_of(place, tmp_path), 7)
    straight, resumed = known_of(place / "runs", "choice"), known_of(tmp_path, "choice")
    assert straight["evaluations"] == resumed["evaluations"]
    assert straight["predictions"] == resumed["predictions"]
    assert [t["config"] for t in straight["trials"].values()] == [t["config"] for t in resumed["trials"].values()]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_worker_holds_few_models_and_lets_go_of_others(
    place: Path, result: hp.Result, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setitem(BASES_KEPT, "cpu", kept)
    study, worker = result.plan, Worker("cpu")
    worker.prepare(workload_of(study, result.record.numerics()))
    bases = worker._warm[study.name].bases
    assert list(bases) == [str(place / "bert")]  # the default's, before any order
    first = weakref.ref(bases[str(place / "bert")])
    for name in ("bert", "distilbert", "bert"):
        run_ = result.history.trials[of_model(result, name)[-1]].runs[1]
        events = list(worker.train(Train(study.name, Segment(run_, 0, run_.horizon)), lambda: None))
        evaluations = [event.evaluation for event in events if isinstance(event, Evaluated)]
        recorded = result.history.of(run_.key)
        assert [each.metrics for each in evaluations] == [each.metrics for each in recorded]
        assert next(reversed(bases)) == str(place / name)
        assert len(bases) <= kept
    assert (first() is None) == (kept == 1)


def test_the_memory_is_probed_for_each_model_at_the_largest_batch(place: Path, tmp_path: Path) -> None:
    study = study_of(place, tmp_path, space_of(place, batch_size=hp.Categorical([4, 16])))
    largest = batch_size(study.plan, max)
    configs = [least_frozen(study.plan, chosen) for chosen in each_choice(study.plan, largest)]
    assert {config["freeze_layers"] for config in configs} == {0}
    assert [(Path(config["model"]).name, config["batch_size"]) for config in configs] == [
        ("bert", 16),
        ("distilbert", 16),
    ]
    worker = Worker("cpu")
    worker.prepare(workload_of(study.plan, resolve_numerics(detect_environment("cpu"), "fp32")))
    assert [worker.probe(Probe("choice", config, 16)).rows for config in configs] == [16, 16]
    assert list(worker._warm["choice"].bases) == [str(place / "bert"), str(place / "distilbert")]


# ---------------------------------------------------------------- what is taken away


def test_a_fixed_model_is_the_only_one(place: Path, result: hp.Result, tmp_path: Path) -> None:
    space = hp.Space(model=str(place / "distilbert"), freeze_layers=hp.Float(0, 1), learning_rate=RATE, **FIXED)
    study = study_of(place, tmp_path, space)
    trial = result.history.trials[of_model(result, "distilbert")[0]]
    keys = run_keys(study.plan, result.record.numerics()).runs(study.plan.complete(trial.config))
    assert [key for key, *_ in keys] == [run_.key for run_ in trial.runs]
    assert study.plan.prepared.source == str(place / "distilbert")


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_an_exported_model_scores_what_its_card_says(place: Path, result: hp.Result, tmp_path: Path, name: str) -> None:
    from sklearn.metrics import f1_score
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    number = of_model(result, name)[0]
    folder = result.export(tmp_path / "model", number=number)
    facts = json.loads((folder / "hpsearch.json").read_text())
    test = reviews(20, 2)
    classify = pipeline("text-classification", model=str(folder), top_k=None)
    found = [{each["label"]: each["score"] for each in row} for row in classify(test["text"].tolist(), truncation=True)]
    recorded = probabilities(result._tested(result.history.trials[number])[1], "binary")
    scores = [[row[label] for label in ("negative", "positive")] for row in found]
    assert np.abs(np.array(scores) - recorded).max() < 1e-5
    predicted = [max(row, key=row.__getitem__) for row in found]
    assert f1_score(test["label"], predicted, average="macro") == pytest.approx(facts["test"]["metrics"]["f1_macro"])
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.model_type == name
    kept, own = (
        AutoTokenizer.from_pretrained(folder).get_vocab(),
        AutoTokenizer.from_pretrained(place / name).get_vocab(),
    )
    assert kept == own
    prepared = result.plan.prepared_choices[str(place / name)]
    assert facts["pretrained_model"] == prepared.model_digest
    assert facts["data"]["train"] == prepared.data_digest
    assert facts["config"]["model"] == str(place / name)
    assert f"\n{name}, fine-tuned " in (folder / "README.md").read_text()


def test_out_of_fold_predictions_and_evidence_are_of_each_trials_own_model(result: hp.Result) -> None:
    for number in result.history.trials:
        assert np.isfinite(result.out_of_fold(number)).all()
    scored = {number: result.test_scores(number) for number in (0, of_model(result, "distilbert")[0])}
    assert scored[0] != scored[of_model(result, "distilbert")[0]]
    assert torch.isfinite(torch.tensor([scores["loss"] for scores in scored.values()])).all()


def test_table_figures_and_report_show_the_model(result: hp.Result, tmp_path: Path) -> None:
    assert set(result.table()["model"].map(lambda path: Path(path).name)) == set(LAYERS)
    ticks = [each.text for each in result.figures.parallel_coordinates().layout.annotations]
    assert {"bert", "distilbert"} <= set(ticks)
    page = result.report(tmp_path / "report.html").read_text()
    assert "one of 2 pretrained models" in page
    assert "0 to 1" in page


# ---------------------------------------------------------------- found again


def test_a_loaded_study_finds_its_folders_from_elsewhere(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    space = hp.Space(model=hp.Categorical(["bert", "distilbert"]), learning_rate=RATE, **FIXED)
    first = run(study_of(place, tmp_path, space, task=task_of(place, "distilbert")), 1)
    assert first.history.trials[0].config["model"] == "distilbert"  # as the user spells it
    monkeypatch.chdir(tmp_path)
    found = hp.load("choice", folder=tmp_path)
    assert found.plan.choices is not None
    assert found.plan.choices.sources == {"bert": str(place / "bert"), "distilbert": str(place / "distilbert")}
    assert found.plan.choices.default == "distilbert"
    assert len(run(found, 2).history.trials) == 2


def test_what_changed_is_named(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "bert", tmp_path / "one")
    shutil.copytree(place / "distilbert", tmp_path / "two")
    choices = [str(tmp_path / "one"), str(tmp_path / "two")]

    def again(names: list[str] = choices, **task: Any) -> None:
        space = hp.Space(model=hp.Categorical(names), learning_rate=RATE, **FIXED)
        run(study_of(place, tmp_path, space, task=task_of(place, **task)), 1)

    again()
    again()
    with pytest.raises(StudyChangedError, match=r"the space: model was Categorical\(.*$") as error:
        again(choices[:1])
    assert "content differs" not in str(error.value)
    save_tokenizer(tmp_path / "two")
    with pytest.raises(StudyChangedError, match=r"the encoding of rows for the model '.*two'") as error:
        again()
    assert "one'" not in str(error.value)
    save_base("distilbert", tmp_path / "two", n_layers=1)
    with pytest.raises(StudyChangedError, match=r"the pretrained model '.*two' "):
        again()


# ---------------------------------------------------------------- what is refused before anything is trained


def test_every_choice_is_tried_before_the_search(place: Path, tmp_path: Path) -> None:
    save_base("bert", tmp_path / "bare")  # no tokenizer
    names = [str(place / "bert"), str(tmp_path / "bare"), str(tmp_path / "gone")]
    study = study_of(place, tmp_path / "runs", hp.Space(model=hp.Categorical(names), learning_rate=RATE, **FIXED))
    with pytest.raises(TaskError) as error:
        run(study, 1)
    text = str(error.value)
    assert f"model={names[1]!r}, which cannot be used: the model folder" in text
    assert "has no tokenizer" in text
    assert f"model={names[2]!r}, which cannot be used: " in text
    assert not (tmp_path / "runs").exists()


def test_a_choice_of_a_model_is_a_plain_choice(place: Path, tmp_path: Path) -> None:
    conditional = hp.Space(
        learning_rate=hp.Categorical([1e-3, 1e-2]), model=hp.Categorical(["a"]).when(learning_rate=1e-2)
    )
    with pytest.raises(SpaceError, match=r"every configuration must have one: use model=hp\.Categorical"):
        study_of(place, tmp_path, conditional)
    with pytest.raises(SpaceError, match="The space chooses the model 3; give paths of folders or names on the hub"):
        study_of(place, tmp_path, hp.Space(model=3))


@pytest.mark.parametrize("freeze_layers", [hp.Int(0, 3), 3, hp.Categorical([0, 3])])
def test_more_frozen_layers_than_a_chosen_model_has_are_refused(
    place: Path, tmp_path: Path, freeze_layers: Any
) -> None:
    model = hp.Categorical([str(place / "bert"), str(place / "distilbert")])
    study = study_of(place, tmp_path, hp.Space(model=model, freeze_layers=freeze_layers, learning_rate=RATE))
    with pytest.raises(SpaceError, match=r"asks for 3 layers, and '.*distilbert' has 2 that can be frozen") as error:
        run(study, 1)
    assert "hp.Int(0, 2), or give a share of the layers" in str(error.value)
    assert not (tmp_path / "choice").exists()


def test_more_frozen_layers_than_the_only_model_has_are_refused(place: Path, tmp_path: Path) -> None:
    study = study_of(place, tmp_path, hp.Space(freeze_layers=hp.Int(0, 6), learning_rate=RATE))
    with pytest.raises(SpaceError, match=r"asks for 6 layers, and '.*bert' has 3 .* freeze_layers=hp\.Int\(0, 3\), or"):
        run(study, 1)


def test_a_shipped_space_takes_a_share_of_any_models_layers(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = study_of(place, tmp_path, hp.Space.load("bert"))
    assert study.plan.prepared.layers == 3
    assert study.space == hp.Space.load("bert")
    assert "fitted" not in caplog.text
    assert study.plan.complete({**dict(study.default or {}), "freeze_layers": 0.5})["freeze_layers"] == 1


def test_a_shipped_space_freezes_nothing_of_a_model_from_scratch(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = study_of(place, tmp_path, hp.Space.load("bert"), task=task_of(place, pretrained=False))
    assert study.plan.prepared.layers == 0
    assert study.space.fixed["freeze_layers"] == 0
    assert "fitted to the model's layers: freeze_layers was Float(0.0, 0.5, step=0.125" in caplog.text
    assert study.space.sources["freeze_layers"].startswith("Lee et al.")
    again = study_of(place, tmp_path, hp.Space.load("bert"), task=task_of(place, pretrained=False))
    _ = again.plan.prepared
    assert again.space == study.space


# ---------------------------------------------------------------- images


def test_images_are_prepared_for_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForImageClassification

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    vit, resnet = (str(save_base(name, tmp_path / name)) for name in ("vit", "resnet"))
    task = hp.ImageClassification(vit, train=image_arrays(16), test=image_arrays(8, seed=1), image_size=16)
    space = hp.Space(
        model=hp.Categorical([vit, resnet]),
        freeze_layers=hp.Categorical([0, 0.5, 1.0]),
        learning_rate=RATE,
        **FIXED,
    )
    found = run(study_of(tmp_path, tmp_path, space, task=task), 5)
    assert {trial.state for trial in found.history.trials.values()} == {TrialState.COMPLETE}
    assert {trial.config["model"] for trial in found.history.trials.values()} == {vit, resnet}
    assert found.plan.prepared_choices[resnet].layers == 2
    folder = found.export(tmp_path / "model", number=of_model(found, "resnet")[0])
    assert AutoModelForImageClassification.from_pretrained(folder).config.model_type == "resnet"
