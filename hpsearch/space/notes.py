"""What a space's file says to its reader: what it is for, and where each number comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Notes:
    """What is written beside a search space; it is no part of the search.

    Attributes:
        title: What the space is, in a line.
        task: What it is for: "text", "image", or an empty string.
        source: Literature that the space as a whole is taken from.
        sources: Name of a hyperparameter to the literature that its numbers are taken from.
        checked: Name of a hyperparameter to whether all of its numbers were compared with the texts and code that its
            source names; False where one of them is from memory. A name that is missing says nothing either way.
    """

    title: str = ""
    task: str = ""
    source: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    checked: Mapping[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is said as plain values; what is not said is left out."""
        values = {
            "title": self.title,
            "task": self.task,
            "source": self.source,
            "sources": dict(self.sources),
            "checked": dict(self.checked),
        }
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Notes":
        """Return the notes that `to_json` wrote; other keys are passed over."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})
