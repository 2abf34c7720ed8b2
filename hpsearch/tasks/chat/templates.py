"""Chat templates: a conversation as text, and which characters of it the answers themselves produce."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.tasks.chat.conversations import ASSISTANT, REASONING, Conversation

Span = tuple[int, int]
"""Characters of a text, from and to."""

_MARKS = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_ANSWER = "hpsearch-answer"


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
    """

    text: str
    answers: tuple[Span, ...]
    starts: tuple[int, ...] = ()
    added: tuple[str, ...] = ()


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
            begin = self._begin(conversation, at, text[start:bound], is_cued=is_cued) + start
            end = self._end(conversation, at, text, begin, stop=stop, bound=bound)
            answers.append((begin, end))
            added += [text[start:begin]] if is_cued and begin > start else []
        return Rendered(text, tuple(answers), tuple(start for start, _ in befores), tuple(added))

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
            begin = start if at is None else start + self._begin(conversation, at, text[start:stop], is_cued=True)
            answers.append((begin, self._end(conversation, at, text, begin, stop=stop, bound=bound)))
        return Rendered(text, tuple(answers))

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

    def _begin(self, conversation: Conversation, at: int, region: str, *, is_cued: bool) -> int:
        """Return how many characters before an answer the template adds by itself.

        Blanks are no addition: without them in the cue the model has to produce them.
        """
        message = conversation.messages[at]
        if is_cued and any(str(message.get(key) or "").strip() for key in REASONING):
            return 0
        own = message["content"].strip()
        if not own:
            return self._begin_of_call(conversation, at, region, is_cued=is_cued)
        lead = self._lead(conversation, at, region) if region.count(own) != 1 else 0  # "a" stands in a header, too
        found = region.find(own, lead)
        if found < 0:
            found = region.find(own.splitlines()[0], lead)
        if found < 0 and not is_cued:
            raise UnclearAnswerError(
                f"the text of message {at} does not stand in it as it was given, and the cue for an answer "
                "(add_generation_prompt) is not how an answer begins, so what is an answer cannot be told"
            )
        return 0 if found < 0 or (is_cued and not region[:found].strip()) else found

    def _begin_of_call(self, conversation: Conversation, at: int, region: str, *, is_cued: bool) -> int:
        """Return the same for a message that only calls tools: what another answer in its place would have too."""
        if not is_cued:
            raise UnclearAnswerError(
                f"message {at} only calls tools, and the cue for an answer (add_generation_prompt) is not how an "
                "answer begins, so what is an answer cannot be told"
            )
        return self._lead(conversation, at, region)

    def _lead(self, conversation: Conversation, at: int, region: str) -> int:
        """Return how many characters of a region stand before any answer in the place of a message; 0: not known."""
        try:
            head = self._around(conversation, at, conversation.messages[at + 1 :])[0]
        except UnclearAnswerError:  # what follows may go with a call of a tool only
            head = self._around(conversation, at)[0]
        longest = min(len(head), len(region))
        leads = (length for length in range(longest, 0, -1) if head.endswith(region[:length]))
        return next((length for length in leads if region[:length].strip()), 0)

    def _around(
        self, conversation: Conversation, at: int, following: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[str, str]:
        """Return what stands before and behind an answer made up in the place of a message, with these following."""
        messages = [*conversation.messages[:at], {"role": ASSISTANT, "content": _ANSWER}, *following]
        head, found, tail = self._text(messages, conversation.tools)[0].partition(_ANSWER)
        if not found:
            raise UnclearAnswerError("an answer is left out of the text")
        return head, tail

    def end_of_turn(self, conversation: Conversation) -> str | None:
        """Return what ends an answer: up to the first token of its own behind it. None where there is no such token."""
        template = self.of(conversation.tools)
        if template not in self._ends:
            at = next(at for at, message in enumerate(conversation.messages) if message["role"] == ASSISTANT)
            tail = self._around(conversation, at)[1]
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
