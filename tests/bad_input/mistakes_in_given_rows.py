"""Mistakes in rows that are given in memory or as JSON, and in validation rows."""

import json
from pathlib import Path

from mistake import Mistake, written
from tasks_samples import review_rows

from hpsearch.errors import DataError, TaskError, UsageError

_BODY = """import hpsearch as hp
import pandas as pd

rows = pd.read_csv("train.csv")
texts, labels = rows["text"].tolist(), rows["label"].tolist()
{before}
study = hp.Study("mine", hp.TextClassification("model", {task}), {space}{cv}, pruner="none")
"""
_SPACE = "hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), epochs=1, batch_size=8, warmup_ratio=0.1)"


def _given(task: str, before: str = "", cv: str = ", cv=2") -> str:
    return _BODY.format(task=task, before=before, space=_SPACE, cv=cv)


def _validated(**arguments: str) -> str:
    given = {"train": '"train.csv"', "validation": '"validation.csv"', **arguments}
    return _given(", ".join(f"{name}={value}" for name, value in given.items()), cv="")


def _validation(place: Path, **changed: object) -> None:
    rows = review_rows(10, seed=1).assign(site=[f"other{row}" for row in range(10)])
    rows.assign(**changed).to_csv(place / "validation.csv", index=False)


def _without(column: str) -> object:
    return lambda place: review_rows(10, seed=1).drop(columns=column).to_csv(place / "validation.csv", index=False)


_JSON = json.dumps([{"text": "a film", "label": "good"}, {"text": "a plot", "label": "bad"}])

IN_MEMORY = [
    Mistake(
        "a JSON file that is cut off",
        ("'train.json' is not valid JSON", "line 1, column", "one array of objects"),
        DataError,
        body=_given('train="train.json"'),
        world=written("train.json", _JSON[:-1]),
    ),
    Mistake(
        "a JSON file with one object: a row, not rows",
        ("is one object, and its 'text', 'label' is no array", "one array of objects"),
        DataError,
        body=_given('train="train.json"'),
        world=written("train.json", '{"text": "a film", "label": "good"}'),
        process=True,
    ),
    Mistake(
        "texts that are lists of tokens",
        ("column 'text' of the train data holds ['a', 'film'], a list, in rows 0, 1",),
        DataError,
        body=_given('train="train.jsonl"'),
        world=written("train.jsonl", '{"text": ["a", "film"], "label": 0}\n{"text": ["a", "plot"], "label": 1}\n'),
    ),
    Mistake(
        "a dict of columns of different lengths",
        ("a dict of columns of different lengths: 'text' 24, 'label' 20", "one value a row"),
        DataError,
        body=_given('train={"text": texts, "label": labels[:20]}'),
    ),
    Mistake(
        'one row in the place of columns: `train={"text": "a film", ...}`',
        ("is taken for columns, each a list or array", "'text', 'label' is none, but 'a film'", "a list of dicts"),
        DataError,
        body=_given('train={"text": "a film", "label": "good"}'),
    ),
    Mistake(
        "fewer labels than texts in a pair",
        ("there are 24 train texts and 20 labels", "one label for each text"),
        DataError,
        body=_given("train=(texts, labels[:20])"),
    ),
    Mistake(
        "two texts in the place of a pair (texts, labels)",
        ("taken for (texts, labels), and 'a good film' is no list of texts",),
        DataError,
        body=_given('train=("a good film", "a bad film")'),
    ),
    Mistake(
        "pairs of texts with one name for both",
        ("2 texts a row, and text='text' names one column", "text=('text', 'text_pair')"),
        DataError,
        body=_given("train=(list(zip(texts, texts)), labels)"),
    ),
    Mistake(
        "`test=` with all splits of a dataset",
        ("test= is a DatasetDict, and only train= takes one", "test=dataset['train']"),
        DataError,
        body=_given(
            "train=rows, test={'train': Split()}",
            before="\n\nclass Split:  # as a datasets.Dataset\n    features = column_names = ['text']\n\n",
        ),
    ),
]

VALIDATION = [
    Mistake(
        "`cv=` beside validation rows",
        ("cv=2 is given, and the task has validation=", "Leave cv out"),
        UsageError,
        body=_given('train="train.csv", validation="train.csv"'),
        process=True,
    ),
    Mistake(
        "validation rows without labels",
        ("the validation data has no column 'label'", "Its columns"),
        DataError,
        body=_validated(),
        world=_without("label"),  # type: ignore[arg-type]
    ),
    Mistake(
        "validation rows of a class that no training row has",
        ("the validation rows have labels that the training rows do not have: 'odd'", "correct the labels"),
        DataError,
        body=_validated(),
        world=lambda place: _validation(place, label=["odd", "good"] * 5),
    ),
    Mistake(
        "a group in both the training and the validation rows",
        ("2 groups of 'site' stand in both the training and the validation rows", "to one side"),
        DataError,
        body=_validated(group='"site"'),
        world=lambda place: _validation(place, site=["s0", "s1"] * 5),
    ),
    Mistake(
        "validation rows without the column of weights",
        ("the validation data has no column 'weight'",),
        DataError,
        body=_validated(sample_weight='"weight"'),
        world=_without("weight"),  # type: ignore[arg-type]
    ),
    Mistake(
        "a validation file that is not there",
        ("the validation data", "does not exist", "Did you mean 'train.csv'?"),
        DataError,
        body=_validated(validation='"tran.csv"'),
    ),
]

WEIGHTS = [
    Mistake(
        'a word that class_weight does not know: `class_weight="balancd"`',
        ("class_weight='balancd'", 'give "balanced", a mapping from labels to weights'),
        TaskError,
        body=_given('train="train.csv", class_weight="balancd"'),
    ),
    Mistake(
        "a weight of a class that is not there",
        ("class_weight has the label 'god'", "Did you mean 'good'?", "The labels are bad, good"),
        TaskError,
        body=_given('train="train.csv", class_weight={"god": 3.0}'),
    ),
    Mistake(
        "a weight of 0",
        ("class_weight gives 'bad' the weight 0", "finite numbers above 0"),
        TaskError,
        body=_given('train="train.csv", class_weight={"bad": 0, "good": 1}'),
    ),
]

GROUPS = {"Rows in memory and JSON": IN_MEMORY, "Validation rows": VALIDATION, "Weights of classes": WEIGHTS}
