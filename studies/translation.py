"""Translation or summarisation with an encoder-decoder: your CSV in, a fine-tuned model out.

Searches the learning rate, the epochs and the label smoothing around the values that Marian and BART are fine-tuned
with; a tenth of the rows is held out. Trials are compared by the loss of a token, or by a metric of generated texts,
which takes longer and says more. Then it prints the table, scores the winner on rows that the search has not seen, and
writes the report and the model into the study's folder, with a predict.py that translates.

    python studies/translation.py --train train.csv --test test.csv --source english --target german \\
        --model Helsinki-NLP/opus-mt-en-de --metric chrf --trials 8

T5 is told what to do: --prefix "translate English to German: ", and wants a greater --learning-rate (3e-4). Models of
many languages are told which: --source-language en_XX --target-language de_DE. Stop it with Ctrl-C whenever you like;
run the same command to continue.
"""

import argparse
import sys
from collections.abc import Sequence

import hpsearch as hp
from hpsearch.records import TrialState


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="pairs of texts: CSV, TSV, JSONL or Parquet")
    parser.add_argument("--test", help="further pairs that the search never sees, for the final score")
    parser.add_argument("--source", default="source", help="the column of texts to read (default: source)")
    parser.add_argument("--target", default="target", help="the column of texts to write (default: target)")
    parser.add_argument("--model", default="Helsinki-NLP/opus-mt-en-de", help="a hub model or a local folder")
    parser.add_argument("--prefix", default="", help="what stands before every source")
    parser.add_argument("--source-language", help="its code, for models of many languages")
    parser.add_argument("--target-language", help="its code, for models of many languages")
    parser.add_argument("--max-length", type=int, default=128, help="most tokens of a text (default: 128)")
    parser.add_argument("--learning-rate", type=float, default=5e-5, help="the middle of its range (default: 5e-5)")
    parser.add_argument("--batch-size", type=int, default=16, help="rows a step (default: 16)")
    parser.add_argument("--metric", default="loss", help="loss, chrf, bleu, rouge_l or exact_match (default: loss)")
    parser.add_argument("--trials", type=int, default=8, help="trials in all, earlier ones included (default: 8)")
    parser.add_argument("--timeout", help="pause after this time: 2h, 90m, 30s")
    parser.add_argument("--devices", default="auto", help="auto, cpu, cuda, cuda:0, inline, or a number of workers")
    parser.add_argument("--folder", default="runs", help="where studies are kept (default: runs)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, runs and sampler (default: 0)")
    parser.add_argument("--name", default="translation", help="the study's name; choose another for other data")
    return parser.parse_args(words)


def study(arguments: argparse.Namespace) -> hp.Study:
    """Return the study."""
    task = hp.SequenceToSequence(
        arguments.model, train=arguments.train, test=arguments.test, source=arguments.source, target=arguments.target,
        prefix=arguments.prefix, source_language=arguments.source_language, target_language=arguments.target_language,
        max_source_length=arguments.max_length, max_target_length=arguments.max_length,
    )  # fmt: skip
    middle = arguments.learning_rate
    space = hp.Space(
        learning_rate=hp.Float(middle / 5, middle * 6, log=True), epochs=hp.Int(1, 3),
        label_smoothing_factor=hp.Categorical([0.0, 0.1]), batch_size=arguments.batch_size,
        default={"learning_rate": middle, "epochs": 3, "label_smoothing_factor": 0.1},
    )  # fmt: skip
    return hp.Study(
        arguments.name, task, space, metric=arguments.metric, metrics=["loss", "token_accuracy"], seed=arguments.seed,
        folder=arguments.folder,
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    made = study(arguments)
    devices = int(arguments.devices) if arguments.devices.isdigit() else arguments.devices
    result = made.run(trials=arguments.trials, timeout=arguments.timeout, devices=devices)
    print(result.text(), flush=True)
    if not result.history.finished(TrialState.COMPLETE):
        print("\nNo trial is complete: there is no winner yet. Run this again to go on, or see the reasons above.")
        return 1
    if arguments.test:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in result.test_scores().items())
        print(f"test rows, once, after training on all training rows: {scores}")
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
