"""Mistakes in conversations, their columns, and chat templates."""

import json
from pathlib import Path
from typing import Any

from chat_samples import ROWS, save_chat_model, turns
from mistake import Mistake, World

from hpsearch.errors import DataError, MetricError, TaskError
from hpsearch.tasks.pretrained import quiet

USER = {"role": "user", "content": "One?"}
SYSTEM = {"role": "system", "content": "Be short."}


def _task(**arguments: str) -> str:
    given = {"train": '"chats.jsonl"', **arguments}
    return f'hp.ChatFineTuning("chat-model", {", ".join(f"{name}={value}" for name, value in given.items())})'


TASK = _task()


def _rows(*more: dict[str, Any], style: str = "chatml", template: bool = True) -> World:
    """Return a world with a model, and eight conversations with others behind them."""

    def write(place: Path) -> None:
        with quiet():
            folder = save_chat_model(place / "chat-model", style=style)
        if not template:
            (folder / "chat_template.jinja").unlink()
        rows = [*ROWS[:8], *more] if not more or "messages" in more[0] else list(more)
        (place / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")

    return write


def _messages(*messages: Any, style: str = "chatml") -> World:
    return _rows({"messages": list(messages)}, style=style)


def _answer(content: Any = "1", **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


_AT = "row 8 (counted from 0) of the train data, column 'messages'"

CHATS = [
    Mistake(
        "test rows in another form than the train rows",
        ("the train rows are messages, and the test rows are prompts and completions", "the same columns"),
        DataError,
        task=_task(test='{"prompt": ["One?"], "completion": [" 1"]}'),
        world=_rows(),
    ),
    Mistake(
        "an empty conversation",
        (_AT, "the conversation is empty", "Remove the row"),
        DataError,
        task=TASK,
        world=_messages(),
        process=True,
    ),
    Mistake(
        "a cell that is no list of messages",
        (_AT, "no list of messages", "columns="),
        DataError,
        task=TASK,
        world=_rows({"messages": "One?"}),
    ),
    Mistake(
        "a conversation that is missing (null)",
        (_AT, "it is missing (NaN)"),
        DataError,
        task=TASK,
        world=_rows({"messages": None}),
    ),
    Mistake(
        'an unknown role: `"asistant"`',
        (_AT, "message 1: the role 'asistant' is unknown", "Did you mean 'assistant'?"),
        DataError,
        task=TASK,
        world=_messages(USER, {"role": "asistant", "content": "1"}),
    ),
    Mistake(
        "a conversation without an answer",
        (_AT, "no message is the assistant's", "Remove the row"),
        DataError,
        task=TASK,
        world=_messages(USER),
    ),
    Mistake(
        "an answer that is empty",
        (_AT, "the assistant's message 1 is empty"),
        DataError,
        task=TASK,
        world=_messages(USER, _answer(" ")),
    ),
    Mistake(
        "a message whose content is an image",
        (_AT, "message 0: its content has a part of the type 'image'", "leave rows with images or sounds out"),
        DataError,
        task=TASK,
        world=_messages({"role": "user", "content": [{"type": "image", "url": "cat.png"}]}, _answer()),
    ),
    Mistake(
        "a message whose content is a number",
        (_AT, "message 1: its content is 7", "Give a text"),
        DataError,
        task=TASK,
        world=_messages(USER, _answer(7)),
    ),
    Mistake(
        "two system messages",
        (_AT, "there are 2 system messages", "as the first message"),
        DataError,
        task=TASK,
        world=_messages(SYSTEM, SYSTEM, USER, _answer()),
    ),
    Mistake(
        "messages that do not take turns, for a template that demands it",
        ("row 8 (counted from 0) of the train data does not go with the chat template of", "user and assistant take"),
        DataError,
        task=TASK,
        world=_messages(USER, *turns("Two?", "2"), style="gemma"),
    ),
    Mistake(
        "a tokenizer without a chat template",
        ("has no chat template", "chat_template=", "CausalLanguageModeling"),
        TaskError,
        task=TASK,
        world=_rows(template=False),
    ),
    Mistake(
        "a chat template that says nothing of what is an answer",
        ("row 0 (counted from 0) of the train data does not go with chat_template=", "{% generation %}"),
        DataError,
        task=_task(chat_template='"{{ messages | length }}: {{ messages[-1].content }}"'),
        world=_rows(),
    ),
    Mistake(
        "a chat template that is no valid Jinja",
        ("row 0 (counted from 0) of the train data does not go with chat_template=", "TemplateSyntaxError"),
        DataError,
        task=_task(chat_template='"{% for turn in messages %}"'),
        world=_rows(),
        quotes=True,
    ),
    Mistake(
        "prompts that leave no room for an answer: `max_length=16`",
        ("none of the 8 train rows has a trained token within 16 tokens", "Give a greater max_length="),
        DataError,
        task=_task(max_length="16"),
        world=_rows(),
    ),
    Mistake(
        "a prompt that ends in the blank before its completion",
        ("row 0 (counted from 0) of the train data", "Move it to the completion"),
        DataError,
        task=TASK,
        world=_rows({"prompt": "Where is the train? ", "completion": "a bridge"}),
    ),
    Mistake(
        "a completion that is missing",
        ("row 1 (counted from 0) of the train data, column 'completion': it is missing",),
        DataError,
        task=TASK,
        world=_rows({"prompt": "One?", "completion": " 1"}, {"prompt": "Two?", "completion": None}),
    ),
    Mistake(
        "rows for preference training",
        ("no columns that are known", "preference training", "name the chosen column as the completion"),
        DataError,
        task=TASK,
        world=_rows({"prompt": "One?", "chosen": " 1", "rejected": " 2"}),
    ),
    Mistake(
        "plain texts in the place of conversations",
        ("plain texts (column 'text')", "hp.CausalLanguageModeling"),
        DataError,
        task=TASK,
        world=_rows({"text": "One and two."}),
    ),
    Mistake(
        'a column that is not there: `columns={"messages": "mesages"}`',
        ("no column 'mesages'", "Did you mean 'messages'?"),
        DataError,
        task=_task(columns='{"messages": "mesages"}'),
        world=_rows(),
    ),
    Mistake(
        "a model that is not causal",
        ("is no causal language model", "Give a model such as"),
        TaskError,
        task='hp.CausalLanguageModeling("model", train="train.csv")',
    ),
    Mistake(
        'generated answers as the objective, and none are generated: `metric="chrf"`',
        ("metric 'chrf' is of generated answers", "this task generates none"),
        MetricError,
        task=TASK,
        world=_rows(),
        settings='metric="chrf"',
    ),
    Mistake(
        "models with different tokenizers, compared by the loss of a token",
        ("'loss'", "different tokens", 'metric="chrf"'),
        MetricError,
        task=TASK,
        space='hp.Space(learning_rate=1e-3, model=hp.Categorical(["chat-model", "other-model"]))',
        world=lambda place: (_rows()(place), _other(place)),
    ),
]


def _other(place: Path) -> None:
    with quiet():
        save_chat_model(place / "other-model", style="llama")


GROUPS = {"Conversations": CHATS}
