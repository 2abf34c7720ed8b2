"""Translation from nothing: a small Marian-shaped model on a few thousand captions, English to German.

No pretrained translation model is inside any package, so its weights are drawn, and its tokenizer is learned from the
training rows. It shows that the whole way works on real rows (loss, BLEU and chrF on held-out rows, through generated
texts), beside what copying the English would score. It does not show a good translator: published models of this
architecture learn from millions of pairs, this one from thousands, and nothing of it was searched.

    python -m benchmarks translation [--rows 4000] [--test-rows 500] [--epochs 14] [--data FOLDER]

It needs multi30k-en-de/ in `--data` and the package sacrebleu, and ends with a word where they are missing.
"""

import argparse
import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hpsearch as hp
from benchmarks.jobs import DATA
from benchmarks.measurements import machine, write_measurements

METRICS = ("token_accuracy", "bleu", "chrf")
VOCABULARY, MOST_TOKENS = 3000, 48
SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def small_marian(folder: Path, texts: Sequence[str], width: int, layers: int) -> tuple[str, int]:
    """Write the config of a Marian and a tokenizer of both languages' sub-words; return its folder and parameters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import AutoModelForSeq2SeqLM, MarianConfig, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL.values()), show_progress=False)
    words.train_from_iterator(texts, trainer)
    pad, end = (words.token_to_id(SPECIAL[name]) for name in ("pad_token", "eos_token"))
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=MOST_TOKENS, **SPECIAL).save_pretrained(folder)
    config = MarianConfig(
        vocab_size=words.get_vocab_size(), decoder_vocab_size=words.get_vocab_size(), d_model=width,
        encoder_layers=layers, decoder_layers=layers, encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width,
        encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=2 * MOST_TOKENS,
        pad_token_id=pad, eos_token_id=end, bos_token_id=None, decoder_start_token_id=pad, forced_eos_token_id=None,
        scale_embedding=True, tie_word_embeddings=True,
    )  # fmt: skip
    config.save_pretrained(folder)
    return str(folder), int(AutoModelForSeq2SeqLM.from_config(config).num_parameters())


def copied(rows: Any) -> dict[str, float]:
    """Return BLEU and chrF of the sources, taken for translations."""
    from sacrebleu.metrics import BLEU, CHRF

    given = rows["source"].tolist(), [rows["target"].tolist()]
    return {"bleu": BLEU().corpus_score(*given).score, "chrf": CHRF().corpus_score(*given).score}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks translation", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA.parent / "multi30k-en-de")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--test-rows", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="where the study is kept; else a temporary one")
    given = parser.parse_args(arguments)
    if importlib.util.find_spec("sacrebleu") is None or not given.data.is_dir():
        print("translation: skipped, for want of the package sacrebleu or of the data (--data)")
        return None
    import pandas

    from hpsearch.tasks.generation.corpus import signature

    folder = given.folder or Path(tempfile.mkdtemp(prefix="hpsearch-translation-"))
    train, held_out = (pandas.read_csv(given.data / f"{name}.csv") for name in ("train", "test"))
    train, held_out = train.iloc[: given.rows], held_out.iloc[: given.test_rows]
    texts = [*train["source"], *train["target"]]
    model, parameters = small_marian(folder / "small-marian", texts, given.width, given.layers)
    task = hp.SequenceToSequence(
        model, train=train, validation=held_out, pretrained=False, max_source_length=MOST_TOKENS,
        max_target_length=MOST_TOKENS,
    )  # fmt: skip
    space = hp.Space(
        learning_rate=given.learning_rate, epochs=given.epochs, batch_size=32, warmup_ratio=0.1, weight_decay=0.01,
        label_smoothing_factor=0.1, default={},
    )  # fmt: skip
    study = hp.Study(
        "translation", task, space, metric="loss", metrics=METRICS, pruner="none", early_stopping=None,
        evaluations_per_epoch=1, folder=folder,
    )  # fmt: skip
    result = study.run(trials=1, devices="inline")
    curves = result.curves().pivot_table(index="epoch", columns="metric", values="value")
    found = {
        "machine": machine(),
        "model": {"parameters": parameters, "width": given.width, "layers": [given.layers, given.layers]},
        "rows": len(train),
        "held-out rows": len(held_out),
        "epochs": given.epochs,
        "steps": given.epochs * -(-len(train) // 32),
        "learning rate": given.learning_rate,
        "by epoch": {
            f"{epoch:g}": {name: float(value) for name, value in row.dropna().items()}
            for epoch, row in curves.iterrows()
        },
        "copying the source": copied(held_out),
        "signatures": {name: signature(name) for name in ("bleu", "chrf")},
        "seconds": round(float(result.table()["seconds"].sum()), 1),
    }
    print(curves.to_string(), found["copying the source"], sep="\n")
    write_measurements("translation", found)
    if given.folder is None:
        shutil.rmtree(folder)
    return found
