"""Rows in: conversations and texts from whatever columns they stand in, each checked before anything is trained.

Whatever a row lacks is an error that names row and column. None within a message means that it is not there: files of
columns fill in the keys that other rows have. In the arguments of a call and in a tool's schema None is a value: there
only what the tool has no argument for, and what no schema can be, is left out.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.data.wording import listed, shortened
from hpsearch.errors import DataError, nearest
from hpsearch.tasks.chat.columns import COMPLETIONS, INSTRUCTIONS, MESSAGES, SHARED, Columns

if TYPE_CHECKING:
    import pandas as pd

ASSISTANT = "assistant"
ROLES = ("system", "developer", "user", ASSISTANT, "tool")
"""Roles as chat templates know them."""

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys under which a message may have what was thought before its answer."""

SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "assistant": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
    "function_call": ASSISTANT,
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Who speaks in columns of `conversations`, and the role that it is here."""


@dataclass(frozen=True)
class Conversation:
    """A row of messages.

    Attributes:
        messages: Each with `role`, `content` (a text), and perhaps `tool_calls` and others that templates read.
        tools: What the assistant may call, as templates take it, or None.
        begins: The first message that belongs to the completion: answers before it are part of the prompt.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None = None
    begins: int = 0

    @property
    def answers(self) -> list[int]:
        """The places of the messages that are trained."""
        return [at for at in range(self.begins, len(self.messages)) if self.messages[at]["role"] == ASSISTANT]

    @property
    def calls_unknown(self) -> bool:
        """Whether a tool is called, and the row does not say which there are."""
        return not self.tools and any(message.get("tool_calls") for message in self.messages)


@dataclass(frozen=True)
class Writing:
    """A row of text: a prompt, which may be empty, and what comes after it."""

    prompt: str
    completion: str


Row = Conversation | Writing


@dataclass(frozen=True)
class _Place:
    """Where something stands, for errors."""

    role: str
    row: int
    column: str
    message: int | None = None

    def error(self, fault: str, remedy: str) -> DataError:
        where = f"row {self.row} (counted from 0) of the {self.role} data, column {self.column!r}"
        where += "" if self.message is None else f", message {self.message}"
        return DataError(f"{where}: {fault}. {remedy}")


def read_rows(table: "pd.DataFrame", columns: Columns, role: str) -> list[Row]:
    """Return the rows of a table; see `Columns` for where their parts stand.

    Raises:
        DataError: A row cannot be learned from; it names the row and the column.
    """
    read = _READERS.get(columns.form.name, _text_row)
    values = {part: table[name].tolist() for part, name in columns.names.items()}
    rows = []
    for row in range(len(table)):
        cells = {part: _plain(column[row], drops=part != "tools") for part, column in values.items()}
        places = {part: _Place(role, row, name) for part, name in columns.names.items()}
        rows.append(read(cells, places))
    return rows


# ---------------------------------------------------------------------- forms

_Cells = Mapping[str, Any]
_Places = Mapping[str, _Place]


def _messages_row(cells: _Cells, places: _Places) -> Row:
    part = "messages" if "messages" in cells else "conversations"
    given = _listed(cells[part], places[part])
    if not given:
        raise places[part].error("the conversation is empty", "Remove the row, or give it messages.")
    messages = [_message(value, _at(places[part], at)) for at, value in enumerate(given)]
    system = cells.get("system")
    if isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    elif system is not None and not isinstance(system, str):
        raise places["system"].error(
            f"it holds {_shown(system)}, of the type {type(system).__name__}", "Give a text, or leave it empty."
        )
    tools = _tools(cells.get("tools"), places.get("tools"))
    _without_filled(messages, tools)
    return _checked(Conversation(messages, tools), places[part])


def _completions_row(cells: _Cells, places: _Places) -> Row:
    prompt, completion = cells["prompt"], cells["completion"]
    if isinstance(_decoded(prompt), list) or isinstance(_decoded(completion), list):
        before, after = (_listed(cells[part], places[part]) for part in ("prompt", "completion"))
        for part, given in (("prompt", before), ("completion", after)):
            if not given:
                raise places[part].error("there are no messages", "Remove the row, or give it messages.")
        messages = [
            _message(value, _at(places[part], at))
            for part, given in (("prompt", before), ("completion", after))
            for at, value in enumerate(given)
        ]
        tools = _tools(cells.get("tools"), places.get("tools"))
        _without_filled(messages, tools)
        return _checked(Conversation(messages, tools, len(before)), places["completion"])
    return Writing(
        _required_text(prompt, places["prompt"], may_be_blank=True), _required_text(completion, places["completion"])
    )


def _instructions_row(cells: _Cells, places: _Places) -> Row:
    question = _required_text(cells["instruction"], places["instruction"])
    for part in ("input", "system"):
        if cells.get(part) is not None and not isinstance(cells[part], str):
            raise places[part].error(f"it holds {_shown(cells[part])}, no text", "Give a text, or leave it empty.")
    more, system = (cells.get(part) or "" for part in ("input", "system"))
    if more.strip():
        question = f"{question}\n\n{more}"
    messages = [{"role": "system", "content": system}] if system.strip() else []
    messages.append({"role": "user", "content": question})
    messages.append({"role": ASSISTANT, "content": _required_text(cells["output"], places["output"])})
    return Conversation(messages)


def _text_row(cells: _Cells, places: _Places) -> Row:
    return Writing("", _required_text(cells["text"], places["text"]))


_READERS: Mapping[str, Callable[[_Cells, _Places], Row]] = {
    MESSAGES.name: _messages_row,
    SHARED.name: _messages_row,
    COMPLETIONS.name: _completions_row,
    INSTRUCTIONS.name: _instructions_row,
}


# ---------------------------------------------------------------------- values


def _plain(value: Any, *, drops: bool = True) -> Any:
    """Return a cell as plain Python has it; a missing cell is None.

    Args:
        value: The cell, or a part of it.
        drops: Whether None in mappings is left out. In the arguments of a call it is not.
    """
    if hasattr(value, "tolist") and not isinstance(value, str):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {
            str(key): _plain(part, drops=drops and key != "arguments")
            for key, part in value.items()
            if part is not None or not drops
        }
    if isinstance(value, list | tuple):
        return [_plain(part, drops=drops) for part in value]
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _decoded(value: Any, *, drops: bool = True) -> Any:
    """Return what a text of JSON holds, where it is a list; other values as they are."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return _plain(json.loads(value), drops=drops)
        except ValueError:
            return value
    return value


def _shown(value: Any) -> str:
    return shortened(repr(value), 40)


def _listed(value: Any, place: _Place) -> list[Any]:
    decoded = _decoded(value)
    if decoded is None:
        raise place.error("it is missing (NaN)", "Remove the row, or fill it in.")
    if not isinstance(decoded, list):
        raise place.error(
            f"it holds {_shown(value)}, of the type {type(value).__name__}, and no list of messages",
            'Give a list such as [{"role": "user", "content": "..."}, ...], or name other columns with columns=.',
        )
    return decoded


def _required_text(value: Any, place: _Place, *, may_be_blank: bool = False) -> str:
    if value is None:
        raise place.error("it is missing (NaN)", "Remove the row, or fill it in.")
    if not isinstance(value, str):
        raise place.error(
            f"it holds {_shown(value)}, of the type {type(value).__name__}", "Texts are needed: convert the column."
        )
    if not may_be_blank and not value.strip():
        raise place.error("there is no text", "Remove the row, or fill it in.")
    return value


def _at(place: _Place, message: int) -> _Place:
    return _Place(place.role, place.row, place.column, message)


# ---------------------------------------------------------------------- messages


def _message(value: Any, place: _Place) -> dict[str, Any]:
    """Return a message with `role` and `content`."""
    if not isinstance(value, Mapping):
        raise place.error(f"it is {_shown(value)}, no message", 'Give {"role": ..., "content": ...}.')
    if "role" not in value and "from" in value:
        return _spoken(value, place)
    if "role" not in value:
        raise place.error(f"it has no role, only {listed(value) or 'nothing'}", 'Give {"role": ..., "content": ...}.')
    role = value["role"]
    if role not in ROLES:
        raise place.error(
            f"the role {role!r} is unknown",
            f"{nearest(str(role), ROLES).strip()} Roles are {', '.join(ROLES)}.".strip(),
        )
    message = {**value, "content": _content(value, place)}
    if role == ASSISTANT and value.get("tool_calls"):
        message["tool_calls"] = [_call(call, place) for call in value["tool_calls"]]
    elif "tool_calls" in message and message.pop("tool_calls"):
        raise place.error(f"a message of the {role} calls tools", "Only the assistant calls tools: correct its role.")
    return message


def _spoken(value: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    """Return a message that came with `from` and `value`."""
    speaker = value["from"]
    if speaker not in SPEAKERS:
        raise place.error(f"it is from {speaker!r}, which is unknown", f"Known are {', '.join(SPEAKERS)}.")
    if speaker == "function_call":
        called = value.get("value")
        try:
            calls = json.loads(called) if isinstance(called, str) else called
        except ValueError as error:
            raise place.error(
                f"the function call {_shown(called)} is no JSON", "Give its name and arguments."
            ) from error
        calls = calls if isinstance(calls, list) else [calls]
        return {"role": ASSISTANT, "content": "", "tool_calls": [_call(call, place) for call in calls]}
    return {"role": SPEAKERS[speaker], "content": _content({"content": value.get("value")}, place)}


def _content(message: Mapping[str, Any], place: _Place) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message.get("tool_calls"):
        return ""
    if content is None:
        raise place.error("it has no content", "Give a text, or remove the message.")
    if isinstance(content, list):
        return "".join(_part(part, place) for part in content)
    raise place.error(f"its content is {_shown(content)}, of the type {type(content).__name__}", "Give a text.")


def _part(part: Any, place: _Place) -> str:
    """Return the text of a part of a message's content."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    named = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise place.error(
        f"its content has a part of the type {named!r}, which is no text",
        "Language models are trained on texts here: leave rows with images or sounds out.",
    )


def _call(call: Any, place: _Place) -> dict[str, Any]:
    """Return a tool call as templates read it: {"type": "function", "function": {"name": ..., "arguments": {...}}}."""
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise place.error(f"the tool call {_shown(call)} has no name", 'Give {"name": ..., "arguments": {...}}.')
    arguments = inner.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    if not isinstance(arguments, Mapping):
        raise place.error(
            f"the arguments of the tool call {inner['name']!r} are {_shown(inner.get('arguments'))}",
            "Give a mapping, or JSON of one.",
        )
    others = {name: value for name, value in call.items() if name in ("id", "type")}
    return {"type": "function", **others, "function": {"name": inner["name"], "arguments": dict(arguments)}}


def _tools(value: Any, place: _Place | None) -> list[dict[str, Any]] | None:
    if value is None or place is None or (isinstance(value, str) and not value.strip()):
        return None
    tools = _decoded(value, drops=False)
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise place.error(f"it holds {_shown(value)}, no list of tools", "Give a list of JSON schemas, or JSON of one.")
    return [_schema(tool) for tool in tools] or None


_VALUES = ("default", "const")
"""Keys of a JSON schema whose value may be None."""


def _schema(value: Any, *, has_names: bool = False) -> Any:
    """Return a schema without what files of columns filled in; `has_names` says that its keys are an object's."""
    if isinstance(value, Mapping):
        return {
            key: part if key in _VALUES and not has_names else _schema(part, has_names=key == "properties")
            for key, part in value.items()
            if part is not None or (key in _VALUES and not has_names)
        }
    return [_schema(part) for part in value] if isinstance(value, list) else value


def _arguments_of(tools: Sequence[Mapping[str, Any]]) -> dict[Any, set[str]]:
    """Return the arguments that each tool has, by its name; nothing of tools that do not say."""
    functions = [tool.get("function", tool) for tool in tools]
    schemas = {one.get("name"): one.get("parameters") for one in functions if isinstance(one, Mapping)}
    return {name: set(one.get("properties") or ()) for name, one in schemas.items() if isinstance(one, Mapping)}


def _without_filled(messages: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]] | None) -> None:
    """Leave None out of calls where the tool has no such argument: files of columns fill in those of other tools."""
    known = _arguments_of(tools or ())
    for message in messages:
        for call in message.get("tool_calls") or ():
            called = call["function"]
            names = known.get(called["name"])
            given = called["arguments"].items()
            if names is not None:
                called["arguments"] = {key: part for key, part in given if part is not None or key in names}


def _checked(conversation: Conversation, place: _Place) -> Conversation:
    """Return a conversation that can be learned from."""
    messages = conversation.messages
    systems = [at for at, message in enumerate(messages) if message["role"] in ("system", "developer")]
    if len(systems) > 1:
        raise place.error(f"there are {len(systems)} system messages", "Give one, as the first message.")
    if systems and systems[0] != 0:
        raise place.error(f"the system message is number {systems[0]}", "Give it as the first message.")
    if not conversation.answers:
        raise place.error("no message is the assistant's, so there is no answer to learn", "Remove the row.")
    for at in conversation.answers:
        message = messages[at]
        if not message["content"].strip() and not message.get("tool_calls"):
            raise place.error(f"the assistant's message {at} is empty", "Give it a text, or remove the row.")
    return conversation
