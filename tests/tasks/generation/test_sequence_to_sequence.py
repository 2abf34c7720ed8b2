import runpy

import numpy as np
import pandas as pd
import pytest
import torch
from feature_learners import cached, store
from sequence_samples import pairs, save_languages_model, save_sequence_model, save_spoken_marian
from training_learners import CPU, assert_same_measurements, assert_same_state, everything, measured

import hpsearch as hp
from hpsearch.data.ragged import Ragged
from hpsearch.errors import DataError, MetricError, TaskError
from hpsearch.tasks.generation.token_losses import IGNORED
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import Numerics
from hpsearch.training.prediction import predict

ROWS = np.arange(24)
NAMES = ("marian", "t5", "bart")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_sequence_model(tmp_path_factory.mktemp(name), name) for name in NAMES}


def task_of(folder, rows=None, **given):
    rows = pairs() if rows is None else rows
    return hp.SequenceToSequence(folder, train=rows, **{"source": "en", "target": "de", **given})


@pytest.fixture(scope="module")
def learners(folders, tmp_path_factory):
    made = {}
    for name, folder in folders.items():
        task = task_of(folder, max_target_length=16)
        made[name] = task.learner(task.prepare(tmp_path_factory.mktemp("rows")))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_of_the_model_itself(learners, name):
    learner = learners[name]
    model = learner.load_model()
    kept = predict(model, learner, ROWS, Numerics(), "cpu")
    for row in (0, 7, 13):
        sides = (learner.tokens, learner.labels)
        source, target = (torch.from_numpy(rows[row].astype(np.int64))[None] for rows in sides)
        assert target[0, -1] == 5  # the end token is trained
        with torch.no_grad():
            loss = model(input_ids=source, labels=target).loss.item()
        assert kept[row, 0] == pytest.approx(loss * target.shape[1], rel=1e-5)
        assert kept[row, 1] == target.shape[1]


def test_padding_is_not_trained_and_the_decoder_reads_what_it_has_written(learners):
    learner = learners["marian"]
    batch = learner.batch(np.array([0, 5]), 1)
    counts = learner.token_counts[[0, 5]]
    assert (batch["labels"] != IGNORED).sum(dim=1).tolist() == counts.tolist()
    assert batch["input_ids"].shape[1] == max(len(learner.tokens[0]), len(learner.tokens[5]))
    read = learner.inputs(learner.load_model(), batch)["decoder_input_ids"]
    assert read[:, 0].tolist() == [0, 0]
    for place, count in enumerate(counts):
        assert read[place, 1:count].tolist() == batch["labels"][place, : count - 1].tolist()
    wide = learner.batch(np.array([0, 5]), 16)
    assert len({tensor.shape for tensor in wide.values()}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_rows_answer_is_the_models_own_and_does_not_depend_on_its_company(learners, name):
    learner = learners[name].for_answers()
    model = learner.load_model()
    together = learner.judge.predictions(predict(model, learner, ROWS, Numerics(), "cpu"))
    apart = learner.judge.predictions(predict(model, learner, np.array([7, 3]), Numerics(), "cpu"))
    assert apart.texts.tolist() == together.texts[[7, 3]].tolist()
    assert apart.loss_sums.tolist() == together.loss_sums[[7, 3]].tolist()
    source = torch.from_numpy(learner.tokens[7].astype(np.int64))[None]
    own = model.generate(input_ids=source, max_new_tokens=16, do_sample=False, num_beams=1)
    assert learner._tokenizer.decode(own[0], skip_special_tokens=True) == together.texts[7]
    assert model.generation_config.max_new_tokens is None  # as it was


def run_of(learner, base, config=None, computing=None, answer_points=()):
    whole = {"learning_rate": 3e-3, "batch_size": 6, "epochs": 2, "dropout": 0.2, "label_smoothing_factor": 0.1}
    return FineTune(
        learner, {**whole, **(config or {})}, train_rows=ROWS[:15], held_out_rows=ROWS[15:], seed=5,
        evaluations_per_epoch=2, numerics=computing or Numerics(), device=CPU, base=base, answer_points=answer_points,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "precision"), [("marian", "fp32"), ("t5", "bf16")])
def test_a_run_resumed_after_every_step_is_the_straight_one(learners, name, precision):
    learner = learners[name]
    straight = run_of(learner, BaseModel(learner, CPU), computing=Numerics(precision=precision), answer_points=(2, 4))
    expected = list(straight.advance(straight.horizon))
    state = everything(straight)
    base, files, found = BaseModel(learner, CPU), None, []
    for _ in expected:
        run = run_of(learner, base, computing=Numerics(precision=precision), answer_points=(2, 4))
        if files is not None:
            run.restore(files)
        found.append(next(iter(run.advance(run.horizon))))
        files = run.checkpoint()
    assert_same_state(everything(run), state)
    points = [[item for item in items if item is not None] for items in (expected, found)]
    assert_same_measurements(*points)
    assert [isinstance(item.outputs, Ragged) for item in points[0]] == [False, True, False, True]


@pytest.mark.parametrize(("name", "freeze_layers"), [("marian", 1), ("marian", 3), ("t5", 1), ("bart", 1)])
def test_frozen_layers_that_are_read_equal_those_that_are_computed(learners, name, freeze_layers, tmp_path):
    learner, frozen = learners[name], {"freeze_layers": freeze_layers, "dropout": 0.0}
    computed = run_of(learner, BaseModel(learner, CPU), frozen)
    expected = measured(computed)
    base = cached(learner, store(tmp_path))
    for _ in range(2):
        read = run_of(learner, base, frozen)
        assert_same_measurements(measured(read), expected)
        assert_same_state(everything(read), everything(computed))
    # Above the first layer, more is read than one vector a token: T5 hands on its table of relative positions, and the
    # decoder reads its own embeddings beside what the encoder gives.
    assert (read._features is not None) is (freeze_layers == 1 and name != "t5")


def test_a_prefix_stands_before_every_source(folders, tmp_path):
    prefix = "every minute "
    plain, prefixed = (task_of(folders["t5"], prefix=text) for text in ("", prefix))
    learners = [task.learner(task.prepare(tmp_path)) for task in (plain, prefixed)]
    codes = learners[1].tokens[0][:2].tolist()
    assert learners[1].tokens[0][2:].tolist() == learners[0].tokens[0].tolist()
    assert learners[0]._tokenizer.decode(codes) == prefix.strip()


def test_a_study_measures_answers_after_each_quarter_and_its_folder_gives_them_again(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    task = task_of(folders["marian"], test=pairs(9, seed=1), max_target_length=12, prefix="the ")
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2, log=True), batch_size=8, epochs=2)
    tables = []
    for name, pruner in (("racing", "racing"), ("straight", None)):
        study = hp.Study(
            name, task, space, cv=2, metric="rouge_l", metrics=["chrf", "loss"], evaluations_per_epoch=4, seed=1,
            folder=tmp_path, pruner=pruner, early_stopping=None, precision="fp32",
        )  # fmt: skip
        result = study.run(trials=2, devices="inline", progress=False)
        tables.append(result.curves())
    merged = tables[0].merge(tables[1], on=["trial", "fold", "repeat", "point", "metric"], suffixes=("", "_straight"))
    assert len(merged) == len(tables[0])
    pd.testing.assert_series_equal(merged["value"], merged["value_straight"], check_names=False, check_exact=True)
    curves = tables[0][tables[0]["metric"] == "chrf"]
    assert set(curves[curves["value"].notna()]["point"]) == {2, 4, 6, 8}
    assert tables[0][tables[0]["metric"] == "loss"]["value"].notna().all()
    assert result.best.point in (2, 4, 6, 8)
    texts = result.out_of_fold().texts
    assert len(texts) == 24 and all(isinstance(text, str) for text in texts)
    folder = result.export(tmp_path / "model")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "as they were scored" in card and "metric chrf: nrefs:1" in card
    script = (folder / "predict.py").read_text(encoding="utf-8")
    assert script.count("\n") <= 20
    sources = pairs(9, seed=1)["en"].tolist()
    wanted = result.plan.rows.judge.predictions(result._tested(result._complete(None))[1]).texts.tolist()
    predict = runpy.run_path(str(folder / "predict.py"))["predict"]
    assert predict(sources) == wanted
    assert [predict([source])[0] for source in sources] == wanted


WRONG = {
    "source": (["en"], r"source=\['en'\]: give the name of a column"),
    "label": ("other", "label='other': the texts that the model is to write are named by target="),
    "target_language": (3, "target_language=3: give a language code"),
    "prefix": (None, "prefix=None: give a text"),
    "max_target_length": (0, "max_target_length=0: give a whole number from 1"),
}


@pytest.mark.parametrize("argument", WRONG)
def test_arguments_that_make_no_task_are_errors(folders, argument):
    value, message = WRONG[argument]
    with pytest.raises(TaskError, match=message):
        task_of(folders["marian"], **{argument: value})


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        ({"de": ["", "x"]}, {}, "column 'de' of the train data has no text in 1 of 2 rows: row 0"),
        ({"en": ["great", None]}, {}, "column 'en' of the train data has no text in 1 of 2 rows: row 1"),
        (
            {"de": ["a b", "the film"]},
            {"max_target_length": 2},
            "each of the 2 train targets is longer than max_target_le",
        ),
    ],
)
def test_rows_that_cannot_be_learned_from_are_errors(folders, tmp_path, rows, given, message):
    table = pairs(2).assign(**rows)
    with pytest.raises(DataError, match=message):
        task_of(folders["marian"], table, **given).prepare(tmp_path)


def test_targets_that_are_cut_are_counted_and_named(folders, tmp_path):
    rows = pairs(4).assign(de=["eht mlif"] * 3 + ["eht mlif saw taerg"])
    prepared = task_of(folders["marian"], rows, max_target_length=4).prepare(tmp_path)
    assert any(
        "1 of 4 train targets are longer than 4 tokens and were cut (the longest has 5): row 3" in text
        for text in prepared.warnings
    )
    learner = task_of(folders["marian"], rows, max_target_length=4).learner(prepared)
    assert learner.labels[3].tolist()[-1] == 5 and len(learner.labels[3]) == 4


def test_models_and_languages_that_do_not_fit_are_errors(folders, bert_folder, tmp_path):
    with pytest.raises(TaskError, match=r"target_language='de_DE': the tokenizer of .* has no language codes"):
        task_of(folders["marian"], target_language="de_DE").prepare(tmp_path)
    with pytest.raises(TaskError, match="cannot write texts for texts"):
        task_of(bert_folder).prepare(tmp_path)
    with pytest.raises(TaskError, match=r"max_target_length=80, but .* has positions for 64 tokens only"):
        task_of(folders["marian"], max_target_length=80).prepare(tmp_path)


def test_metrics_of_classes_are_refused(folders, tmp_path):
    with pytest.raises(MetricError, match="'accuracy' cannot be used on generated texts"):
        task_of(folders["marian"]).prepare(tmp_path).judge.metric("accuracy")


LANGUAGES = {"source_language": "en_XX", "target_language": "de_DE"}


@pytest.mark.parametrize("tokenizer", ["MBartTokenizer", "MBart50Tokenizer"])
def test_language_codes_stand_where_the_model_expects_them(tokenizer, tmp_path):
    folder = save_languages_model(tmp_path / "model", tokenizer)
    task = task_of(folder, max_target_length=12, **LANGUAGES)
    prepared = task.prepare(tmp_path)
    learner = task.learner(prepared)
    source, target = learner.tokens[0].tolist(), learner.labels[0].tolist()
    read = learner.inputs(learner.load_model(), learner.batch(np.array([0]), 1))["decoder_input_ids"][0].tolist()
    named = learner._tokenizer.convert_ids_to_tokens
    if tokenizer == "MBartTokenizer":  # Liu et al. (2020): the code ends a source, and begins what the decoder reads
        assert named(source)[-2:] == ["</s>", "en_XX"] and named(target)[-2:] == ["</s>", "de_DE"]
        assert read == [target[-1], *target[:-1]]
    else:
        assert named(source)[0] == "en_XX" and named(target)[0] == "de_DE"
        assert named(read)[:2] == ["</s>", "de_DE"]
    assert_read_back(task, prepared, learner, tmp_path)


def test_a_marians_own_tokenizer_has_two_sides(tmp_path):
    task = task_of(save_spoken_marian(tmp_path / "model"), max_target_length=16)
    prepared = task.prepare(tmp_path)
    learner = task.learner(prepared)
    said = learner._tokenizer.decode(learner.labels[0].tolist(), skip_special_tokens=True)
    assert said == pairs()["de"][0]
    assert_read_back(task, prepared, learner, tmp_path)


def assert_read_back(task, prepared, learner, folder):
    """The saved folder writes what the model did, one by one and in batches."""
    model, rows = learner.load_model(), np.arange(5)
    scored = prepared.judge.predictions(predict(model, learner.for_answers(), rows, Numerics(), "cpu"))
    task.save(model, folder / "saved", prepared)
    where = {"split": "train", "rows": rows, "device": torch.device("cpu")}
    found = [
        answers.predictions.texts.tolist() for answers in task.exported_answers(folder / "saved", prepared, {}, **where)
    ]
    assert found == [scored.texts.tolist()] * 2


@pytest.mark.extended
def test_an_adapter_alone_writes_what_was_scored(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    task = task_of(folders["marian"], test=pairs(5, seed=1), max_target_length=24)
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2, log=True), batch_size=8, epochs=1, lora_r=4)
    study = hp.Study("adapter", task, space, metric="chrf", seed=1, folder=tmp_path, precision="fp32")
    result = study.run(trials=1, devices="inline", progress=False)
    folder = result.export(tmp_path / "model", merge=False)
    assert (folder / "adapter_config.json").is_file()
    assert "as they were scored" in (folder / "README.md").read_text(encoding="utf-8")
