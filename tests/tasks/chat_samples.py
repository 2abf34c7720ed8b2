"""Templates, tokenizers, rows and tiny models for conversations. All are made here; nothing is downloaded.

Also read by `data/make_masks.py`, in an environment of TRL's own, so it imports nothing of hpsearch or pytest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import transformers

_MERGES = (("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "a"), ("i", "n"), ("r", "e"), ("Ġ", "s"), ("o", "n"), ("Ġ", "b"))
_MARKS = {"«": "{% generation %}", "»": "{% endgeneration %}"}
"""Where a template's source has an answer's marks."""


@dataclass(frozen=True)
class Style:
    """A chat template in the style of a family of models.

    Attributes:
        source: Jinja, with « and » where marks go.
        special: Its tokens.
        start, end: Beginning and end of text.
        takes: Which of `MORE` it takes.
    """

    source: str
    special: tuple[str, ...]
    end: str
    start: str | None = None
    takes: tuple[str, ...] = ()

    @property
    def marked(self) -> str:
        made = self.source
        for sign, mark in _MARKS.items():
            made = made.replace(sign, mark)
        return made

    @property
    def plain(self) -> str:
        return self.source.replace("«", "").replace("»", "")


_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\\nCall one of:' }}{% for tool in tools %}{{ '\\n' + tool | tojson }}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}"
)
_CALLS = "{% for call in turn.tool_calls or [] %}{{ '<call>' + call.function | tojson + '</call>' }}{% endfor %}"
_CUE = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

STYLES = {
    "chatml": Style(
        _TOOLS
        + "{% for turn in messages %}{{ '<|im_start|>' + turn.role + '\\n' }}"
        + "{% if turn.role == 'assistant' %}«{{ turn.content }}"
        + _CALLS
        + "{{ '<|im_end|>' }}»{{ '\\n' }}"
        + "{% else %}{{ turn.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        + _CUE,
        ("<|im_start|>", "<|im_end|>", "<|end|>"),
        "<|end|>",
        takes=("system", "tools"),
    ),
    "llama": Style(
        "{{ bos_token }}{% for turn in messages %}{{ '<|head|>' + turn.role + '<|/head|>\\n\\n' }}"
        "{% if turn.role == 'assistant' %}«{{ turn.content | trim + '<|eot|>' }}»"
        "{% else %}{{ turn.content | trim + '<|eot|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\\n\\n' }}{% endif %}",
        ("<|begin|>", "<|head|>", "<|/head|>", "<|eot|>", "<|end|>"),
        "<|end|>",
        start="<|begin|>",
        takes=("system",),
    ),
    "gemma": Style(
        "{{ bos_token }}{% for turn in messages %}"
        "{% if turn.role not in ('user', 'assistant') %}{{ raise_exception('There is no role ' + turn.role) }}"
        "{% endif %}"
        "{% if (turn.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and assistant take turns') }}"
        "{% endif %}{% if turn.role == 'assistant' %}{{ '<turn>model\\n' }}«{{ turn.content | trim + '</turn>\\n' }}»"
        "{% else %}{{ '<turn>user\\n' + turn.content | trim + '</turn>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}",
        ("<bos>", "<turn>", "</turn>", "<eos>", "<pad>"),
        "<eos>",
        start="<bos>",
    ),
    "mistral": Style(
        "{{ bos_token }}{% set lead = namespace(text='') %}{% for turn in messages %}"
        "{% if turn.role == 'system' %}{% set lead.text = turn.content + '\\n\\n' %}"
        "{% elif turn.role == 'user' %}{{ '[INST] ' + lead.text + turn.content + '[/INST]' }}{% set lead.text = '' %}"
        "{% else %}«{{ ' ' + turn.content | trim + eos_token }}»{% endif %}{% endfor %}",
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "</s>",
        start="<s>",
        takes=("system",),
    ),
    "qwen3": Style(
        "{% set last = namespace(query=0) %}"
        "{% for turn in messages %}{% if turn.role == 'user' %}{% set last.query = loop.index0 %}{% endif %}"
        "{% endfor %}"
        + _TOOLS
        + "{% for turn in messages %}{{ '<|im_start|>' + turn.role + '\\n' }}{% if turn.role == 'assistant' %}"
        "{% set thought = (turn.reasoning_content or '') | trim %}{% set said = turn.content %}"
        "{% if '</think>' in said %}{% set thought = said.split('</think>')[0].split('<think>')[-1] | trim %}"
        "{% set said = said.split('</think>')[-1].lstrip('\\n') %}{% endif %}«"
        "{% if loop.index0 > last.query %}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}{{ said }}"
        + _CALLS
        + "{{ '<|im_end|>\\n' }}»"
        "{% else %}{{ turn.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        + _CUE
        + "{% if add_generation_prompt and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|end|>"),
        "<|im_end|>",
        takes=("system", "tools", "thoughts"),
    ),
}


def turns(*texts: str) -> list[dict[str, Any]]:
    """Return messages of a user and an assistant in turn."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


TOOL = {
    "type": "function",
    "function": {
        "name": "seats",
        "description": "Free seats in a row",
        "parameters": {"type": "object", "properties": {"row": {"type": "integer"}}, "required": ["row"]},
    },
}

ROWS: list[dict[str, Any]] = [
    {"messages": turns("Name a colour.", "Blue.")},
    {"messages": turns("And the sea?", "Grey in the rain,\nblue in the sun.")},
    {"messages": turns("One?", "1", "Two?", "2", "Three?", "3")},
    {"messages": turns("Repeat: yes", "yes", "Repeat: yes", "yes")},
    {"messages": turns("Wie heißt das?", "Übermut, 漢字, 🙂.")},
    {"messages": turns("Blanks around", "in the middle of  it")},
    {"messages": turns("A list", "- one\n- two\n\n- three")},
    {"messages": turns("the answer is the question", "the answer is the question")},
    {"prompt": turns("Where is the train?"), "completion": turns("", "On the bridge.")[1:]},
    {"prompt": turns("First?", "One.", "Second?"), "completion": turns("", "Two, and that is all.")[1:]},
]
"""Ten rows that every style takes."""

MORE: dict[str, list[dict[str, Any]]] = {
    "system": [
        {"messages": [{"role": "system", "content": "Be short."}, *turns("Why?", "Because.", "Really?", "Yes.")]}
    ],
    "tools": [
        {
            "messages": [
                *turns("Is there room in the third row?"),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"type": "function", "function": {"name": "seats", "arguments": {"row": 3}}}],
                },
                {"role": "tool", "content": "4"},
                {"role": "assistant", "content": "Yes, four seats."},
            ],
            "tools": [TOOL],
        }
    ],
    "thoughts": [
        {"messages": turns("Two and two?", "<think>\nAdd them.\n</think>\n\nFour.")},
        {
            "messages": [
                *turns("Nine less one?"),
                {"role": "assistant", "reasoning_content": "Take one away.", "content": "Eight."},
            ]
        },
    ],
}


def rows_for(style: Style) -> list[dict[str, Any]]:
    return [*ROWS, *(row for name in style.takes for row in MORE[name])]


def tokenizer_for(style: Style, *, marked: bool, pads_with_end: bool = False) -> Any:
    """Return a byte-level tokenizer with the tokens of a style, its words of up to four letters."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: code for code, token in enumerate([*alphabet, *("".join(pair) for pair in _MERGES)])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, list(_MERGES)))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens([*style.special, "<|pad|>"])
    if style.start is not None:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{style.start} $A", pair=f"{style.start} $A {style.start} $B",
            special_tokens=[(style.start, made.token_to_id(style.start))],
        )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=style.start,
        eos_token=style.end,
        pad_token=style.end if pads_with_end else "<|pad|>",
        chat_template=style.marked if marked else style.plain,
    )


def config_of(kind: str, vocabulary: int, **others: Any) -> Any:
    """Return the config of a causal language model of two layers, 32 wide."""
    sizes = {"vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 48, "max_position_embeddings": 512, "num_key_value_heads": 2}
    if kind == "gpt2":
        small = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512, "vocab_size": vocabulary}
        return transformers.GPT2Config(**small, **others)
    made = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "mistral": transformers.MistralConfig}
    return made[kind](**sizes, **others)


def save_chat_model(
    folder: Path, kind: str = "llama", style: str = "chatml", *, marked: bool = False, pads_with_end: bool = False
) -> Path:
    """Write a tiny model with its tokenizer, and return the folder."""
    import torch

    tokenizer = tokenizer_for(STYLES[style], marked=marked, pads_with_end=pads_with_end)
    tokens = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    tokens["bos_token_id"] = tokenizer.bos_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config_of(kind, len(tokenizer), **tokens))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
