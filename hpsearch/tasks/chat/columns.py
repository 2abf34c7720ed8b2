"""In which columns rows of conversations and texts come: the forms that are recognised, and what is said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.data.wording import listed
from hpsearch.errors import DataError, TaskError, nearest

PREFERENCES = ("chosen", "rejected")


@dataclass(frozen=True)
class Form:
    """One form that rows come in.

    Attributes:
        name: What it is called in sentences.
        parts: The parts that a row needs; each is a column, under its own name unless another one is given.
        options: Parts that a row may have.
    """

    name: str
    parts: tuple[str, ...]
    options: tuple[str, ...] = ()


MESSAGES = Form("messages", ("messages",), ("tools",))
SHARED = Form("conversations", ("conversations",), ("system", "tools"))
COMPLETIONS = Form("prompts and completions", ("prompt", "completion"), ("tools",))
INSTRUCTIONS = Form("instructions and outputs", ("instruction", "output"), ("input", "system"))
TEXTS = Form("plain texts", ("text",))

FORMS = (MESSAGES, SHARED, COMPLETIONS, INSTRUCTIONS, TEXTS)
"""The first whose columns are there is taken. Data sets with `messages` often keep their first prompt beside them."""

PARTS = tuple(dict.fromkeys(part for form in FORMS for part in (*form.parts, *form.options)))


@dataclass(frozen=True)
class Columns:
    """Where the parts of each row stand.

    Attributes:
        form: The form of the rows.
        names: Part to column, of those that are there.
    """

    form: Form
    names: Mapping[str, str]

    def text(self, role: str) -> str:
        """Return what was recognised, as a sentence."""
        columns = listed(self.names.values(), len(self.names))
        return f"The {role} rows were read as {self.form.name}, from {columns}."


@dataclass(frozen=True)
class Given:
    """Columns that the user names.

    Attributes:
        names: Part to column.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Any) -> "Given":
        """Check the argument `columns=` of a task.

        Raises:
            TaskError: It is no mapping of parts to names, or there is no such part.
        """
        if columns is None:
            return cls()
        if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns.values()):
            raise TaskError(
                f"columns={columns!r}: give part to column, such as columns={{'prompt': 'question', 'completion': "
                "'answer'}."
            )
        for part in columns:
            if part not in PARTS:
                raise TaskError(f"columns={{{part!r}: ...}}:{nearest(str(part), PARTS)} Parts are {', '.join(PARTS)}.")
        return cls(dict(columns))

    def all(self) -> list[str]:
        """Return all columns that may be read."""
        return list(dict.fromkeys(self.names.get(part, part) for part in PARTS))

    def found_in(self, present: Sequence[str], role: str) -> Columns:
        """Return the form of rows with these columns.

        Raises:
            DataError: They have none, or lack a column that the user names.
        """
        for part, name in self.names.items():
            if name not in present:
                raise DataError(
                    f"the {role} data has no column {name!r} for columns={{{part!r}: {name!r}}}."
                    f"{nearest(name, present)} Its columns: {listed(present, 20)}."
                )
        for form in FORMS:
            parts = (*form.parts, *form.options)
            names = {part: self.names.get(part, part) for part in parts}
            if self.names.keys() <= set(parts) and all(names[part] in present for part in form.parts):
                return Columns(form, {part: name for part, name in names.items() if name in present})
        raise DataError(
            f"the {role} data has no columns that are known to hold conversations or texts.{_hint(present)} Known are "
            f"{', '.join(' + '.join(form.parts) for form in FORMS)}; name others, such as columns={{'prompt': "
            f"'question', 'completion': 'answer'}}. Its columns: {listed(present, 20)}."
        )


def _hint(present: Sequence[str]) -> str:
    """Return what is likely wrong with such columns, after a space, or nothing."""
    if set(PREFERENCES) <= set(present):
        return " Rows with chosen and rejected are for preference training: name the chosen column as the completion."
    for form in FORMS:
        lacking = [part for part in form.parts if part not in present]
        if len(form.parts) > len(lacking) > 0:
            return (
                f" There is {form.parts[0]!r}, and {lacking[0]!r} is missing."
                if lacking[0] != form.parts[0]
                else (f" There is {form.parts[1]!r}, and {lacking[0]!r} is missing.")
            )
    return ""
