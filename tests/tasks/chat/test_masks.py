"""Which tokens of a row are trained: against TRL's masks, kept as data, and where these say nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chat_samples import MORE, STYLES, TOOL, rows_for, tokenizer_for, turns

from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.chat.columns import Given
from hpsearch.tasks.chat.conversations import read_rows
from hpsearch.tasks.chat.masks import Masker
from hpsearch.tasks.chat.templates import ChatTemplate

DATA = Path(__file__).parent / "data"
THOUGHT = "<think>\n\n</think>\n\n"

ALSO_TRAINED = {"chatml": {"\n"}, "gemma": {"\n"}, "qwen3": {"\n", THOUGHT}}
"""What TRL trains and hpsearch does not, on purpose, by style: what the template adds and no answer produces."""


def row_of(given):
    table = pd.DataFrame([given])
    return read_rows(table, Given().found_in(list(table.columns), "train"), "train")[0]


def masker_for(tokenizer, *, everything=False, **options):
    return Masker(tokenizer, ChatTemplate(tokenizer, None, options, "model"), everything=everything)


def runs(mask):
    """Return the beginning and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def trained_text(tokenizer, masked):
    return [tokenizer.decode(masked.tokens[start:stop]) for start, stop in runs(masked.trained)]


@pytest.mark.parametrize("marked", [True, False], ids=["marks", "prefixes"])
@pytest.mark.parametrize("name", STYLES)
def test_masks_are_those_of_trl(name, marked):
    """With a template that marks its answers, and with the stock one that does not."""
    style = STYLES[name]
    tokenizer = tokenizer_for(style, marked=marked)
    masker = masker_for(tokenizer)
    kept = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    rows = rows_for(style)
    assert len(rows) == len(kept) >= 10
    for number, (given, expected) in enumerate(zip(rows, kept, strict=True)):
        made = masker.masked(row_of(given), number, "train")
        theirs = np.array(expected["trained"], dtype=bool)
        assert made.tokens.tolist() == expected["tokens"]
        assert not (made.trained & ~theirs).any()
        more = [tokenizer.decode(made.tokens[a:b]) for a, b in runs(theirs & ~made.trained)]
        assert set(more) <= ALSO_TRAINED.get(name, set())
        assert made.trained.any()


@pytest.mark.parametrize("name", STYLES)
def test_the_end_of_turn_is_trained_and_nothing_behind_it(name):
    style = STYLES[name]
    tokenizer = tokenizer_for(style, marked=False)
    made = masker_for(tokenizer).masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train")
    ends = {"chatml": "<|im_end|>", "llama": "<|eot|>", "gemma": "</turn>", "mistral": "</s>", "qwen3": "<|im_end|>"}
    lead = " " if name == "mistral" else ""
    assert trained_text(tokenizer, made) == [f"{lead}1{ends[name]}", f"{lead}2{ends[name]}"]


@pytest.mark.parametrize("cue", [True, False], ids=["cue", "no cue"])
@pytest.mark.parametrize("marked", [True, False], ids=["marks", "prefixes"])
@pytest.mark.parametrize("name", STYLES)
def test_an_answer_that_also_stands_in_what_the_template_writes(name, marked, cue):
    """In headers, marks of thoughts, ends of turns, and in what the user says."""
    tokenizer = tokenizer_for(STYLES[name], marked=marked)
    if not cue:  # which makes the header a part of what is looked through
        tokenizer.chat_template = tokenizer.chat_template.replace("add_generation_prompt", "false")
    masker = masker_for(tokenizer)
    for said in ("a", "t", "assistant", "model", "n", "think", "INST", "end", "im", "s", "|", "<"):
        made = masker.masked(row_of({"messages": turns(f"Say {said}", said, said, said)}), 0, "train")
        ends = ("<|im_end|>", "<|eot|>", "</turn>", "</s>")
        texts = [text.strip() for text in trained_text(tokenizer, made)]
        assert len(texts) == 2 and set(texts) <= {said + end for end in ends}, said


def test_an_end_of_turn_behind_a_mark_is_trained():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=True)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ '<|im_end|>' }}{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>' }}"
    )
    assert "{% endgeneration %}{{ '<|im_end|>' }}" in tokenizer.chat_template
    made = masker_for(tokenizer).masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train")
    assert trained_text(tokenizer, made) == ["1<|im_end|>", "2<|im_end|>"]


@pytest.mark.parametrize("marked", [True, False], ids=["marks", "prefixes"])
def test_only_answers_of_the_completion_are_trained(marked):
    tokenizer = tokenizer_for(STYLES["chatml"], marked=marked)
    given = {"prompt": turns("One?", "1", "Two?"), "completion": turns("", "2", "Three?", "3")[1:]}
    made = masker_for(tokenizer).masked(row_of(given), 0, "train")
    assert trained_text(tokenizer, made) == ["2<|im_end|>", "3<|im_end|>"]


def test_thoughts_are_trained_where_they_are_the_answers_own():
    tokenizer = tokenizer_for(STYLES["qwen3"], marked=False)
    masker = masker_for(tokenizer)
    texts = [trained_text(tokenizer, masker.masked(row_of(given), 0, "train")) for given in MORE["thoughts"]]
    assert texts[0] == ["<think>\nAdd them.\n</think>\n\nFour.<|im_end|>"]
    assert texts[1] == ["<think>\nTake one away.\n</think>\n\nEight.<|im_end|>"]


@pytest.mark.parametrize("options", [{}, {"enable_thinking": False}])
def test_an_empty_block_of_thoughts_is_not_trained(options):
    tokenizer = tokenizer_for(STYLES["qwen3"], marked=False)
    masker = masker_for(tokenizer, **options)
    made = masker.masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train")
    assert trained_text(tokenizer, made) == ["1<|im_end|>", "2<|im_end|>"]
    assert set(made.added) == ({THOUGHT} if not options else set())


def test_a_call_of_a_tool_is_trained_and_what_the_tool_says_is_not():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    made = masker_for(tokenizer).masked(row_of(MORE["tools"][0]), 0, "train")
    call, answer = trained_text(tokenizer, made)
    assert call.startswith("<call>") and '"seats"' in call and call.endswith("</call><|im_end|>")
    assert answer == "Yes, four seats.<|im_end|>"


def test_everything_can_be_trained():
    tokenizer = tokenizer_for(STYLES["llama"], marked=False)
    made = masker_for(tokenizer, everything=True).masked(row_of({"messages": turns("One?", "1")}), 0, "train")
    assert made.trained.all()


def test_a_pad_token_that_is_the_end_of_text_changes_no_mask():
    masks = []
    for pads_with_end in (True, False):
        tokenizer = tokenizer_for(STYLES["mistral"], marked=False, pads_with_end=pads_with_end)
        masks.append(masker_for(tokenizer).masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train"))
    assert np.array_equal(masks[0].tokens, masks[1].tokens) and np.array_equal(masks[0].trained, masks[1].trained)
    assert masks[0].tokens[-1] == tokenizer.eos_token_id and masks[0].trained[-1]


def test_there_is_one_start_token():
    """The template writes it, and the tokenizer adds one to texts."""
    tokenizer = tokenizer_for(STYLES["llama"], marked=False)
    masker = masker_for(tokenizer)
    start = tokenizer.bos_token_id
    for given in (
        {"messages": turns("One?", "1")},
        {"prompt": "One?", "completion": " 1"},
        {"prompt": f"{tokenizer.bos_token}One?", "completion": " 1"},
        {"text": "One, two."},
        {"text": f"{tokenizer.bos_token}One, two."},
    ):
        made = masker.masked(row_of(given), 0, "train")
        assert made.tokens[0] == start and (made.tokens == start).sum() == 1
        prompt = masker.prompt(row_of(given))
        assert prompt.tolist() == made.tokens[: len(prompt)].tolist()


def test_a_completion_and_the_end_of_text_are_trained():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    masker = Masker(tokenizer, None, everything=False)
    made = masker.masked(row_of({"prompt": "Where is the train?", "completion": " On the bridge."}), 0, "train")
    assert trained_text(tokenizer, made) == [" On the bridge.<|end|>"]
    whole = masker.masked(row_of({"text": "On the bridge."}), 0, "train")
    assert trained_text(tokenizer, whole) == ["On the bridge.<|end|>"]
    ended = masker.masked(row_of({"text": "On the bridge.<|end|>"}), 0, "train")
    assert np.array_equal(whole.tokens, ended.tokens)


def test_a_prompt_that_the_completion_changes_is_an_error():
    masker = Masker(tokenizer_for(STYLES["chatml"], marked=False), None, everything=False)
    with pytest.raises(DataError, match=r"row 3 .*ends in '.*A: '.*Move it to the completion"):
        masker.masked(row_of({"prompt": "Q: where? A: ", "completion": "the bridge"}), 3, "train")


def template(tokenizer, text):
    tokenizer.chat_template = text
    return masker_for(tokenizer)


def test_an_empty_mask_is_an_error_that_names_the_row():
    """As with stock templates that mark nothing of what they write."""
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    silent = (
        "{% for turn in messages %}{% if turn.role == 'tool' %}{% generation %}{{ turn.content }}{% endgeneration %}"
    )
    silent += "{% else %}{{ turn.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    with pytest.raises(DataError, match=r"row 5 .* does not go with the chat template of 'model': no token of it"):
        template(tokenizer, silent).masked(row_of({"messages": turns("One?", "1")}), 5, "train")


def test_a_text_that_does_not_begin_the_whole_is_an_error():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    counting = "{{ messages | length }}{% for turn in messages %}{{ turn.content + '<|im_end|>' }}{% endfor %}"
    with pytest.raises(DataError, match=r"row 1 .*before message 1 is not where the text of all messages begins"):
        template(tokenizer, counting).masked(row_of({"messages": turns("One?", "1")}), 1, "train")


def test_a_token_across_the_beginning_of_an_answer_is_an_error():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    joining = "{% for turn in messages %}{{ turn.role + ': ' + turn.content + '<|im_end|>' }}{% endfor %}"
    joining += "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    with pytest.raises(DataError, match=r"row 0 .*ends in .*assistant: .*joins its first word"):
        template(tokenizer, joining).masked(row_of({"messages": turns("Where?", "the bridge")}), 0, "train")
    made = template(tokenizer, joining).masked(row_of({"messages": turns("Where?", "Xanten")}), 0, "train")
    assert trained_text(tokenizer, made) == ["Xanten<|im_end|>"]


def test_what_a_template_refuses_names_the_row():
    tokenizer = tokenizer_for(STYLES["gemma"], marked=False)
    with pytest.raises(DataError, match=r"row 2 .*There is no role system"):
        masker_for(tokenizer).masked(row_of(MORE["system"][0]), 2, "train")
    two = [{"role": "user", "content": "One?"}, *turns("Two?", "2")]
    with pytest.raises(DataError, match=r"row 4 .*take turns"):
        masker_for(tokenizer).masked(row_of({"messages": two}), 4, "train")


def test_a_template_is_needed_for_conversations_and_an_end_of_text_for_texts():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    tokenizer.chat_template = None
    with pytest.raises(TaskError, match=r"'model' has no chat template.*chat_template="):
        ChatTemplate(tokenizer, None, {}, "model")
    given = ChatTemplate(tokenizer, STYLES["chatml"].plain, {}, "model")
    assert Masker(tokenizer, given, everything=False).masked(row_of({"messages": turns("One?", "1")}), 0, "train")
    tokenizer.eos_token = None
    with pytest.raises(TaskError, match="no end-of-text token"):
        Masker(tokenizer, None, everything=False)


def test_a_template_for_tools_is_taken_where_there_are_tools():
    tokenizer = tokenizer_for(STYLES["chatml"], marked=False)
    with_tools = tokenizer.chat_template
    tokenizer.chat_template = {"default": with_tools.replace("Call one of", "No tools"), "tool_use": with_tools}
    made = masker_for(tokenizer).masked(row_of(MORE["tools"][0]), 0, "train")
    assert "Call one of" in tokenizer.decode(made.tokens) and TOOL["function"]["name"] in tokenizer.decode(made.tokens)


FAMILIES = {
    # Llama 3: a header of role and line feeds; the cue is that of an assistant's.
    "llama3": STYLES["llama"].plain,
    # The same without a cue of its own: the header belongs to the text behind the cue.
    "llama3 without a cue": STYLES["llama"].plain.partition("{% if add_generation_prompt %}")[0],
    # Mistral: no header; system text before the first user's.
    "mistral": STYLES["mistral"].plain,
    # Mistral since its third version: system text before the last user's.
    "mistral, system text last": (
        "{{ bos_token }}{% set lead = namespace(text='', last=0) %}{% for turn in messages %}"
        "{% if turn.role == 'system' %}{% set lead.text = turn.content + '\\n\\n' %}"
        "{% elif turn.role == 'user' %}{% set lead.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for turn in messages %}{% if turn.role == 'user' %}"
        "{{ '[INST] ' + (lead.text if loop.index0 == lead.last else '') + turn.content + '[/INST]' }}"
        "{% elif turn.role == 'assistant' %}{{ ' ' + turn.content + eos_token }}{% endif %}{% endfor %}"
    ),
    "gemma": STYLES["gemma"].plain,
    "qwen3": STYLES["qwen3"].plain,
    "chatml": STYLES["chatml"].plain,
    # ChatML of reasoning models: the cue opens a block of thoughts, which answers of the past do not have.
    "a cue that opens thoughts": STYLES["chatml"].plain.replace(
        "assistant\\n' }}{% endif %}", "assistant\\n<think>\\n' }}{% endif %}"
    ),
}
"""Templates in the style of families of models, written for these tests."""

WORDS = ["a", "t", "s", "assistant", "user", "system", "<", "think", "[", "model", "\\n", "turn", "Be short.", "INST"]
"""Answers that also stand in headers, in blocks of thoughts, in what users say or in system texts."""


def family(name):
    style = next((each for each in ("llama", "mistral", "gemma", "qwen3") if name.startswith(each)), "chatml")
    tokenizer = tokenizer_for(STYLES[style], marked=False)
    tokenizer.chat_template = FAMILIES[name]
    return tokenizer, STYLES[style]


@pytest.mark.parametrize("name", FAMILIES)
def test_words_that_stand_elsewhere_too_are_found_where_the_answer_is(name):
    """In one turn and in several, with a system text where the template takes one."""
    tokenizer, style = family(name)
    masker = masker_for(tokenizer)
    end = {"llama": "<|eot|>", "gemma": "</turn>", "mistral": "</s>"}.get(
        next((key for key in STYLES if STYLES[key] is style), ""), "<|im_end|>"
    )
    lead = " " if name.startswith("mistral") else ""
    for word in WORDS:
        given = turns("What is a?", word, f"Say {word} again", word)
        made = masker.masked(row_of({"messages": given}), 0, "train")
        assert trained_text(tokenizer, made) == [f"{lead}{word}{end}"] * 2, word
        if "system" in style.takes:
            system = [{"role": "system", "content": f"Be short. Say {word}."}, *turns("What is a?", word)]
            made = masker.masked(row_of({"messages": system}), 0, "train")
            assert trained_text(tokenizer, made) == [f"{lead}{word}{end}"], word


def test_a_mark_around_an_empty_block_of_thoughts_leaves_the_answers_own_words():
    tokenizer = tokenizer_for(STYLES["qwen3"], marked=True)
    for word in ("t", "think", "<", "a"):
        made = masker_for(tokenizer).masked(row_of({"messages": turns("What?", word)}), 0, "train")
        assert trained_text(tokenizer, made) == [f"{word}<|im_end|>"]


def test_a_template_that_writes_earlier_turns_in_another_way_is_an_error_that_names_the_row():
    """A system text before the last user's: the first answer's text does not begin the whole."""
    tokenizer, _ = family("mistral, system text last")
    with pytest.raises(DataError, match=r"row 7 .* does not go with the chat template.*before message 2 is not where"):
        masker_for(tokenizer).masked(row_of(MORE["system"][0]), 7, "train")


def test_a_role_that_a_template_does_not_take_is_an_error_that_names_the_row():
    tokenizer, _ = family("gemma")
    with pytest.raises(DataError, match=r"row 3 .*There is no role system"):
        masker_for(tokenizer).masked(row_of(MORE["system"][0]), 3, "train")


@pytest.mark.parametrize(
    ("name", "ending"), [("a cue that opens thoughts", "<think>\n"), ("chatml", ""), ("qwen3", "")]
)
def test_a_cue_that_no_trained_answer_begins_with_is_told(name, ending):
    tokenizer, _ = family(name)
    made = masker_for(tokenizer).masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train")
    assert made.untrained_cue.endswith(ending) and bool(made.untrained_cue) == bool(ending)
    said = "{{ turn.content }}"
    marked = tokenizer.chat_template.replace(said, "{% generation %}" + said + "{% endgeneration %}")
    tokenizer.chat_template = marked
    made = masker_for(tokenizer).masked(row_of({"messages": turns("One?", "1", "Two?", "2")}), 0, "train")
    assert bool(made.untrained_cue) == bool(ending)
