"""Where a custom task's rows come from: arrays in memory, a dataset object, or a function that returns either."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.example_reading import USER_ERRORS, examples_of, read_dataset
from hpsearch.data.examples import Examples, fields_of
from hpsearch.data.wording import shortened
from hpsearch.errors import DataError, TaskError
from hpsearch.provenance.modules import import_path
from hpsearch.tasks.sources import read_array, read_snapshot, snapshot_files, write_arrays
from hpsearch.tasks.user_code import found_by

_TARGETS = "targets"


@dataclass(frozen=True, eq=False)
class ExampleSource:
    """Rows with their targets, read when first needed.

    What cannot be imported (arrays, dataset objects, functions of a notebook) is written to files beside the study.

    Attributes:
        role: "train" or "test".
        given: A pair (inputs, targets), a map-style dataset, or a function that returns one; None where the rows lie
            in `files`.
        files: Array name to .npy file.
        stored_fingerprint: The fingerprint of rows in files.
        axes: Which dimension of each input differs in length, of rows in files.
        labels: Names of 0/1 columns, of rows in files.
    """

    role: str
    given: Any = field(default=None, repr=False)
    files: Mapping[str, str] | None = None
    stored_fingerprint: str | None = None
    axes: Mapping[str, int] | None = None
    labels: tuple[str, ...] | None = None

    @classmethod
    def of(cls, value: Any, role: str) -> "ExampleSource":
        """Return the source for what a user gave as rows; `TaskError` where no rows can be read from it."""
        if isinstance(value, ExampleSource):
            return replace(value, role=role)
        _check_form(value, role)
        return cls(role, value)

    def read(self, scratch: Path | None = None) -> Examples:
        """Return the rows, read once; `DataError` if they cannot be. `scratch` is for what need not fit the memory."""
        examples: Examples | None = self.__dict__.get("_examples")
        if examples is None:
            examples = self._from_files() if self.files is not None else _examples(self.given, self.role, scratch)
            self.__dict__["_examples"] = examples
        return examples

    @property
    def fingerprint(self) -> str:
        return self.stored_fingerprint or self.read().fingerprint

    def _from_files(self) -> Examples:
        assert self.files is not None
        arrays = {name: read_snapshot(path, read_array) for name, path in self.files.items()}
        examples = Examples(fields_of(arrays, dict(self.axes or {})), np.asarray(arrays[_TARGETS]), self.labels)
        if examples.fingerprint != self.stored_fingerprint:
            raise DataError(
                f"the snapshot that the study keeps of its {self.role} rows ({next(iter(self.files.values()))!r} and "
                "others) has changed. Restore the files, or start a study under a new name."
            )
        return examples

    @property
    def _path(self) -> str | None:
        is_function = callable(self.given) and not hasattr(self.given, "__getitem__")
        return import_path(self.given) if is_function else None

    def describe(self) -> dict[str, Any]:
        if self._path is not None:
            return {"loader": self._path, "role": self.role}
        examples = None if self.stored_fingerprint else self.read()
        labels = self.labels if examples is None else examples.labels
        return {
            "examples": self.fingerprint,
            "role": self.role,
            "axes": dict(self.axes or {}) if examples is None else examples.axes(),
            "labels": None if labels is None else list(labels),
            **({} if self.files is None else {"files": dict(self.files)}),
        }

    def snapshot(self, folder: Path, name: str) -> "ExampleSource":
        if self.files is not None or self._path is not None:
            return self
        examples, fingerprint = self.read(), self.fingerprint
        arrays = {**examples.to_arrays(), _TARGETS: examples.targets}
        files = write_arrays(arrays, folder, f"{name}-{fingerprint}")
        return ExampleSource(
            self.role, files=files, stored_fingerprint=fingerprint, axes=examples.axes(), labels=examples.labels
        )

    @classmethod
    def from_description(cls, description: Mapping[str, Any], folder: Path | None) -> "ExampleSource":
        role = description["role"]
        if "loader" in description:
            return cls(role, found_by(description["loader"]))
        labels = description["labels"]
        return cls(
            role,
            files=snapshot_files(description.get("files", {}), folder),
            stored_fingerprint=description["examples"],
            axes=description["axes"],
            labels=None if labels is None else tuple(labels),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows: a worker reads the prepared arrays."""
        return {name: value for name, value in self.__dict__.items() if name != "_examples"}


def _examples(given: Any, role: str, scratch: Path | None) -> Examples:
    if callable(given) and not hasattr(given, "__getitem__"):
        try:
            given = given()
        except USER_ERRORS as error:
            raise DataError(
                f"the function given as {role}= fails: {type(error).__name__}: {error}. Fix it; it is called without "
                "arguments, and returns a pair (inputs, targets) or a map-style dataset."
            ) from error
        _check_form(given, role)
        if callable(given) and not hasattr(given, "__getitem__"):
            raise DataError(f"the function given as {role}= returns a function: have it return the rows themselves.")
    if not isinstance(given, tuple):
        return read_dataset(given, role, scratch)
    inputs, targets = given
    return examples_of(inputs, targets, role)


def _check_form(value: Any, role: str) -> None:
    remedy = (
        "Give a pair of arrays (inputs, targets), a map-style dataset of (input, target) items, or a function without "
        "arguments that returns one of them"
    )
    if isinstance(value, str | Path) or hasattr(value, "iloc") or value is None:
        how = "reads the file" if isinstance(value, str | Path) else "makes arrays of it"
        raise TaskError(f"{role}={shortened(repr(value))} is a {type(value).__name__}. {remedy}; your function {how}.")
    if isinstance(value, tuple):
        if len(value) != 2:
            raise TaskError(f"{role}= is a tuple of {len(value)}. {remedy}.")
        return
    if not callable(value) and not (hasattr(value, "__getitem__") and hasattr(value, "__len__")):
        streams = " that only streams (an IterableDataset?)" if hasattr(value, "__iter__") else ""
        raise TaskError(f"{role}= is a {type(value).__name__}{streams}. {remedy}.")
    if isinstance(value, Mapping) or hasattr(value, "dtype"):
        raise TaskError(f"{role}= is a {type(value).__name__} without targets. {remedy}.")
