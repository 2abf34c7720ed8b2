"""A chat model of your own with LoRA: your conversations in, an adapter (or a merged model) out.

Searches the space "chat-lora" (see `hpsearch spaces chat-lora`) on a held-out part of your rows, with the literature
default as its first trial. Then it prints the table, and writes the report and the model into the study's folder.

    python studies/chat_lora.py --train chats.jsonl --test held-out.jsonl --model HuggingFaceTB/SmolLM2-135M-Instruct \\
        --metric chrf --max-new-tokens 64 --trials 8

Rows may be `messages`, `prompt` and `completion`, ShareGPT- or Alpaca-like: what was recognised is said. Stop it with
Ctrl-C whenever you like; run the same command to continue. `--model` is a name on the Hugging Face hub or a folder.
"""

import argparse
import sys

import hpsearch as hp
from hpsearch.records import TrialState


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="conversations: JSON lines, JSON, Parquet or CSV")
    parser.add_argument("--validation", help="conversations that each trial is evaluated on; else a tenth is held out")
    parser.add_argument("--test", help="further conversations that the search never sees, for the final score")
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="a hub model or a local folder")
    parser.add_argument("--metric", default="loss", help="loss, or of generated answers: chrf, rouge_l, exact_match")
    parser.add_argument("--max-new-tokens", type=int, default=0, help="most tokens of a generated answer (default: 0)")
    parser.add_argument("--max-length", type=int, help="most tokens of a row (default: the model's limit, up to 1024)")
    parser.add_argument("--packing", action="store_true", help="lay several rows into one sequence")
    parser.add_argument("--apart", action="store_true", help="write the adapter alone, not merged into the model")
    parser.add_argument("--trials", type=int, default=8, help="trials in all, earlier ones included (default: 8)")
    parser.add_argument("--timeout", help="pause after this time: 2h, 90m, 30s")
    parser.add_argument("--devices", default="auto", help="auto, cpu, cuda, cuda:0, inline, or a number of workers")
    parser.add_argument("--folder", default="runs", help="where studies are kept (default: runs)")
    parser.add_argument("--seed", type=int, default=0, help="of split, runs and sampler (default: 0)")
    parser.add_argument("--name", default="chat-lora", help="the study's name; choose another for other data")
    return parser.parse_args()


def main(arguments: argparse.Namespace) -> int:
    task = hp.ChatFineTuning(
        arguments.model, train=arguments.train, validation=arguments.validation, test=arguments.test,
        max_length=arguments.max_length, packing=arguments.packing, max_new_tokens=arguments.max_new_tokens,
    )  # fmt: skip
    study = hp.Study(
        arguments.name, task, "chat-lora", metric=arguments.metric, metrics=["loss", "perplexity", "token_accuracy"],
        seed=arguments.seed, folder=arguments.folder,
    )  # fmt: skip
    devices = int(arguments.devices) if arguments.devices.isdigit() else arguments.devices
    result = study.run(trials=arguments.trials, timeout=arguments.timeout, devices=devices)
    print(result.text(), flush=True)
    if not result.history.finished(TrialState.COMPLETE):
        print("\nNo trial is complete: there is no winner yet. Run this again to go on, or see the reasons above.")
        return 1
    if arguments.test:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in result.test_scores().items())
        print(f"test rows, once, after training on all training rows: {scores}")
    print(f"report: {result.report(study.folder / 'report.html')}")
    print(f"model: {result.export(study.folder / 'model', overwrite=True, merge=not arguments.apart)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(parsed()))
    except hp.HpsearchError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
