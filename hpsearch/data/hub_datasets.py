"""Hugging Face's `datasets` in: a Dataset as a DataFrame, a DatasetDict as its splits, known by what they offer.

The package is never imported. A class label becomes its name, and -1, which stands for no label, a missing value.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.wording import listed
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What the splits of a DatasetDict are called, by role."""


def is_dataset(value: Any) -> bool:
    """Whether a value is a `datasets.Dataset`, or one that is read as a stream."""
    return hasattr(value, "features") and hasattr(value, "column_names") and not isinstance(value, Mapping)


def is_dataset_dict(value: Any) -> bool:
    """Whether a value is a `datasets.DatasetDict`: names of splits, and a dataset for each."""
    return isinstance(value, Mapping) and bool(value) and all(is_dataset(split) for split in value.values())


def splits_of(
    value: Mapping[str, Any], taken: Sequence[str] = (), label: str | None = None
) -> tuple[dict[str, Any], str]:
    """Return the splits of a DatasetDict by role ("train", "validation", "test"), and what is to be said of them.

    Args:
        value: The splits by name.
        taken: Roles whose rows are given otherwise.
        label: The column of labels: a split in which it is -1 throughout (a benchmark's test rows) is left out.

    Raises:
        DataError: There is no split to train on.
    """
    found: dict[str, Any] = {}
    said = []
    words = {"train": "is trained on", "validation": "evaluates each trial", "test": "is the test rows"}
    for role, names in SPLITS.items():
        name = next((name for name in names if name in value), None)
        if name is not None and role not in taken and role != "train" and is_unlabelled(value[name], label):
            said.append(f"{name!r} has no labels (-1) and is left out")
        elif name is not None and role not in taken:
            found[role] = value[name]
            said.append(f"{name!r} {words[role]}")
    if "train" not in found:
        raise DataError(
            f"train= is a DatasetDict without a split 'train'; it has {listed(value)}. Give the split that is to be "
            f"trained on: train=dataset[{next(iter(value))!r}]."
        )
    unused = [name for name in value if not any(text.startswith(f"{name!r} ") for text in said)]
    rest = f"; not used: {listed(unused)}" if unused else ""
    return found, f"train= is a DatasetDict: its split {', '.join(said)}{rest}."


def dataset_table(dataset: Any, columns: Sequence[str], role: str) -> "pd.DataFrame":
    """Return the rows of a Dataset: of these columns alone, where it has all of them.

    Raises:
        DataError: It streams, or rows are changed on their way out of it (`set_transform`).
    """
    import pandas as pd

    if not hasattr(dataset, "__len__"):
        raise DataError(
            f"the {role} data is a {type(dataset).__name__}, which is read as a stream, and rows are needed that can "
            "be read again. Load it without streaming=True, or give datasets.Dataset.from_list(list(rows))."
        )
    given = getattr(dataset, "format", None)
    if isinstance(given, Mapping) and given.get("type") == "custom":
        raise DataError(
            f"the {role} dataset has a transform (set_transform), which changes rows as they are read, perhaps each "
            "time otherwise. Apply it once with dataset.map, or give the dataset without it: dataset.with_format(None)."
        )
    names = list(dict.fromkeys(columns))
    if names and set(names) <= set(dataset.features):
        dataset = dataset.select_columns(names)
    table: Any = dataset.to_pandas().reset_index(drop=True)
    for name, feature in dict(dataset.features).items():
        if _is_coded(feature) or _has_parts(feature):
            values = [as_given(value, feature) for value in table[name].tolist()]
            table[name] = pd.Series(values, index=table.index, dtype=object)
    return table


def as_given(value: Any, feature: Any) -> Any:
    """Return a value of Arrow's as rows have it: names for the codes of classes, lists, dicts with their own keys."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if _is_coded(feature):
        return feature.names[int(value)] if value >= 0 else None
    if type(feature).__name__ == "Json":  # as it was written, with what holds None
        return value
    inner = _inner(feature)
    if isinstance(feature, Mapping):
        kept = {key: part for key, part in dict(value).items() if part is not None}
        return {key: as_given(part, feature.get(key)) for key, part in kept.items()}
    if isinstance(inner, Mapping) and isinstance(value, Mapping):  # a list of dicts, kept as a dict of lists
        return {key: [as_given(item, inner.get(key)) for item in part] for key, part in value.items()}
    if inner is not None:
        return [as_given(item, inner) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _is_coded(feature: Any) -> bool:
    """Whether values are codes of classes: a ClassLabel."""
    return hasattr(feature, "int2str") and bool(getattr(feature, "names", None))


def _inner(feature: Any) -> Any:
    """Return the feature of the items of a list, or None."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return getattr(feature, "feature", None)


def _has_parts(feature: Any) -> bool:
    return isinstance(feature, Mapping) or _inner(feature) is not None


def is_unlabelled(dataset: Any, label: str | None) -> bool:
    """Whether every row of a Dataset has -1 in its column of classes."""
    if label is None or not hasattr(dataset, "__len__") or not _is_coded(dict(dataset.features).get(label)):
        return False
    return bool((dataset.select_columns([label]).to_pandas()[label] < 0).all())


def image_column(dataset: Any) -> str | None:
    """Return the one column of images of a Dataset; None where there is none, or several."""
    names = [name for name, feature in dict(dataset.features).items() if type(feature).__name__ == "Image"]
    return names[0] if len(names) == 1 else None


def label_column(dataset: Any) -> str | None:
    """Return the column of labels of a Dataset: "label" or "labels", or its one column of classes; else None."""
    features = dict(dataset.features)
    usual = [name for name in ("label", "labels") if name in features]
    coded = [name for name, feature in features.items() if _is_coded(feature)]
    return usual[0] if usual else (coded[0] if len(coded) == 1 else None)
