"""How rows become tokens, as the tasks say it; nothing here loads a tokenizer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.data.wording import listed
from hpsearch.errors import TaskError
from hpsearch.tasks.chat.columns import Given


@dataclass(frozen=True)
class RowSettings:
    """How rows become tokens; see the tasks for what each means."""

    columns: Given
    max_length: int | None = None
    block: int | None = None
    everything: bool = False
    packing: bool = False
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    takes_texts: bool = True
    takes_conversations: bool = True


def check_kwargs(value: Any) -> dict[str, Any]:
    """Return the variables of a template; `TaskError` where they are none that JSON keeps."""
    if value is not None and not (isinstance(value, Mapping) and _is_plain(value)):
        raise TaskError(
            f"chat_template_kwargs={value!r}: give names and values that JSON has, such as "
            "{'enable_thinking': False}."
        )
    reserved = {"messages", "tools", "add_generation_prompt"} & set(value or {})
    if reserved:
        raise TaskError(f"chat_template_kwargs has {listed(sorted(reserved))}, which each row decides. Leave them out.")
    return dict(value or {})


def _is_plain(value: Mapping[str, Any]) -> bool:
    try:
        json.dumps(dict(value))
    except (TypeError, ValueError):
        return False
    return all(isinstance(name, str) for name in value)
