"""Rows of conversations and texts as tokens: cut, counted, and kept with a mask of what is trained."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged, as_arrays
from hpsearch.data.wording import row_list, shortened
from hpsearch.errors import DataError
from hpsearch.tasks.chat.columns import COMPLETIONS, TEXTS, Columns
from hpsearch.tasks.chat.conversations import Conversation, Row, read_rows
from hpsearch.tasks.chat.masks import Masked, Masker
from hpsearch.tasks.chat.settings import RowSettings
from hpsearch.tasks.chat.templates import ChatTemplate
from hpsearch.tasks.pretrained_task import Encoded
from hpsearch.tasks.tokens import NO_LIMIT, TokenEncoder

DEFAULT_MAX_LENGTH = 1024
_MASKS = 2
"""Counted up when other tokens of the same conversations are trained."""
ENCODED = "encoded"
"""Where a table of rows has what returns its `Pieces`, among its `attrs`."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Rows as tokens: one piece a row, none where nothing of it is trained, several where a text is cut into blocks.

    Attributes:
        rows: Of which row each piece is, int64, shape (pieces,).
        arrays: Name to array, one entry a piece: "tokens", "trained" beside them, and "prompts".
        references: What the last answer of each piece should be; empty where nothing is to be generated.
        ends: The tokens that end an answer.
        is_chat: Whether there are conversations among them.
        recognised: What the rows were read as, a sentence.
        warnings: Sentences for the user.
    """

    rows: np.ndarray
    arrays: Mapping[str, np.ndarray]
    references: Sequence[str]
    ends: tuple[int, ...]
    is_chat: bool = False
    recognised: str = ""
    warnings: tuple[str, ...] = ()

    def joined(self, others: "Pieces") -> "Pieces":
        """Return these pieces with others behind them, whose rows come behind these rows too."""
        arrays = dict(self.arrays)
        for name, array in others.arrays.items():
            if name.endswith("_offsets"):
                arrays[name] = np.concatenate([arrays[name], arrays[name][-1] + array[1:]])
            else:
                arrays[name] = np.concatenate([arrays[name], array])
        rows = np.concatenate([self.rows, others.rows])
        ends = tuple(sorted({*self.ends, *others.ends}))
        return Pieces(rows, arrays, [*self.references, *others.references], ends, self.is_chat)


class RowEncoder(TokenEncoder):
    """A tokenizer with its chat template, and how rows are cut."""

    def __init__(self, source: str, settings: RowSettings) -> None:
        """Read the tokenizer, and what the model's config says of the rows it takes."""
        super().__init__(source, "AutoModelForCausalLM", (), settings.max_length)
        self.source, self.rows = source, settings
        if settings.chat_template is not None:
            self.tokenizer.chat_template = settings.chat_template

    def _max_length(self, asked: int | None, source: str) -> int:
        if asked is None:
            given = (self.positions, int(self.tokenizer.model_max_length))
            asked = min([*(limit for limit in given if limit is not None and limit < NO_LIMIT), DEFAULT_MAX_LENGTH])
        return super()._max_length(asked, source)

    def settings(self) -> dict[str, Any]:
        rows = self.rows
        return {
            **super().settings(),
            "columns": dict(rows.columns.names),
            "template": self.tokenizer.chat_template,
            "template_kwargs": dict(rows.chat_template_kwargs),
            "everything": rows.everything,
            "block": rows.block,
            **({"packing": True} if rows.packing else {}),
            **({"masks": _MASKS} if rows.takes_conversations else {}),
        }

    def columns_of(self, table: Any, role: str) -> Columns:
        """Return where the parts of each row stand; `DataError` where they are of a form that is not taken."""
        columns = self.rows.columns.found_in([str(name) for name in table.columns], role)
        is_text = columns.form is TEXTS
        if is_text and not self.rows.takes_texts:
            raise DataError(
                f"the {role} data has plain texts (column {columns.names['text']!r}), and no answers to learn. Train "
                "on them with hp.CausalLanguageModeling, or name the columns of conversations with columns=."
            )
        if not is_text and not self.rows.takes_conversations:
            raise DataError(
                f"the {role} data was read as {columns.form.name}. Train on them with hp.ChatFineTuning, or name the "
                "column of plain texts with text=."
            )
        return columns

    def form_of(self, table: Any, role: str) -> str:
        """Return the form of rows in words, as `columns_of` finds it; completions may be texts or messages."""
        columns = self.columns_of(table, role)
        if columns.form is not COMPLETIONS or not len(table):
            return columns.form.name
        row = read_rows(table.head(1), columns, role)[0]
        return f"{columns.form.name} as {'messages' if isinstance(row, Conversation) else 'texts'}"

    def masker(self, rows: Sequence[Row]) -> Masker:
        """Return what makes tokens and masks of these rows; `TaskError` where a template is needed and lacking."""
        template = None
        if any(isinstance(row, Conversation) for row in rows):
            template = ChatTemplate(
                self.tokenizer, self.rows.chat_template, self.rows.chat_template_kwargs, self.source
            )
        return Masker(self.tokenizer, template, everything=self.rows.everything)

    def encode(self, rows: Any, role: str, scratch: Path) -> Encoded:
        """Return the arrays of rows as `Encoder` has it; their table says how they were made (`ENCODED`)."""
        pieces = rows.attrs[ENCODED]()
        facts = {
            "vocabulary": self.config.get_text_config().vocab_size,
            "ends": list(pieces.ends),
            "is_chat": pieces.is_chat,
        }
        return Encoded(pieces.arrays, {**self._facts(), **facts, "start": self.tokenizer.bos_token_id})

    def pieces(self, table: Any, role: str) -> Pieces:
        """Return all rows of a table as tokens, cut to the greatest length.

        Raises:
            DataError: What is to be trained of a row cannot be told, or nothing of any is left.
            TaskError: The tokenizer knows more tokens than the model, or has no chat template.
        """
        columns = self.columns_of(table, role)
        rows = read_rows(table, columns, role)
        masker = self.masker(rows)
        whole = [masker.masked(row, number, role) for number, row in enumerate(rows)]
        made = [self._cut(masked) for masked in whole]
        kept = [(number, piece) for number, parts in enumerate(made) for piece in parts]
        notes = _Notes(role, self.max_length, len(rows), self.rows.block)
        if not kept:
            raise notes.nothing_left(whole)
        numbers = np.array([number for number, _ in kept], dtype=np.int64)
        tokens = Ragged.of([piece.tokens for _, piece in kept])
        self._check_vocabulary(int(tokens.elements.max()))
        arrays = {
            "tokens_values": tokens.elements,
            "tokens_offsets": tokens.offsets,
            "trained": np.concatenate([piece.trained for _, piece in kept]),
            **as_arrays("prompts", self._prompts(masker, rows, numbers)),
        }
        warnings = [*notes.of(whole, made), *self._remarks(rows, whole, masker, role)]
        references = [_reference(rows[number]) for number in numbers.tolist()]
        return Pieces(
            numbers,
            arrays,
            references,
            self._ends(rows, masker),
            masker.template is not None,
            columns.text(role),
            tuple(warnings),
        )

    def _ends(self, rows: Sequence[Row], masker: Masker) -> tuple[int, ...]:
        """Return the tokens that end an answer: the template's end of turn, and what the model knows as such."""
        own = self.config.get_text_config().eos_token_id
        ends = {self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        talk = next((row for row in rows if isinstance(row, Conversation)), None)
        if talk is not None and masker.template is not None:
            mark = masker.template.end_of_turn(talk)
            if mark is not None:
                ends.add(self.tokenizer(mark, add_special_tokens=False)["input_ids"][-1])
        return tuple(sorted(int(end) for end in ends))

    def _prompts(self, masker: Masker, rows: Sequence[Row], numbers: np.ndarray) -> Ragged:
        """Return what each last answer is generated from; nothing where texts are plain."""
        prompts = [masker.prompt(rows[number]) for number in numbers.tolist()]
        return Ragged(
            np.concatenate(prompts).astype(np.int32), np.concatenate([[0], np.cumsum([len(row) for row in prompts])])
        )

    def _cut(self, masked: Masked) -> list[Masked]:
        """Return a row within the greatest length, or its blocks; those of which no token can be trained are left out.

        A row's first token is predicted from nothing, so it is never trained.
        """
        size = self.rows.block or self.max_length
        most = len(masked.tokens) if self.rows.block else size
        parts = [
            Masked(masked.tokens[start : start + size], masked.trained[start : start + size])
            for start in range(0, min(len(masked.tokens), most), size)
        ]
        return [part for part in parts if part.trained[1:].any()]

    def _remarks(self, rows: Sequence[Row], whole: Sequence[Masked], masker: Masker, role: str) -> Iterator[str]:
        """Yield what is to be said of a template, and of special tokens in what the user wrote."""
        template = masker.template
        if template is None:
            return
        talks = [row for row in rows if isinstance(row, Conversation)]
        if template.end_of_turn(talks[0]) is None:
            yield (
                f"{template.name} ends an answer with no token of its own, so a model may not learn to stop. Give a "
                "chat_template= that does."
            )
        added = sorted({text for masked in whole for text in masked.added})
        if added:
            yield (
                f"{template.name} writes {shortened(ascii(added[0]))} before answers by itself. It is not trained, and "
                "not in the text that answers are generated from either; chat_template_kwargs= may put it there "
                "(enable_thinking=False does for templates in the manner of Qwen3)."
            )
        uncued = [at for at, masked in enumerate(whole) if masked.untrained_cue]
        if uncued:
            yield (
                f"{template.name} cues an answer (add_generation_prompt) with a text that ends in "
                f"{whole[uncued[0]].untrained_cue!a}, and the answers of {len(uncued)} of {len(rows)} {role} rows "
                f"are trained behind another: {row_list(uncued)}. Whoever generates with the template begins where "
                "nothing was trained. Give the rows what the cue opens (such as thoughts, in reasoning_content), "
                "chat_template_kwargs= that leave it out, or a chat_template= whose answers begin with its cue."
            )
        untold = [at for at, row in enumerate(rows) if isinstance(row, Conversation) and row.calls_unknown]
        if untold:
            yield (
                f"In {len(untold)} of {len(rows)} {role} rows the assistant calls tools that the row does not have: "
                f"{row_list(untold)}. The model learns to call what it was not told of. Give the tools in a column "
                "tools, or name it with columns={'tools': ...}."
            )
        if "strftime_now" in template.of(talks[0].tools):
            yield (
                f"{template.name} may write the date of today into conversations: rows prepared on another day then "
                "have other tokens. Templates that do so often take it as chat_template_kwargs={'date_string': ...}."
            )
        added_tokens = self.tokenizer.added_tokens_decoder.values()
        special = [str(token) for token in added_tokens if token.special and str(token) != self.tokenizer.unk_token]
        hit = [at for at, row in enumerate(rows) if any(token in text for text in _written(row) for token in special)]
        if hit:
            yield (
                f"{len(hit)} of {len(rows)} {role} rows have special tokens of the tokenizer in their texts, and these "
                f"are not read as text: {row_list(hit)}."
            )


@dataclass(frozen=True)
class _Notes:
    """What is said of rows that were cut."""

    role: str
    length: int
    rows: int
    block: int | None

    def of(self, whole: Sequence[Masked], made: Sequence[Sequence[Masked]]) -> Iterator[str]:
        limit = self.block or self.length
        long = [at for at, masked in enumerate(whole) if len(masked.tokens) > limit]
        longest = max(len(masked.tokens) for masked in whole)
        empty = [at for at, parts in enumerate(made) if not parts]
        if long and not self.block:
            yield (
                f"{len(long)} of {self.rows} {self.role} rows are longer than {limit} tokens and were cut (the longest "
                f"has {longest})."
            )
        if long and self.block:
            yield (
                f"{self.rows} {self.role} texts were cut into {sum(map(len, made))} blocks of up to {limit} tokens; "
                "the blocks of a text stay on one side."
            )
        if empty:
            yield (
                f"{len(empty)} of {self.rows} {self.role} rows have no trained token within {limit} tokens and were "
                f"left out: {row_list(empty)}."
            )

    def nothing_left(self, whole: Sequence[Masked]) -> DataError:
        shortest = min(int(np.argmax(masked.trained)) for masked in whole)
        return DataError(
            f"none of the {self.rows} {self.role} rows has a trained token within {self.length} tokens: the first "
            f"answer begins after {shortest} at the earliest. Give a greater max_length=, or shorter prompts."
        )


def _written(row: Row) -> list[str]:
    if isinstance(row, Conversation):
        return [message["content"] for message in row.messages]
    return [row.prompt, row.completion]


def _reference(row: Row) -> str:
    """Return what the last answer of a row should be: its text, or the calls as JSON where it only calls tools."""
    if not isinstance(row, Conversation):
        return row.completion.strip() if row.prompt else ""
    message = row.messages[row.answers[-1]]
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return message["content"].strip() or json.dumps(calls, ensure_ascii=False)
