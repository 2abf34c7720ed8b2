"""A tiny causal model, and a learner of rows of its tokens."""

from pathlib import Path

import numpy as np
import torch
import transformers
from tasks_samples import config_of

from hpsearch.data.dataset import open_dataset, write_dataset
from hpsearch.data.ragged import as_arrays
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.generation.learner import TokenLearner
from hpsearch.tasks.generation.token_losses import IGNORED
from hpsearch.tasks.pretrained import Pretrained, quiet


class Counting(TokenLearner):
    """Rows of tokens of which the last few are trained; an answer says which row it is of."""

    def __init__(self, folder, judge):
        dataset = open_dataset(folder)
        self.tokens = dataset.ragged("tokens")
        self.lengths = self.tokens.lengths
        pretrained = Pretrained("none", "AutoModelForCausalLM", judge, keep_head=True)
        super().__init__(dataset, pretrained, dataset["trained"], 40)

    def load_model(self):
        return causal_model()

    def batch(self, rows, padding_multiple):
        width = -(-int(self.lengths[rows].max()) // padding_multiple) * padding_multiple
        trained = -(-int(self.token_counts[rows].max()) // padding_multiple) * padding_multiple
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        labels = torch.full((len(rows), trained), IGNORED)
        places = torch.zeros(len(rows), trained, dtype=torch.int64)
        for place, row in enumerate(rows):
            own, count = (
                torch.from_numpy(self.tokens.take(np.array([row])).values.astype(np.int64)),
                self.token_counts[row],
            )
            tokens[place, : len(own)] = own
            labels[place, :count] = own[len(own) - count :]
            places[place, :count] = torch.arange(len(own) - count - 1, len(own) - 1)
        filled = (torch.arange(width) < torch.from_numpy(self.lengths[rows])[:, None]).long()
        return {"input_ids": tokens, "attention_mask": filled, "labels": labels, "label_places": places}

    def answers(self, model, batch, rows):
        return [f"row {row} é" for row in rows]

    def try_answers(self, model, largest):
        raise AssertionError("no memory is tried here")

    def advice(self, model):
        return ""


def causal_model():
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(3)
        model = transformers.AutoModelForCausalLM.from_config(config_of("gpt2")).eval()
    model.new_parameters, model.lost_parameters = frozenset(), ()
    return model


def counting(folder: Path, rows: int = 24, *, weights: bool = False, max_new_tokens: int = 8) -> Counting:
    random = np.random.default_rng(0)
    made = [random.integers(6, 40, size=random.integers(6, 30)).astype(np.int32) for _ in range(rows)]
    trained = np.array([random.integers(1, len(row)) for row in made])
    lengths = np.array([len(row) for row in made])
    judge = TokenJudge(max_new_tokens)
    arrays = {"tokens_values": np.concatenate(made), "tokens_offsets": np.concatenate([[0], np.cumsum(lengths)])}
    arrays |= {"trained": trained, **as_arrays("targets", judge.encode([f"text {row}" for row in range(rows)]))}
    arrays |= {"weights": np.linspace(0.5, 2.0, rows, dtype=np.float32)} if weights else {}
    write_dataset(folder / "tokens", arrays, {})
    return Counting(folder / "tokens", judge)
