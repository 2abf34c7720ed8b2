"""Tiny models, tokenizers and rows that the tests of this room are made of. Nothing is downloaded."""

import functools
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hpsearch.tasks.pretrained import quiet

WORDS = (
    "the",
    "a",
    "film",
    "was",
    "great",
    "awful",
    "fine",
    "dull",
    "plot",
    "loved",
    "hated",
    "every",
    "minute",
    "of",
    "it",
)
TEXT = "AutoModelForSequenceClassification"
IMAGE = "AutoModelForImageClassification"
_SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
_TEXT = {**_SMALL, "vocab_size": 40, "max_position_embeddings": 66, "pad_token_id": 0}
_VISION = {**_SMALL, "image_size": 16, "patch_size": 4}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 40}
_T5 |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 5}
_BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
_BART |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 40, "max_position_embeddings": 66}
_BART |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 5, "decoder_start_token_id": 5}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 40, "n_positions": 64}


def config_of(name: str, **changed: Any) -> Any:
    """Return the config of a tiny model of this architecture."""
    made: dict[str, tuple[type, dict[str, Any]]] = {
        "bert": (transformers.BertConfig, _TEXT),
        "roberta": (transformers.RobertaConfig, _TEXT),
        "electra": (transformers.ElectraConfig, {**_TEXT, "embedding_size": 16}),
        "albert": (transformers.AlbertConfig, {**_TEXT, "embedding_size": 16}),
        "distilbert": (
            transformers.DistilBertConfig,
            {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48, "vocab_size": 40, "max_position_embeddings": 66},
        ),
        "deberta": (
            transformers.DebertaV2Config,
            {**_TEXT, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
            | {"conv_kernel_size": 3, "norm_rel_ebd": "layer_norm", "type_vocab_size": 0, "share_att_key": True},
        ),
        "gpt2": (transformers.GPT2Config, {**_GPT2, "bos_token_id": 5, "eos_token_id": 5}),
        "deberta-v1": (
            transformers.DebertaConfig,
            {**_TEXT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 32}
            | {"type_vocab_size": 0},
        ),
        "t5": (transformers.T5Config, _T5),
        "bart": (transformers.BartConfig, _BART),
        "nystromformer": (transformers.NystromformerConfig, {**_TEXT, "num_landmarks": 8, "segment_means_seq_len": 8}),
        "yoso": (transformers.YosoConfig, _TEXT),
        "ibert": (transformers.IBertConfig, _TEXT),
        "canine": (transformers.CanineConfig, _TEXT),
        "openai-gpt": (transformers.OpenAIGPTConfig, _GPT2),
        "ctrl": (
            transformers.CTRLConfig,
            {"n_embd": 32, "dff": 48, "n_layer": 2, "n_head": 2, "n_positions": 70, "vocab_size": 40},
        ),
        "xlnet": (
            transformers.XLNetConfig,
            {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "vocab_size": 40},
        ),
        "vit": (transformers.ViTConfig, _VISION),
        "deit": (transformers.DeiTConfig, _VISION),
        "swin": (
            transformers.SwinConfig,
            {
                "image_size": 16,
                "patch_size": 2,
                "embed_dim": 16,
                "depths": [1, 1],
                "num_heads": [2, 2],
                "window_size": 4,
            },
        ),
        "resnet": (
            transformers.ResNetConfig,
            {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        ),
        "convnext": (transformers.ConvNextConfig, {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}),
        "pvt": (
            transformers.PvtConfig,
            {"image_size": 32, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
            | {"num_attention_heads": [1, 2, 2, 2]},
        ),
        "mobilenet": (transformers.MobileNetV2Config, {"depth_multiplier": 0.25, "image_size": 32}),
    }
    kind, arguments = made[name]
    return kind(**{**arguments, **changed})


@functools.cache
def _state(name: str, changed: tuple[tuple[str, Any], ...]) -> Any:
    torch.manual_seed(7)
    with quiet():
        return transformers.AutoModel.from_config(config_of(name, **dict(changed)))


def save_base(name: str, folder: Path, **changed: Any) -> Path:
    """Write a base model without a head, drawn from a fixed seed."""
    with quiet():
        _state(name, tuple(changed.items())).save_pretrained(folder)
    return folder


def save_tokenizer(
    folder: Path,
    *,
    pad: bool = True,
    pairs: bool = True,
    ends: bool = False,
    words: Sequence[str] = WORDS,
    **settings: Any,
) -> Path:
    """Write a tokenizer of whole words: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, <end> 5, then `words`."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<end>"]
    vocabulary = {word: code for code, word in enumerate([*special, *words])}
    built = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    if pairs:
        built.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    if ends:
        built.post_processor = processors.TemplateProcessing(
            single="$A <end>", pair="$A <end> $B <end>", special_tokens=[("<end>", 5)]
        )
    tokens = {"pad_token": "[PAD]"} if pad else {}
    names = ["input_ids", "token_type_ids", "attention_mask"] if pairs else ["input_ids", "attention_mask"]
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built,
        unk_token="[UNK]",
        eos_token="<end>",
        model_input_names=names,
        **tokens,
        **settings,
    ).save_pretrained(folder)
    return folder


def save_text_model(folder: Path, name: str = "bert", *, ends: bool = False, **changed: Any) -> Path:
    """Write a model and its tokenizer; with `ends` each row ends with <end>."""
    save_base(name, folder, **changed)
    return save_tokenizer(folder, pad=name != "gpt2", pairs=name != "gpt2" and not ends, ends=ends)


def review_rows(rows: int = 24, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Return reviews of different lengths, a second text, a class, three labels, a group and a weight."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, size=random.integers(3, 30))) for _ in range(rows)]
    seconds = [" ".join(random.choice(WORDS, size=random.integers(2, 8))) for _ in range(rows)]
    names = np.array(["bad", "good", "mixed", "other"])[np.arange(rows) % classes]
    table = {"text": texts, "second": seconds, "label": names, "site": [f"s{row // 3}" for row in range(rows)]}
    table |= {"weight": np.linspace(0.5, 2.0, rows)}
    table |= {f"is_{name}": (np.arange(rows) // place) % 2 for place, name in enumerate(("long", "kind", "spoiler"), 1)}
    return pd.DataFrame(table)


def booking_rows(rows: int = 24, seed: int = 0) -> pd.DataFrame:
    """Return texts of 3 to 20 words with spans of three types, a group and a weight; some rows have no span.

    A span is a word that tells its type, and perhaps "of it" after it.
    """
    random = np.random.default_rng(seed)
    types = {"great": "praise", "awful": "blame", "minute": "time"}
    table = []
    for row in range(rows):
        words = random.choice(["the", "a", "film", "was", "plot"], size=random.integers(3, 18)).tolist()
        spans = []
        for place in (1, 4, 9)[: row % 4]:
            word = list(types)[random.integers(3)]
            if place < len(words):
                words[place] = f"{word} of it" if random.random() < 0.4 else word
                start = len(" ".join(words[:place])) + 1
                spans.append({"start": start, "end": start + len(words[place]), "label": types[word]})
        table.append({"text": " ".join(words), "spans": spans, "site": f"s{row // 3}", "weight": 0.5 + row / rows})
    return pd.DataFrame(table)


def image_arrays(
    rows: int = 12, size: int = 16, channels: int | None = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images and their labels; the classes differ in brightness."""
    random = np.random.default_rng(seed)
    shape = (rows, size, size) if channels is None else (rows, size, size, channels)
    labels = np.array(["dark", "light"])[np.arange(rows) % 2]
    images = random.integers(0, 128, size=shape) + 120 * (np.arange(rows) % 2).reshape(rows, *[1] * (len(shape) - 1))
    return images.astype(np.uint8), labels


def deep_png(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits and several channels, which Pillow cannot write."""
    kind = {2: 4, 3: 2, 4: 6}[values.shape[2]]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def save_image_folder(folder: Path, rows: int = 8, size: tuple[int, int] = (20, 26)) -> Path:
    """Write PNG files into a folder for each of two classes."""
    import PIL.Image

    random = np.random.default_rng(3)
    for row in range(rows):
        name = ("cat", "dog")[row % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        image = random.integers(0, 256, size=(*size, 3), dtype=np.uint8)
        PIL.Image.fromarray(image).save(folder / name / f"{row:03}.png")
    return folder
