"""Studies of spans: the same bits however they are run, the same spans once exported, the same rows in each form."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import transformers
from span_samples import TYPES
from tasks_samples import booking_rows, save_base, save_text_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from toy_studies import known_of, table

import hpsearch as hp
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.pretrained import quiet

SPACE = hp.Space(
    learning_rate=hp.Float(3e-3, 2e-2, log=True),
    freeze_layers=hp.Categorical([0, 1]),
    epochs=2,
    batch_size=8,
    default={"learning_rate": 1e-2, "freeze_layers": 0},
)
METRICS = ["precision", "recall", "f1_macro", "f1:time", "token_accuracy"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_text_model(tmp_path_factory.mktemp("model"), initializer_range=0.2))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def study(folder: Path, task: Any, **settings: Any) -> hp.Study:
    given = {"sampler": "random", "cv": 2, "metrics": METRICS, "pruner": "none", "evaluations_per_epoch": 1}
    return hp.Study("toy", task, settings.pop("space", SPACE), folder=folder, seed=3, **{**given, **settings})


def run(study: hp.Study, trials: int = 2, devices: Any = "inline") -> hp.Result:
    return study.run(trials=trials, devices=devices, progress=False)


@pytest.mark.extended
def test_two_workers_with_a_cache_find_what_one_process_without_finds(tmp_path: Path, model: str) -> None:
    task = hp.TokenClassification(model, train=booking_rows(40), sample_weight="weight", group="site")
    run(study(tmp_path / "two", task), devices=2)
    run(study(tmp_path / "one", task, feature_cache_bytes=0))
    assert table(tmp_path / "one").equals(table(tmp_path / "two"))
    one, two = (known_of(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert len(one["predictions"]) == 4


# ---------------------------------------------------------------------------------------- once trained


def spaced(folder: Path) -> Path:
    """Write a GPT-2 whose tokens have the space before a word, as its own tokenizer's have."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    texts = booking_rows(40)["text"]
    special = ["<pad>", "<end>"]
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=90, show_progress=False, special_tokens=special))
    save_base("gpt2", folder, vocab_size=100)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")
    tokenizer.save_pretrained(folder)
    return folder


def found_by(folder: Path, texts: list[str], size: int) -> list[Any]:
    """Return what a stranger finds: the spans of each text."""
    with quiet():
        pipeline = transformers.pipeline(
            "token-classification", str(folder), device="cpu", aggregation_strategy="simple"
        )
        answers = pipeline(texts, batch_size=size)
    return [[(each["start"], each["end"], each["entity_group"]) for each in answer] for answer in answers]


@pytest.mark.parametrize(
    "make", [pytest.param(None, id="bert"), pytest.param(spaced, id="gpt2", marks=pytest.mark.extended)]
)
def test_the_exported_model_finds_the_spans_that_were_scored(
    make: Any, model: str, tmp_path: Path, own_cache: None
) -> None:
    folder = model if make is None else str(make(tmp_path / "model"))
    test = booking_rows(30, seed=1)
    task = hp.TokenClassification(folder, train=booking_rows(60), test=test, max_length=24)
    space = hp.Space(learning_rate=1e-2, epochs=hp.Int(15, 16), batch_size=8)
    result = run(study(tmp_path, task, space=space, cv=hp.Holdout(0.25), early_stopping=None), trials=1)
    exported = result.export(tmp_path / "exported")
    facts = json.loads((exported / "hpsearch.json").read_text())
    assert facts["check"]["agrees"]
    assert [way["as_exported"] for way in facts["check"]["ways"]] == [True, True, False]
    scores = facts["test"]["metrics"]
    assert scores["f1"] > 0.1  # something was found
    texts = test["text"].tolist()
    for size in (1, 8):
        right = predicted = 0
        for text, found, spans in zip(texts, found_by(exported, texts, size), test["spans"], strict=True):
            true = {(span["start"], span["end"], span["label"]) for span in spans}
            stripped = {(end - len(text[start:end].lstrip()), end, name) for start, end, name in found}
            right, predicted = right + len(true & stripped), predicted + len(found)
        assert right / predicted == pytest.approx(scores["precision"])
        assert right / test["spans"].str.len().sum() == pytest.approx(scores["recall"])
    card = (exported / "README.md").read_text()
    assert "| f1:time |" in card
    code = re.search(r"```python\n(.*?)```", card, re.S)
    assert code is not None
    exec(code.group(1).replace("path/to/this/folder", str(exported)), {"texts": texts[:2]})


def test_a_result_says_how_well_each_type_is_found(model: str, tmp_path: Path, own_cache: None) -> None:
    task = hp.TokenClassification(model, train=booking_rows(48), test=booking_rows(30, seed=1))
    result = run(study(tmp_path, task))
    scores = result.test_scores()
    types = ("blame", "praise", "time")
    assert {f"{name}:{of_type}" for name in ("f1", "precision", "recall") for of_type in types} <= set(scores)
    out_of_fold = result.out_of_fold()
    assert len(out_of_fold) == 48
    assert np.isfinite(out_of_fold.elements).all()
    confused = result.content(with_test=False).outputs["confusion"]
    assert confused.classes == (*types, "no span")
    assert sum(map(sum, confused.counts[:-1])) == booking_rows(48)["spans"].str.len().sum()
    bars = result.figures.spans_by_type()
    assert [trace.name for trace in bars.data] == ["precision", "recall", "F1"]
    assert list(bars.layout.yaxis.ticktext) == list(types)
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Spans found, by type" in page
    assert "is a true type of spans" in page
    assert "f1:praise" in page
    evidence = result.evidence()
    if result.best.number != 0:
        assert evidence is not None
        assert evidence.interval is not None
        assert "30 test rows" in evidence.method


# ---------------------------------------------------------------------------------------- forms of rows


def words_and_tags(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the same rows as words with tags; no span ends within a word."""
    made = []
    for text, spans in zip(rows["text"], rows["spans"], strict=True):
        words, tags, at = text.split(" "), [], 0
        for word in words:
            inside = [span for span in spans if span["start"] <= at < span["end"]]
            tags.append(f"{'B' if inside[0]['start'] == at else 'I'}-{inside[0]['label']}" if inside else "O")
            at += len(word) + 1
        made.append({"words": words, "tags": tags})
    return made


def test_the_same_rows_in_each_form_are_the_same_data(model: str, tmp_path: Path, own_cache: None) -> None:
    rows = booking_rows(20)[["text", "spans"]]
    tagged = words_and_tags(rows)
    triples = rows.assign(spans=[[tuple(span.values()) for span in spans] for spans in rows["spans"]])
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    rows.to_json(tmp_path / "rows.json", orient="records")
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.assign(spans=rows["spans"].map(json.dumps)).to_csv(tmp_path / "rows.csv", index=False)
    conll = ["".join(f"{word} {tag}\n" for word, tag in zip(*row.values(), strict=True)) for row in tagged]
    (tmp_path / "rows.conll").write_text("\n".join(conll))
    forms = [
        ({}, rows),
        ({}, triples),
        ({}, rows.to_dict("records")),
        *(({}, tmp_path / f"rows.{ending}") for ending in ("jsonl", "json", "parquet", "csv", "conll")),
        ({"words": "words", "tags": "tags"}, tagged),
        ({"words": "words", "tags": "tags"}, pd.DataFrame(tagged)),
        ({"words": "words", "tags": "tags"}, tuple([row[name] for row in tagged] for name in ("words", "tags"))),
        ({}, (rows["text"].tolist(), rows["spans"].tolist())),
        ({"text": "utterance", "spans": "slots"}, rows.rename(columns={"text": "utterance", "spans": "slots"})),
    ]
    prepared = [hp.TokenClassification(model, train=train, **given).prepare(tmp_path) for given, train in forms]
    assert {each.data_digest for each in prepared[:-1]} == {prepared[0].data_digest}
    first, last = (np.load(each.folder / "token_codes.npy") for each in (prepared[0], prepared[-1]))
    assert np.array_equal(first, last)


def test_a_task_of_tables_in_memory_is_read_again_from_its_study(model: str, tmp_path: Path, own_cache: None) -> None:
    rows = booking_rows(20)
    triples = rows.assign(spans=[[tuple(span.values()) for span in spans] for spans in rows["spans"]])
    made = study(tmp_path, hp.TokenClassification(model, train=triples, validation=booking_rows(8, seed=2)), cv=None)
    result = run(made, trials=1)
    again = hp.load("toy", folder=tmp_path)
    assert again.task == made.task
    assert again.run(trials=2, devices="inline", progress=False).table().iloc[0]["f1"] == result.table().iloc[0]["f1"]
    exported = result.export(tmp_path / "exported")
    assert json.loads((exported / "hpsearch.json").read_text())["check"]["agrees"]


def test_spans_that_overlap_count_as_missed(model: str, tmp_path: Path) -> None:
    rows = booking_rows(20)
    spans = rows["spans"].tolist()
    row = next(place for place, own in enumerate(spans) if own)
    spans[row] = [*spans[row], {**spans[row][0], "label": "other"}]
    rows = rows.assign(spans=spans)
    with pytest.raises(DataError, match=rf"row {row} .* two spans that overlap"):
        hp.TokenClassification(model, train=rows).prepare(tmp_path)
    task = hp.TokenClassification(model, train=rows, overlapping="longest")
    prepared = task.prepare(tmp_path)
    assert f"Spans overlap in 1 train row; row {row} is the first." in prepared.warnings[0]
    learner = task.learner(prepared)
    assert len(learner.truth(np.array([row])).elements) == len(spans[row])
    codes = learner.targets(np.array([row])).numpy()
    assert ((codes > 0) & (codes % 2 == 1)).sum() == len(spans[row]) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ["a", "b"]}, r"text=\['a', 'b'\]: give the name of a column"),
        ({"spans": None}, "spans=None: give the name of a column"),
        ({"words": "words"}, "words='words' and tags=None: give both columns"),
        ({"overlapping": "first"}, "overlapping='first': give 'error' or 'longest'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: dict[str, Any], message: str, model: str) -> None:
    with pytest.raises(TaskError, match=message):
        hp.TokenClassification(model, train="rows.jsonl", **arguments)


def test_a_label_of_test_rows_that_no_training_row_has_is_an_error(model: str, tmp_path: Path) -> None:
    rows = booking_rows(20)
    test = rows.assign(spans=[[{**span, "label": TYPES[0]} for span in spans] for spans in rows["spans"]])
    with pytest.raises(DataError, match=r"no training row has the label of \d+ test spans: 'city' in row 1"):
        hp.TokenClassification(model, train=rows, test=test).prepare(tmp_path)
