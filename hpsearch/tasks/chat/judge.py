"""The judge of language models that answer: their exported folder must say what they said when they were scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.tasks.generation.judge import AnswerTextJudge
from hpsearch.tasks.generation.predictions import TokenPredictions


@dataclass(frozen=True)
class ChatJudge(AnswerTextJudge):
    """The judge of conversations, and of prompts with their completions."""

    @property
    def purpose(self) -> str:
        return "to answer"

    def pipeline_settings(self) -> Mapping[str, Any]:
        return {"return_full_text": False, "max_new_tokens": self.max_new_tokens}

    def from_answers(self, answers: Sequence[Any]) -> TokenPredictions:
        """Return predictions with these texts: as they are, or as a pipeline gives them."""
        texts = [answer if isinstance(answer, str) else answer[0]["generated_text"] for answer in answers]
        return super().from_answers([str(text).strip() for text in texts])
