"""What hpsearch asks of Hugging Face's `datasets`, with the same names: the package is no dependency.

Compared by hand with datasets 5.2.0: `to_pandas` gives lists as arrays, dicts with the keys of all, and class labels as
their codes.
"""

from collections.abc import Mapping
from typing import Any, Self

import pandas as pd


class Value:
    pass


class Image:
    pass


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def int2str(self, code: int) -> str:
        return self.names[code]


class List:
    def __init__(self, feature: Any) -> None:
        self.feature = feature


class Json:
    pass


class Stream:
    """An IterableDataset."""

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.features = dict(features)
        self.column_names = list(features)

    def to_pandas(self) -> None:
        raise AssertionError("a stream is not read")


class Dataset(Stream):
    def __init__(self, rows: pd.DataFrame, features: Mapping[str, Any], kind: str | None = None) -> None:
        super().__init__(features)
        self._rows = rows
        self.format = {"type": kind}

    def __len__(self) -> int:
        return len(self._rows)

    def select_columns(self, names: list[str]) -> Self:
        return type(self)(self._rows[names], {name: self.features[name] for name in names}, self.format["type"])

    def to_pandas(self) -> pd.DataFrame:  # type: ignore[override]
        return self._rows.copy()
