"""Greedy, bounded generation: what an evaluation, and later whoever loads the exported folder, generates with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.tasks.pretrained import quiet

_OF_TOKENS = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id",
    "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens",
)  # fmt: skip
"""Settings of a model that say which tokens there are. All others (beams, sampling, lengths, penalties) are of
decoding: they were chosen for other data."""


def greedy(model: Any, max_new_tokens: int, **changed: Any) -> Any:
    """Return the settings by which a model generates greedily, at most so many tokens: a GenerationConfig.

    The tokens are those of the model's own settings, but for those `changed`.
    """
    from transformers import GenerationConfig

    own = getattr(model, "generation_config", None)
    tokens = {name: getattr(own, name, None) for name in _OF_TOKENS} | changed
    given = {name: value for name, value in tokens.items() if value is not None}
    return GenerationConfig(max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True, **given)


@torch.no_grad()
def generated(
    model: nn.Module, inputs: Mapping[str, Tensor], settings: Any, progressed: Callable[[], None] = lambda: None
) -> Tensor:
    """Return the tokens that a model generates for a batch, int64; `progressed` is called after each."""
    from transformers import LogitsProcessorList

    def count(_tokens: Tensor, scores: Tensor) -> Tensor:
        progressed()
        return scores

    answering: Any = model
    with quiet(), _in_force(answering, settings), _rounded_weights(model):
        tokens: Tensor = answering.generate(**inputs, logits_processor=LogitsProcessorList([count]))
    return tokens


def _rounded_weights(model: nn.Module) -> AbstractContextManager[Any]:
    """Compute in the half type that a model holds frozen weights in, beside adapters in float32.

    All others generate in float32, whatever the study computes in: an answer is written a token at a time, and autocast
    would round all weights again for each.
    """
    device = next(model.parameters()).device.type
    held = next((each.dtype for each in model.parameters() if each.dtype in (torch.bfloat16, torch.float16)), None)
    return torch.autocast(device, dtype=held or torch.bfloat16, enabled=held is not None)


@contextmanager
def _in_force(model: Any, settings: Any) -> Iterator[None]:
    """Have a model generate by these settings, and by no others: its own fill in whatever is given none for."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
