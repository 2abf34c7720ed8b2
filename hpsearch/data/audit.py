"""A last look at data before compute is spent: what cannot be learned from is an error, what misleads a warning."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.example_reading import called
from hpsearch.data.examples import Examples, Field
from hpsearch.data.image_audit import check_images
from hpsearch.data.images import ImageRows, require_columns
from hpsearch.data.ragged import Rows, as_list
from hpsearch.data.unicode import check_texts_are_unicode
from hpsearch.data.wording import counted, listed, row_list
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_CHUNK_BYTES = 1 << 24

ReadTargets = Callable[[], tuple[Rows, list[str]]]
"""Returns the encoded targets of the training rows, and what is to be said of targets, each a sentence."""


def audit(
    train: "pd.DataFrame | ImageRows",
    test: "pd.DataFrame | ImageRows | None" = None,
    *,
    read_targets: ReadTargets,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    group: str | None = None,
    sample_weight: str | None = None,
    role: str = "test",
) -> list[str]:
    """Check training rows, and test rows if any; return warnings, each a sentence for the user.

    Where `role` is "validation", training rows have been checked before: only the second ones are, against them.

    Args:
        train: What `read_table` or `read_images` gave.
        test: The same for the test rows; they need the text and label columns only.
        read_targets: Called once the columns are known to be there.
        text: The column of texts, or the pair of columns (tables only).
        label: The column of labels, or the list of 0/1 columns (tables only: ImageRows have their labels).
        group: The column of groups.
        sample_weight: The column of weights.
        role: What the second rows are, "test" or "validation". Validation rows need all columns.

    Raises:
        DataError: Missing columns, labels, texts, groups or weights; one class only; a test label never seen in
            training; an image that cannot be read; a group in both training and validation rows.
    """
    texts = [text] if isinstance(text, str) else list(text or ())
    labels = [label] if isinstance(label, str) else list(label or ())
    extra = [column for column in (group, sample_weight) if column is not None]
    _check_roles([*texts, *labels, *extra])
    _check_columns(train, [*texts, *labels], extra, "train")
    if test is not None:
        _check_columns(test, [*texts, *labels], extra if role == "validation" else [], role)
    targets, warnings = read_targets()
    warnings += _audit_groups_and_weights(train, test, group, sample_weight, role)
    for rows, which in ((None if role == "validation" else train, "train"), (test, role)):
        if isinstance(rows, ImageRows):
            warnings += check_images(rows)
        elif rows is not None:
            check_texts(rows, texts, which)
    if texts or isinstance(train, ImageRows):
        what = "images" if isinstance(train, ImageRows) else "texts"
        tested = [] if test is None else _contents(test, texts)
        warnings += _copies(what, _contents(train, texts), tested, targets, role)
    return warnings


def group_codes(values: Any, role: str = "train") -> np.ndarray:
    """Return int64 codes of groups, (rows,), in the order of first appearance; `DataError` where a row has no group."""
    import pandas as pd

    given = list(values)
    check_texts_are_unicode(given, "the column of groups", role, are_names=True)
    codes, groups = pd.factorize(pd.Series(given, dtype=object))
    _check_one_spelling(groups.tolist(), role)
    missing = np.flatnonzero(codes < 0)
    if missing.size:
        raise DataError(
            f"{missing.size} of {len(codes)} {role} rows have no group: {row_list(missing)}. Give each a group; a row "
            "on its own gets a group of its own."
        )
    return np.asarray(codes, dtype=np.int64)


def _check_one_spelling(groups: Sequence[Any], role: str) -> None:
    """Refuse groups that are written alike and are of several types: 1 and "1" are almost always one group."""
    by_text: dict[str, Any] = {}
    for group in groups:
        other = by_text.setdefault(str(group), group)
        if other is not group:
            raise DataError(
                f"the {role} groups have {other!r} ({type(other).__name__}) and {group!r} ({type(group).__name__}): "
                "rows of one group could stand on both sides of a fold. Make them all text or all numbers."
            )


def sample_weights(values: Any, role: str = "train") -> np.ndarray:
    """Return float32 weights of shape (rows,); `DataError` where one is below 0 or not finite, or all are 0."""
    import pandas as pd

    series = pd.to_numeric(pd.Series(values).reset_index(drop=True), errors="coerce")
    weights = series.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if wrong.size:
        raise DataError(
            f"{wrong.size} of {len(weights)} {role} sample weights are not finite numbers of at least 0: "
            f"{pd.Series(values).tolist()[wrong[0]]!r} is the first, in {row_list(wrong)}. "
            "Correct them; 0 leaves a row out."
        )
    if not weights.any():
        raise DataError(
            f"all {len(weights)} {role} sample weights are 0: nothing would be learned. Give some a weight."
        )
    return weights.astype(np.float32)


def check_texts(table: "pd.DataFrame", columns: Sequence[str], role: str) -> None:
    """Raise DataError unless every value of these columns is a text with something in it."""
    import pandas as pd

    for column in columns:
        values = table[column].tolist()
        check_texts_are_unicode(values, f"column {column!r}", role)
        blank = [row for row, value in enumerate(values) if not isinstance(value, str) or not value.strip()]
        if not blank:
            continue
        first = values[blank[0]]
        if isinstance(first, str) or pd.isna(first) is True:
            raise DataError(
                f"column {column!r} of the {role} data has no text in {len(blank)} of {len(values)} rows: "
                f"{row_list(blank)}. Remove these rows or fill them in."
            )
        raise DataError(
            f"column {column!r} of the {role} data holds {first!r}, a {type(first).__name__}, in {row_list(blank)}: "
            f"texts are needed. Name another column, or convert it with table[{column!r}].astype(str)."
        )


def _check_columns(rows: "pd.DataFrame | ImageRows", own: Sequence[str], extra: Sequence[str], role: str) -> None:
    """Check the columns that the rows themselves need (texts and labels), and those beside them (group, weight)."""
    if not isinstance(rows, ImageRows):
        require_columns(rows, [*own, *extra], role)
    elif rows.table is not None:
        require_columns(rows.table, extra, role)
    elif extra:
        raise DataError(
            f"the {role} images are not a table, and {listed(extra)} name columns of one. "
            "Leave group= and sample_weight= out, or give a table with a column of paths."
        )


def _check_roles(columns: Sequence[str]) -> None:
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise DataError(
            f"column {twice[0]!r} is named more than once among text=, label=, group= and sample_weight=: a column can "
            "have one role only."
        )


def labels_of(rows: "pd.DataFrame | ImageRows", label: str | Sequence[str] | None) -> Any:
    """Return the labels of rows, as `learn_labels` takes them."""
    if isinstance(rows, ImageRows):
        return rows.labels
    if label is None:
        raise DataError(
            f"label= is not given: name the column of labels. The columns: {listed(map(str, rows.columns), 20)}."
        )
    return rows[label] if isinstance(label, str) else rows[list(label)]


def _audit_groups_and_weights(
    train: Any, test: Any, group: str | None, sample_weight: str | None, role: str
) -> list[str]:
    table = train.table if isinstance(train, ImageRows) else train
    if table is None:
        return []
    if role == "validation":
        return _audit_validation_groups(table, test, group, sample_weight)
    if sample_weight is not None:
        sample_weights(table[sample_weight])
    if group is None:
        return []
    codes = group_codes(table[group])
    warnings = []
    if len(set(codes.tolist())) == len(codes):
        warnings.append(f"every training row has a group of its own in {group!r}: grouping changes nothing.")
    test_table = test.table if isinstance(test, ImageRows) else test
    if test_table is not None and group in test_table.columns:
        tested = set(map(str, test_table[group].tolist()))
        shared = {name for name in table[group].tolist() if str(name) in tested}
        if shared:
            warnings.append(
                f"{counted(len(shared), 'group')} of {group!r} stand in both the training and the test rows "
                f"({listed(sorted(shared, key=str))}): test scores may flatter."
            )
    return warnings


def _audit_validation_groups(table: Any, validation: Any, group: str | None, sample_weight: str | None) -> list[str]:
    """Check groups and weights of validation rows; `DataError` where a group is among the training rows too."""
    others: Any = validation.table if isinstance(validation, ImageRows) else validation
    if sample_weight is not None:
        sample_weights(others[sample_weight], "validation")
    if group is None:
        return []
    group_codes(others[group], "validation")
    require_apart(table[group].tolist(), others[group].tolist(), repr(group))
    return []


def require_apart(trained: Sequence[Any], held_out: Sequence[Any], column: str) -> None:
    """Raise DataError where a group of the training rows is one of the validation rows too."""
    known = set(map(str, trained))
    shared = {name for name in held_out if str(name) in known}
    if shared:
        raise DataError(
            f"{counted(len(shared), 'group')} of {column} stand in both the training and the validation rows "
            f"({listed(sorted(shared, key=str))}), so that scores would flatter. Move the rows of each to one side, or "
            "leave group= out."
        )


def _copies(what: str, train: Sequence[Any], test: Sequence[Any], targets: Rows, role: str = "test") -> list[str]:
    """Return a warning where training rows repeat each other, and one where test rows repeat them.

    `train` and `test` have what each row holds, or a digest of it; `what` names it in the message.
    """
    labels: dict[Any, set[str]] = {}
    for content, target in zip(train, as_list(targets), strict=True):
        labels.setdefault(content, set()).add(str(target))
    warnings = []
    repeated = len(train) - len(labels)
    if repeated and role != "validation":
        contradicting = sum(len(targets_of_one) > 1 for targets_of_one in labels.values())
        detail = f", and {contradicting} of the repeated ones bear different labels" if contradicting else ""
        warnings.append(
            f"{repeated} of {len(train)} training rows repeat the {what} of another row{detail}: copies on both "
            "sides of a fold flatter its score. Remove them, or give copies one group."
        )
    shared = sum(content in labels for content in test)
    if shared:
        warnings.append(
            f"{shared} of {len(test)} {role} rows have {what} that are training rows too: {role} scores will flatter."
        )
    return warnings


def _contents(rows: "pd.DataFrame | ImageRows", texts: Sequence[str]) -> list[Any]:
    if not isinstance(rows, ImageRows):
        return list(zip(*(rows[column].tolist() for column in texts), strict=True))
    if rows.are_files:
        return [rows.content(row) for row in range(len(rows))]
    images = rows.array if rows.array is not None else ()
    return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]


def audit_examples(train: Examples, test: Examples | None, read_targets: ReadTargets, role: str = "test") -> list[str]:
    """Check training rows, and test rows if any; return warnings, each a sentence for the user.

    `role` says what the second rows are, "test" or "validation". With validation rows the training rows were checked.

    Raises:
        DataError: Numbers are not finite, test rows are unlike the training rows, or a test label is new.
    """
    for examples, which in ((None if role == "validation" else train, "train"), (test, role)):
        for name, field in examples.fields.items() if examples is not None else ():
            _require_finite(name, field, which)
    if test is not None:
        _require_alike(train, test, role)
    targets, warnings = read_targets()
    tested = [] if test is None else _row_digests(test)
    return warnings + _copies("inputs", _row_digests(train), tested, targets, role)


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


def _require_alike(train: Examples, test: Examples, role: str) -> None:
    if train.fields.keys() != test.fields.keys():
        raise DataError(
            f"the train data has the inputs {listed(train.fields)} and the {role} data {listed(test.fields)}. Give "
            "both the same ones."
        )
    for name, field in train.fields.items():
        other = test.fields[name]
        shapes = [rows.row(0).shape for rows in (field, other)]
        differing = [axis for axis, sizes in enumerate(zip(*shapes, strict=False)) if sizes[0] != sizes[1]]
        may_differ = {rows.axis for rows in (field, other) if rows.offsets is not None}
        if len(shapes[0]) != len(shapes[1]) or len(may_differ) > 1 or set(differing) - may_differ:
            raise DataError(
                f"{called(name)} has rows of shape {shapes[0]} in the train data and of shape {shapes[1]} in the "
                f"{role} data. Give the {role} rows the shape of the training rows."
            )
        if field.elements.dtype != other.elements.dtype:
            raise DataError(
                f"{called(name)} is {field.elements.dtype} in the train data and {other.elements.dtype} in the {role} "
                "data. Give both one type of number."
            )


def _row_digests(examples: Examples) -> list[bytes]:
    """Return a digest of each row's inputs."""
    contents = []
    for row in range(len(examples.targets)):
        content = hashlib.sha256()
        for field in examples.fields.values():
            content.update(np.ascontiguousarray(field.row(row)).tobytes())
        contents.append(content.digest())
    return contents
