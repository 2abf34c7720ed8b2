"""Rows in one sequence: nothing of one reaches another, and the loss is that of rows apart."""

import numpy as np
import pytest
import torch
import transformers
from chat_samples import config_of
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import TaskError
from hpsearch.tasks.chat.packing import PLACE, SLOTS, check_packing, is_causal, layout, packed, sequences_of


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 80))
def test_every_row_has_a_place_of_its_own(lengths, width):
    lengths = np.array(lengths)
    sequence, start, count = sequences_of(lengths, width)
    taken = np.zeros((count, width), dtype=int)
    for row, length in enumerate(lengths):
        assert start[row] + length <= width
        taken[sequence[row], start[row] : start[row] + length] += 1
    assert taken.max() == 1 and taken.any(axis=1).all()
    assert count <= -(-2 * int(lengths.sum()) // width) + 1  # all sequences but one are more than half full
    again = sequences_of(lengths, width)
    assert np.array_equal(again[0], sequence) and np.array_equal(again[1], start)


def test_tokens_go_where_the_layout_says_and_positions_restart():
    lengths, width = np.array([3, 5, 2]), 8
    tokens = torch.tensor([[11, 12, 13, 0, 0], [21, 22, 23, 24, 25], [31, 32, 0, 0, 0]])
    batch = {"input_ids": tokens, **layout(lengths, 5, width)}
    assert batch[SLOTS].shape == (3, 2) and batch[PLACE].shape == tokens.shape
    laid = packed(batch, width, padding=9)
    assert laid["input_ids"].tolist() == [[21, 22, 23, 24, 25, 11, 12, 13], [31, 32, 9, 9, 9, 9, 9, 9]]
    assert laid["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2], [0, 1, 0, 0, 0, 0, 0, 0]]


def model_of(config):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


ROW = np.array([3, 9, 4, 17, 5, 8, 2])
SLIDING = {"sliding_window": 4}


@pytest.mark.parametrize(
    ("kind", "options"), [("llama", {}), ("qwen2", {}), ("gpt2", {}), ("mistral", {}), ("mistral", SLIDING)]
)
def test_what_a_row_says_does_not_reach_the_next_one(kind, options):
    model = model_of(config_of(kind, 40, **options))
    check_packing(model, ROW, kind)
    one, two = torch.from_numpy(ROW), torch.from_numpy(ROW[::-1].copy())
    positions = torch.arange(7).repeat(2)[None]
    with torch.no_grad():
        logits = [
            model(input_ids=torch.cat([first, two])[None], position_ids=positions, use_cache=False).logits[0, 7:]
            for first in (one, (one + 1) % 40)
        ]
        alone = model(input_ids=two[None], use_cache=False).logits[0]
    assert torch.equal(*logits)
    assert torch.allclose(logits[0], alone, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        transformers.OpenAIGPTConfig(n_embd=32, n_layer=2, n_head=2, n_positions=64, vocab_size=40),
        transformers.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4, vocab_size=40),
        transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=40),
    ],
    ids=["openai-gpt", "mamba", "bloom"],
)
def test_a_model_that_cannot_keep_rows_apart_is_refused(config):
    with pytest.raises(TaskError, match=r"packing=True, and of 'mine' no rows can be packed: .*leave packing out"):
        check_packing(model_of(config), ROW, "mine")


def test_a_model_that_reads_what_is_behind_is_seen():
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    assert is_causal(model_of(config_of("llama", 40)), ROW)
    assert not is_causal(model_of(transformers.BertConfig(vocab_size=40, **small)), ROW)
