"""Whatever form rows in memory have, a task reads the same rows, keeps them, and reads them again."""

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest
from custom_samples import Images, Two
from hub_doubles import ClassLabel, Dataset, Image, Stream, Value
from tasks_samples import image_arrays, review_rows, save_image_folder

import hpsearch as hp
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks import Task

ROWS = review_rows()
TEXTS, LABELS = ROWS["text"].tolist(), ROWS["label"].tolist()
CODES = [int(label == "good") for label in LABELS]


def hub(rows: pd.DataFrame = ROWS) -> Dataset:
    coded = rows.assign(label=[int(label == "good") for label in rows["label"]])
    return Dataset(coded, {name: ClassLabel(["bad", "good"]) if name == "label" else Value() for name in rows})


FORMS: dict[str, Any] = {
    "dataset": hub(),
    "columns": {"text": TEXTS, "label": LABELS, "other": np.zeros((24, 2))},
    "arrays": {"text": np.array(TEXTS), "label": np.array(LABELS, dtype=object)},
    "series": {"text": ROWS["text"].set_axis(range(5, 29)), "label": pd.Categorical(LABELS)},
    "records": [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
    "pair": (TEXTS, LABELS),
    "pair in a list": [np.array(TEXTS), pd.Series(LABELS)],
    "pyarrow": pa.table({"text": TEXTS, "label": LABELS}),
}


def kept(task: Task, folder: Path) -> Task:
    """Return the task as another process reads it from what a study keeps."""
    described = task.snapshot(folder).describe()
    again = Task.from_description(described, folder)
    assert again == task
    return again


@pytest.fixture(scope="module")
def expected(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return hp.TextClassification(bert_folder, train=ROWS).prepare(tmp_path_factory.mktemp("frame")).data_digest


@pytest.mark.parametrize("form", FORMS)
def test_texts_are_the_same_rows_in_every_form(bert_folder: Path, tmp_path: Path, expected: str, form: str) -> None:
    task = hp.TextClassification(bert_folder, train=FORMS[form])
    assert task.prepare(tmp_path / "cache").data_digest == expected
    assert kept(task, tmp_path / "kept").prepare(tmp_path / "cache").data_digest == expected


def test_pairs_of_texts_and_several_labels(bert_folder: Path, tmp_path: Path) -> None:
    names, flags = ("text", "second"), ("is_long", "is_kind")
    frame = hp.TextClassification(bert_folder, train=ROWS, text=names, label=flags).prepare(tmp_path)
    texts = list(zip(ROWS["text"], ROWS["second"], strict=True))
    for given in (
        (texts, ROWS[list(flags)]),
        (texts, ROWS[list(flags)].to_numpy()),
        ({"a": ROWS["text"], "b": ROWS["second"]}, ROWS[list(flags)].to_numpy().tolist()),
    ):
        task = hp.TextClassification(bert_folder, train=given, text=names, label=flags)
        assert task.prepare(tmp_path).data_digest == frame.data_digest
    own = hp.TextClassification(bert_folder, train=(TEXTS, ROWS[list(flags)]), test=(TEXTS, ROWS[list(flags)]))
    assert own.prepare(tmp_path).judge.classes == flags
    numbered = hp.TextClassification(bert_folder, train=(TEXTS, ROWS[list(flags)].to_numpy()))
    assert numbered.prepare(tmp_path).judge.classes == ("label_0", "label_1")


def test_a_dataset_dict_gives_its_splits(bert_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = {"train": hub(), "validation": hub(review_rows(6, seed=1)), "test": hub(review_rows(8, seed=2))}
    with caplog.at_level(logging.WARNING, "hpsearch"):
        task = hp.TextClassification(bert_folder, train=splits)
    assert [record.message for record in caplog.records if "DatasetDict" in record.message] == [
        "train= is a DatasetDict: its split 'train' is trained on, 'validation' evaluates each trial, 'test' is the "
        "test rows."
    ]
    prepared = task.prepare(tmp_path)
    assert (prepared.trained_rows, prepared.validation_rows, prepared.test_rows) == (24, 6, 8)
    assert kept(task, tmp_path / "kept").prepare(tmp_path) == prepared
    own = hp.TextClassification(bert_folder, train=splits, test=review_rows(4, seed=3)).prepare(tmp_path)
    assert (own.validation_rows, own.test_rows) == (6, 4)


def pictures(rows: int = 6) -> tuple[list[PIL.Image.Image], list[str]]:
    random = np.random.default_rng(0)
    sizes = [(20 + row % 2, 26, 3) for row in range(rows)]
    return [PIL.Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)) for size in sizes], ["cat", "dog"] * (
        rows // 2
    )


def as_file(image: PIL.Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_images_are_the_same_rows_in_every_form(vit_folder: Path, tmp_path: Path) -> None:
    images, labels = pictures()
    paths = [tmp_path / f"{row}.png" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image.save(path)
    files = [{"bytes": as_file(image), "path": None} for image in images]
    codes = [int(label == "dog") for label in labels]
    features = {"photo": Image(), "animal": ClassLabel(["cat", "dog"])}
    named = {"image": "photo", "label": "animal"}
    forms: list[tuple[Any, dict[str, str]]] = [
        ({"photo": [str(path) for path in paths], "animal": labels}, named),
        (Dataset(pd.DataFrame({"photo": files, "animal": codes}), features), {}),
        ({"photo": images, "animal": labels}, named),
        ([{"photo": np.asarray(image), "animal": label} for image, label in zip(images, labels, strict=True)], named),
        ((images, labels), {}),
        (pd.DataFrame({"photo": [file["bytes"] for file in files], "animal": labels}), named),
        (pd.DataFrame({"photo": [{"path": str(path)} for path in paths], "animal": labels}), named),
    ]
    pd.DataFrame({"photo": files, "animal": labels}).to_parquet(tmp_path / "rows.parquet")
    forms.append((tmp_path / "rows.parquet", named))
    found = set()
    for rows, arguments in forms:
        task = hp.ImageClassification(vit_folder, train=rows, **arguments)
        found.add(task.prepare(tmp_path / "cache").data_digest)
        found.add(kept(task, tmp_path / "kept").prepare(tmp_path / "cache").data_digest)
    assert len(found) == 1


def test_images_in_memory_join_and_are_checked_as_files_are(vit_folder: Path, tmp_path: Path) -> None:
    images, labels = pictures()
    task = hp.ImageClassification(vit_folder, train=(images, labels), validation=(images[:2], labels[:2]))
    prepared = task.prepare(tmp_path)
    assert (prepared.rows, prepared.validation_rows) == (8, 2)
    assert any("2 of 2 validation rows have images that are training rows too" in text for text in prepared.warnings)
    deep = [PIL.Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) + row) for row in range(6)]
    warnings = hp.ImageClassification(vit_folder, train=(deep, labels)).prepare(tmp_path).warnings
    assert any("6 train images have pixels of more than 8 bits" in text for text in warnings)
    broken = pd.DataFrame({"image": [as_file(images[0]), b"no image"] * 3, "label": labels})
    with pytest.raises(DataError, match="3 of 6 train images cannot be read: 'image 1'"):
        hp.ImageClassification(vit_folder, train=broken, image="image", label="label").prepare(tmp_path)


def test_a_study_of_images_in_memory_is_loaded_and_exported(
    vit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    images, labels = pictures(12)
    task = hp.ImageClassification(vit_folder, train=(images, labels))
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), epochs=1, batch_size=8)
    hp.Study("held", task, space, sampler="random", cv=2, folder=tmp_path).run(
        trials=1, devices="inline", progress=False
    )
    loaded = hp.load("held", folder=tmp_path)
    assert loaded.task == task
    folder = loaded.result.export(tmp_path / "model")
    assert "as they were scored" in (folder / "README.md").read_text()


def test_a_custom_tasks_rows_may_be_tables(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(24, 1, 4, 4)).astype(np.float32)
    targets, sites = np.arange(24) % 3, np.arange(24) // 2
    arrays = hp.CustomTask(Images, train=(inputs, targets), group=sites)
    frame = pd.DataFrame({"x": list(inputs), "labels": targets, "site": sites})
    records = frame.to_dict("records")
    for rows in (frame, records, {"x": inputs, "labels": targets, "site": sites}):
        task = hp.CustomTask(Images, train=rows, group="site")
        assert task.prepare(tmp_path).data_digest == arrays.prepare(tmp_path).data_digest
        assert kept(task, tmp_path / "kept").prepare(tmp_path) == task.prepare(tmp_path)
    words = [random.integers(0, 12, 3 + row % 3) for row in range(24)]
    named = {"words": words, "numbers": random.normal(size=(24, 2)).astype(np.float32), "kind": targets}
    two = hp.CustomTask(Two, train=named, label="kind", validation=named, test=named)
    pair = {"words": words, "numbers": named["numbers"]}, targets
    assert two.prepare(tmp_path).test_digest == hp.CustomTask(Two, train=pair, test=pair).prepare(tmp_path).test_digest
    splits = {name: Dataset(frame[["x", "labels"]], {"x": Value(), "labels": Value()}) for name in ("train", "test")}
    prepared = hp.CustomTask(Images, train=splits).prepare(tmp_path)
    assert (prepared.rows, prepared.test_rows) == (24, 24)


def test_a_custom_tasks_images_come_as_pixels(tmp_path: Path) -> None:
    image, _ = image_arrays(1, size=4, channels=None)
    files = [{"bytes": as_file(PIL.Image.fromarray(image[0] + np.uint8(row))), "path": None} for row in range(24)]
    rows = Dataset(
        pd.DataFrame({"image": files, "animal": np.arange(24) % 3}),
        {"image": Image(), "animal": ClassLabel(["a", "b", "c"])},
    )
    task = hp.CustomTask(Images, train=rows)
    examples = task.train.read()
    assert np.array_equal(examples.fields["input"].row(3), image[0] + 3)
    assert examples.targets.tolist()[:3] == ["a", "b", "c"]


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "stream": ({"train": Stream({"text": Value(), "label": Value()})}, DataError, "read as a stream"),
    "splits as test": ({"train": ROWS, "test": {"train": hub()}}, DataError, r"test=dataset\['train'\]"),
    "lengths": ({"train": {"text": TEXTS, "label": LABELS[1:]}}, DataError, "different lengths: 'text' 24, 'label' 23"),
    "no columns": ({"train": {}}, DataError, "is a dict, which is taken for columns, .* and it is empty"),
    "a record": ({"train": {"text": "good", "label": "x"}}, DataError, "'text', 'label' is none, but 'good'"),
    "labels": ({"train": (TEXTS, LABELS[1:])}, DataError, "24 train texts and 23 labels"),
    "two texts": ({"train": ("good", "bad")}, DataError, r"taken for \(texts, labels\), and 'good' is no list"),
    "pairs": ({"train": ([("a", "b")] * 24, LABELS)}, DataError, r"2 texts a row, and text='text' names one column"),
    "one text": ({"train": (TEXTS, LABELS), "text": ("a", "b")}, DataError, "names two columns, and row 0"),
    "names": ({"train": (TEXTS, ROWS[["is_long"]]), "label": ("a", "b")}, DataError, "names 2 columns.* have 1"),
    "texts": ({"train": TEXTS}, TaskError, r"train= is a list: .* a pair \(inputs, labels\)"),
    "group": ({"train": (TEXTS, LABELS), "group": "site"}, DataError, "no column 'site'"),
    "numbers": ({"train": ([1, 2], ["a", "b"])}, DataError, "column 'text' of the train data holds 1, a int"),
    "unlabelled rows": (
        {"train": Dataset(pd.DataFrame({"text": TEXTS, "label": [-1, *CODES[1:]]}), hub().features)},
        DataError,
        "1 of 24 train labels are missing: row 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_said_in_one_paragraph(bert_folder: Path, tmp_path: Path, name: str) -> None:
    arguments, kind, words = BAD[name]
    with pytest.raises(kind, match=words) as caught:
        hp.TextClassification(bert_folder, **arguments).prepare(tmp_path)
    assert "\n" not in str(caught.value)


def test_tables_without_targets_or_inputs_are_refused() -> None:
    rows = {"x": np.zeros((6, 2)), "kind": np.arange(6) % 2}
    with pytest.raises(TaskError, match=r"which of its columns holds the targets is not said.*label='kind'"):
        hp.CustomTask(Images, train=rows)
    with pytest.raises(TaskError, match=r"no column 'knd' of targets. Did you mean 'kind'"):
        hp.CustomTask(Images, train=rows, label="knd")
    with pytest.raises(TaskError, match="none left for the model's inputs"):
        hp.CustomTask(Images, train={"label": [0, 1]})


def test_floats_are_no_images(vit_folder: Path) -> None:
    with pytest.raises(DataError, match=r"array of shape \(4, 4\) and type float64 in row 0"):
        hp.ImageClassification(
            vit_folder, train=[{"image": np.zeros((4, 4)), "label": "a"}], image="image", label="label"
        )


def test_a_folder_is_still_a_folder(vit_folder: Path, tmp_path: Path) -> None:
    assert hp.ImageClassification(vit_folder, train=save_image_folder(tmp_path / "f")).prepare(tmp_path / "c").rows == 8
