"""Chat templates: a conversation as text, and which characters of it the answers themselves produce."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.tasks.chat.conversations import ASSISTANT, REASONING, Conversation

Span = tuple[int, int]
"""Characters of a text, from and to."""

_MARKS = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_ANSWER = "hpsearch-answer-in-this-place"
"""The answer that is made up: none that a row would have."""
_SHOWN = 40
"""Characters of a cue that are shown."""


class UnclearAnswerError(Exception):
    """A template does not take a conversation, or it cannot be seen what of the text is an answer."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as text.

    Attributes:
        text: All of it.
        answers: What is trained of it.
        starts: Where each answer begins after text that must have the same tokens alone; empty where the template
            marks its answers itself.
        added: What the template writes before an answer by itself and the answer does not produce, such as an empty
            block of thoughts; empty texts left out.
        untrained_cue: The end of the text that the last answer is generated from, where the trained text does not begin
            so; else empty.
    """

    text: str
    answers: tuple[Span, ...]
    starts: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    untrained_cue: str = ""


class ChatTemplate:
    """The chat template of a tokenizer, or one that the user gives instead."""

    def __init__(self, tokenizer: Any, given: str | None, options: Mapping[str, Any], source: str) -> None:
        """Take the template.

        Args:
            tokenizer: That of the model.
            given: A Jinja template to use instead of the tokenizer's, or None.
            options: Further variables of the template.
            source: The model, for errors.

        Raises:
            TaskError: There is none.
        """
        if given is not None:
            tokenizer.chat_template = given
        if not tokenizer.chat_template:
            raise TaskError(
                f"the tokenizer of {source!r} has no chat template, so conversations cannot be written as text. Give "
                'one with chat_template="..." (Jinja, see transformers\' guide to chat templates), or train on texts '
                "with CausalLanguageModeling."
            )
        self.tokenizer = tokenizer
        self.options = dict(options)
        self.name = "chat_template=" if given is not None else f"the chat template of {source!r}"
        self._ends: dict[str, str | None] = {}

    def of(self, tools: Any) -> str:
        """Return the template for conversations with such tools: a tokenizer may have several."""
        try:
            return str(self.tokenizer.get_chat_template(tools=tools))
        except ValueError as error:
            raise UnclearAnswerError(str(error)) from error

    @cached_property
    def _added_tokens(self) -> re.Pattern[str]:
        """What finds the tokenizer's special and added tokens in a text, the longest first."""
        added = {str(token) for token in self.tokenizer.added_tokens_decoder.values()}
        tokens = sorted(added | set(self.tokenizer.all_special_tokens), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")

    def prompt(self, conversation: Conversation) -> str:
        """Return the text that the last answer is generated from: what comes before it, and the template's cue."""
        last = conversation.answers[-1]
        return self._text(conversation.messages[:last], conversation.tools, cue=True)[0]

    def render(self, conversation: Conversation) -> Rendered:
        """Return a conversation as text, and what its answers produce of it.

        Raises:
            UnclearAnswerError: The template refuses it, or what is an answer cannot be told.
        """
        if _MARKS.search(self.of(conversation.tools)):
            return self._marked(conversation)
        text = self._text(conversation.messages, conversation.tools)[0]
        places = conversation.answers
        befores = [self._before(conversation, at, text) for at in places]
        answers, added = [], []
        for number, (at, (start, is_cued)) in enumerate(zip(places, befores, strict=True)):
            bound = befores[number + 1][0] if number + 1 < len(places) else len(text)
            until = self._text(conversation.messages[: at + 1], conversation.tools)[0]
            stop = len(until) if text.startswith(until) else None
            begin = self._begin(conversation, at, text, start, is_cued=is_cued)
            end = self._end(conversation, at, text, begin, stop=stop, bound=bound)
            answers.append((begin, end))
            added += [text[start:begin]] if is_cued and begin > start else []
        cue = "" if befores[-1][1] else self.prompt(conversation)
        return Rendered(text, tuple(answers), tuple(start for start, _ in befores), tuple(added), cue[-_SHOWN:])

    def _marked(self, conversation: Conversation) -> Rendered:
        """Return what the template's own marks say, an end of turn right behind a mark included."""
        text, spans = self._text(conversation.messages, conversation.tools, marks=True)
        spoken = [at for at, message in enumerate(conversation.messages) if message["role"] == ASSISTANT]
        places: Sequence[int | None] = spoken if len(spans) == len(spoken) else [None] * len(spans)
        first = self._before(conversation, conversation.answers[0], text)[0] if conversation.begins else 0
        answers = []
        for number, (at, (start, stop)) in enumerate(zip(places, spans, strict=True)):
            if start < first or start == stop:
                continue
            bound = spans[number + 1][0] if number + 1 < len(spans) else len(text)
            begin = start if at is None else min(stop, self._begin(conversation, at, text, start, is_cued=True))
            answers.append((begin, self._end(conversation, at, text, begin, stop=stop, bound=bound)))
        prompt = self.prompt(conversation) if conversation.messages[-1]["role"] == ASSISTANT else ""
        return Rendered(text, tuple(answers), untrained_cue="" if text.startswith(prompt) else prompt[-_SHOWN:])

    # ------------------------------------------------------------------ text

    def _text(
        self, messages: Sequence[Mapping[str, Any]], tools: Any, *, cue: bool = False, marks: bool = False
    ) -> tuple[str, list[Span]]:
        """Return messages as text, with the cue for an answer behind them, and what the template marks as answers."""
        from transformers.utils import chat_template_utils

        render: Any = chat_template_utils.render_jinja_template  # whose annotation is another's
        try:
            texts, spans = render(
                conversations=[list(messages)],
                tools=None if tools is None else list(tools),
                chat_template=self.of(tools),
                return_assistant_tokens_mask=marks,
                add_generation_prompt=cue,
                **{**self.tokenizer.special_tokens_map, **self.options},
            )
        except UnclearAnswerError:
            raise
        except Exception as error:  # whatever a template raises, or what it computes with
            raise UnclearAnswerError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        return texts[0], [(int(start), int(stop)) for start, stop in spans[0]] if spans else []

    def _before(self, conversation: Conversation, at: int, text: str) -> tuple[int, bool]:
        """Return where the text before a message ends, and whether the cue for an answer belongs to it."""
        for cue in (True, False):
            before = self._text(conversation.messages[:at], conversation.tools, cue=cue)[0]
            if text.startswith(before):
                return len(before), cue
        raise UnclearAnswerError(
            f"the text of the messages before message {at} is not where the text of all messages begins, so what is "
            "an answer cannot be told"
        )

    # ------------------------------------------------------------------ what an answer produces

    def _begin(self, conversation: Conversation, at: int, text: str, start: int, *, is_cued: bool) -> int:
        """Return where an answer begins, behind what the template writes before it by itself.

        That is told from another answer in its place, for words of the answer may stand in a header too ("a", "user").
        Blanks are no addition: without them in the cue the model has to produce them.

        Args:
            conversation: The messages.
            at: Which of them is the answer.
            text: That of all messages.
            start: Where the text of the messages before it ends, with the cue if `is_cued`.
            is_cued: Whether the cue for an answer is how this one begins.
        """
        message = conversation.messages[at]
        if is_cued and any(str(message.get(key) or "").strip() for key in REASONING):
            return start
        for head in self._heads(conversation, at):
            if text.startswith(head) and len(head) >= start:
                return start if is_cued and not head[start:].strip() else len(head)
        if is_cued:
            return start
        raise UnclearAnswerError(
            f"the text of message {at} does not stand where another answer in its place would, and the cue for an "
            "answer (add_generation_prompt) is not how an answer begins, so what is an answer cannot be told"
        )

    def _heads(self, conversation: Conversation, at: int) -> Iterator[str]:
        """Yield the text before an answer made up in the place of a message: among all messages, then as the last."""
        messages = conversation.messages
        whole = [*messages[:at], {**messages[at], "content": _ANSWER}, *messages[at + 1 :]]
        for probe in (whole, [*messages[:at], {"role": ASSISTANT, "content": _ANSWER}]):
            try:
                head, found, _ = self._text(probe, conversation.tools)[0].partition(_ANSWER)
            except UnclearAnswerError:  # a tool's result without a call, for instance
                continue
            if found:
                yield head

    def _behind(self, conversation: Conversation, at: int) -> str:
        """Return what stands behind an answer made up in the place of a message, as the last one."""
        probe = [*conversation.messages[:at], {"role": ASSISTANT, "content": _ANSWER}]
        _, found, tail = self._text(probe, conversation.tools)[0].rpartition(_ANSWER)
        if not found:
            raise UnclearAnswerError("an answer is left out of the text")
        return tail

    def end_of_turn(self, conversation: Conversation) -> str | None:
        """Return what ends an answer: up to the first token of its own behind it. None where there is no such token."""
        template = self.of(conversation.tools)
        if template not in self._ends:
            at = next(at for at, message in enumerate(conversation.messages) if message["role"] == ASSISTANT)
            tail = self._behind(conversation, at)
            found = self._added_tokens.search(tail)
            self._ends[template] = None if found is None else tail[: found.end()].lstrip()
        return self._ends[template]

    def _end(
        self, conversation: Conversation, at: int | None, text: str, begin: int, *, stop: int | None, bound: int
    ) -> int:
        """Return where an answer ends, its end of turn included.

        Args:
            conversation: The messages.
            at: The message, or None where it is not known which of them this is.
            text: That of all messages.
            begin: Where the answer begins.
            stop: Where the text of the messages up to this one ends; None where that is not known.
            bound: Where the next answer begins.
        """
        own = "" if at is None else conversation.messages[at]["content"].strip()
        found = text.find(own, begin, bound) if own else -1
        after = found + len(own) if found >= 0 else begin
        mark = self.end_of_turn(conversation)
        end = -1 if mark is None else text.find(mark, after, bound)
        if end >= 0 and mark is not None and (stop is None or end < stop or not text[stop:end].strip()):
            return end + len(mark)
        if stop is None:
            raise UnclearAnswerError(
                f"the text of the messages up to message {at} is not where the text of all messages begins, and no "
                "token ends its answer, so where it ends cannot be told"
            )
        return stop
