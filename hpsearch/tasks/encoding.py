"""The seam of encoders: rows as a model takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows as arrays.

    Attributes:
        arrays: Name to array, for `write_dataset`.
        facts: What a learner needs to know about them, as JSON keeps it.
        warnings: Sentences for the user.
    """

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


class Encoder(Protocol):
    """A tokenizer or an image processor, with the settings that the task has chosen."""

    def settings(self) -> dict[str, Any]:
        """Return all that the arrays depend on besides the rows and `versions`, as JSON keeps it."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that encode: rows that others have encoded are encoded again."""

    def encode(self, rows: Any, role: str, scratch: Path) -> Encoded:
        """Return these rows as arrays.

        Args:
            rows: A DataFrame or ImageRows.
            role: "train" or "test", for warnings and errors.
            scratch: A folder for what is too large for memory, on the disk that the arrays will be written to.
        """
