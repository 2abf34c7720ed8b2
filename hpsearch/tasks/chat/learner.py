"""What the fine-tune is given of causal language models: padded rows, shifted labels, and greedy answers."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset, RaggedRows
from hpsearch.data.ragged import Ragged, rows_of
from hpsearch.tasks.chat.packing import PLACE, layout, packed, without_layout
from hpsearch.tasks.generation.answering import generated
from hpsearch.tasks.generation.learner import LABELS, PLACES, TokenLearner
from hpsearch.tasks.generation.token_losses import IGNORED, ROW_BLOCK, row_sums
from hpsearch.tasks.pretrained import Pretrained
from hpsearch.training.batches import EVALUATION_TOKENS


class CausalLearner(TokenLearner):
    """Rows of tokens, each predicted from those before it.

    Attributes:
        tokens: Those of each row, without padding.
        inputs_are_fixed: False where rows are packed: their frozen layers are then not computed once and kept.
    """

    def __init__(self, dataset: Dataset, pretrained: Pretrained, *, packing: bool = False) -> None:
        """Take the prepared rows; with `packing` those of a training batch share sequences."""
        tokens = dataset.ragged("tokens")
        trained = RaggedRows(np.asarray(dataset["trained"], dtype=np.int64), tokens.offsets)
        first = np.asarray(trained.values)[trained.offsets[:-1]]  # predicted from nothing, so never trained
        counts = np.add.reduceat(trained.values, trained.offsets[:-1]) - first
        super().__init__(dataset, pretrained, counts, int(dataset.facts["vocabulary"]))
        self.tokens, self._trained, self.packing = tokens, trained, packing
        self.lengths = tokens.lengths
        self.inputs_are_fixed = not packing
        self._tokenizer: Any = None

    # ------------------------------------------------------------------ batches

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, int64, (rows, tokens), padded on the right, labels and their places.

        A label stands where the token before it does. Padding is told by its place, whatever token it is.
        """
        facts, lengths = self.dataset.facts, self.lengths[rows]
        longest = int(lengths.max())
        width = -(-longest // padding_multiple) * padding_multiple
        if facts["positions"] is not None:
            width = max(longest, min(width, facts["positions"]))
        filled = np.arange(width) < lengths[:, None]
        tokens = np.full(filled.shape, facts["pad_token_id"], dtype=np.int64)
        tokens[filled] = self.tokens.take(rows).values
        trained = np.zeros(filled.shape, dtype=bool)
        trained[filled] = self._trained.take(rows).values
        batch = {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(filled.astype(np.int64)),
            **_labels(tokens, trained),
        }
        if self.packing:
            batch |= layout(lengths, width, self._packed_width)
        return batch

    @property
    def _packed_width(self) -> int:
        """Tokens of a packed sequence: the greatest length, rounded up."""
        longest = max(self.dataset.facts["max_length"], int(self.lengths.max()))
        return -(-longest // ROW_BLOCK) * ROW_BLOCK

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return sums over each row's trained tokens, (rows, 3); in training rows are packed if that is asked for."""
        if PLACE not in batch or not model.training:
            return super().outputs(model, without_layout(batch))
        places = batch[PLACE].gather(1, batch[PLACES])
        inputs = packed(batch, self._packed_width, self.dataset.facts["pad_token_id"])
        return row_sums(model, inputs, batch[LABELS], places, through_all=True)

    def advice(self, model: nn.Module) -> str:
        longest = int(self.lengths.max())
        return (
            "Use the tokenizer that belongs to the model, a folder whose config.json and weights are whole, and a "
            f"max_length= that it has positions for; the longest row has {longest} tokens."
        )

    # ------------------------------------------------------------------ answers

    def answers(self, model: nn.Module, batch: Mapping[str, Tensor], rows: np.ndarray) -> list[str]:
        """Return what the model says where each row's last answer stands: greedy, without blanks around it.

        Rows are answered in batches of their own: a prompt may be far longer than what a row was cut to, or shorter.
        Prompts are padded on the left, so that all answers of a batch begin at one place.
        """
        distinct, back = np.unique(rows, return_inverse=True)
        texts: list[str] = [""] * len(distinct)
        for places in self.answer_batches(distinct):
            prompts = [self.prompt(row) for row in distinct[places].tolist()]
            for place, text in zip(places.tolist(), self.continued(model, prompts), strict=True):
                texts[place] = text
        return [texts[place] for place in back.tolist()]

    @cached_property
    def _prompts(self) -> Ragged:
        prompts = rows_of(self.dataset.arrays, "prompts")
        assert isinstance(prompts, Ragged)
        return prompts

    @property
    def _prompt_lengths(self) -> np.ndarray:
        return np.diff(self._prompts.offsets)

    @property
    def prompt_room(self) -> int:
        """Most tokens of a prompt: what a row may have, and what leaves the model positions for an answer."""
        facts = self.dataset.facts
        positions = facts["positions"]
        most = int(facts["max_length"])
        return most if positions is None else max(1, min(most, positions - (self.judge.max_new_tokens or 0)))

    @property
    def cut_prompts(self) -> np.ndarray:
        """Rows whose prompts lose their beginnings, int64."""
        return np.flatnonzero(self._prompt_lengths > self.prompt_room)

    def prompt(self, row: int) -> np.ndarray:
        """Return what the last answer of a row is generated from, int32: the end of it, where it is too long."""
        return np.asarray(self._prompts.row(row))[-self.prompt_room :]

    def answer_batches(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return in which batches rows are answered, as positions in `rows`: the longest prompts first.

        Prompts and answers of a batch have `EVALUATION_TOKENS` at most, or it is a single row.
        """
        lengths = np.minimum(self._prompt_lengths[rows], self.prompt_room)
        order, most, batches = np.argsort(-lengths, kind="stable"), self.judge.max_new_tokens, []
        while len(order):
            width = -(-int(lengths[order[0]]) // ROW_BLOCK) * ROW_BLOCK + most
            count = max(1, EVALUATION_TOKENS // width)
            batches.append(order[:count])
            order = order[count:]
        return batches

    def try_answers(self, model: nn.Module, largest: int) -> None:
        """Generate one batch of answers as large as any will be, each to its full length: does it fit into memory?"""
        rows = np.argsort(-self._prompt_lengths, kind="stable")[:largest]
        places = self.answer_batches(rows)[0]
        self.continued(model, [self.prompt(row) for row in rows[places].tolist()], to_full_length=True)

    @torch.no_grad()
    def continued(self, model: Any, prompts: Sequence[np.ndarray], *, to_full_length: bool = False) -> list[str]:
        """Return the answer to each prompt of tokens, all in one batch; an end of turn ends it, unless told not to."""
        facts, most = self.dataset.facts, self.judge.max_new_tokens
        longest = max(map(len, prompts))
        width = max(longest, min(-(-longest // ROW_BLOCK) * ROW_BLOCK, self.prompt_room))
        tokens = np.full((len(prompts), width), facts["pad_token_id"], dtype=np.int64)
        filled = np.zeros(tokens.shape, dtype=np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, width - len(prompt) :], filled[row, width - len(prompt) :] = prompt, 1
        device = next(model.parameters()).device
        inputs = {"input_ids": tokens, "attention_mask": filled}
        made = generated(
            model,
            {name: torch.from_numpy(array).to(device) for name, array in inputs.items()},
            answer_settings({**facts, "ends": []} if to_full_length else facts, most),
            self.progressed,
        )
        said = self.tokenizer().batch_decode(made[:, width:].tolist(), skip_special_tokens=True)
        return [text.strip() for text in said]

    def tokenizer(self) -> Any:
        """Return the model's tokenizer, loaded once."""
        if self._tokenizer is None:
            from hpsearch.tasks.pretrained import read_config
            from hpsearch.tasks.tokens import load_tokenizer

            source = self.pretrained.source
            self._tokenizer = load_tokenizer(source, read_config(source))
        return self._tokenizer


def answer_settings(facts: Mapping[str, Any], most: int | None) -> Any:
    """Return how answers are generated: the likeliest token each time, up to an end of turn or so many tokens."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=most,
        eos_token_id=facts["ends"] or None,
        pad_token_id=facts["pad_token_id"],
        bos_token_id=facts["start"],
        use_cache=True,
    )


def _labels(tokens: np.ndarray, trained: np.ndarray) -> dict[str, Tensor]:
    """Return the tokens that are trained, each with the place of the token before it, both int64, (rows, m)."""
    wanted = trained[:, 1:]
    counts = wanted.sum(axis=1)
    most = max(ROW_BLOCK, -(-int(counts.max()) // ROW_BLOCK) * ROW_BLOCK)
    filled = np.arange(most) < counts[:, None]
    labels, places = np.full(filled.shape, IGNORED, dtype=np.int64), np.zeros(filled.shape, dtype=np.int64)
    row, before = np.nonzero(wanted)
    labels[filled], places[filled] = tokens[row, before + 1], before
    return {LABELS: torch.from_numpy(labels), PLACES: torch.from_numpy(places)}
