"""Writes the tokens and labels that TRL's SFTTrainer makes of the samples' rows: run in an environment with trl.

    python make_masks.py

The trainer itself prepares the rows (`assistant_only_loss` where there are messages, `completion_only_loss` where there
are prompts and completions). What it gives is kept here as data; hpsearch does not depend on TRL.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import transformers
import trl
from datasets import Dataset

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from chat_samples import STYLES, config_of, rows_for, tokenizer_for  # noqa: E402


def labelled(rows, tokenizer, model, **options):
    if not rows:
        return []
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.SFTConfig(folder, max_length=None, report_to=[], use_cpu=True, bf16=False, **options)
        trainer = trl.SFTTrainer(model, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        made = trainer.train_dataset
        return [{"tokens": row["input_ids"], "trained": [int(x != -100) for x in row["labels"]]} for row in made]


def main():
    for name, style in STYLES.items():
        tokenizer = tokenizer_for(style, marked=True)
        model = transformers.AutoModelForCausalLM.from_config(config_of("llama", len(tokenizer)))
        rows, masks = rows_for(style), {}
        for row, given in enumerate(rows):  # one by one: a column of another row's would be filled in with None
            is_chat = "messages" in given
            options = {"assistant_only_loss": True} if is_chat else {"completion_only_loss": True}
            masks[row] = labelled([given], tokenizer, model, **options)[0]
        written = {"trl": version("trl"), "transformers": version("transformers")}
        written["rows"] = [masks[row] for row in range(len(rows))]
        (HERE / f"{name}.json").write_text(json.dumps(written) + "\n", encoding="utf-8")
        print(name, len(rows))


if __name__ == "__main__":
    main()
