"""Texts with spans become tagged tokens, by the offsets of fast tokenizers of each make."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import transformers
from tasks_samples import save_base, save_text_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hpsearch.errors import TaskError
from hpsearch.tasks.spans.encoder import SpanEncoder
from hpsearch.tasks.spans.tags import UNTAGGED, Tags, read_spans

TAGS = Tags(("people", "time"))
AUTO = "AutoModelForTokenClassification"
TEXTS = ["a table for 12 at 8pm tonight", "table for two, tonight at 20:30", "\N{SMILING FACE WITH SUNGLASSES} two"]
SPANS = [[(12, 14, "people"), (18, 29, "time")], [(10, 13, "people"), (15, 31, "time")], [(2, 5, "people")]]


def words(folder: Path) -> Path:
    """WordPiece, as BERT's: 12 is two tokens, 8pm three."""
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "table", "for", "1", "##2", "at", "8", "##p", "##m", "tonight"]
    known += ["two", ",", "20", ":", "30"]
    made = Tokenizer(models.WordPiece({word: code for code, word in enumerate(known)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _saved(made, folder, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def bytes_of_words(folder: Path) -> Path:
    """Byte-level BPE, as GPT-2's: the space before a word belongs to its token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    return _saved(made, folder, pad_token="!", eos_token='"')


def pieces(folder: Path) -> Path:
    """Unigram over marked spaces, as sentencepiece's: a space may be a token of its own."""
    vocabulary = [("<pad>", 0.0), ("<unk>", -9.0), ("▁", -2.0), ("▁a", -3.0), ("▁table", -3.0), ("▁for", -3.0)]
    vocabulary += [("▁two", -3.0), ("▁at", -3.0), ("ton", -4.0), ("ight", -4.0), ("pm", -4.0)]
    vocabulary += [(letter, -6.0) for letter in "128030,:"]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=1, byte_fallback=False))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return _saved(made, folder, pad_token="<pad>", unk_token="<unk>", eos_token="<unk>")


def _saved(made: Tokenizer, folder: Path, **special: str) -> Path:
    save_base("bert", folder, vocab_size=400)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    return folder


def encoded(
    folder: Path, texts: list[str] = TEXTS, spans: Any = SPANS, max_length: int | None = None
) -> tuple[Any, SpanEncoder]:
    encoder = SpanEncoder(str(folder), AUTO, "text", "spans", TAGS, max_length)
    rows = pd.DataFrame({"text": texts}).assign(spans=pd.Series(spans, dtype=object))
    return encoder.encode(rows, "train", folder), encoder


def said(found: Any, row: int, texts: list[str] = TEXTS) -> list[tuple[str, str]]:
    """Return what the tags of a row say, in words."""
    offsets = found.arrays["tokens_offsets"]
    part = slice(offsets[row], offsets[row + 1])
    codes, starts, ends = (found.arrays[f"token_{name}"][part] for name in ("codes", "starts", "ends"))
    is_tagged = codes != UNTAGGED
    spans = read_spans(codes[is_tagged], np.zeros(is_tagged.sum(), int), starts[is_tagged], ends[is_tagged])
    return [
        (texts[row][start:end], TAGS.types[kind])
        for start, end, kind in zip(spans.starts, spans.ends, spans.types, strict=True)
    ]


@pytest.mark.parametrize("made", [words, bytes_of_words, pieces])
def test_spans_are_found_again_whatever_the_tokens(made: Any, tmp_path: Path) -> None:
    found, _ = encoded(made(tmp_path))
    for row, (text, spans) in enumerate(zip(TEXTS, SPANS, strict=True)):
        assert said(found, row) == [(text[start:end], name) for start, end, name in spans], row
    assert not [text for text in found.warnings if "span" in text]
    assert len(found.arrays["token_codes"]) == len(found.arrays["tokens_values"])


def test_the_tokens_are_those_of_a_text_and_only_special_ones_have_no_tag(tmp_path: Path) -> None:
    found, encoder = encoded(words(tmp_path))
    assert (
        found.arrays["tokens_values"][: found.arrays["tokens_offsets"][1]].tolist()
        == encoder.tokenizer(TEXTS[0])["input_ids"]
    )
    names = [*TAGS.names, "-"]
    codes = np.where(found.arrays["token_codes"] == UNTAGGED, 5, found.arrays["token_codes"])
    assert " ".join(names[code] for code in codes[: found.arrays["tokens_offsets"][1]]) == (
        "- O O O B-people I-people O B-time I-time I-time I-time -"
    )


def test_what_no_prediction_can_find_is_counted_and_named(tmp_path: Path) -> None:
    folder = words(tmp_path)
    spans = [[(12, 14, "people"), (19, 29, "time")], [(10, 12, "people"), (15, 31, "time")], []]
    found, _ = encoded(folder, spans=spans, max_length=8)
    within, cut = (next(text for text in found.warnings if words in text) for words in ("within a token", "beyond"))
    assert "1 train span that begin or end within a token; 'tw' ('people') in row 1 is the first" in within
    assert "2 train spans beyond the 8 tokens of a row; 'pm tonight' ('time') in row 0 is the first" in cut
    assert said(found, 1)[0] == ("two", "people")  # the whole token is trained on
    whole, _ = encoded(folder, spans=spans)
    assert not [text for text in whole.warnings if "beyond" in text]


def test_a_text_of_which_no_token_is_left_has_one_without_a_tag(tmp_path: Path) -> None:
    folder = bytes_of_words(tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace("x", "")
    tokenizer.save(str(folder / "tokenizer.json"))
    found, encoder = encoded(folder, ["xx", "two"], [[], [(0, 3, "people")]])
    assert found.arrays["tokens_values"][0] == encoder.pad_token_id
    assert found.arrays["token_codes"].tolist()[0] == UNTAGGED
    assert found.arrays["tokens_offsets"].tolist()[:2] == [0, 1]


def test_settings_tell_tags_apart(tmp_path: Path) -> None:
    folder = words(tmp_path)
    one, other = (
        SpanEncoder(str(folder), AUTO, "text", "spans", Tags(types), None).settings() for types in (("a",), ("a", "b"))
    )
    assert one["tags"] == ["O", "B-a", "I-a"]
    assert {name for name in one if one[name] != other[name]} == {"tags"}


def test_a_slow_tokenizer_is_an_error_before_any_training(tmp_path: Path) -> None:
    folder = save_base("canine", tmp_path)
    transformers.CanineTokenizer().save_pretrained(folder)
    with pytest.raises(TaskError, match=r"\(CanineTokenizer\) does not say where in the text each token stands"):
        SpanEncoder(str(folder), AUTO, "text", "spans", TAGS, None)


def test_a_model_without_a_head_for_tokens_is_said(tmp_path: Path) -> None:
    folder = save_text_model(tmp_path, "t5")
    save_base("vit", folder)
    with pytest.raises(TaskError, match=r"cannot classify tokens: .* has a token classification class for"):
        SpanEncoder(str(folder), AUTO, "text", "spans", TAGS, None)
