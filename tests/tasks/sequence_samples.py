"""Tiny encoder-decoders, their tokenizers, and pairs of texts."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from tasks_samples import WORDS, config_of, save_tokenizer

from hpsearch.tasks.pretrained import quiet

GERMAN = tuple(word[::-1] for word in WORDS)
ALL = (*WORDS, *GERMAN)
_MARIAN = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
_MARIAN |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 40, "pad_token_id": 0}
_MARIAN |= {"eos_token_id": 5, "decoder_start_token_id": 0, "max_position_embeddings": 64, "init_std": 0.2}
_MARIAN |= {"bos_token_id": None, "forced_eos_token_id": None, "decoder_vocab_size": 40}


def sequence_config(name: str, **changed):
    if name == "marian":
        return transformers.MarianConfig(**{**_MARIAN, **changed})
    return config_of(name, **changed)


def save_sequence_model(folder: Path, name: str = "marian", **changed) -> Path:
    """Write an encoder-decoder with weights, and a tokenizer of whole words whose rows end with <end>."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(5)
        model = transformers.AutoModelForSeq2SeqLM.from_config(sequence_config(name, **changed))
        model.save_pretrained(folder)
    return save_tokenizer(folder, pairs=False, ends=True, words=ALL)


def pairs(rows: int = 24, seed: int = 0) -> pd.DataFrame:
    """Return texts with their words turned around, a group and a weight."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(len(WORDS), size=random.integers(2, 12)) for _ in range(rows)]
    table = {"en": [" ".join(WORDS[code] for code in row) for row in drawn]}
    table |= {"de": [" ".join(GERMAN[code] for code in row) for row in drawn]}
    table |= {"site": [f"s{row // 3}" for row in range(rows)], "weight": np.linspace(0.5, 2.0, rows)}
    return pd.DataFrame(table)
