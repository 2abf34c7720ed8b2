"""Mistakes in rows: files, columns, labels, texts, images, groups, weights, folds."""

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
from mistake import TEXT, Mistake, World, changed_table, written
from tasks_samples import deep_png, review_rows

from hpsearch.errors import DataError, MetricError, TaskError, UsageError

IMAGES = 'hp.ImageClassification("image-model", train="images")'


def _text(**arguments: str) -> str:
    given = {"train": '"train.csv"', **arguments}
    return f'hp.TextClassification("model", {", ".join(f"{name}={value}" for name, value in given.items())})'


def _numbers(**arguments: str) -> str:
    given = {"train": '"train.csv"', "label": '"weight"', **arguments}
    return f'hp.TextRegression("model", {", ".join(f"{name}={value}" for name, value in given.items())})'


def _saved(name: str, **options: object) -> World:
    return lambda place: review_rows(24).to_csv(place / name, index=False, **options)  # type: ignore[call-overload]


def _cut(name: str, share: float) -> World:
    def cut(place: Path) -> None:
        content = (place / name).read_bytes()
        (place / name).write_bytes(content[: int(len(content) * share)])

    return cut


def _jpeg(place: Path) -> None:
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    image.save(place / "images" / "cat" / "000.jpg")
    (place / "images" / "cat" / "000.png").unlink()
    _cut("images/cat/000.jpg", 0.5)(place)


def _heic(place: Path) -> None:
    for path in (place / "images").rglob("*.png"):
        path.write_bytes(b"what Pillow does not know")
        path.rename(path.with_suffix(".heic"))


def _small_deep_colours(place: Path) -> None:
    (place / "images" / "cat" / "000.png").write_bytes(deep_png(np.full((16, 16, 3), 255)))


def _deep_test(place: Path) -> None:
    shutil.copytree(place / "images", place / "deep" / "images")
    values = np.linspace(0, 4095, 256).reshape(16, 16).astype(np.uint16)
    PIL.Image.fromarray(values).save(place / "deep" / "images" / "cat" / "000.png")


def _parquet(place: Path) -> None:
    review_rows(24).to_parquet(place / "train.parquet")
    _cut("train.parquet", 0.5)(place)


def _test_with_label(place: Path) -> None:
    table = review_rows(10, seed=1)
    table.loc[3, "label"] = "goood"
    table.to_csv(place / "test.csv", index=False)


def _numbered_labels(place: Path) -> None:
    review_rows(24).assign(label=[1, 2] * 12).to_csv(place / "train.csv", index=False)
    review_rows(10, seed=1).assign(label=["01", "2"] * 5).to_csv(place / "test.csv", index=False)


_GROUPED = "".join(
    f'{{"text": "t{row}", "label": "{row % 2}", "site": {site}}}\n'
    for row, site in enumerate(["1", '"1"', "2", "3", "4", "5"])
)

FILES = [
    Mistake(
        'a file that is not there: `train="trian.csv"`',
        ("'~/project/trian.csv' does not exist", "Did you mean 'train.csv'?"),
        DataError,
        task=_text(train='"trian.csv"'),
        process=True,
    ),
    Mistake(
        "a folder that is not there",
        ("'~/project/data/train.csv' does not exist, nor does its folder", "Check the path"),
        DataError,
        task=_text(train='"data/train.csv"'),
    ),
    Mistake(
        'an address in place of a file: `train="https://..."`',
        ("is an address", "download it"),
        DataError,
        task=_text(train='"https://example.org/train.csv"'),
    ),
    Mistake(
        "a folder in place of a table",
        ("is a folder", "give the path of one file"),
        DataError,
        task=_text(train='"images"'),
    ),
    Mistake(
        "a kind of file that is not read: `train.xlsx`",
        ("ends in '.xlsx', which is not read", "read it with pandas and give the DataFrame"),
        DataError,
        task=_text(train='"train.xlsx"'),
        world=written("train.xlsx", b"PK"),
    ),
    Mistake(
        "an empty file",
        ("'train.csv' is empty (0 bytes)", "Write it again"),
        DataError,
        task=TEXT,
        world=written("train.csv", ""),
    ),
    Mistake(
        "a table of a header only",
        ("has no rows", "Check the file"),
        DataError,
        task=TEXT,
        world=written("train.csv", "text,label\n"),
        process=True,
    ),
    Mistake(
        "a CSV file that is separated by semicolons",
        ("no column 'text'", "';'", "sep=';'"),
        DataError,
        task=TEXT,
        world=_saved("train.csv", sep=";"),
    ),
    Mistake(
        "a CSV file in UTF-16, as spreadsheets save it",
        ("is not UTF-8 text", "0xff", "encoding='utf-16'"),
        DataError,
        task=TEXT,
        world=_saved("train.csv", encoding="utf-16"),
    ),
    Mistake(
        "a CSV file in Latin-1",
        ("is not UTF-8 text", "0xe9", "encoding='latin-1'"),
        DataError,
        task=TEXT,
        world=written("train.csv", "text,label\ncafé,good\nthé,bad\n".encode("latin-1")),
    ),
    Mistake(
        "a CSV file in UTF-16 without a byte-order mark",
        ("is not UTF-8 text but UTF-16", "encoding='utf-16-le'"),
        DataError,
        task=TEXT,
        world=_saved("train.csv", encoding="utf-16-le"),
    ),
    Mistake(
        "half a character in a JSON lines file: a text that was cut inside an emoji",
        ("line 2 of the train file 'train.jsonl' has", "is half a character", "Cut it elsewhere"),
        DataError,
        task=_text(train='"train.jsonl"'),
        world=written("train.jsonl", '{"text": "a", "label": "x"}\n{"text": "b \\ud83d", "label": "y"}\n'),
        process=True,
    ),
    Mistake(
        "a CSV row with a separator that is not quoted",
        ("line 3", "must be in double quotes"),
        DataError,
        task=TEXT,
        world=written("train.csv", "text,label\na film,good\nfine, but dull,bad\n"),
        quotes=True,
    ),
    Mistake(
        "two columns of one name in a CSV file",
        ("several columns called 'text'", "Rename or drop all but one"),
        DataError,
        task=TEXT,
        world=written("train.csv", "text,label,text\n" + "a film,good,x\na plot,bad,y\n" * 8),
    ),
    Mistake(
        "a broken line in a JSON lines file",
        ("line 3 of the train file 'train.jsonl'", "is not valid JSON", "one whole object"),
        DataError,
        task=_text(train='"train.jsonl"'),
        world=written("train.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n{"text": "c", \n'),
    ),
    Mistake(
        "a truncated Parquet file",
        ("'train.parquet' is not a readable Parquet file", "Write it again"),
        DataError,
        task=_text(train='"train.parquet"'),
        world=_parquet,
        quotes=True,
    ),
    Mistake(
        "rows that are not a table: `train=[...]`",
        ("train= is a list", "pandas.DataFrame"),
        TaskError,
        task=_text(train='["good film", "bad film", "fine plot"]'),
    ),
]

COLUMNS = [
    Mistake(
        'a column that the table does not have: `text="txt"`',
        ("no column 'txt'", "Did you mean 'text'?", "Its columns"),
        DataError,
        task=_text(text='"txt"'),
        process=True,
    ),
    Mistake(
        "a label column that the test rows do not have",
        ("the test data has no column 'label'", "Its columns"),
        DataError,
        task=_text(test='"test.csv"'),
        world=lambda place: review_rows(10).drop(columns="label").to_csv(place / "test.csv", index=False),
    ),
    Mistake(
        "one column for two things: `text` and `label`",
        ("'text' is named more than once", "one role"),
        DataError,
        task=_text(text='"text"', label='"text"'),
    ),
    Mistake(
        "three columns of texts",
        ("text=['text', 'second', 'site']", "of two for pairs"),
        TaskError,
        task=_text(text='["text", "second", "site"]'),
    ),
    Mistake(
        "texts that are numbers",
        ("column 'weight' of the train data holds 0.5, a float", "astype(str)"),
        DataError,
        task=_text(text='"weight"'),
    ),
    Mistake(
        "texts that are empty",
        ("has no text in 2 of 24 rows: rows 3, 5", "fill them in"),
        DataError,
        task=TEXT,
        world=changed_table(text=lambda t: [" " if i in (3, 5) else x for i, x in enumerate(t["text"])]),
    ),
    Mistake(
        "labels that are missing",
        ("2 of 24 train labels are missing: rows 0, 7", "Label these rows"),
        DataError,
        task=TEXT,
        world=changed_table(label=lambda t: [None if i in (0, 7) else x for i, x in enumerate(t.label)]),
        process=True,
    ),
    Mistake(
        "labels of one class only",
        ("one class only, 'good'", "Check the label column"),
        DataError,
        task=TEXT,
        world=changed_table(label="good"),
    ),
    Mistake(
        "labels that are fractions: a regression",
        ("is 0.5, a float", "labels are text", "astype(str)", "hp.TextRegression"),
        DataError,
        task=_text(label='"weight"'),
    ),
    Mistake(
        'labels in two spellings: "1" in training, "01" in test',
        ("the test rows have labels that the training rows do not have: '01'", "'01' may be 1", "write both alike"),
        DataError,
        task=_text(test='"test.csv"'),
        world=_numbered_labels,
    ),
    Mistake(
        "a label that ends in the character NUL",
        ("in column 'label' of the train data stands 'good\\x00', in row 0", "Remove it"),
        DataError,
        task=TEXT,
        world=changed_table(label=lambda t: ["good\0", *t["label"][1:]]),
    ),
    Mistake(
        "groups of which one is a number and a text",
        ("groups have 1 (int) and '1' (str)", "Make them all text or all numbers"),
        DataError,
        task=_text(train='"train.jsonl"', group='"site"'),
        world=written("train.jsonl", _GROUPED),
    ),
    Mistake(
        "labels of several types",
        ("of different types: 1 (int) and 'good' (str)", "all text or all numbers"),
        DataError,
        task=_text(train="rows"),
        body="import hpsearch as hp\nimport pandas as pd\n\n"
        'rows = pd.DataFrame({"text": ["a film"] * 8, "label": [1, "good"] * 4})\n'
        'study = hp.Study("mine", hp.TextClassification("model", train=rows), '
        "hp.Space(learning_rate=1e-3, epochs=hp.Int(1, 2)), cv=2)\n",
    ),
    Mistake(
        "a multilabel column that is not 0 or 1",
        ("label column 'site'", "hold 0 and 1"),
        DataError,
        task=_text(label='["is_long", "site"]'),
    ),
    Mistake(
        "a multilabel column that is 1 in every row",
        ("'is_long' is 1 in every one", "Leave that column out"),
        DataError,
        task=_text(label='["is_long", "is_kind"]'),
        world=changed_table(is_long=1),
    ),
    Mistake(
        "a test label that training never has",
        ("labels that the training rows do not have: 'goood'", "training has"),
        DataError,
        task=_text(test='"test.csv"'),
        world=_test_with_label,
    ),
    Mistake(
        "a weight below zero",
        ("1 of 24 train sample weights", "-0.5 is the first", "0 leaves a row out"),
        DataError,
        task=_text(sample_weight='"weight"'),
        world=changed_table(weight=[-0.5] + [1.0] * 23),
    ),
    Mistake(
        "weights that are all zero",
        ("all 24 train sample weights are 0", "Give some a weight"),
        DataError,
        task=_text(sample_weight='"weight"'),
        world=changed_table(weight=0),
    ),
    Mistake(
        "rows without a group",
        ("1 of 24 train rows have no group: row 4", "Give each a group"),
        DataError,
        task=_text(group='"site"'),
        world=changed_table(site=lambda t: [None if i == 4 else x for i, x in enumerate(t["site"])]),
    ),
]

NUMBERS = [
    Mistake(
        "numbers that are text",
        ("target 'label' of the train data has 'bad', a str, in rows 0,", "pandas.to_numeric"),
        DataError,
        task=_numbers(label='"label"'),
        process=True,
    ),
    Mistake(
        "numbers that are missing",
        ("target 'weight' of the train data is missing (NaN) in 2 of 24 rows: rows 0, 7", "Fill the gaps in"),
        DataError,
        task=_numbers(),
        world=changed_table(weight=lambda t: [None if i in (0, 7) else x for i, x in enumerate(t.weight)]),
    ),
    Mistake(
        "numbers that are infinite",
        ("target 'weight' of the train data is infinite in 1 of 24 rows: row 3", "remove them"),
        DataError,
        task=_numbers(),
        world=changed_table(weight=lambda t: [float("inf") if i == 3 else x for i, x in enumerate(t.weight)]),
    ),
    Mistake(
        "numbers that are True and False",
        ("target 'is_long' of the train data has True, a bool", "two classes"),
        DataError,
        task=_numbers(label='"is_long"'),
        world=changed_table(is_long=[True] * 12 + [False] * 12),
    ),
    Mistake(
        "numbers that are the same in every row",
        ("target 'weight' is 2.5 in each of the 24 train rows", "nothing to tell apart"),
        DataError,
        task=_numbers(),
        world=changed_table(weight=2.5),
    ),
    Mistake(
        "numbers so small that their squares are 0",
        ("target 'weight' lies between 0.0 and 2.3e-299 in the 24 train rows", "multiply them"),
        DataError,
        task=_numbers(),
        world=changed_table(weight=[row * 1e-300 for row in range(24)]),
    ),
    Mistake(
        "two columns of numbers that have one name",
        ("columns 0, 1 (counted from 0) of the train targets are called 'dose'", "a name of its own"),
        DataError,
        body="import hpsearch as hp\nimport numpy as np\nimport pandas as pd\nfrom torch import nn\n\n\n"
        "def model(inputs=2):\n    return nn.Linear(inputs, 2)\n\n\n"
        'doses = pd.DataFrame(np.arange(16.0).reshape(8, 2), columns=["dose", "dose"])\n'
        'task = hp.CustomTask(model, train=(np.ones((8, 2)), doses), targets="numbers")\n'
        'study = hp.Study("mine", task, hp.Space(learning_rate=1e-3, epochs=hp.Int(1, 2)), cv=2)\n',
    ),
    Mistake(
        "one of several numbers that is the same in every row",
        ("target 'is_long' is 1.0 in each of the 24 train rows", "leave this target out"),
        DataError,
        task=_numbers(label='["weight", "is_long"]'),
        world=changed_table(is_long=1),
    ),
    Mistake(
        "test rows that all have the same number",
        ("target 'weight' is 2.5 in each of the 10 test rows", "Give test rows with different numbers"),
        DataError,
        task=_numbers(test='"test.csv"'),
        world=lambda place: review_rows(10, seed=1).assign(weight=2.5).to_csv(place / "test.csv", index=False),
    ),
    Mistake(
        "numbers of which the training rows of a fold have one",
        ("is 1.0 in each of the 12 training rows of fold 0", "nothing to tell apart", "Use fewer folds"),
        DataError,
        task=_numbers(),
        world=changed_table(weight=[1.0] * 23 + [2.0]),
        settings='metric="rmse"',
    ),
    Mistake(
        "groups of one number each, judged by R²",
        ("metric 'r2' is not defined on the held-out rows of fold 0", "1 of 8 groups", "'rmse'"),
        MetricError,
        task=_numbers(group='"site"'),
        world=changed_table(weight=lambda t: t["site"].astype("category").cat.codes),
        settings="cv=8",
    ),
    Mistake(
        "a metric of classes for numbers",
        (
            "'accuracy' cannot be used on these numbers: it measures classes",
            "Those that fit: d2_absolute_error_score, ",
            "spearman",
        ),
        MetricError,
        task=_numbers(),
        settings='metric="accuracy"',
    ),
    Mistake(
        "a metric of positive numbers, which predictions may not be",
        ("'mean_gamma_deviance' cannot be used on these numbers", "A model may predict numbers outside"),
        MetricError,
        task=_numbers(),
        settings='metric="mean_gamma_deviance"',
        quotes=True,
    ),
    Mistake(
        'a score that is to be minimized: `metric="r2", direction="minimize"`',
        ("direction='minimize' contradicts metric 'r2': more of it is better", "Leave direction= out"),
        MetricError,
        task=_numbers(),
        settings='metric="r2", direction="minimize"',
    ),
    Mistake(
        "an error of one's own without its direction",
        ("metric 'furthest' is an error", 'direction="minimize"'),
        MetricError,
        body="import hpsearch as hp\n\n\ndef furthest(y_true, y_pred):\n    return abs(y_true - y_pred).max()\n\n\n"
        'task = hp.TextRegression("model", train="train.csv", label="weight")\n'
        'study = hp.Study("mine", task, hp.Space(learning_rate=1e-3, epochs=hp.Int(1, 2)), cv=2, metric=furthest)\n',
    ),
    Mistake(
        "a head that was trained before: `keep_head=True`",
        ("a regression trains on standardised numbers", "Leave keep_head out"),
        TaskError,
        task=_numbers(keep_head="True"),
    ),
    Mistake(
        'targets that there are none of: `targets="number"`',
        ("targets='number': Did you mean 'numbers'?", "'classes' or 'numbers'"),
        TaskError,
        task='hp.CustomTask(__import__("torch").nn.Linear, train=([[1.0], [2.0]], [1.0, 2.0]), targets="number")',
    ),
    Mistake(
        'a list of targets: `targets=["numbers"]`',
        ("targets=['numbers']: Did you mean 'numbers'?", "'classes' or 'numbers'"),
        TaskError,
        task='hp.CustomTask(__import__("torch").nn.Linear, train=([[1.0], [2.0]], [1.0, 2.0]), targets=["numbers"])',
    ),
]

IMAGE_MISTAKES = [
    Mistake(
        "an image that is cut off",
        (
            "the train image '~/project/images/cat/000.jpg' cannot be read",
            "truncated",
            "Replace the file or remove its row",
        ),
        DataError,
        task=IMAGES,
        world=_jpeg,
        quotes=True,
        process=True,
    ),
    Mistake(
        "a text file that is called .png",
        ("images/cat/note.png' cannot be read", "Replace the file"),
        DataError,
        task=IMAGES,
        world=written("images/cat/note.png", "not an image"),
        quotes=True,
    ),
    Mistake(
        "images of a format that Pillow does not read",
        (
            "8 of 8 train images cannot be read: '~/project/images/cat/000.heic' (cannot identify image file), ",
            "and 3 more",
            "convert them to PNG",
        ),
        DataError,
        task=IMAGES,
        world=_heic,
        quotes=True,
    ),
    Mistake(
        "small values in colours of 16 bits, of which Pillow keeps the upper 8",
        ("1 train image has colours of 16 bits, and no value above 255", "Convert the files to 8 bits"),
        DataError,
        task=IMAGES,
        world=_small_deep_colours,
    ),
    Mistake(
        "test images of 16 bits, where training images have 8",
        ("images/cat/000.png' cannot be read: pixels of more than 8 bits, from 0 to 4095", "no training image has"),
        DataError,
        task='hp.ImageClassification("image-model", train="images", test="deep/images")',
        world=_deep_test,
    ),
    Mistake(
        "images in one folder, without folders for the classes",
        ("holds no folders", "one folder for each class"),
        DataError,
        task='hp.ImageClassification("image-model", train="images/cat")',
    ),
    Mistake(
        "a class folder without images",
        ("class folder 'bird'", "holds no image", "Remove the folder"),
        DataError,
        task=IMAGES,
        world=lambda place: (place / "images" / "bird").mkdir(),
    ),
    Mistake(
        "paths of images that do not exist",
        ("1 of 2 train images do not exist", "~/project/images/cat/999.png", "Relative paths start at"),
        DataError,
        task='hp.ImageClassification("image-model", train="paths.csv", image="path", label="kind")',
        world=written("paths.csv", "path,kind\nimages/cat/000.png,cat\nimages/cat/999.png,dog\n"),
    ),
    Mistake(
        "columns of a folder of images",
        ("has no columns", "Leave that out"),
        DataError,
        task='hp.ImageClassification("image-model", train="images", label="label")',
    ),
    Mistake(
        "images as arrays of the wrong shape",
        ("have shape (8, 48) and type float64", "(rows, height, width)"),
        DataError,
        task='hp.ImageClassification("image-model", train=(__import__("numpy").zeros((8, 48)), ["a", "b"] * 4))',
    ),
]

FOLDS = [
    Mistake("one fold: `cv=1`", ("cv=1", "needs 2 folds or more", "Holdout(0.2)"), DataError, settings="cv=1"),
    Mistake(
        "more folds than rows of a class",
        ("class 'bad' has 12 rows", "cv=20 needs at least 20", "use cv=12"),
        DataError,
        task=TEXT,
        settings="cv=20",
        process=True,
    ),
    Mistake('folds by name: `cv="kfold"`', ("cv='kfold' is a str", "KFold(5)"), DataError, settings='cv="kfold"'),
    Mistake(
        "a splitter's class in place of a splitter",
        ("cv=KFold is a class", "cv=KFold(...)"),
        UsageError,
        settings='cv=__import__("sklearn.model_selection").model_selection.KFold',
    ),
    Mistake(
        "a share of one and a half: `Holdout(1.5)`",
        ("Holdout(test_size=1.5)", "between 0 and 1", "Holdout(0.2)"),
        DataError,
        settings="cv=hp.Holdout(1.5)",
    ),
    Mistake(
        "folds by groups of which there are too few",
        ("cv=9 needs at least 9 groups, and the data has 8", "Use fewer folds"),
        DataError,
        task=_text(group='"site"'),
        settings="cv=9",
    ),
    Mistake(
        "groups of which one holds every row",
        ("cv=2 needs at least 2 groups, and the data has 1", "Use fewer folds or more data"),
        DataError,
        task=_text(group='"site"'),
        world=changed_table(site="here"),
    ),
    Mistake(
        "a splitter whose folds overlap",
        ("fold 0 of Overlapping has rows twice, on both sides", "Correct the splitter"),
        DataError,
        body="import hpsearch as hp\nimport numpy as np\nfrom toy_task import ToyTask\n\n\n"
        "class Overlapping:\n    def split(self, X, y=None, groups=None):\n"
        "        yield np.arange(40), np.arange(30, 60)\n\n\n"
        'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=Overlapping())\n',
    ),
    Mistake(
        "a splitter that yields something else than pairs of rows",
        ("fold 0 of Halves", "pair"),
        DataError,
        body="import hpsearch as hp\nfrom toy_task import ToyTask\n\n\n"
        "class Halves:\n    def split(self, X, y=None, groups=None):\n"
        "        yield range(30)\n\n\n"
        'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=Halves())\n',
    ),
]

GROUPS = {
    "Files": FILES,
    "Columns, labels and texts": COLUMNS,
    "Numbers": NUMBERS,
    "Images": IMAGE_MISTAKES,
    "Folds": FOLDS,
}
