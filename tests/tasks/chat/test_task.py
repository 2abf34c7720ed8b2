"""The tasks over causal language models: what they make of rows, and what they say of them."""

import numpy as np
import pandas as pd
import pytest
from chat_samples import MORE, ROWS, STYLES, turns

import hpsearch as hp
from hpsearch.data.dataset import open_dataset
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.generation.texts import as_texts


def chats(count=12):
    return pd.DataFrame([ROWS[row % 8] for row in range(count)])


def long_and_short(count=6):
    """Return rows of which the first has a long prompt, the second a long answer."""
    rows = [turns("Where? " * 30, "Here."), turns("Where?", "Over there, " * 30), *[turns("Where?", "Here.")] * count]
    return pd.DataFrame({"messages": rows[: count + 2], "place": range(count + 2)})


def told(prepared, words):
    return [text for text in prepared.warnings if words in text]


def test_rows_without_a_trained_token_are_left_out_and_named(models, tmp_path):
    task = hp.ChatFineTuning(models(), train=long_and_short(), max_length=60, group="place")
    prepared = task.prepare(tmp_path)
    assert prepared.rows == 7
    assert told(prepared, "1 of 8 train rows have no trained token within 60 tokens and were left out: row 0 (counted")
    assert told(prepared, "2 of 8 train rows are longer than 60 tokens and were cut")
    rows = open_dataset(prepared.folder)
    assert rows["groups"].tolist() == list(range(7))  # of rows 1 to 7
    learner = task.learner(prepared)
    assert learner.lengths.max() == 60 and learner.token_counts.min() > 0
    assert as_texts(learner.truth(np.arange(2))) == [("Over there, " * 30).strip(), "Here."]
    assert task.prepare(tmp_path) == prepared  # what was looked over is not looked over again


def test_rows_of_which_nothing_is_left_are_an_error(models, tmp_path):
    with pytest.raises(DataError, match=r"none of the 8 train rows has a trained token within 20 tokens: .*max_length"):
        hp.ChatFineTuning(models(), train=long_and_short(), max_length=20).prepare(tmp_path)


def test_what_was_recognised_is_said(models, tmp_path, caplog):
    rows = pd.DataFrame({"question": ["One?"] * 4, "reply": [" 1", " 2", " 3", " 4"]})
    columns = {"prompt": "question", "completion": "reply"}
    prepared = hp.ChatFineTuning(models(), train=rows, columns=columns).prepare(tmp_path)
    assert "The train rows were read as prompts and completions, from 'question', 'reply'." in caplog.messages
    assert not prepared.warnings


def test_a_template_of_the_users_is_taken(models, tmp_path):
    made = {}
    for style in ("chatml", "qwen3"):
        task = hp.ChatFineTuning(models(), train=chats(), chat_template=STYLES[style].plain)
        made[style] = task.prepare(tmp_path)
        learner = task.learner(made[style])
        assert ("think" in learner.tokenizer().decode(learner.tokens[0])) == (style == "qwen3")
    assert made["chatml"].data_digest != made["qwen3"].data_digest
    assert told(made["qwen3"], "before answers by itself") and not told(made["chatml"], "before answers by itself")
    plain = hp.ChatFineTuning(models(), train=chats()).prepare(tmp_path)
    options = {"chat_template": STYLES["qwen3"].plain, "chat_template_kwargs": {"enable_thinking": False}}
    quiet = hp.ChatFineTuning(models(), train=chats(), **options).prepare(tmp_path)
    assert not told(quiet, "before answers by itself")
    assert len({plain.data_digest, quiet.data_digest, made["qwen3"].data_digest}) == 3


def test_everything_can_be_trained(models, tmp_path):
    counts = {}
    for train_on in ("answers", "all"):
        task = hp.ChatFineTuning(models(), train=chats(), train_on=train_on)
        learner = task.learner(task.prepare(tmp_path))
        counts[train_on] = learner.token_counts
    assert np.array_equal(counts["all"], learner.lengths - 1)
    assert (counts["answers"] < counts["all"]).all()


def test_texts_end_with_the_end_of_text_and_may_be_blocks(models, tmp_path):
    texts = pd.DataFrame({"story": ["One and two and three and four. " * 6, "Five.", "Six and seven."]})
    whole = hp.CausalLanguageModeling(models(), train=texts, text="story", max_length=50)
    prepared = whole.prepare(tmp_path)
    learner = whole.learner(prepared)
    assert prepared.rows == 3 and told(prepared, "1 of 3 train rows are longer than 50 tokens and were cut")
    end = learner.tokenizer().eos_token_id
    assert [int(learner.tokens[row][-1] == end) for row in range(3)] == [0, 1, 1]
    assert np.array_equal(learner.token_counts, learner.lengths - 1)
    cut = hp.CausalLanguageModeling(models(), train=texts, text="story", block=50)
    blocks = cut.prepare(tmp_path)
    learner = cut.learner(blocks)
    assert blocks.rows > 3 and told(blocks, f"3 train texts were cut into {blocks.rows} blocks of up to 50 tokens")
    assert learner.tokens[blocks.rows - 3][-1] == end  # the last block of the first text
    groups = open_dataset(blocks.folder)["groups"]
    assert len(set(groups.tolist())) == 3 and (groups == groups[0]).sum() == blocks.rows - 2
    assert as_texts(learner.truth(np.arange(blocks.rows))) == [""] * blocks.rows


def test_special_tokens_in_texts_are_told(models, tmp_path):
    rows = pd.concat([chats(6), pd.DataFrame({"messages": [turns("Say <|im_end|>", "No.")]})], ignore_index=True)
    prepared = hp.ChatFineTuning(models(), train=rows).prepare(tmp_path)
    assert told(prepared, "1 of 7 train rows have special tokens of the tokenizer in their texts")


def test_calls_of_tools_are_references_as_json(models, tmp_path):
    call = MORE["tools"][0]
    rows = pd.DataFrame([{"messages": call["messages"][:2], "tools": call["tools"]}, call] * 3)
    task = hp.ChatFineTuning(models(), train=rows)
    learner = task.learner(task.prepare(tmp_path))
    assert as_texts(learner.truth(np.arange(2))) == ['[{"name": "seats", "arguments": {"row": 3}}]', "Yes, four seats."]


def test_conversations_of_a_group_stay_on_one_side(models, tmp_path):
    rows = chats(12).assign(author=[f"author {row // 3}" for row in range(12)])
    task = hp.ChatFineTuning(models(), train=rows, group="author")
    study = hp.Study("grouped", task, hp.Space(learning_rate=1e-3), folder=tmp_path)
    ((train, held_out),) = study.folds.pairs  # a holdout, unless a study says otherwise
    groups = open_dataset(study.prepared.folder)["groups"]
    assert len(held_out) and not set(groups[train]) & set(groups[held_out])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_on": "prompts"}, "train_on='prompts': give 'answers' or 'all'"),
        ({"packing": 1}, "packing=1: give True or False"),
        ({"max_new_tokens": -1}, "max_new_tokens=-1"),
        ({"max_length": 1}, "max_length=1: give a whole number from 2"),
        ({"label": "label"}, "Leave label out"),
        ({"chat_template": 3}, "chat_template=3: give a Jinja template"),
        ({"chat_template_kwargs": {"x": object}}, "give names and values that JSON has"),
        ({"chat_template_kwargs": {"tools": []}}, "which each row decides"),
        ({"columns": {"mesages": "x"}}, "Did you mean 'messages'"),
    ],
)
def test_arguments_are_checked_when_the_task_is_made(models, options, words):
    with pytest.raises(TaskError, match=words):
        hp.ChatFineTuning(models(), train=chats(), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": 3}, "text=3: give the name of the column"),
        ({"block": 1}, "block=1: give a whole number from 2"),
        ({"block": 64, "max_length": 32}, "Leave max_length out"),
        ({"max_new_tokens": 4}, "plain texts have no answers"),
        ({"columns": {"messages": "x"}}, "Name it with text="),
    ],
)
def test_arguments_of_plain_texts_are_checked(models, options, words):
    with pytest.raises(TaskError, match=words):
        hp.CausalLanguageModeling(models(), train=pd.DataFrame({"text": ["One."]}), **options)


def test_each_task_names_the_other_for_its_rows(models, tmp_path):
    texts = pd.DataFrame({"text": ["One.", "Two.", "Three."]})
    with pytest.raises(DataError, match=r"plain texts .*hp\.CausalLanguageModeling"):
        hp.ChatFineTuning(models(), train=texts).prepare(tmp_path)
    with pytest.raises(DataError, match=r"no column 'text'"):
        hp.CausalLanguageModeling(models(), train=chats()).prepare(tmp_path)


def test_validation_rows_are_what_trials_are_evaluated_on(models, tmp_path):
    held_out = pd.concat([long_and_short(2), chats(3)], ignore_index=True)
    task = hp.ChatFineTuning(models(), train=chats(8), validation=held_out, max_length=60)
    study = hp.Study("given", task, hp.Space(learning_rate=1e-3), folder=tmp_path)
    prepared = study.prepared
    assert (prepared.rows, prepared.validation_rows) == (14, 6)  # one has no trained token
    ((train, validation),) = study.folds.pairs
    assert train.tolist() == list(range(8)) and validation.tolist() == list(range(8, 14))
    references = as_texts(task.learner(prepared).truth(validation))
    assert references[0] == ("Over there, " * 30).strip() and references[3:] == [
        "Blue.",
        "Grey in the rain,\nblue in the sun.",
        "3",
    ]


def test_a_model_that_is_not_causal_is_refused(bert_folder, tmp_path):
    with pytest.raises(TaskError, match="is no causal language model"):
        hp.CausalLanguageModeling(bert_folder, train=pd.DataFrame({"text": ["the film was great"] * 4})).prepare(
            tmp_path
        )


def test_calls_of_tools_that_a_row_does_not_have_are_counted(models, tmp_path):
    rows = pd.DataFrame(
        [{"messages": MORE["tools"][0]["messages"]}, *({"messages": turns("One?", "1")} for _ in range(3))]
    )
    prepared = hp.ChatFineTuning(models(), train=rows).prepare(tmp_path)
    assert told(prepared, "In 1 of 4 train rows the assistant calls tools that the row does not have: row 0")


def test_a_cue_behind_which_nothing_is_trained_is_told(models, tmp_path):
    """The cue opens thoughts, and the rows have none."""
    template = STYLES["chatml"].plain.replace("assistant\\n' }}{% endif %}", "assistant\\n<think>' }}{% endif %}")
    assert template != STYLES["chatml"].plain
    prepared = hp.ChatFineTuning(models(), train=chats(), chat_template=template).prepare(tmp_path)
    (said,) = told(prepared, "cues an answer")
    assert "<think>'" in said and "the answers of 12 of 12 train rows are trained behind another" in said


def test_prompts_cut_for_want_of_positions_are_counted_where_answers_are_generated(models, tmp_path):
    """They are cut from the left: the cue is at their end."""
    rows = pd.DataFrame({"messages": [turns("x" * 440, "1"), *[turns("One?", "1")] * 5]})
    prepared = {
        tokens: hp.ChatFineTuning(models("gpt2"), train=rows, max_length=500, max_new_tokens=tokens).prepare(tmp_path)
        for tokens in (0, 100)
    }
    assert not told(prepared[0], "rows have a prompt of more than")
    assert told(prepared[100], "1 of 6 rows have a prompt of more than 412 tokens")
    assert told(prepared[100], "answers are generated from the end of it alone: 'train 0' (rows counted from 0)")


@pytest.mark.parametrize("role", ["validation", "test"])
def test_rows_of_another_form_are_refused(models, tmp_path, role):
    other = pd.DataFrame({"prompt": ["One?"] * 4, "completion": [" 1"] * 4})
    with pytest.raises(
        DataError, match=rf"the train rows are messages, and the {role} rows are prompts and completions"
    ):
        hp.ChatFineTuning(models(), train=chats(), **{role: other}).prepare(tmp_path)
