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


def save_sequence_model(folder: Path, name: str = "marian", *, ends: bool = True, **changed) -> Path:
    """Write an encoder-decoder with weights, and a tokenizer of whole words whose rows end with <end>."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(5)
        model = transformers.AutoModelForSeq2SeqLM.from_config(sequence_config(name, **changed))
        model.save_pretrained(folder)
    return save_tokenizer(folder, pairs=False, ends=ends, words=ALL)


def save_languages_model(folder: Path, tokenizer: str = "MBart50Tokenizer") -> Path:
    """Write an mBART with a tokenizer that has language codes."""
    known = [*(f"\u2581{word}" for word in ALL), *"\u2581abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")] + [(token, -1.0) for token in known]
    made = getattr(transformers, tokenizer)(vocab=vocabulary)
    made.save_pretrained(folder)
    given = {
        name: value for name, value in _MARIAN.items() if name not in ("decoder_vocab_size", "forced_eos_token_id")
    }
    given |= {"vocab_size": len(made), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(5)
        config = transformers.MBartConfig(**{**given, "decoder_start_token_id": 2})
        transformers.MBartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_spoken_marian(folder: Path) -> Path:
    """Write a Marian with the tokenizer of its own, which has a sentencepiece model for each side."""
    import json

    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    table = pairs(100)
    for name, column in (("source", "en"), ("target", "de")):
        (folder / f"{name}.txt").write_text("\n".join(table[column]), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / f"{name}.txt"), model_prefix=str(folder / name), vocab_size=60, bos_id=-1, pad_id=1,
            eos_id=2, unk_id=0, hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
    sides = [
        sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm")) for name in ("source", "target")
    ]
    pieces = dict.fromkeys(side.id_to_piece(code) for side in sides for code in range(side.get_piece_size()))
    codes = {piece: code for code, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(codes), encoding="utf-8")
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    with quiet():
        transformers.MarianTokenizer(*files, model_max_length=64).save_pretrained(folder)
        given = {"vocab_size": len(codes), "decoder_vocab_size": len(codes), "pad_token_id": codes["<pad>"]}
        given |= {"eos_token_id": codes["</s>"], "decoder_start_token_id": codes["<pad>"]}
        config = sequence_config("marian", **given)
        transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return folder


def pairs(rows: int = 24, seed: int = 0) -> pd.DataFrame:
    """Return texts with their words turned around, a group and a weight."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(len(WORDS), size=random.integers(2, 12)) for _ in range(rows)]
    table = {"en": [" ".join(WORDS[code] for code in row) for row in drawn]}
    table |= {"de": [" ".join(GERMAN[code] for code in row) for row in drawn]}
    table |= {"site": [f"s{row // 3}" for row in range(rows)], "weight": np.linspace(0.5, 2.0, rows)}
    return pd.DataFrame(table)
