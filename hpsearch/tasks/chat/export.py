"""An exported causal language model: template, end tokens and how answers are generated go with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hpsearch.tasks.base import Prepared
from hpsearch.tasks.chat.conversations import Conversation, Row
from hpsearch.tasks.chat.learner import answer_settings
from hpsearch.tasks.chat.settings import RowSettings
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.padding import tell_config
from hpsearch.tasks.pretrained import save_model
from hpsearch.tasks.tokens import load_tokenizer

SCRIPT = "predict.py"
"""The name of the script in an exported folder."""

_MESSAGES = '[{"role": "user", "content": line.rstrip()}]'

_PREDICT = '''"""Answer each line: python predict.py < questions.txt"""

import sys
from pathlib import Path

from transformers import GenerationConfig, pipeline

folder = str(Path(__file__).parent)
model, settings = pipeline("text-generation", model=folder), GenerationConfig.from_pretrained(folder)


def predict(prompts):
    answers = model(prompts, return_full_text=False, generation_config=settings, batch_size=len(prompts))
    return [answer[0]["generated_text"].strip() for answer in answers]


if __name__ == "__main__":
    for line in sys.stdin:
        print(*predict([PROMPT]))
'''


def save_causal(
    model: nn.Module, folder: Path, prepared: Prepared, facts: Mapping[str, Any], settings: RowSettings
) -> None:
    """Write a model, its tokenizer and its generation settings as `pipeline` reads them, and a script that does.

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
    trained.generation_config = answer_settings(facts, prepared.judge.max_new_tokens or None)
    try:
        save_model(model, tokenizer, folder)
    finally:
        trained.generation_config = before
    given = _MESSAGES if facts["is_chat"] else "line.rstrip()"
    (folder / SCRIPT).write_text(_PREDICT.replace("PROMPT", given), encoding="utf-8")


def pipeline_inputs(rows: Sequence[Row]) -> list[Any]:
    """Return rows as a pipeline takes them: the messages before the last answer, or the prompt."""
    return [
        [dict(message) for message in row.messages[: row.answers[-1]]] if isinstance(row, Conversation) else row.prompt
        for row in rows
    ]


def how_to_call(prompt: str) -> str:
    """Return Python that answers a prompt, by the settings of the folder: a pipeline of an adapter has its base's."""
    return (
        "from transformers import GenerationConfig, pipeline\n\n"
        'model = pipeline("text-generation", model="path/to/this/folder")\n'
        'settings = GenerationConfig.from_pretrained("path/to/this/folder")\n'
        f'model({prompt}, return_full_text=False, generation_config=settings)[0]["generated_text"]'
    )
