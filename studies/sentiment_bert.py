"""Sentiment, or any other label of a text, with BERT: your CSV in, a fine-tuned model out.

Searches the space "bert" (every number in it is taken from a paper; see `hpsearch spaces bert`), cross-validated, with
the literature default as its first trial. Then it prints the table and whether the winner beats that default, and
writes the report and the model into the study's folder. The first time, the evidence and the model take a training on
all rows each.

    python studies/sentiment_bert.py --train reviews.csv --test held-out.csv --text review --label sentiment \\
        --model distilbert/distilbert-base-uncased --trials 20

Stop it with Ctrl-C whenever you like; run the same command to continue. `--model` is a name on the Hugging Face
hub or a local folder.
"""

import argparse
import sys

import hpsearch as hp
from hpsearch.records import TrialState


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="labelled texts: CSV, TSV, JSONL or Parquet")
    parser.add_argument("--test", help="further labelled texts that the search never sees, for the final score")
    parser.add_argument("--text", default="text", help="the column of texts (default: text)")
    parser.add_argument("--label", default="label", help="the column of labels (default: label)")
    parser.add_argument("--model", default="google-bert/bert-base-uncased", help="a hub model or a local folder")
    parser.add_argument("--trials", type=int, default=20, help="trials in all, earlier ones included (default: 20)")
    parser.add_argument("--timeout", help="pause after this time: 2h, 90m, 30s")
    parser.add_argument("--devices", default="auto", help="auto, cpu, cuda, cuda:0, inline, or a number of workers")
    parser.add_argument("--folder", default="runs", help="where studies are kept (default: runs)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, runs and sampler (default: 0)")
    parser.add_argument("--cv", type=int, default=5, help="folds of the cross-validation (default: 5)")
    parser.add_argument("--name", default="sentiment-bert", help="the study's name; choose another for other data")
    return parser.parse_args()


def main(arguments: argparse.Namespace) -> int:
    task = hp.TextClassification(
        arguments.model, train=arguments.train, test=arguments.test, text=arguments.text, label=arguments.label
    )
    study = hp.Study(
        arguments.name, task, "bert", cv=arguments.cv, metric="f1_macro", metrics=["accuracy", "neg_log_loss"],
        seed=arguments.seed, folder=arguments.folder,
    )  # fmt: skip
    devices = int(arguments.devices) if arguments.devices.isdigit() else arguments.devices
    result = study.run(trials=arguments.trials, timeout=arguments.timeout, devices=devices)
    print(result.text(), flush=True)
    if not result.history.finished(TrialState.COMPLETE):
        print("\nNo trial is complete: there is no winner yet. Run this again to go on, or see the reasons above.")
        return 1
    evidence = result.evidence()
    if evidence is None:
        print("\nThe literature default itself is the best trial, or did not complete: nothing to compare.")
    else:
        interval = "" if evidence.interval is None else " [{:+.4f}, {:+.4f}]".format(*evidence.interval)
        print("\nDoes the winner beat the literature default?", evidence.verdict)
        print(f"  difference in macro F1 {evidence.difference:+.4f}{interval}; {evidence.method}")
    if arguments.test:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in result.test_scores().items())
        print(f"test rows, once, after training on all training rows: {scores}")
    print(f"report: {result.report(study.folder / 'report.html')}")
    print(f"model: {result.export(study.folder / 'model', overwrite=True)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(parsed()))
    except hp.HpsearchError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
