"""A last look at examples before compute is spent: what cannot be learned from is an error, what misleads a warning."""

import hashlib
from collections.abc import Iterator

import numpy as np

from hpsearch.data.audit import classes_without_test_rows, copies, rare_classes
from hpsearch.data.example_rows import called
from hpsearch.data.examples import Examples, Field
from hpsearch.data.labels import LabelEncoding
from hpsearch.data.wording import listed, row_list
from hpsearch.errors import DataError

_CHUNK_BYTES = 1 << 24


def audit_examples(encoding: LabelEncoding, train: Examples, test: Examples | None = None) -> list[str]:
    """Check training rows, and test rows if any; return warnings, each a sentence for the user.

    Args:
        encoding: The labels as the training rows have them.
        train: The training rows.
        test: The test rows, or None.

    Raises:
        DataError: Numbers that are not finite; test rows that are not like the training rows; a test label never seen
            in training.
    """
    for examples, role in ((train, "train"), (test, "test")):
        for name, field in examples.fields.items() if examples is not None else ():
            _require_finite(name, field, role)
    targets = encoding.encode(train.named_targets)
    warnings = rare_classes(encoding, targets) + _one_of_each(encoding, targets)
    if test is not None:
        _require_alike(train, test)
        warnings += classes_without_test_rows(encoding, encoding.encode(test.named_targets, "test"))
    return warnings + copies("inputs", _contents(train), [] if test is None else _contents(test), targets)


def _require_finite(name: str, field: Field, role: str) -> None:
    if field.elements.dtype.kind not in "fc":
        return
    wrong = [
        int(start + place)
        for start, part in _chunks(field.elements)
        for place in np.flatnonzero(~np.isfinite(part.reshape(len(part), -1)).all(axis=1))
    ]
    if wrong:
        if field.offsets is not None:
            wrong = np.unique(np.searchsorted(field.offsets, wrong, side="right") - 1).tolist()
        raise DataError(
            f"{called(name)} of the {role} data is not finite (NaN or infinite) in {len(wrong)} of {len(field)} rows: "
            f"{row_list(wrong)}. Fill the gaps in or remove these rows."
        )


def _chunks(elements: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first index, part) so that memory need not hold all at once."""
    step = max(1, _CHUNK_BYTES // max(1, elements[:1].nbytes))
    for start in range(0, len(elements), step):
        yield start, elements[start : start + step]


def _require_alike(train: Examples, test: Examples) -> None:
    if train.fields.keys() != test.fields.keys():
        raise DataError(
            f"the train data has the inputs {listed(train.fields)} and the test data {listed(test.fields)}. Give both "
            "the same ones."
        )
    for name, field in train.fields.items():
        other = test.fields[name]
        shapes = [rows.row(0).shape for rows in (field, other)]
        differing = [axis for axis, sizes in enumerate(zip(*shapes, strict=False)) if sizes[0] != sizes[1]]
        may_differ = {rows.axis for rows in (field, other) if rows.offsets is not None}
        if len(shapes[0]) != len(shapes[1]) or len(may_differ) > 1 or set(differing) - may_differ:
            raise DataError(
                f"{called(name)} has rows of shape {shapes[0]} in the train data and of shape {shapes[1]} in the test "
                "data. Give the test rows the shape of the training rows."
            )
        if field.elements.dtype != other.elements.dtype:
            raise DataError(
                f"{called(name)} is {field.elements.dtype} in the train data and {other.elements.dtype} in the test "
                "data. Give both one type of number."
            )


def _one_of_each(encoding: LabelEncoding, targets: np.ndarray) -> list[str]:
    if encoding.kind != "multilabel" or not (targets.sum(axis=1) == 1).all():
        return []
    return [
        f"every training row has exactly one of the {len(encoding.classes)} labels, and they are taken for labels that "
        "may apply together. If they exclude each other, give one class a row: targets.argmax(axis=1)."
    ]


def _contents(examples: Examples) -> list[bytes]:
    """Return a digest of each row's inputs."""
    contents = []
    for row in range(len(examples.targets)):
        content = hashlib.sha256()
        for field in examples.fields.values():
            content.update(np.ascontiguousarray(field.row(row)).tobytes())
        contents.append(content.digest())
    return contents
