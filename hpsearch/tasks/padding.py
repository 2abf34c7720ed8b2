"""What rows of texts are padded with: decided once, in force in training, and written into what is exported."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from hpsearch.errors import TaskError

_LEFT_PADDED = ("xlnet",)
"""Models that read the class off the last token of a row; all others are padded on the right."""

_TYPES = "token_type_ids"
_SETTINGS = ("padding_side", "truncation_side", "model_input_names")


def settle_pad_token(tokenizer: Any, config: Any, source: str) -> None:
    """Give a tokenizer the pad token that the model is trained with.

    That of the model's config, which some models count positions by, or find the last token of a row by. Where the
    config names none, or one that the tokenizer has no token for, the tokenizer's own; else its end-of-text token.

    Raises:
        TaskError: There is none of these.
    """
    own = getattr(text_config(config), "pad_token_id", None)
    if own is not None and own != tokenizer.pad_token_id:
        token = _token_of(tokenizer, own)
        if token is not None:
            tokenizer.add_special_tokens({"pad_token": token})
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise TaskError(
                f"the tokenizer of {source!r} has neither a pad token nor an end-of-text token, so rows cannot be "
                "padded to one length. Set tokenizer.pad_token and save it into the model's folder."
            )
        tokenizer.pad_token = tokenizer.eos_token


def tell_config(config: Any, pad_token_id: int) -> None:
    """Write the pad token into a model's config, and into that of its text part."""
    for part in (config, text_config(config)):
        if getattr(part, "pad_token_id", None) != pad_token_id:
            part.pad_token_id = pad_token_id


def padding_facts(tokenizer: Any, config: Any) -> dict[str, Any]:
    """Return what a learner pads its batches with."""
    is_left = getattr(config, "model_type", "") in _LEFT_PADDED
    return {
        "pad_token_id": int(tokenizer.pad_token_id),
        "pad_token_type": int(getattr(tokenizer, "pad_token_type_id", 0)) if is_left else 0,
        "padding_side": "left" if is_left else "right",
    }


def put_in_force(tokenizer: Any, model: nn.Module, facts: Mapping[str, Any], *, has_types: bool) -> None:
    """Set a tokenizer, and what else says how rows are padded, to what a model was trained with.

    Args:
        tokenizer: With the pad token of `settle_pad_token`.
        model: The trained model.
        facts: Those of the rows that it was trained on: the pad token, its type and side, and the greatest length.
        has_types: Whether it was given the types of tokens. Without them most models take all types for 0, and the
            tokenizer may go on giving them; GPT-2 and its like would add an embedding that they were trained without.
    """
    tokenizer.padding_side = facts["padding_side"]
    tokenizer.model_max_length = int(facts["max_length"])
    config: Any = model.config
    if not has_types and getattr(config, "type_vocab_size", None) in (None, 0, 1):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != _TYPES]
    for name in _SETTINGS:  # what `save_pretrained` does not find here it leaves to the class, which may say otherwise
        tokenizer.init_kwargs[name] = getattr(tokenizer, name)
    if getattr(config, "use_mems_eval", False):  # XLNet would hand out its memory, which pipelines cannot take apart
        config.use_mems_eval = False
    generation: Any = getattr(model, "generation_config", None)
    if generation is not None:
        generation.pad_token_id = facts["pad_token_id"]


def text_config(config: Any) -> Any:
    """Return the part of a config that is about texts; all of it where there are no parts, or several of texts."""
    try:
        return config.get_text_config()
    except ValueError:
        return config


def _token_of(tokenizer: Any, code: int) -> str | None:
    """Return the token of this code, or None where the tokenizer has none of its own."""
    if not 0 <= code < len(tokenizer):
        return None
    token = tokenizer.convert_ids_to_tokens(code)
    return token if token is not None and tokenizer.convert_tokens_to_ids(token) == code else None
