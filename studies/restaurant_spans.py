"""Spans of texts: times, dates, names and numbers of people in what guests of a restaurant write.

Searches learning rate, batch size, epochs and frozen layers of an encoder that tags each token, cross-validated, with
the literature default as its first trial. Then it prints the table, whether the winner beats that default, and the
scores of each type of span on test rows, and writes the report and the model into the study's folder.

    python studies/restaurant_spans.py --train train.json --test test.json --model distilbert/distilbert-base-uncased

It reads restaurant8k as published (Coope et al. 2020: https://github.com/PolyAI-LDN/task-specific-datasets, CC BY 4.0),
and your own rows in any form that hp.TokenClassification takes: {"text": ..., "spans": [{"start": 0, "end": 5, "label":
"city"}]} a line (.jsonl), or a CoNLL file. Without --train it makes a hundred sentences up, and without --model trains
a small encoder on them from scratch: to see that all of it runs.

Stop it with Ctrl-C whenever you like; run the same command to continue.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp
from hpsearch.records import TrialState

HOURS = ("noon", "six", "half past seven", "8pm", "19:30")
DAYS = ("today", "tomorrow", "on Friday", "next Sunday")
PARTIES = ("two", "4", "six people", "a party of ten")


def read(path: str) -> Any:
    """Return rows: of restaurant8k as its two columns, of another file its path."""
    if Path(path).suffix != ".json":
        return path
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    return rows if "userInput" not in rows[0] else [restaurant_row(row) for row in rows]


def restaurant_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of restaurant8k as text and spans; a span that starts at 0 does not say so there."""
    spans = [
        (label["valueSpan"].get("startIndex", 0), label["valueSpan"]["endIndex"], label["slot"])
        for label in row.get("labels", [])
    ]
    return {"text": row["userInput"]["text"], "spans": spans}


def made_up(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return made-up bookings, no two the same."""
    random = np.random.default_rng(seed)
    table: dict[str, list[tuple[int, int, str]]] = {}
    while len(table) < rows:
        text, spans = "a table", []
        for before, choices, label in ((" for ", PARTIES, "people"), (" at ", HOURS, "time"), (" ", DAYS, "date")):
            if random.random() < 0.7:
                start = len(text + before)
                text += before + str(random.choice(choices))
                spans.append((start, len(text), label))
        table[text + str(random.choice([".", " please", "?"]))] = spans
    return [{"text": text, "spans": spans} for text, spans in table.items()]


def small_encoder(folder: Path) -> str:
    """Write the config of a small encoder and a tokenizer of the made-up words; it is trained from scratch."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    words = Tokenizer(models.WordPiece(unk_token=special["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=list(special.values()), show_progress=False)
    words.train_from_iterator([row["text"] for row in made_up(300)], trainer)
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, words.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    BertConfig(
        vocab_size=words.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def study(arguments: argparse.Namespace) -> hp.Study:
    """Return the study."""
    if arguments.train is None:
        rows = made_up(150)
        train, test = rows[:100], rows[100:]
    else:
        train, test = read(arguments.train), None if arguments.test is None else read(arguments.test)
    model, is_small = arguments.model, arguments.model is None
    if is_small:
        model = small_encoder(Path(arguments.folder) / "small-encoder")
    task = hp.TokenClassification(
        model, train=train, test=test, text=arguments.text, spans=arguments.spans, overlapping="longest",
        pretrained=not is_small,
    )  # fmt: skip
    # The ranges of BERT's authors (Devlin et al. 2019, appendix A.3), and higher learning rates for small encoders.
    space = hp.Space(
        learning_rate=hp.Float(3e-3, 3e-2, log=True) if is_small else hp.Float(1e-5, 1e-3, log=True),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=8 if is_small else hp.Int(2, 6),
        freeze_layers=0 if is_small else hp.Float(0.0, 0.5),
        default={"learning_rate": 1e-2, "batch_size": 8}
        if is_small
        else {"learning_rate": 5e-5, "batch_size": 16, "epochs": 4, "freeze_layers": 0.0},
    )
    return hp.Study(
        arguments.name, task, space, cv=arguments.cv, metric="f1", metrics=["precision", "recall", "token_accuracy"],
        seed=arguments.seed, folder=arguments.folder,
    )  # fmt: skip


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="texts with spans: restaurant8k's JSON, JSONL, Parquet or CoNLL")
    parser.add_argument("--test", help="further ones that the search never sees, for the final score")
    parser.add_argument("--text", default="text", help="the column of texts (default: text)")
    parser.add_argument("--spans", default="spans", help="the column of spans (default: spans)")
    parser.add_argument("--model", help="a hub model or a local folder; without one a small encoder from scratch")
    parser.add_argument("--trials", type=int, default=12, help="trials in all, earlier ones included (default: 12)")
    parser.add_argument("--timeout", help="pause after this time: 2h, 90m, 30s")
    parser.add_argument("--devices", default="auto", help="auto, cpu, cuda, cuda:0, inline, or a number of workers")
    parser.add_argument("--folder", default="runs", help="where studies are kept (default: runs)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, runs and sampler (default: 0)")
    parser.add_argument("--cv", type=int, default=3, help="folds of the cross-validation (default: 3)")
    parser.add_argument("--name", default="restaurant-spans", help="the study's name; choose another for other data")
    return parser.parse_args(words)


def main(arguments: argparse.Namespace) -> int:
    made = study(arguments)
    devices = int(arguments.devices) if arguments.devices.isdigit() else arguments.devices
    result = made.run(trials=arguments.trials, timeout=arguments.timeout, devices=devices)
    print(result.text(), flush=True)
    if not result.history.finished(TrialState.COMPLETE):
        print("\nNo trial is complete: there is no winner yet. Run this again to go on, or see the reasons above.")
        return 1
    evidence = result.evidence()
    if evidence is not None:
        print(f"\nDoes the winner beat the literature default? {evidence.verdict} ({evidence.method})")
    if result.plan.rows.test_rows:
        scores = result.test_scores()
        print("on test rows: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    print(f"report: {result.report(made.folder / 'report.html')}")
    print(f"model: {result.export(made.folder / 'model', overwrite=True)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(parsed()))
    except hp.HpsearchError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
