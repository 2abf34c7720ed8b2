"""Tokens and masks: which tokens of a row are trained. Loss on anything but the answers is the first mistake of all.

A template that marks its answers ({% generation %}) says which characters are an answer's. Of others the text of the
messages before an answer, with the cue for it, is compared with the text of all, as characters and as tokens, row by
row; where the one does not begin the other the row is an error. In both ways what the template adds by itself is left
out (an empty block of thoughts before an answer, a line feed behind the end of turn), and the end of turn is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.chat.conversations import Conversation, Row, Writing
from hpsearch.tasks.chat.templates import ChatTemplate, Rendered, Span, UnclearAnswerError


@dataclass(frozen=True, eq=False)
class Masked:
    """A row as tokens.

    Attributes:
        tokens: int32, shape (tokens,).
        trained: Whether each is trained, bool, shape (tokens,).
        added: What the template wrote before answers by itself; see `Rendered`.
        untrained_cue: What the last answer is generated from and is not trained behind; see `Rendered`.
    """

    tokens: np.ndarray
    trained: np.ndarray
    added: tuple[str, ...] = ()
    untrained_cue: str = ""


class Masker:
    """Makes tokens and masks of rows."""

    def __init__(self, tokenizer: Any, template: ChatTemplate | None, *, everything: bool) -> None:
        """Take what rows are written with.

        Args:
            tokenizer: That of the model.
            template: For conversations; None where there are only texts.
            everything: Whether all tokens are trained, the prompts' too.

        Raises:
            TaskError: The tokenizer has no end-of-text token, which texts end with.
        """
        self.tokenizer, self.template, self.everything = tokenizer, template, everything
        if template is None and tokenizer.eos_token_id is None:
            raise TaskError(
                "the tokenizer has no end-of-text token, so a model could not learn where a text ends. Set "
                "tokenizer.eos_token and save it into the model's folder."
            )

    def masked(self, row: Row, number: int, role: str) -> Masked:
        """Return a row as tokens.

        Raises:
            DataError: What is to be trained cannot be told; it names the row and the template.
        """
        try:
            made = self._conversation(row) if isinstance(row, Conversation) else self._writing(row)
        except UnclearAnswerError as refusal:
            raise self._refused(row, number, role, str(refusal)) from refusal
        if not made.trained.any():
            raise self._refused(row, number, role, "no token of it is an answer's, so nothing would be trained")
        return made

    def prompt(self, row: Row) -> np.ndarray:
        """Return the tokens that the last answer of a row is generated from, int32."""
        if isinstance(row, Writing):
            return np.array(self._text_tokens(row.prompt), dtype=np.int32)
        assert self.template is not None
        return np.array(self._tokens(self.template.prompt(row)), dtype=np.int32)

    def _refused(self, row: Row, number: int, role: str, why: str) -> DataError:
        where = f"row {number} (counted from 0) of the {role} data"
        if isinstance(row, Writing) or self.template is None:
            return DataError(f"{where}: {why}.")
        return DataError(
            f"{where} does not go with {self.template.name}: {why.rstrip('.')}. Correct or remove the row, or give a "
            "chat_template= that marks what is an answer: {% generation %} before it and {% endgeneration %} behind "
            "its end of turn."
        )

    # ------------------------------------------------------------------ conversations

    def _conversation(self, row: Conversation) -> Masked:
        assert self.template is not None
        rendered = self.template.render(row)
        tokens, spans = self._with_spans(rendered.text)
        for start in rendered.starts:
            self._check_prefix(rendered.text[:start], tokens)
        trained = np.zeros(len(tokens), dtype=bool)
        for answer in rendered.answers:
            trained |= self._inside(rendered, answer, tokens, spans)
        if self.everything:
            trained[:] = True
        return Masked(np.array(tokens, dtype=np.int32), trained, rendered.added, rendered.untrained_cue)

    def _tokens(self, text: str) -> list[int]:
        """Return the tokens of a text that has its special tokens written out."""
        return list(
            self.tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        )

    def _with_spans(self, text: str) -> tuple[list[int], np.ndarray | None]:
        """Return tokens, and the characters of each, shape (tokens, 2); None where the tokenizer does not say."""
        if not self.tokenizer.is_fast:
            return self._tokens(text), None
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_attention_mask=False, return_offsets_mapping=True, verbose=False
        )
        return list(encoded["input_ids"]), np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)

    def _check_prefix(self, before: str, tokens: Sequence[int]) -> int:
        """Return how many tokens a text that begins another has; `UnclearAnswerError` where they do not begin it."""
        alone = self._tokens(before)
        if list(tokens[: len(alone)]) != alone:
            raise UnclearAnswerError(
                f"the tokens of the text before an answer, which ends in {before[-20:]!r}, are not those that all of "
                "the text begins with, as when a blank before the answer joins its first word"
            )
        return len(alone)

    def _inside(self, rendered: Rendered, answer: Span, tokens: Sequence[int], spans: np.ndarray | None) -> np.ndarray:
        """Return which tokens have a character of an answer, bool, shape (tokens,)."""
        begin, end = answer
        if spans is None:
            first, last = (self._check_prefix(rendered.text[:place], tokens) for place in answer)
            places = np.arange(len(tokens))
            return (places >= first) & (places < last)
        inside = (spans[:, 0] < end) & (spans[:, 1] > begin)
        first = int(np.argmax(inside))
        shared = rendered.text[spans[first, 0] : begin] if inside.any() else ""
        if rendered.starts and shared.strip():
            raise UnclearAnswerError(f"one token has {shared!r} before an answer, and the answer's beginning")
        return inside

    # ------------------------------------------------------------------ texts

    def _text_tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that the tokenizer puts before it, and none behind it."""
        tokens = list(self.tokenizer(text, return_attention_mask=False, verbose=False)["input_ids"])
        start, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if start is not None and tokens[:2] == [start, start]:  # it is in the text, and the tokenizer adds another
            tokens = tokens[1:]
        while tokens and tokens[-1] == end and start != end:
            tokens.pop()
        return tokens

    def _writing(self, row: Writing) -> Masked:
        """Return the tokens of prompt and completion, ended by one end-of-text token, which is trained."""
        tokens = self._text_tokens(row.prompt + row.completion)
        before = self._text_tokens(row.prompt) if row.prompt else []
        if tokens[: len(before)] != before or (len(tokens) == len(before) and row.completion):
            raise UnclearAnswerError(
                f"the tokens of its prompt, which ends in {row.prompt[-20:]!r}, are not those that prompt and "
                "completion begin with: a blank at the end of a prompt joins the first word of the completion. Move it "
                "to the completion"
            )
        tokens.append(int(self.tokenizer.eos_token_id))
        trained = np.ones(len(tokens), dtype=bool)
        if not self.everything:
            trained[: len(before)] = False
        return Masked(np.array(tokens, dtype=np.int32), trained)
