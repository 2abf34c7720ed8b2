"""An exported causal language model: template, end tokens and how answers are generated go with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hpsearch.tasks.base import Prepared
from hpsearch.tasks.chat.conversations import Conversation, Row
from hpsearch.tasks.chat.learner import greedy
from hpsearch.tasks.chat.settings import RowSettings
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.padding import tell_config
from hpsearch.tasks.pretrained import save_model
from hpsearch.tasks.tokens import load_tokenizer


def save_causal(
    model: nn.Module, folder: Path, prepared: Prepared, facts: Mapping[str, Any], settings: RowSettings
) -> None:
    """Write a model, its tokenizer and its generation settings as `pipeline` reads them.

    Answers are generated greedily, as they were scored, up to any of the end tokens. The tokenizer pads on the left,
    for the answers of a batch begin where its prompts end.
    """
    trained: Any = model
    tokenizer = load_tokenizer(prepared.source, trained.config)
    if settings.chat_template is not None:
        tokenizer.chat_template = settings.chat_template
    tokenizer.padding_side = "left"
    tokenizer.init_kwargs["padding_side"] = "left"  # what `save_pretrained` does not find here it leaves to the class
    tell_config(trained.config, facts["pad_token_id"])
    assert isinstance(prepared.judge, TokenJudge)
    before = trained.generation_config
    trained.generation_config = greedy(facts, prepared.judge.max_new_tokens or None)
    try:
        save_model(model, tokenizer, folder)
    finally:
        trained.generation_config = before


def pipeline_inputs(rows: Sequence[Row]) -> list[Any]:
    """Return rows as a pipeline takes them: the messages before the last answer, or the prompt."""
    return [
        [dict(message) for message in row.messages[: row.answers[-1]]] if isinstance(row, Conversation) else row.prompt
        for row in rows
    ]
