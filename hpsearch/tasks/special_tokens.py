"""Special tokens inside texts: a tokenizer reads them as such, and not every model takes rows that have them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hpsearch.data.dataset import RaggedRows
from hpsearch.data.wording import counted
from hpsearch.errors import TaskError
from hpsearch.tasks.pretrained import first_line

if TYPE_CHECKING:
    from hpsearch.tasks.tokens import TextLearner

_AT_ONCE = 8


def try_special_tokens(
    learner: "TextLearner", model: nn.Module, tokenizer: Any, rows: Any, columns: Sequence[str], role: str
) -> list[str]:
    """Put a row of each make of special tokens through the model, beside a row that is like most; return warnings.

    A make is how many of each special token a row has. Most rows have those that the tokenizer adds, and are all of one
    make; others have some in their texts.

    Args:
        learner: Of the rows of this role.
        model: The model.
        tokenizer: What encoded the rows.
        rows: The DataFrame that they were encoded from.
        columns: The columns of texts.
        role: "train" or "test".

    Raises:
        TaskError: The model does not take such a row; it names row and column.
    """
    special = sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    makes = _makes(learner.tokens, np.array(special))
    if len(makes) < 2:
        return []
    usual, *others = makes
    for start in range(0, len(others), _AT_ONCE):
        chosen = others[start : start + _AT_ONCE]
        if _refusal(learner, model, [usual[0], *(row for row, _ in chosen)]) is None:
            continue
        for row, count in chosen:
            error = _refusal(learner, model, [usual[0], row])
            if error is not None:
                raise TaskError(
                    f"{type(model).__name__} does not take every row: {_where(tokenizer, rows, columns, role, row)}. "
                    f"{first_line(error)} That is so of {counted(count, f'{role} row')}: write it otherwise there, or "
                    "leave these rows out."
                ) from error
    inside = [(row, count) for row, count in others if _found(tokenizer, rows, columns, row) is not None]
    if not inside:
        return []
    total = sum(count for _, count in inside)
    return [
        f"{total} of {len(rows)} {role} rows have special tokens of the tokenizer in their texts, and these are not "
        f"read as text: {_where(tokenizer, rows, columns, role, inside[0][0])}."
    ]


def _makes(tokens: RaggedRows, special: np.ndarray) -> list[tuple[int, int]]:
    """Return the shortest row of each make of special tokens, and how many rows are of it; the most frequent first."""
    weights = np.random.default_rng(0).integers(1, 2**40, size=len(special))
    places = np.flatnonzero(np.isin(tokens.values, special))
    sums = np.concatenate([[0], np.cumsum(weights[np.searchsorted(special, tokens.values[places])])])
    bounds = np.searchsorted(places, tokens.offsets)
    of_row = sums[bounds[1:]] - sums[bounds[:-1]]
    shortest_first = np.argsort(tokens.lengths, kind="stable")
    _, first, counts = np.unique(of_row[shortest_first], return_index=True, return_counts=True)
    found = [(int(shortest_first[place]), int(count)) for place, count in zip(first, counts, strict=True)]
    return sorted(found, key=lambda make: -make[1])


@torch.no_grad()
def _refusal(learner: "TextLearner", model: nn.Module, rows: list[int]) -> Exception | None:
    try:
        learner.outputs(model, learner.batch(np.array(rows), 16))
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        return error
    return None


def _found(tokenizer: Any, rows: Any, columns: Sequence[str], row: int) -> tuple[str, str] | None:
    """Return the first special token that stands in a row's texts, and its column."""
    for column in columns:
        text = str(rows[column].iloc[row])
        for token in tokenizer.all_special_tokens:
            if token != tokenizer.unk_token and token in text:
                return token, column
    return None


def _where(tokenizer: Any, rows: Any, columns: Sequence[str], role: str, row: int) -> str:
    found = _found(tokenizer, rows, columns, row)
    if found is None:
        return f"{role} row {row} ({', '.join(columns)}) has other special tokens than most rows"
    return f"{role} row {row} has {found[0]!r} in column {found[1]!r}"
