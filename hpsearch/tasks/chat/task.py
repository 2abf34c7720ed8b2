"""Tasks over causal language models: chats, completions, and plain texts."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from hpsearch.data.audit import audit
from hpsearch.data.dataset import Dataset, is_prepared, open_dataset, write_dataset
from hpsearch.data.fingerprint import fingerprint_table
from hpsearch.data.folds import Holdout
from hpsearch.data.ragged import Ragged, as_arrays, rows_of
from hpsearch.data.sources import read_table
from hpsearch.data.wording import listed
from hpsearch.errors import DataError, TaskError
from hpsearch.records import digest
from hpsearch.tasks.base import Prepared, Split
from hpsearch.tasks.chat.columns import Given
from hpsearch.tasks.chat.judge import ChatJudge
from hpsearch.tasks.chat.settings import RowSettings, check_kwargs
from hpsearch.tasks.generation.judge import TokenJudge
from hpsearch.tasks.generation.texts import as_bytes, as_texts
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.pretrained_task import PretrainedTask, whole_number
from hpsearch.tasks.sources import Source

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hpsearch.data.ragged import Rows
    from hpsearch.tasks.chat.encoder import Pieces, RowEncoder
    from hpsearch.tasks.chat.learner import CausalLearner
    from hpsearch.tasks.pretrained import Pretrained
    from hpsearch.tasks.stranger import Answers

logger = logging.getLogger("hpsearch")

REFERENCE = "the last answer"
"""The column of references that is added to a table of rows."""

PIECE_OF = "the row of a block"
"""The column that is added for the blocks of a text."""

READ_BACK_TOKENS = 32
"""Tokens of an answer by which an exported folder is compared, where none are scored."""

BATCH = 16
"""Rows that are answered at once when they are read back."""

_LOOKED_OVER = 3
"""Part of the name of what is kept of rows that were looked over: counted up when that changes."""


@dataclass(frozen=True, eq=False)
class CausalTask(PretrainedTask):
    """Fine-tune a causal language model of transformers. Code that comes with a model is not run.

    Attributes:
        columns: Part of a row to the column that holds it, where columns have other names than those that are known.
        max_length: Most tokens of a row; longer rows are cut, and `Prepared.warnings` says so. None: the limit of model
            and tokenizer, up to 1024.
        packing: Whether the rows of a training batch share sequences of `max_length` tokens, positions restarted and
            attention kept apart: the same loss, with less padding. Evaluation is never packed.
        max_new_tokens: Most tokens of a generated answer; 0: none are generated, and metrics are of tokens only.
    """

    columns: Any = field(default=None, kw_only=True)
    max_length: int | None = field(default=None, kw_only=True)
    packing: bool = field(default=False, kw_only=True)
    max_new_tokens: int = field(default=0, kw_only=True)

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    pipeline: ClassVar[str | None] = "text-generation"
    judge_class: ClassVar[type[Judge]] = TokenJudge
    default_cv: ClassVar[Any] = Holdout(0.1)

    def __post_init__(self) -> None:
        if self.label not in (None, REFERENCE):
            raise TaskError(f"label={self.label!r}: language models learn from the texts alone. Leave label out.")
        self._set("label", REFERENCE)
        self._set("columns", dict(Given.of(self.columns).names))
        if self.max_length is not None:
            self._set("max_length", whole_number(self.max_length, "max_length", 2))
        if not isinstance(self.packing, bool):
            raise TaskError(f"packing={self.packing!r}: give True or False.")
        self._set("max_new_tokens", whole_number(self.max_new_tokens, "max_new_tokens", 0))
        self._set("keep_head", self.pretrained)  # which is as pretrained as the rest
        super().__post_init__()

    # ------------------------------------------------------------------ rows

    def _settings(self) -> RowSettings:
        """Return how rows become tokens."""
        raise NotImplementedError

    def _input_columns(self) -> list[str]:
        return Given(self.columns).all()

    def _columns(self) -> list[str]:
        return self._input_columns() + [name for name in (self.group, self.sample_weight) if name is not None]

    def _read(self, source: Source, role: Split) -> Any:
        rows: Any = source.value
        return read_table(rows, role, columns=self._columns(), names=self._names())

    def _fingerprint(self, rows: Any) -> str:
        return fingerprint_table(rows, [name for name in self._columns() if name in rows.columns])

    def _encoder(self, train: Any) -> "RowEncoder":
        from hpsearch.tasks.chat.encoder import RowEncoder

        return RowEncoder(str(self.model), self._settings())

    def _learned(self, targets: Any) -> Judge:
        judge: Any = self.judge_class
        return cast(Judge, judge(max_new_tokens=self.max_new_tokens))

    def _looked_over(
        self, cache: Path, rows: dict[Split, Any], prints: Mapping[Split, str]
    ) -> tuple[dict[Split, Any], list[str]]:
        """Return the rows that have something to learn, in blocks if need be, each with its reference."""
        looked = self._looked(cache, rows, prints)
        for _, kept in looked.values():
            logger.warning("%s", kept.facts["read"])  # which is no doubt about the study, and not kept with it
        warnings = [text for _, kept in looked.values() for text in kept.facts["warnings"]]
        return {role: table for role, (table, _) in looked.items()}, list(dict.fromkeys(warnings))

    def _looked(
        self, cache: Path, rows: dict[Split, Any], prints: Mapping[Split, str]
    ) -> dict[Split, tuple[Any, Dataset]]:
        """Return the same rows, each with what is kept of looking them over.

        This makes their tokens, which are kept until they are written; another time only what came of it is read.
        """
        encoder = self._encoder(None)
        forms = {role: encoder.form_of(table, role) for role, table in rows.items()}
        for role, form in forms.items():
            if form != forms.get("train", form):
                raise DataError(
                    f"the train rows are {forms['train']}, and the {role} rows are {form}: a model would be trained on "
                    f"one form and judged by another. Give the {role} rows in the form of the train rows, with the "
                    "same columns."
                )
        looked: dict[Split, tuple[Any, Dataset]] = {}
        for role, table in rows.items():
            key = [_LOOKED_OVER, prints[role], role, encoder.settings(), encoder.versions()]
            folder, made = cache / f"rows-{digest(key)}", None
            if not is_prepared(folder):
                made = encoder.pieces(table, role)
                arrays = {"rows": made.rows, **as_arrays("references", as_bytes(made.references))}
                write_dataset(folder, arrays, {"read": made.recognised, "warnings": list(made.warnings)})
            kept = open_dataset(folder)
            looked[role] = self._pieces_of(table, role, kept, encoder, made), kept
        return looked

    def _pieces_of(self, table: Any, role: str, kept: Dataset, encoder: "RowEncoder", made: "Pieces | None") -> Any:
        """Return a table with a row for each piece, which knows how its tokens are made."""
        from hpsearch.tasks.chat.encoder import ENCODED

        rows = np.asarray(kept["rows"])
        references = as_texts(cast(Ragged, rows_of(kept.arrays, "references")))
        numbers = [f"{role} {row}" for row in rows.tolist()]
        looked = table.iloc[rows].reset_index(drop=True).assign(**{REFERENCE: references, PIECE_OF: numbers})
        looked.attrs = {ENCODED: lambda: made or encoder.pieces(table, role)}
        return looked

    def _joined(self, train: Any, validation: Any) -> Any:
        import pandas as pd

        from hpsearch.tasks.chat.encoder import ENCODED

        first, second = train.attrs[ENCODED], validation.attrs[ENCODED]
        rows = pd.concat([train, validation], ignore_index=True)
        rows.attrs = {ENCODED: lambda: first().joined(second())}
        return rows

    def _audit(self, train: Any, test: Any, role: Split = "test") -> list[str]:
        read = partial(self._read_targets, train, test, role)
        return audit(train, test, read_targets=read, group=self.group, sample_weight=self.sample_weight, role=role)

    # ------------------------------------------------------------------ models

    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "CausalLearner":
        from hpsearch.tasks.chat.learner import CausalLearner

        return CausalLearner(dataset, pretrained, packing=self.packing)

    def _try_rows(
        self, prepared: Prepared, role: Split, rows: Any, *, encoder: Any, model: "nn.Module"
    ) -> Sequence[str]:
        from hpsearch.tasks.chat.packing import check_packing, is_causal

        learner: Any = self.learner(prepared, role)
        shortest = learner.tokens[int(np.argmin(learner.lengths))]
        if role == "train" and not is_causal(model, shortest):
            raise TaskError(
                f"{type(model).__name__} of {prepared.source!r} is no causal language model: what it says of a token "
                "depends on the tokens behind it. Give a model such as GPT-2, Llama or Qwen."
            )
        if self.packing and role == "train":
            check_packing(model, shortest, prepared.source)
        cut = learner.cut_prompts if self.max_new_tokens else ()
        if not len(cut):
            return ()
        named = listed(rows[PIECE_OF].iloc[cut].tolist())
        return [
            f"{len(cut)} of {len(rows)} rows have a prompt of more than {learner.prompt_room} tokens (max_length="
            f"{learner.dataset.facts['max_length']}, and positions for {self.max_new_tokens} new tokens): answers are "
            f"generated from the end of it alone: {named} (rows counted from 0)."
        ]

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write the model, its tokenizer with the template, and how answers are generated, for `pipeline`."""
        from hpsearch.tasks.chat.export import save_causal

        save_causal(model, folder, prepared, open_dataset(prepared.folder).facts, self._settings())

    def _inputs(self, rows: Any, places: np.ndarray, prepared: Prepared) -> list[Any]:
        """Return conversations up to their last answers, or prompts; nothing where a pipeline has no way to ask."""
        from hpsearch.tasks.chat.conversations import read_rows
        from hpsearch.tasks.chat.export import pipeline_inputs

        table = rows.iloc[places].reset_index(drop=True)
        return pipeline_inputs(read_rows(table, Given(self.columns).found_in(list(table.columns), "train"), "train"))

    def _kept_rows(self, split: Split, cache: Path) -> Any:
        """Return the rows of a prepared dataset, in its order; `cache` is where they were prepared."""
        import pandas as pd

        sources: dict[Split, Any] = {split: getattr(self, split)}
        if split == "train" and self.validation is not None:
            sources["validation"] = self.validation
        tables = {role: self._read(source, role) for role, source in sources.items()}
        prints = {role: self._fingerprint(table) for role, table in tables.items()}
        looked = self._looked(cache, tables, prints).values()
        return pd.concat([table for table, _ in looked], ignore_index=True)


@dataclass(frozen=True, eq=False)
class ChatFineTuning(CausalTask):
    """Fine-tune a causal language model on conversations, or on prompts with their completions.

    Columns are known by their names: `messages` (and `tools`), `conversations` with from and value, `prompt` and
    `completion` (texts, or lists of messages), `instruction`, `input` and `output`. The loss is on the answers alone.

    Attributes:
        columns: Part of a row to the column that holds it: {"prompt": "question", "completion": "answer"}.
        train_on: "answers", each with its end of turn; or "all" tokens of a row.
        chat_template: A chat template (Jinja) instead of the tokenizer's own.
        chat_template_kwargs: Further variables of the template: {"enable_thinking": False}.
        max_length, packing, max_new_tokens: See `CausalTask`.
    """

    train_on: Literal["answers", "all"] = field(default="answers", kw_only=True)
    chat_template: str | None = field(default=None, kw_only=True)
    chat_template_kwargs: Any = field(default=None, kw_only=True)

    judge_class: ClassVar[type[Judge]] = ChatJudge

    def __post_init__(self) -> None:
        if self.train_on not in ("answers", "all"):
            raise TaskError(f"train_on={self.train_on!r}: give 'answers' or 'all'.")
        if self.chat_template is not None and not (isinstance(self.chat_template, str) and self.chat_template.strip()):
            raise TaskError(f"chat_template={self.chat_template!r}: give a Jinja template as text, or None.")
        self._set("chat_template_kwargs", check_kwargs(self.chat_template_kwargs))
        super().__post_init__()

    def _settings(self) -> RowSettings:
        return RowSettings(
            Given(self.columns),
            self.max_length,
            everything=self.train_on == "all",
            packing=self.packing,
            chat_template=self.chat_template,
            chat_template_kwargs=self.chat_template_kwargs,
            takes_texts=False,
        )

    def _asked(self, prepared: Prepared) -> Prepared:
        """Return the rows with a judge that answers are read back by: there are some, though none may be scored."""
        judge = cast(ChatJudge, prepared.judge)
        return replace(prepared, judge=replace(judge, max_new_tokens=judge.max_new_tokens or READ_BACK_TOKENS))

    def scored_predictions(
        self,
        model: "nn.Module",
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        kept: "Rows",
        device: "torch.device",
    ) -> Any:
        """Return the answers of a trained model for some rows, in float32 as they are scored."""
        asked = self._asked(prepared)
        learner = self.learner(asked, split, config)
        parts = np.array_split(rows, -(-len(rows) // BATCH))
        answers = [text for part in parts for text in learner.answers(model.eval(), {}, part)]  # type: ignore[attr-defined]
        return cast(ChatJudge, asked.judge).from_answers(answers)

    def exported_answers(
        self,
        folder: Path,
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        device: "torch.device",
    ) -> "Iterator[Answers]":
        """Ask a pipeline over the folder; it cannot be asked where each row has tools, or the template variables."""
        from transformers import GenerationConfig

        from hpsearch.tasks.stranger import mixed, pipeline_answers

        asked = self._asked(prepared)
        table = self._kept_rows(split, prepared.folder.parent)
        tools = self.columns.get("tools", "tools")
        if self.chat_template_kwargs or (tools in table.columns and table[tools].notna().any()):
            return
        batches = mixed(self.learner(prepared, split).lengths[rows])
        yield from pipeline_answers(
            "text-generation",
            folder,
            cast(ChatJudge, asked.judge),
            self._inputs(table, rows, prepared),
            batches=batches,
            device=device,
            settings={"generation_config": GenerationConfig.from_pretrained(folder)},
        )

    def _literature(self) -> Mapping[str, Any]:
        """Return the values of Stanford Alpaca (Taori et al. 2023, README.md: LLaMA 7B on 52,000 instructions).

        Weight decay, warmup and schedule are those of the command there.
        """
        return {
            "learning_rate": 2e-5,
            "batch_size": 128,
            "epochs": 3,
            "weight_decay": 0.0,
            "warmup_ratio": 0.03,
            "lr_scheduler_type": "cosine",
        }

    def how_to_call(self, prepared: Prepared) -> str:
        from hpsearch.tasks.chat.export import how_to_call

        is_chat = open_dataset(prepared.folder).facts["is_chat"]
        return how_to_call('[{"role": "user", "content": "..."}]' if is_chat else '"..."')
