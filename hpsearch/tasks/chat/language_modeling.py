"""Plain texts for a causal language model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.errors import TaskError
from hpsearch.tasks.base import Prepared
from hpsearch.tasks.chat.columns import Given
from hpsearch.tasks.chat.settings import RowSettings
from hpsearch.tasks.chat.task import PIECE_OF, CausalTask
from hpsearch.tasks.pretrained_task import whole_number


@dataclass(frozen=True, eq=False)
class CausalLanguageModeling(CausalTask):
    """Fine-tune a causal language model on plain texts: all their tokens, and the end of each text.

    Attributes:
        text: The column of texts.
        block: Cut each text into blocks of so many tokens, which stay on one side of a fold. None: what is longer than
            max_length is cut off.
        max_length, packing: See `CausalTask`.
    """

    text: str = field(default="text", kw_only=True)
    block: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TaskError(f"text={self.text!r}: give the name of the column of texts.")
        if self.columns not in (None, {}, {"text": self.text}):
            raise TaskError(f"columns={self.columns!r}: plain texts have one column. Name it with text=.")
        if self.max_new_tokens:
            raise TaskError(
                f"max_new_tokens={self.max_new_tokens!r}: plain texts have no answers to compare with. Leave it out, "
                "or use ChatFineTuning with prompts and completions."
            )
        self._set("columns", {"text": self.text})
        if self.block is not None:
            self._set("block", whole_number(self.block, "block", 2))
            if self.max_length is not None and self.block > self.max_length:
                raise TaskError(
                    f"block={self.block} and max_length={self.max_length}: a block has at most max_length tokens. "
                    "Leave max_length out."
                )
        super().__post_init__()

    def _settings(self) -> RowSettings:
        length = self.max_length if self.block is None else self.block
        return RowSettings(
            Given(self.columns), length, block=self.block, packing=self.packing, takes_conversations=False
        )

    def _side_columns(self, rows: Any, role: str) -> dict[str, np.ndarray]:
        """Return groups and weights; the blocks of a text are a group of their own where no other is given."""
        columns = super()._side_columns(rows, role)
        if self.block is not None and self.group is None:
            columns["groups"] = np.unique(rows[PIECE_OF].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
        return columns

    def _literature(self) -> Mapping[str, Any]:
        """Return the values of transformers' own script for it (examples/pytorch/language-modeling/run_clm.py)."""
        return {
            "learning_rate": 5e-5,
            "batch_size": 8,
            "epochs": 3,
            "weight_decay": 0.0,
            "warmup_ratio": 0.0,
            "lr_scheduler_type": "linear",
        }

    def how_to_call(self, prepared: Prepared) -> str:
        from hpsearch.tasks.chat.export import how_to_call

        return how_to_call('"..."')
