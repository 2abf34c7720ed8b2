"""Rows in whatever columns they come: what is recognised, and what of them is an error."""

import json

import numpy as np
import pandas as pd
import pytest
from chat_samples import MORE, TOOL, turns

from hpsearch.data.sources import read_table
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.chat.columns import Given
from hpsearch.tasks.chat.conversations import Conversation, Writing, read_rows

CALL = {"function": {"name": "seats", "arguments": {"row": 3}}}


def read(table, columns=None, role="train"):
    found = Given.of(columns).found_in([str(name) for name in table.columns], role)
    return read_rows(table, found, role)


def one(columns=None, **cells):
    return read(pd.DataFrame({name: [value] for name, value in cells.items()}), columns)[0]


def said(row):
    return [(message["role"], message["content"]) for message in row.messages]


def test_messages_are_read():
    row = one(messages=turns("One?", "1"))
    assert said(row) == [("user", "One?"), ("assistant", "1")]
    assert row.answers == [1] and row.tools is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet", "frame"])
def test_files_of_every_kind_give_the_same_rows(tmp_path, name):
    """Files of columns fill in keys that other rows have; what is None there is not there."""
    rows = [{"messages": turns("One?", "1"), "tools": None}, MORE["tools"][0]]
    table, path = pd.DataFrame(rows), tmp_path / name
    if name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif name.endswith(".parquet"):
        table.to_parquet(path)
    found = read(read_table(table if name == "frame" else path, columns=["messages", "tools"]))
    assert found == read(table)
    assert found[1].tools == [TOOL] and found[0].tools is None
    assert found[1].messages[1]["tool_calls"] == [{"type": "function", **CALL}]
    assert set(found[1].messages[0]) == {"role", "content"}


def test_prompts_and_completions_are_read():
    assert one(prompt="One?", completion=" 1") == Writing("One?", " 1")
    row = one(prompt=turns("One?", "1", "Two?"), completion=turns("", "2")[1:])
    assert isinstance(row, Conversation) and row.begins == 3 and row.answers == [3]
    named = one({"prompt": "question", "completion": "answer"}, question="One?", answer=" 1")
    assert named == Writing("One?", " 1")


def test_shared_conversations_are_read():
    spoken = [{"from": "human", "value": "One?"}, {"from": "gpt", "value": "1"}]
    row = one(conversations=spoken, system="Be short.")
    assert said(row) == [("system", "Be short."), ("user", "One?"), ("assistant", "1")]
    called = [
        {"from": "human", "value": "Room?"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "observation", "value": "4"},
        {"from": "gpt", "value": "Yes."},
    ]
    row = one(conversations=called, tools=json.dumps([TOOL]))
    assert [message["role"] for message in row.messages] == ["user", "assistant", "tool", "assistant"]
    assert row.messages[1]["tool_calls"][0]["function"] == CALL["function"]


def test_instructions_are_read():
    assert said(one(instruction="Add.", input="1, 2", output="3")) == [("user", "Add.\n\n1, 2"), ("assistant", "3")]
    for empty in ("", None, np.nan):
        assert said(one(instruction="Add.", input=empty, output="3"))[0] == ("user", "Add.")


def test_plain_texts_are_read():
    assert one(text="One, two.") == Writing("", "One, two.")
    assert one({"text": "content"}, content="One, two.") == Writing("", "One, two.")


def test_parts_of_text_are_one_text():
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": " more?"}]
    row = one(messages=[{"role": "user", "content": parts}, {"role": "assistant", "content": "1"}])
    assert said(row)[0] == ("user", "One more?")


def test_messages_are_taken_before_a_prompt_beside_them():
    table = pd.DataFrame([{"prompt": "One?", "messages": turns("One?", "1"), "text": "x"}])
    found = Given().found_in(list(table.columns), "train")
    assert found.text("test") == "The test rows were read as messages, from 'messages'."
    assert Given.of({"text": "text"}).found_in(list(table.columns), "train").form.name == "plain texts"


def assistant(content="1", **others):
    return {"role": "assistant", "content": content, **others}


USER = {"role": "user", "content": "One?"}
SYSTEM = {"role": "system", "content": "Be short."}

BAD = {
    "an empty conversation": ([], "the conversation is empty"),
    "a missing conversation": (np.nan, "it is missing"),
    "a text": ("One?", "no list of messages"),
    "an unknown role": ([{"role": "asistant", "content": "1"}], r"message 0: the role 'asistant'.*mean 'assistant'"),
    "no role": ([{"content": "1"}], "message 0: it has no role"),
    "a message that is none": (["One?"], "message 0: it is 'One\\?', no message"),
    "no answer": ([USER], "no answer to learn"),
    "an empty answer": ([USER, assistant(" ")], "message 1 is empty"),
    "no content": ([USER, {"role": "assistant"}], "message 1: it has no content"),
    "content that is a number": ([USER, assistant(7)], "message 1: its content is 7, of the type int"),
    "an image": (
        [{"role": "user", "content": [{"type": "image", "url": "x"}]}, assistant()],
        "'image', which is no text",
    ),
    "two system messages": ([SYSTEM, SYSTEM, USER, assistant()], "there are 2 system messages"),
    "a late system message": ([USER, SYSTEM, assistant()], "the system message is number 1"),
    "a call without a name": ([USER, assistant("", tool_calls=[{"function": {}}])], "has no name"),
    "a user's call": ([{**USER, "tool_calls": [CALL]}, assistant()], "a message of the user calls tools"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_learned_from_names_row_and_column(what):
    cell, words = BAD[what]
    table = pd.DataFrame({"messages": [turns("One?", "1"), cell]})
    with pytest.raises(DataError, match=rf"^row 1 \(counted from 0\) of the train data, column 'messages'.*{words}"):
        read(table)


def test_arguments_of_a_call_may_be_json_and_nothing_else():
    text = {"function": {"name": "seats", "arguments": '{"row": 3}'}}
    row = one(messages=[USER, assistant("", tool_calls=[text])], tools=[TOOL])
    assert row.messages[1]["tool_calls"][0]["function"]["arguments"] == {"row": 3}
    for wrong in ("row 3", 3, "[3]"):
        call = {"function": {"name": "seats", "arguments": wrong}}
        with pytest.raises(DataError, match="arguments of the tool call 'seats'"):
            one(messages=[USER, assistant("", tool_calls=[call])], tools=[TOOL])


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"prompt": "One?", "completion": None}, "column 'completion': it is missing"),
        ({"prompt": "One?", "completion": "  "}, "column 'completion': there is no text"),
        ({"prompt": 3, "completion": "1"}, "column 'prompt': it holds 3, of the type int"),
        ({"prompt": turns("One?"), "completion": "1"}, "column 'completion': .*no list of messages"),
        ({"instruction": "Add.", "output": np.nan}, "column 'output': it is missing"),
        ({"instruction": "Add.", "input": 3, "output": "3"}, "column 'input': it holds 3"),
        ({"text": ""}, "column 'text': there is no text"),
        ({"conversations": [{"from": "nobody", "value": "1"}]}, "from 'nobody', which is unknown"),
        ({"conversations": [{"from": "function_call", "value": "seats"}]}, "'seats' is no JSON"),
        ({"messages": turns("One?", "1"), "tools": "seats"}, "column 'tools': .*no list of tools"),
        ({"conversations": [{"from": "gpt", "value": "1"}], "system": 3}, "column 'system': it holds 3"),
    ],
)
def test_other_cells_name_row_and_column(cells, words):
    with pytest.raises(DataError, match=rf"row 0 .*{words}"):
        one(**cells)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["question", "answer"], "no columns that are known"),
        (["prompt", "chosen", "rejected"], "preference training"),
        (["prompt", "response"], "There is 'prompt', and 'completion' is missing"),
        (["output"], "There is 'output', and 'instruction' is missing"),
    ],
)
def test_columns_that_are_not_known_are_an_error_with_a_remedy(columns, words):
    with pytest.raises(DataError, match=words):
        Given().found_in(columns, "train")


def test_columns_that_are_named_must_be_there():
    with pytest.raises(DataError, match=r"no column 'mesages' .*Did you mean 'messages'"):
        Given.of({"messages": "mesages"}).found_in(["messages"], "test")
    with pytest.raises(TaskError, match=r"Did you mean 'messages'"):
        Given.of({"message": "messages"})
    with pytest.raises(TaskError, match="give part to column"):
        Given.of(["messages"])


def schema(name, **properties):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def call(name, **arguments):
    return {"function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("name", ["rows.jsonl", "frame"])
def test_none_in_arguments_and_schemas_is_a_value(tmp_path, name):
    first = schema("seats", row={"type": "integer"}, side={"type": "string", "default": None})
    second = schema("fare", stop={"type": "string", "default": None})
    rows = [
        {"messages": [USER, assistant("", tool_calls=[call("seats", row=3, side=None)])], "tools": [first]},
        {"messages": [USER, assistant("", tool_calls=[call("fare", stop="Xanten")])], "tools": [second]},
    ]
    path = tmp_path / name
    if name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read(read_table(pd.DataFrame(rows) if name == "frame" else path, columns=["messages", "tools"]))
    called = [row.messages[1]["tool_calls"][0]["function"]["arguments"] for row in found]
    assert called == [{"row": 3, "side": None}, {"stop": "Xanten"}]
    properties = [row.tools[0]["function"]["parameters"]["properties"] for row in found]
    assert properties[0]["side"] == {"type": "string", "default": None}
    assert set(properties[0]) == {"row", "side"} and set(properties[1]) == {"stop"}


def test_none_in_arguments_is_kept_where_no_schema_says_better():
    given = call("seats", row=None, of={"side": None})
    row = one(messages=[USER, assistant("", tool_calls=[given])])
    assert row.messages[1]["tool_calls"][0]["function"]["arguments"] == {"row": None, "of": {"side": None}}
    assert row.calls_unknown and not one(messages=[USER, assistant()]).calls_unknown
