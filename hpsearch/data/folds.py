"""Folds: which rows a run trains on, and which it is judged on."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hpsearch.data.atomic_write import replaced_file
from hpsearch.data.dataset import RaggedRows
from hpsearch.data.fingerprint import fingerprint_arrays
from hpsearch.errors import DataError


@dataclass(frozen=True)
class Holdout:
    """One fold: this share of the rows is held out, the others are trained on."""

    test_size: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 < self.test_size < 1.0:
            raise DataError(
                f"Holdout(test_size={self.test_size!r}): the share of the rows held out lies between 0 and 1, "
                "such as Holdout(0.2)."
            )


@dataclass(frozen=True)
class GivenValidation:
    """One fold: the rows that a task's `validation=` gave are held out, the training rows are trained on."""

    def __repr__(self) -> str:
        return "<the validation rows that you gave>"


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds of a study.

    Attributes:
        pairs: For each fold (training rows, held-out rows), int64, ascending, read-only.
    """

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __post_init__(self) -> None:
        frozen = []
        for pair in self.pairs:
            rows = tuple(np.sort(np.asarray(side, dtype=np.int64)) for side in pair)
            for side in rows:
                side.setflags(write=False)
            frozen.append((rows[0], rows[1]))
        object.__setattr__(self, "pairs", tuple(frozen))

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folds) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def test_share(self, fold: int) -> float:
        """Return the held-out rows as a share of all rows of this fold: a fifth at five folds."""
        training, held_out = self.pairs[fold]
        return len(held_out) / (len(training) + len(held_out))

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of the rows of every fold."""
        return fingerprint_arrays(self.to_arrays())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return four int64 arrays that hold the folds, for `numpy.savez` or a dataset."""
        training = RaggedRows.from_rows((pair[0] for pair in self.pairs), np.int64)
        held_out = RaggedRows.from_rows((pair[1] for pair in self.pairs), np.int64)
        return {**training.to_arrays("training"), **held_out.to_arrays("held_out")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Folds":
        """Read back what `to_arrays` gave."""
        training = RaggedRows(np.asarray(arrays["training_values"]), np.asarray(arrays["training_offsets"]))
        held_out = RaggedRows(np.asarray(arrays["held_out_values"]), np.asarray(arrays["held_out_offsets"]))
        return cls(tuple(zip(training, held_out, strict=True)))

    def write(self, path: str | Path) -> None:
        """Write the folds to an .npz file, whole or not at all."""
        with replaced_file(Path(path)) as file:
            np.savez(file, allow_pickle=False, **self.to_arrays())

    @classmethod
    def read(cls, path: str | Path) -> "Folds":
        """Read what `write` wrote; `DataError` where the file is missing or damaged."""
        try:
            # Opened here, for NumPy leaves a damaged file open.
            with Path(path).open("rb") as file:
                zipfile.ZipFile(file).close()  # else NumPy would call a damaged archive a pickle
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    return cls.from_arrays(arrays)
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise DataError(
                f"the folds in {str(path)!r} cannot be read: {error}. Remove the file and run the study's own script "
                "again, which makes the same folds from its cv and seed."
            ) from error
